"""Requests of an alias that wait while something is maintained, and nodes that take the place of others."""

from __future__ import annotations

import http.client
import http.server
import json
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from conftest import Answer, Roost, wait_for
from google.protobuf import struct_pb2
from test_aliases import publish, run, who
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve
from yandex.cloud.datasphere.v1 import node_service_pb2
from yandex.cloud.datasphere.v1.node_service_pb2_grpc import NodeServiceStub


def make_cell(roost: Roost, name: str, **more: Any) -> str:
    """A node whose answers say which it is."""
    roost.checkpoint("x = 1", f"who = {name!r}\ny = x + 1", name=f"cell-{name}")
    node = roost.node(
        name,
        checkpoint=f"cell-{name}",
        inputs=["x:int"],
        outputs=["who:str", "y:int"],
        instances={"count": 1},
        **more,
    )
    roost.healthy(node, 1)
    return node


@pytest.fixture(scope="module")
def cells(roost: Roost) -> dict[str, str]:
    return {name: make_cell(roost, name) for name in ("old", "new")}


class Site:
    """A server that remembers the paths it was asked for; the answer at `/slow` waits for its gate."""

    def __init__(self, body: bytes = b"data: 1\n\n") -> None:
        self.seen: list[str] = []
        self.gate = threading.Event()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/slow":
                    site.seen.append("begun")
                    site.gate.wait(60)
                self.answer(
                    body,
                    "text/event-stream" if self.path == "/events" else "text/plain",
                )

            def do_POST(self) -> None:
                self.answer(
                    str(
                        len(self.rfile.read(int(self.headers["content-length"])))
                    ).encode(),
                    "text/plain",
                )

            def answer(self, body: bytes, kind: str) -> None:
                site.seen.append(self.path)
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever,
            kwargs={"poll_interval": 0.01},
            daemon=True,
        ).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def make_address_node(roost: Roost, name: str, site: Site) -> None:
    body = {
        "name": name,
        "kind": "address",
        "addresses": [{"address": site.address}],
        "endpoint": {"type": "http"},
    }
    roost.healthy(str(roost.call("POST", "/v1/nodes", body).json["resourceId"]), 1)


@pytest.fixture(scope="module")
def web(roost: Roost) -> Iterator[Site]:
    site = Site()
    make_address_node(roost, "web", site)
    yield site
    site.close()


class Caller(threading.Thread):
    """One request on a thread of its own."""

    def __init__(self, call: Callable[[], Any]):
        super().__init__(daemon=True)
        self.call = call
        self.began = time.monotonic()
        self.seconds = 0.0
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.call()
        except Exception as error:  # noqa: BLE001
            self.result = error
        self.seconds = time.monotonic() - self.began

    def done(self) -> Any:
        self.join(60)
        assert not self.is_alive(), "the request still waits"
        return self.result


def waiting(roost: Roost, alias: str) -> int:
    hold = roost.get(f"/v1/aliases/{alias}").get("hold")
    return int(hold["waiting"]) if hold else -1


def hold(roost: Roost, alias: str, seconds: int, **more: Any) -> dict[str, Any]:
    answer = roost.call(
        "POST", f"/v1/aliases/{alias}:hold", {"durationSeconds": seconds, **more}
    )
    assert answer.status == 200, answer
    return dict(answer.json)


def let_go(roost: Roost, alias: str) -> None:
    answer = roost.call("POST", f"/v1/aliases/{alias}:release")
    assert answer.status == 200 and "hold" not in answer.json, answer


