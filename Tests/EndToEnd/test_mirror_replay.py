"""Mirrors, recordings and replays of aliases: a candidate is compared with what serves, and callers notice nothing of it."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from conftest import Answer, Roost, wait_for
from google.protobuf import struct_pb2
from yandex.cloud.datasphere.v1 import node_service_pb2
from yandex.cloud.datasphere.v1.node_service_pb2_grpc import NodeServiceStub

ITEMS = """
y = x + 1
items = [{"id": i, "score": x / 3} for i in range(3)]
secret = "pin-" + str(x)
"""


@pytest.fixture(scope="module")
def cells(roost: Roost) -> dict[str, str]:
    """What serves, one that does the same in another order, one that does something else, a slow and a failing one."""
    sources = {
        "serving": ITEMS,
        "equal": ITEMS + "items.reverse()\nfor item in items: item['score'] *= 1.0000001\n",
        "other": ITEMS + "y = y * 2\n",
        "slow": ITEMS + "import time\ntime.sleep(0.5)\n",
        "failing": ITEMS + "if x == 7:\n    raise ValueError('broken candidate')\n",
    }
    found = {}
    for name, source in sources.items():
        roost.checkpoint("x = 1", source, name=f"cell-{name}")
        found[name] = roost.node(
            name,
            checkpoint=f"cell-{name}",
            inputs=["x:int"],
            outputs=["y:int", "items:list", "secret:str"],
            instances={"count": 1},
        )
    for node in found.values():
        roost.healthy(node, 1)
    return found


def publish(roost: Roost, name: str, node: str = "serving", **more: Any) -> None:
    answer = roost.call("POST", "/v1/aliases", {"name": name, "shares": [{"node": node, "weight": 100}], **more})
    assert answer.status == 201, answer


def run(roost: Roost, alias: str, x: int = 1) -> Answer:
    body = {"folder_id": roost.folder, "input": {"x": x}}
    answer = roost.call("POST", f"/datasphere/v1/aliases/{alias}:execute", body)
    assert answer.status == 200, answer
    assert answer.json["output"]["y"] == x + 1
    return answer


def mirror(roost: Roost, alias: str, node: str, **more: Any) -> dict[str, Any]:
    answer = roost.call("PUT", f"/v1/aliases/{alias}/mirror", {"node": node, **more})
    assert answer.status == 200, answer
    return dict(answer.json)


def status(roost: Roost, alias: str) -> dict[str, Any]:
    return dict(roost.get(f"/v1/aliases/{alias}/mirror"))


def handled(roost: Roost, alias: str, count: int) -> dict[str, Any]:
    """The mirror's status when so many requests have had their copies sent or dropped."""

    def done() -> dict[str, Any] | None:
        seen = status(roost, alias)
        return seen if seen["sent"] + sum(seen["dropped"].values()) >= count else None

    return dict(wait_for(f"{count} copies of {alias} are handled", done))


def test_an_equal_candidate_is_found_equal(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "calm")
    made = mirror(roost, "calm", "equal", tolerance=0.001, unordered=["output.items"], maxConcurrent=50)
    assert made["state"] == "ON" and made["nodeName"] == "equal"
    for x in range(20):
        run(roost, "calm", x)
    seen = handled(roost, "calm", 20)
    assert seen["equal"] == seen["sent"] > 0 and seen["different"] == 0 and not seen["worst"], seen
    assert seen["latency"]["requests"] == seen["sent"]
    metrics = roost.call("GET", "/metrics").body.decode()
    labels = f'{{alias_name="calm",node_id="{cells["equal"]}"'
    assert f"alias_mirror_requests_total{labels}}} {seen['sent']}" in metrics
    assert f'alias_mirror_answers_total{labels},result="equal"}} {seen["equal"]}' in metrics
    # Order and rounding count where nobody says otherwise.
    mirror(roost, "calm", "equal")
    run(roost, "calm", 5)
    seen = handled(roost, "calm", 1)
    assert seen["different"] == 1 and seen["worst"][0]["count"] > 1, seen