def test_requests_wait_and_go_to_the_nodes_of_the_weights_at_the_end(
    roost: Roost, cells: dict[str, str]
) -> None:
    publish(roost, "kept", {"old": 100, "new": 0})
    made = hold(roost, "kept", 120, reason="the database moves")
    assert made["hold"]["reason"] == "the database moves" and made["generation"] == 1
    channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}")
    inputs = struct_pb2.Struct()
    inputs.update({"x": 1})
    request = node_service_pb2.AliasExecutionRequest(
        folder_id=roost.folder, alias_name="kept", input=inputs
    )
    callers = [Caller(lambda: run(roost, "kept")) for _ in range(5)]
    callers.append(
        Caller(
            lambda: NodeServiceStub(channel).ExecuteAlias(
                request,
                metadata=[("authorization", f"Bearer {roost.token}")],
                timeout=90,
            )
        )
    )
    tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [41]}
    infer = Caller(
        lambda: roost.call(
            "POST",
            "/v2/models/kept/infer",
            {"inputs": [tensor]},
            headers={"x-node-alias": "kept"},
        )
    )
    wait_for("seven requests that wait", lambda: waiting(roost, "kept") == 7)
    text = roost.cli("alias", "describe", "kept").stdout
    assert (
        "Held" in text
        and "the database moves" in text
        and "7 of at most 1000 requests wait" in text
    ), text
    metrics = roost.call("GET", "/metrics").body.decode()
    assert 'roost_alias_held{alias_name="kept"} 1' in metrics
    assert 'roost_alias_held_requests{alias_name="kept"} 7' in metrics
    # The one who maintains can try a node meanwhile, and other names of the nodes are not held.
    assert who(run(roost, "kept", **{"x-alias-target": "new"})) == "new"
    assert all(caller.is_alive() for caller in callers)
    publish(roost, "kept", {"old": 0, "new": 100})
    assert waiting(roost, "kept") == 7
    let_go(roost, "kept")
    for caller in callers[:5]:
        assert who(caller.done()) == "new"
    assert callers[5].done().output.fields["who"].string_value == "new"
    answer = infer.done()
    assert answer.status == 200 and answer.json["outputs"][0]["data"] == ["new"], answer
    channel.close()
    metrics = roost.call("GET", "/metrics").body.decode()
    assert 'roost_alias_held{alias_name="kept"} 0' in metrics
    assert 'roost_alias_held_requests_total{alias_name="kept"} 7' in metrics
    assert who(run(roost, "kept")) == "new"


def test_a_hold_ends_by_itself(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "short", {"old": 100})
    out = roost.cli("alias", "hold", "short", "--for", "2s").stdout
    assert "requests to alias short wait until" in out, out
    caller = Caller(lambda: run(roost, "short"))
    assert who(caller.done()) == "old"
    assert 0.5 < caller.seconds < 30
    assert "hold" not in roost.get("/v1/aliases/short")
    # What is held already is released by the command too.
    roost.cli("alias", "hold", "short", "--for", "5m")
    caller = Caller(lambda: run(roost, "short"))
    wait_for("a request that waits", lambda: waiting(roost, "short") == 1)
    assert "not held" in roost.cli("alias", "hold", "short", "--release").stdout
    assert who(caller.done()) == "old"


def test_what_comes_with_a_hold_goes_on_with_its_end(roost: Roost, cells: dict[str, str]) -> None:
    """As long as the hold lasts they may wait, and both times end in one turn of the gateway's clock."""
    publish(roost, "brief", {"old": 100})
    for _ in range(4):
        hold(roost, "brief", 1, waitSeconds=1)
        assert who(run(roost, "brief")) == "old"


def test_what_waits_is_bounded_by_number_age_and_the_callers_time(
    roost: Roost, cells: dict[str, str]
) -> None:
    publish(roost, "bound", {"old": 100})
    hold(roost, "bound", 60, requestLimit=2, waitSeconds=2, reason="a test")
    callers = [Caller(lambda: run(roost, "bound")) for _ in range(2)]
    wait_for("two requests that wait", lambda: waiting(roost, "bound") == 2)
    over = run(roost, "bound")
    assert over.status == 429 and 1 <= int(over.headers["retry-after"]) <= 60, over
    assert (
        "alias bound is held for" in over.json["message"]
        and "(a test)" in over.json["message"]
    )
    assert "2 requests wait already" in over.json["message"]
    for caller in callers:
        answer = caller.done()
        assert answer.status == 503 and int(answer.headers["retry-after"]) <= 60, answer
        assert "waited for 2 s, the longest allowed" in answer.json["message"]
    channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}")
    inputs = struct_pb2.Struct()
    inputs.update({"x": 1})
    request = node_service_pb2.AliasExecutionRequest(
        folder_id=roost.folder, alias_name="bound", input=inputs
    )
    with pytest.raises(grpc.RpcError) as error:
        NodeServiceStub(channel).ExecuteAlias(
            request, metadata=[("authorization", f"Bearer {roost.token}")], timeout=0.5
        )
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    channel.close()
    # Who goes away leaves the place.
    connection = http.client.HTTPConnection("127.0.0.1", roost.port)
    connection.request(
        "POST",
        "/datasphere/v1/aliases/bound:execute",
        json.dumps({"folder_id": roost.folder, "input": {"x": 1}}),
        {"authorization": f"Bearer {roost.token}"},
    )
    wait_for("the request that waits", lambda: waiting(roost, "bound") == 1)
    connection.close()
    wait_for("no request that waits", lambda: waiting(roost, "bound") == 0)
    metrics = roost.call("GET", "/metrics").body.decode()
    assert (
        'roost_alias_hold_refusals_total{alias_name="bound",reason="limit"} 1'
        in metrics
    )
    assert (
        'roost_alias_hold_refusals_total{alias_name="bound",reason="age"} 2' in metrics
    )
    let_go(roost, "bound")


def test_what_is_passed_on_waits_with_its_body(roost: Roost, web: Site) -> None:
    publish(roost, "pages", {"web": 100})
    hold(roost, "pages", 120)
    headers = {"x-node-alias": "pages"}
    callers = [
        Caller(lambda: roost.call("GET", "/one", headers=headers)),
        Caller(lambda: roost.call("POST", "/two", raw=b"x" * 300_000, headers=headers)),
        Caller(lambda: roost.call("GET", "/events", headers=headers)),
    ]
    wait_for("three requests that wait", lambda: waiting(roost, "pages") == 3)
    assert web.seen == []
    let_go(roost, "pages")
    one, two, events = [caller.done() for caller in callers]
    assert one.status == 200 and two.body == b"300000", (one, two)
    assert (
        events.headers["content-type"] == "text/event-stream"
        and events.body == b"data: 1\n\n"
    )
    assert sorted(web.seen) == ["/events", "/one", "/two"]


def test_a_websocket_opens_when_the_hold_ends(roost: Roost) -> None:
    def echo(socket: ServerConnection) -> None:
        for message in socket:
            socket.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.socket.getsockname()[1]}"
        body = {
            "name": "echo",
            "kind": "address",
            "addresses": [{"address": address}],
            "endpoint": {"type": "http"},
        }
        roost.healthy(str(roost.call("POST", "/v1/nodes", body).json["resourceId"]), 1)
        publish(roost, "talk", {"echo": 100})
        hold(roost, "talk", 120)

        def talk() -> Any:
            headers = {"authorization": f"Bearer {roost.token}", "x-node-alias": "talk"}
            with connect(
                f"ws://127.0.0.1:{roost.port}/",
                additional_headers=headers,
                open_timeout=60,
            ) as socket:
                socket.send("hello")
                return socket.recv(timeout=60)

        caller = Caller(talk)
        wait_for("the handshake that waits", lambda: waiting(roost, "talk") == 1)
        let_go(roost, "talk")
        assert caller.done() == "hello"