def test_the_worst_differences_are_kept_and_shown(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "wild")
    mirror(roost, "wild", "other", maxConcurrent=50)
    answers = [run(roost, "wild", x).headers["x-request-id"] for x in range(5)]
    seen = handled(roost, "wild", 5)
    assert seen["different"] == seen["sent"] > 0 and seen["equal"] == 0, seen
    worst = seen["worst"][0]
    assert worst["requestId"] in answers
    assert worst["places"][0]["path"] == "output.y" and worst["places"][0]["kind"] == "value"
    assert int(worst["places"][0]["found"]) == 2 * int(worst["places"][0]["expected"])
    text = roost.cli("alias", "mirror", "wild").stdout
    assert "Worst differences" in text and worst["requestId"] in text and "different" in text, text
    # A candidate that fails is worse than one that says something else.
    mirror(roost, "wild", "failing", ignore=["**"])
    run(roost, "wild", 7)
    seen = handled(roost, "wild", 1)
    assert seen["different"] == 1, seen
    assert seen["worst"][0]["foundStatus"] == 500 and "broken candidate" in seen["worst"][0]["places"][0]["found"]
    assert "mirrors no more" in roost.cli("alias", "mirror", "wild", "--off").stderr
    assert status(roost, "wild")["state"] == "OFF"


def test_a_slow_candidate_delays_nobody(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "quick")
    for x in range(5):
        run(roost, "quick", x)
    mirror(roost, "quick", "slow", maxConcurrent=2)
    began = time.monotonic()
    for x in range(60):
        run(roost, "quick", x)
    took = time.monotonic() - began
    # One after another at the candidate they would take half a minute.
    assert took < 15, took
    seen = handled(roost, "quick", 60)
    assert seen["sent"] < 60 and seen["dropped"]["overBudget"] + seen["dropped"]["busy"] > 0, seen
    assert seen["different"] == 0 and seen["latency"]["ratioP50"] > 5, seen


def test_a_dead_candidate_hurts_nobody(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "steady")
    mirror(roost, "steady", "other")
    assert roost.call("POST", f"/v1/nodes/{cells['other']}:suspend").status == 202
    wait_for("the candidate is suspended", lambda: status(roost, "steady")["state"] == "RESTING")
    for x in range(20):
        run(roost, "steady", x)
    seen = handled(roost, "steady", 20)
    assert seen["failed"] == seen["sent"] > 0 and "suspended" in seen["worst"][0]["places"][0]["found"], seen
    assert "suspended" in str(seen["reason"]).lower()
    assert roost.call("POST", f"/v1/nodes/{cells['other']}:resume").status == 202
    roost.healthy(cells["other"], 1)


def test_bad_settings_are_refused_and_change_nothing(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "strict")

    def refused(part: str, **body: Any) -> None:
        answer = roost.call("PUT", "/v1/aliases/strict/mirror", body)
        assert 400 <= answer.status < 500 and part in answer.body.decode(), answer

    refused("no node 'nobody'", node="nobody")
    refused("has a share", node="serving")
    refused("percent: 0", node="equal", percent=0)
    refused("tolerance: 2", node="equal", tolerance=2)
    refused("ignore[0]: 'a..b' is no place", node="equal", ignore=["a..b"])
    refused("maxConcurrent: 0", node="equal", maxConcurrent=0)
    refused("slower: 0.5", node="equal", slower=0.5)
    assert status(roost, "strict")["state"] == "OFF"
    assert "give --to NODE" in roost.cli("alias", "mirror", "strict", "--percent", "5", check=False).stderr


def test_a_mirror_survives_a_restart_and_rests_while_its_node_serves(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "lasting")
    mirror(roost, "lasting", "equal", percent=50, ignore=["output.items"])
    roost.kill()
    roost.start()
    for node in cells.values():
        roost.healthy(node, 1)
    seen = status(roost, "lasting")
    assert seen["state"] == "ON" and seen["spec"]["percent"] == 50 and seen["spec"]["rules"]["ignore"] == ["output.items"]
    for x in range(40):
        run(roost, "lasting", x)
    wait_for("some are copied", lambda: status(roost, "lasting")["sent"] > 0)
    shares = [{"node": "serving", "weight": 50}, {"node": "equal", "weight": 50}]
    assert roost.call("PATCH", "/v1/aliases/lasting?update_mask=shares", {"shares": shares}).status == 200
    seen = status(roost, "lasting")
    assert seen["state"] == "RESTING" and "has a share" in seen["reason"]