def test_a_request_of_an_alias_that_is_deleted_meanwhile_is_told_so(
    roost: Roost, cells: dict[str, str]
) -> None:
    publish(roost, "gone", {"old": 100})
    hold(roost, "gone", 120)
    caller = Caller(lambda: run(roost, "gone"))
    wait_for("a request that waits", lambda: waiting(roost, "gone") == 1)
    assert roost.call("DELETE", "/v1/aliases/gone").status == 204
    answer: Answer = caller.done()
    assert (
        answer.status == 404 and "alias 'gone' does not exist" in answer.json["message"]
    )


def test_what_makes_no_sense_is_refused(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "plain", {"old": 100})

    def refused(body: dict[str, Any], field: str) -> None:
        answer = roost.call("POST", "/v1/aliases/plain:hold", body)
        assert answer.status == 400 and answer.json["field"] == field, answer

    refused({"durationSeconds": 0}, "durationSeconds")
    refused({"durationSeconds": 601}, "durationSeconds")
    refused({"durationSeconds": 10, "requestLimit": 0}, "requestLimit")
    refused({"durationSeconds": 10, "waitSeconds": 11}, "waitSeconds")
    refused({"durationSeconds": 10, "reason": "two\nlines"}, "reason")
    assert (
        roost.call("POST", "/v1/aliases/nobody:hold", {"durationSeconds": 1}).status
        == 404
    )
    assert waiting(roost, "plain") == -1
    wrong = roost.cli("alias", "hold", "plain", check=False)
    assert wrong.returncode == 2 and "--for TIME or --release" in wrong.stderr


def test_a_hold_lasts_over_a_restart_until_its_end_and_no_longer(
    make_server: Callable[..., Roost],
) -> None:
    roost = make_server()
    make_cell(roost, "old")
    publish(roost, "prod", {"old": 100})
    hold(roost, "prod", 120)
    roost.kill()
    roost.start()
    assert waiting(roost, "prod") == 0
    caller = Caller(lambda: run(roost, "prod"))
    wait_for("a request that waits", lambda: waiting(roost, "prod") == 1)
    hold(roost, "prod", 1)
    assert who(caller.done()) == "old"
    hold(roost, "prod", 1)
    roost.kill()
    roost.start()
    assert who(run(roost, "prod")) == "old"


# Nodes that take the place of others.


def weights(roost: Roost, alias: str) -> dict[str, int]:
    return {
        share["nodeName"]: share["weight"]
        for share in roost.get(f"/v1/aliases/{alias}")["shares"]
    }


def replace(roost: Roost, old: str, new: str, **more: Any) -> dict[str, Any]:
    answer = roost.call("POST", f"/v1/nodes/{old}:replace", {"successor": new, **more})
    assert answer.status == 202, answer
    return dict(answer.json)


def phase(roost: Roost, operation: dict[str, Any]) -> str:
    return str(roost.get(f"/v1/operations/{operation['id']}")["replacement"]["phase"])


class Load:
    """Constant requests to an alias over kept connections; what failed is remembered."""

    def __init__(self, roost: Roost, alias: str, callers: int = 3):
        self.seen: list[str] = []
        self.failed: list[str] = []
        self.isOver = threading.Event()
        self.roost, self.alias = roost, alias
        self.body = json.dumps({"folder_id": roost.folder, "input": {"x": 1}})
        self.threads = [
            threading.Thread(target=self.call, daemon=True) for _ in range(callers)
        ]
        for thread in self.threads:
            thread.start()

    def call(self) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.roost.port, timeout=60
        )
        headers = {
            "authorization": f"Bearer {self.roost.token}",
            "content-type": "application/json",
        }
        while not self.isOver.is_set():
            try:
                connection.request(
                    "POST",
                    f"/datasphere/v1/aliases/{self.alias}:execute",
                    self.body,
                    headers,
                )
                answer = connection.getresponse()
                text = answer.read()
                if answer.status == 200:
                    self.seen.append(json.loads(text)["output"]["who"])
                else:
                    self.failed.append(f"{answer.status} {text[:300]!r}")
            except OSError as error:
                self.failed.append(repr(error))
                connection.close()

    def end(self) -> None:
        self.isOver.set()
        for thread in self.threads:
            thread.join(60)
        assert self.failed == []