class Site:
    """A server that answers JSON, and remembers what it was asked."""

    def __init__(self, **more: Any) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.speaks = threading.Event()
        self.speaks.set()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.seen.append((self.command, self.path, headers, body))
                site.speaks.wait(60)
                answer = json.dumps({"got": json.loads(body or b"null"), **more}).encode()
                self.send_response(200)
                if self.path == "/events":
                    answer = b"data: 1\n\n"
                self.send_header("content-type", "text/event-stream" if self.path == "/events" else "application/json; a=b")
                if self.path == "/packed" and "gzip" in headers.get("accept-encoding", ""):
                    answer = gzip.compress(answer)
                    self.send_header("content-encoding", "gzip")
                if self.path == "/events":
                    self.close_connection = True
                else:
                    self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST

            def log_message(self, format: str, *arguments: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.speaks.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def sites(roost: Roost) -> Iterator[dict[str, Site]]:
    found = {"site-old": Site(version=1), "site-new": Site(version=2)}
    for name, site in found.items():
        body = {
            "name": name,
            "kind": "address",
            "addresses": [{"address": f"127.0.0.1:{site.port}"}],
            "endpoint": {"type": "http"},
        }
        answer = roost.call("POST", "/v1/nodes", body)
        assert answer.status == 202, answer
        roost.healthy(str(answer.json["resourceId"]), 1)
    yield found
    for site in found.values():
        site.close()


def test_requests_to_servers_are_copied_without_credentials(roost: Roost, sites: dict[str, Site]) -> None:
    publish(roost, "site", "site-old")
    mirror(roost, "site", "site-new", maxBodyBytes=4096)
    headers = {"x-node-alias": "site", "x-request-id": "mine-1", "x-own": "kept", "content-type": "application/json"}
    answer = roost.call("POST", "/a/b?c=d", {"n": 1}, headers=headers)
    assert answer.json == {"got": {"n": 1}, "version": 1}
    seen = handled(roost, "site", 1)
    assert seen["different"] == 1 and seen["worst"][0]["target"] == "POST /a/b", seen
    assert [place["path"] for place in seen["worst"][0]["places"]] == ["version"]
    method, path, copied, body = sites["site-new"].seen[0]
    assert (method, path, json.loads(body)) == ("POST", "/a/b?c=d", {"n": 1})
    assert copied["x-own"] == "kept" and copied["x-request-id"] == "copy-mine-1" and copied["x-roost-copy"] == "1"
    assert "authorization" not in copied and "x-node-alias" not in copied
    # Bodies over the limit are passed on, not copied.
    assert roost.call("POST", "/big", {"n": "x" * 8000}, headers=headers).status == 200
    seen = handled(roost, "site", 2)
    assert seen["dropped"]["tooLarge"] == 1 and len(sites["site-new"].seen) == 1, seen
    # Who is silent holds nobody up.
    sites["site-new"].speaks.clear()
    for _ in range(30):
        assert roost.call("POST", "/", {}, headers=headers).status == 200
    sites["site-new"].speaks.set()
    seen = handled(roost, "site", 32)
    assert seen["dropped"]["overBudget"] > 0, seen


def record(roost: Roost, alias: str, **more: Any) -> dict[str, Any]:
    answer = roost.call("PUT", f"/v1/aliases/{alias}/recording", {"percent": 100, **more})
    assert answer.status == 200, answer
    return dict(answer.json)


def recorded(roost: Roost, alias: str, count: int) -> dict[str, Any]:
    def done() -> dict[str, Any] | None:
        seen = roost.get(f"/v1/aliases/{alias}/recording")
        return seen if seen["requests"] >= count else None

    return dict(wait_for(f"{count} requests of {alias} are recorded", done))


def on_disk(roost: Roost) -> bytes:
    """All that was recorded, and the database."""
    files = [path for path in (roost.data / "recordings").rglob("*") if path.is_file()]
    assert files and all(path.stat().st_mode & 0o077 == 0 for path in files)
    return b"".join(path.read_bytes() for path in [*files, *roost.data.glob("roost.db*")])


def test_recorded_requests_are_replayed_before_any_traffic_moves(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "taped")
    nothing = roost.cli("alias", "replay", "taped", "--against", "equal", check=False)
    assert nothing.returncode != 0 and "roost alias record taped --on" in nothing.stderr
    made = roost.cli(
        "alias", "record", "taped", "--on", "--percent", "100", "--redact", "**.secret",
        "--tolerance", "0.1%", "--unordered", "output.items", "--require-replay",
    )  # fmt: skip
    assert "Gate" in made.stdout, made.stdout
    for x in range(2, 12):
        run(roost, "taped", x)
    recorded(roost, "taped", 10)
    disk = on_disk(roost)
    assert b"pin-5" not in disk and roost.token.encode() not in disk and b'{"input":' not in disk
    # Who has not been tried gets nothing, and the refusal says what to run.
    refused = roost.cli("alias", "update", "taped", "--share", "equal=100", check=False)
    assert refused.returncode != 0 and "roost alias replay taped --against equal" in refused.stderr, refused.stderr
    bad = roost.cli("alias", "replay", "taped", "--against", "other", "-o", "json", check=False)
    assert bad.returncode == 1 and "did not pass" in bad.stderr, bad.stderr
    report = json.loads(bad.stdout)
    assert report["verdict"] == "FAILED" and report["different"] == 10 and report["mismatchPercent"] == 100
    assert report["worst"][0]["places"][0]["path"] == "output.y"
    refused = roost.cli("alias", "update", "taped", "--share", "other=100", check=False)
    assert refused.returncode != 0 and "the last one failed" in refused.stderr, refused.stderr
    # A replay by looser rules than the recording's is no replay for the gate.
    assert "PASSED" in roost.cli("alias", "replay", "taped", "--against", "other", "--ignore", "**").stdout
    refused = roost.cli("alias", "update", "taped", "--share", "other=100", check=False)
    assert refused.returncode != 0 and "other rules" in refused.stderr, refused.stderr
    answer = roost.call("POST", f"/v1/nodes/{cells['serving']}:replace", {"successor": "equal", "afterwards": "keep"})
    assert answer.status == 400 and "--against equal" in answer.body.decode(), answer
    good = roost.cli("alias", "replay", "taped", "--against", "equal")
    assert "PASSED" in good.stdout and "10 equal" in good.stdout, good.stdout
    slow = roost.cli("alias", "replay", "taped", "--against", "slow", "--max-slower", "5", "--limit", "3", check=False)
    assert slow.returncode == 1 and "times the recorded one" in slow.stderr, slow.stderr
    roost.cli("alias", "update", "taped", "--share", "equal=100", "--share", "serving=0")
    assert roost.get("/v1/aliases/taped/replays/latest")["nodeName"] == "slow"
    assert len(roost.get("/v1/aliases/taped/replays")["replays"]) == 4


def test_a_successor_shows_by_a_replay_that_it_answers_alike(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "followed")
    rules = ("--tolerance", "0.1%", "--unordered", "output.items")
    roost.cli("alias", "record", "followed", "--on", "--percent", "100", *rules)
    for x in range(5):
        assert run(roost, "followed", x).status == 200
    recorded(roost, "followed", 5)
    options = ("--alias", "followed", "--keep", "--replay", "--wait")
    assert "replay recorded requests of followed" in roost.cli("node", "replace", "serving", "other", *options[:4], "--dry-run").stdout
    failed = roost.cli("node", "replace", "serving", "other", *options, check=False)
    assert failed.returncode != 0 and "as they were answered" in failed.stderr, failed
    assert [share["nodeName"] for share in roost.get("/v1/aliases/followed")["shares"]] == ["serving"]
    roost.cli("node", "replace", "serving", "equal", *options)
    assert [share["nodeName"] for share in roost.get("/v1/aliases/followed")["shares"]] == ["equal"]


def test_a_recording_survives_a_restart_and_a_new_master_key(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "kept")
    record(roost, "kept")
    for x in range(5):
        run(roost, "kept", x)
    recorded(roost, "kept", 5)
    roost.kill()
    # What the crash cut short is the end of the file.
    newest = max((roost.data / "recordings").rglob("*.rec"), key=lambda path: path.stat().st_mtime)
    with newest.open("ab") as file:
        file.write(b"\x10\x00\x00\x00torn")
    roost.start()
    for node in cells.values():
        roost.healthy(node, 1)
    roost.cli("secret", "rotate-key")
    for x in range(5, 8):
        run(roost, "kept", x)
    assert recorded(roost, "kept", 8)["requests"] == 8
    roost.kill()
    roost.start()
    for node in cells.values():
        roost.healthy(node, 1)
    answer = roost.call("POST", "/v1/aliases/kept:replay", {"node": "serving"})
    assert answer.status == 202, answer
    operation = roost.finished(answer.json["id"])
    assert "error" not in operation, operation
    report = roost.get(f"/v1/aliases/kept/replays/{answer.json['id']}")
    assert report["verdict"] == "PASSED" and report["requests"] == 8, report
    # Off keeps what there is, clear forgets it.
    assert "OFF" in roost.cli("alias", "record", "kept", "--off").stdout
    run(roost, "kept", 9)
    assert roost.get("/v1/aliases/kept/recording")["requests"] == 8
    folders = len(list((roost.data / "recordings").iterdir()))
    roost.cli("alias", "record", "kept", "--clear")
    assert roost.get("/v1/aliases/kept/recording")["requests"] == 0
    assert len(list((roost.data / "recordings").iterdir())) == folders - 1


def test_credentials_of_requests_to_servers_are_never_recorded(roost: Roost, sites: dict[str, Site]) -> None:
    publish(roost, "form", "site-old")
    record(roost, "form", redact=["**.card", "**.password"], redactHeaders=["x-mine"])
    headers = {
        "x-node-alias": "form", "content-type": "application/json", "cookie": "sid=grue", "x-api-key": "grue",
        "x-mine": "grue", "x-own": "kept", "x-session-id": "grue",
    }  # fmt: skip
    body = {"n": 1, "card": {"number": "grue"}, "password": "grue"}
    assert roost.call("POST", "/pay?apikey=grue&page=2&access%5Ftoken=grue", body, headers=headers).status == 200
    assert roost.call("POST", "/plain", {"n": 2}, headers={"x-node-alias": "form", "content-type": "application/json"}).status
    assert roost.call("POST", "/raw", {"n": 3}, headers={"x-node-alias": "form", "content-type": "text/plain"}).status
    seen = recorded(roost, "form", 2)
    wait_for("the third is refused", lambda: roost.get("/v1/aliases/form/recording")["dropped"]["notCopyable"] == 1)
    assert seen["spec"]["redactHeaders"] == ["x-mine"]
    before = len(sites["site-old"].seen)
    answer = roost.call("POST", "/v1/aliases/form:replay", {"node": "site-old"})
    operation = roost.finished(answer.json["id"])
    report = roost.get(f"/v1/aliases/form/replays/{operation['id']}")
    assert report["verdict"] == "PASSED" and report["requests"] == 2 and report["onlyShape"] == 1, report
    _, path, sent, data = sites["site-old"].seen[before]
    assert path == "/pay?apikey=redacted&page=2&access%5Ftoken=redacted"
    assert sent["x-own"] == "kept" and sent["x-roost-copy"] == "1"
    assert json.loads(data) == {"n": 1, "card": {}, "password": "[redacted]"}
    assert not [name for name, value in sent.items() if "grue" in value], sent
    report = roost.call("POST", "/v1/aliases/form:replay", {"node": "site-new"})
    operation = roost.finished(report.json["id"])
    report = roost.get("/v1/aliases/form/replays/latest")
    # Of the redacted one only the shape is compared: it does not show that the version is another.
    assert report["verdict"] == "FAILED" and report["different"] == 1 and report["equal"] == 1, report


def test_old_records_go_first(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "small")
    record(roost, "small", maxBytes=65_536, maxBodyBytes=8192)
    body = json.dumps({"folder_id": roost.folder, "input": {"x": 1}})
    count = 0
    seen: dict[str, Any] = {}
    for _ in range(40):
        for _ in range(25):
            assert roost.call("POST", "/datasphere/v1/aliases/small:execute", raw=body.encode()).status == 200
            count += 1
        seen = roost.get("/v1/aliases/small/recording")
        if seen["requests"] < count - sum(seen["dropped"].values()) - 50:
            break
    assert 0 < seen["requests"] < count and seen["bytes"] <= 65_536, seen


def test_what_is_asked_of_a_recording_is_checked(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "picky")

    def refused(path: str, method: str, part: str, **body: Any) -> None:
        answer = roost.call(method, f"/v1/aliases/picky{path}", body)
        assert 400 <= answer.status < 500 and part in answer.body.decode(), answer

    refused("/recording", "PUT", "percent: 101", percent=101)
    refused("/recording", "PUT", "maxBytes: 1", maxBytes=1)
    refused("/recording", "PUT", "redact[0]: '..'", redact=[".."])
    refused("/recording", "PUT", "gate.maxMismatchPercent: -1", gate={"maxMismatchPercent": -1, "minRequests": 1})
    refused(":replay", "POST", "no node 'nobody'", node="nobody")
    refused(":replay", "POST", "no recorded requests", node="equal")
    assert roost.get("/v1/aliases/picky/recording")["state"] == "OFF"
    assert roost.call("GET", "/v1/aliases/picky/replays/latest").status == 404
    usage = roost.cli("alias", "record", "picky", "--percent", "5", check=False)
    assert usage.returncode == 2 and "together with --on" in usage.stderr


def test_calls_of_every_form_are_copied_and_streams_are_left_alone(
    roost: Roost, cells: dict[str, str], sites: dict[str, Site]
) -> None:
    publish(roost, "forms")
    mirror(roost, "forms", "equal", ignore=["output.items"], maxConcurrent=50)
    channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}")
    inputs = struct_pb2.Struct()
    inputs.update({"x": 41})
    request = node_service_pb2.AliasExecutionRequest(folder_id=roost.folder, alias_name="forms", input=inputs)
    metadata = [("authorization", f"Bearer {roost.token}")]
    assert NodeServiceStub(channel).ExecuteAlias(request, metadata=metadata).output["y"] == 42
    channel.close()
    seen = handled(roost, "forms", 1)
    assert seen["equal"] == 1, seen
    # Packed answers are unpacked before they are compared; streams of events pass and are not copied.
    publish(roost, "streams", "site-old")
    mirror(roost, "streams", "site-new", ignore=["version"])
    headers = {"x-node-alias": "streams", "content-type": "application/json", "accept-encoding": "gzip"}
    answer = roost.call("POST", "/packed", {"n": 1}, headers=headers)
    assert answer.headers["content-encoding"] == "gzip"
    assert handled(roost, "streams", 1)["equal"] == 1, status(roost, "streams")
    answer = roost.call("GET", "/events", headers=headers)
    assert answer.body == b"data: 1\n\n"
    seen = handled(roost, "streams", 2)
    assert seen["dropped"]["notCopyable"] == 1 and seen["sent"] == 1, seen