def test_a_node_takes_the_place_of_another_and_no_request_is_lost(
    make_server: Callable[..., Roost],
) -> None:
    roost = make_server()
    for name in ("blue", "third"):
        make_cell(roost, name)
    publish(
        roost,
        "prod",
        {"blue": 70, "third": 30},
        rules=[{"node": "blue", "header": "x-gold"}],
    )
    publish(roost, "side", {"third": 100, "blue": 0})
    load = Load(roost, "prod")
    # The successor is still on its way when it is asked for.
    roost.checkpoint("x = 1", "who = 'green'\ny = x + 1", name="cell-green")
    roost.node(
        "green",
        checkpoint="cell-green",
        inputs=["x:int"],
        outputs=["who:str", "y:int"],
        instances={"count": 1},
    )
    shown = roost.cli(
        "node", "replace", "blue", "green", "--delete", "--dry-run"
    ).stdout
    assert (
        "prod: 70 % and a rule of blue to green" in shown and "delete blue" in shown
    ), shown
    assert weights(roost, "prod") == {"blue": 70, "third": 30}
    done = roost.cli("node", "replace", "blue", "green", "--delete", "--wait").stdout
    assert "node green is HEALTHY" in done, done
    load.seen.clear()
    wait_for("some more requests", lambda: len(load.seen) > 200)
    load.end()
    assert set(load.seen[50:]) == {"green", "third"}
    assert weights(roost, "prod") == {"green": 70, "third": 30} and weights(
        roost, "side"
    ) == {"third": 100, "green": 0}
    assert who(run(roost, "prod", **{"x-gold": "yes"})) == "green"
    assert [node["name"] for node in roost.get("/v1/nodes")["nodes"]] == [
        "green",
        "third",
    ]
    # The same back, and the former node is kept suspended.
    operation = replace(roost, "green", "third")
    ended = roost.finished(operation["id"])
    assert (
        ended["replacement"]["phase"] == "DONE"
        and ended["replacement"]["leftRequests"] == 0
    ), ended
    assert weights(roost, "prod") == {"third": 100}
    assert roost.status(ended["replacement"]["nodeId"])["status"] == "SUSPENDED"


def test_the_successor_is_made_by_the_same_command(
    make_server: Callable[..., Roost], tmp_path: pathlib.Path
) -> None:
    roost = make_server()
    make_cell(roost, "blue")
    publish(roost, "prod", {"blue": 100})
    roost.checkpoint("x = 1", "who = 'green'\ny = x + 1", name="cell-green")
    load = Load(roost, "prod")
    by_copy = ("node", "replace", "blue", "green", "--checkpoint", "cell-green")
    shown = roost.cli(*by_copy, "--dry-run").stdout
    assert "node green would be created" in shown, shown
    assert [node["name"] for node in roost.get("/v1/nodes")["nodes"]] == ["blue"]
    roost.cli(*by_copy, "--delete", "--wait")
    assert weights(roost, "prod") == {"green": 100}
    assert who(run(roost, "prod")) == "green"
    # Back again, by a file.
    file = tmp_path / "blue.yaml"
    text = roost.cli("node", "get", "green").stdout
    file.write_text(
        text.replace("name: green", "name: blue").replace("cell-green", "cell-blue")
    )
    roost.cli("node", "replace", "green", "blue", "-f", str(file), "--keep", "--wait")
    assert weights(roost, "prod") == {"blue": 100}
    load.end()
    assert set(load.seen) <= {"blue", "green"} and len(load.seen) > 0
    for words, message in [
        (["--image", "app:2"], "is of kind cell, not image"),
        (["--image", "app:2", "-f", str(file)], "exclude each other"),
    ]:
        refused = roost.cli("node", "replace", "blue", "pink", *words, check=False)
        assert refused.returncode == 2 and message in refused.stderr, refused
    refused = roost.cli("node", "replace", "blue", "pink", "-f", str(file), check=False)
    assert "there is no node 'pink' in" in refused.stderr, refused


def test_what_callers_would_notice_is_refused_and_nothing_is_changed(
    roost: Roost, cells: dict[str, str]
) -> None:
    publish(roost, "firm", {"old": 100})
    roost.checkpoint("x = 1\nz = 2", "who = 'odd'", name="cell-odd")
    odd = roost.node(
        "odd",
        checkpoint="cell-odd",
        inputs=["x:int", "z:int"],
        outputs=["who:str"],
        instances={"count": 1},
    )
    roost.healthy(odd, 1)
    answer = roost.call(
        "POST",
        "/v1/nodes/old:replace",
        {"successor": "odd", "alias": "firm", "afterwards": "keep"},
    )
    assert answer.status == 409 or answer.status == 400, answer
    assert (
        answer.json["field"] == "successor"
        and "z" in answer.json["detail"]
        and "y" in answer.json["detail"]
    )

    def refused(old: str, field: str | None, text: str, **body: Any) -> None:
        answer = roost.call("POST", f"/v1/nodes/{old}:replace", body)
        assert 400 <= answer.status < 500 and answer.json.get("field") == field, answer
        assert text in answer.json["detail"], answer

    refused("old", "successor", "can't take its own place", successor="old")
    refused("old", "successor", "no node 'nobody'", successor="nobody")
    refused("odd", None, "no share and no rule in any alias", successor="new")
    refused(
        "odd",
        "alias",
        "no share and no rule in alias 'firm'",
        successor="new",
        alias="firm",
    )
    refused("old", "holdSeconds", "use 1 to 600", successor="new", holdSeconds=601)
    publish(roost, "firm2", {"old": 100})
    refused("old", "afterwards", "has requests of", successor="new", alias="firm")
    assert weights(roost, "firm") == {"old": 100}
    kinds = [
        one["description"]
        for one in roost.get(f"/v1/operations?resource={cells['old']}")["operations"]
    ]
    assert not any("Replace" in kind for kind in kinds)


def slow_cell(roost: Roost, name: str) -> str:
    """A node whose request takes as many seconds as it is told."""
    roost.checkpoint(
        "x = 1",
        f"import time\nwho = {name!r}\ntime.sleep(x)\ny = x",
        name=f"cell-{name}",
    )
    node = roost.node(
        name,
        checkpoint=f"cell-{name}",
        inputs=["x:int"],
        outputs=["who:str", "y:int"],
        instances={"count": 2},
    )
    roost.healthy(node, 2)
    return node


def test_a_replacement_goes_on_after_a_crash(make_server: Callable[..., Roost]) -> None:
    roost = make_server()
    old, _ = slow_cell(roost, "slow"), slow_cell(roost, "next")
    publish(roost, "prod", {"slow": 100})
    caller = Caller(lambda: run(roost, "prod", x=60))
    wait_for(
        "a request under way",
        lambda: "roost_gateway_in_flight_requests" in metric(roost, old, 1),
    )
    operation = replace(roost, "slow", "next", afterwards="delete")
    wait_for(
        "the wait for what is under way", lambda: phase(roost, operation) == "DRAINING"
    )
    wait_for(
        "it says what it waits for",
        lambda: (
            "1 requests are under way at the former node"
            in roost.get(f"/v1/operations/{operation['id']}").get("progress", "")
        ),
    )
    assert not roost.get(f"/v1/operations/{operation['id']}")["done"]
    cancelled = roost.call("POST", f"/v1/operations/{operation['id']}:cancel")
    assert (
        cancelled.status == 400
        and "the shares have moved already" in cancelled.json["detail"]
    ), cancelled
    again = roost.call("POST", "/v1/nodes/slow:replace", {"successor": "next"})
    assert again.status == 400, again
    roost.kill()
    caller.done()
    roost.start()
    ended = roost.finished(operation["id"])
    assert "error" not in ended and ended["replacement"]["phase"] == "DONE", ended
    assert [node["name"] for node in roost.get("/v1/nodes")["nodes"]] == ["next"]
    assert who(run(roost, "prod", x=0)) == "next"