def test_a_replay_can_be_cancelled_and_gives_up_on_the_dead(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "long")
    record(roost, "long", rules={"tolerance": 0, "ignore": ["output.items"], "unordered": []})
    for x in range(30):
        run(roost, "long", x)
    recorded(roost, "long", 30)
    begun = roost.call("POST", "/v1/aliases/long:replay", {"node": "slow"}).json["id"]
    wait_for("the replay is under way", lambda: "of 30" in roost.get(f"/v1/operations/{begun}").get("progress", ""))
    roost.cli("operation", "cancel", begun)
    ended = roost.get(f"/v1/operations/{begun}")
    assert ended["done"] and ended["error"]["code"] == 1 and "cancelled" in ended["error"]["message"], ended
    # At once, with several at a time, against a node without instances.
    assert roost.call("POST", f"/v1/nodes/{cells['other']}:suspend").status == 202
    wait_for("it is suspended", lambda: roost.status(cells["other"])["status"] == "SUSPENDED")
    done = roost.cli("alias", "replay", "long", "--against", "other", "-o", "json", "--concurrency", "2", check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 1 and report["verdict"] == "FAILED" and 20 <= report["failed"] < 30, report
    assert "were not sent" in done.stderr and "suspended" in report["worst"][0]["places"][0]["found"].lower()
    assert roost.call("POST", f"/v1/nodes/{cells['other']}:resume").status == 202
    roost.healthy(cells["other"], 1)
    metrics = roost.call("GET", "/metrics").body.decode()
    assert 'alias_recording_requests{alias_name="long"} 30' in metrics