def metric(roost: Roost, node: str, value: int) -> str:
    """The lines of a node in the metrics that have a value."""
    lines = roost.call("GET", "/metrics").body.decode().splitlines()
    return "\n".join(
        line for line in lines if node in line and line.endswith(f" {value}")
    )


def wait_until_held(roost: Roost, operation: dict[str, Any]) -> None:
    """The hold of a replacement counts, as it says by what it waits for; the alias tells of it a moment sooner."""
    wait_for(
        "the hold",
        lambda: (
            "1 requests are under way at the former node"
            in roost.get(f"/v1/operations/{operation['id']}").get("progress", "")
        ),
    )


def test_under_a_hold_the_two_never_answer_at_the_same_time(
    make_server: Callable[..., Roost],
) -> None:
    roost = make_server()
    sites = {name: Site(name.encode()) for name in ("slow", "next")}
    for name, site in sites.items():
        make_address_node(roost, name, site)
    publish(roost, "prod", {"slow": 100})

    def ask(path: str) -> Caller:
        return Caller(lambda: roost.call("GET", path, headers={"x-node-alias": "prod"}).body)

    under_way = ask("/slow")
    wait_for("a request under way", lambda: sites["slow"].seen == ["begun"])
    operation = replace(roost, "slow", "next", holdSeconds=60, afterwards="keep")
    wait_until_held(roost, operation)
    assert waiting(roost, "prod") == 0
    later = ask("/later")
    wait_for("a request that waits", lambda: waiting(roost, "prod") == 1)
    assert under_way.is_alive() and sites["next"].seen == []
    sites["slow"].gate.set()
    assert under_way.done() == b"slow" and later.done() == b"next"
    assert "error" not in roost.finished(operation["id"])
    assert waiting(roost, "prod") == -1
    # What does not end within the hold stays where it is.
    under_way = ask("/slow")
    wait_for("a request under way", lambda: "begun" in sites["next"].seen)
    operation = replace(roost, "next", "slow", holdSeconds=1, afterwards="keep")
    ended = roost.finished(operation["id"])
    assert "1 requests were still under way" in ended["error"]["message"], ended
    assert weights(roost, "prod") == {"next": 100} and waiting(roost, "prod") == -1
    sites["next"].gate.set()
    assert under_way.done() == b"next"
    for site in sites.values():
        site.close()


def test_a_replacement_that_waits_can_be_cancelled_and_ends_when_time_is_up(
    roost: Roost, web: Site
) -> None:
    body = {
        "name": "never",
        "kind": "address",
        "addresses": [{"address": "127.0.0.1:1"}],
        "endpoint": {"type": "http"},
    }
    assert roost.call("POST", "/v1/nodes", body).status == 202
    publish(roost, "door", {"web": 100})
    operation = replace(roost, "web", "never", alias="door", afterwards="keep")
    wait_for(
        "the wait",
        lambda: (
            "waits for node never"
            in str(roost.get(f"/v1/operations/{operation['id']}"))
        ),
    )
    ended = roost.call("POST", f"/v1/operations/{operation['id']}:cancel")
    assert (
        ended.status == 200 and "no share has moved" in ended.json["error"]["message"]
    ), ended
    operation = replace(
        roost, "web", "never", alias="door", afterwards="keep", healthySeconds=1
    )
    late = roost.finished(operation["id"])
    assert "did not become healthy in time" in late["error"]["message"], late
    assert weights(roost, "door") == {"web": 100}
