"""Each bad input has a status and a message that names the field and the fix."""

from __future__ import annotations

import collections
import contextlib
import json
import socket
from collections.abc import Iterator
from itertools import chain

import grpc
import h2.connection
import h2.events
import h2.settings
import httpx
import pytest
from conftest import Answer, Roost, wait_for
from grpc_reflection.v1alpha import reflection_pb2
from yandex.cloud.datasphere.v1 import node_service_pb2
from yandex.cloud.datasphere.v1.node_service_pb2_grpc import NodeServiceStub


@pytest.fixture(scope="module")
def node(roost: Roost) -> str:
    roost.checkpoint("value = dict(a=1)", "result = dict(twice=value['a'] * 2)", name="doubler")
    return roost.node("doubler", inputs=["value:dict"], outputs=["result:dict"])


def expect(answer: Answer, status: int, code: int, *words: str) -> None:
    assert answer.status == status, answer
    problem = answer.json
    assert problem["code"] == code, problem
    for word in words:
        assert word in problem["message"], problem
    assert answer.headers["x-request-id"]
    assert answer.headers["x-roost-fault"] in ("caller", "node", "platform")


def test_a_good_call_works(roost: Roost, node: str) -> None:
    assert roost.execute(node, {"value": {"a": 21}}).json == {"output": {"result": {"twice": 42}}}
    body = {"folderId": roost.folder, "input": {"value": {"a": 1}}}
    assert roost.call("POST", f"/datasphere/v1/nodes/{node}:execute", body).status == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"folder_id": ', ["byte"]),
        (b'{"folder_id": "x", "input": {}} trailing', ["byte"]),
        (b'{"folder_id": "x", "folder_id": "x", "input": {}}', ["folder_id"]),
        (b'{"folder_id": "x", "input": {"a": ' + b"[" * 70 + b"]" * 70 + b"}}", ["64"]),
        (b'{"folder_id": "x", "input": {"a": "\xff"}}', ["UTF-8"]),
        (b'{"folder_id": "x"}', ["input"]),
        (b'{"input": {}}', ["folder_id"]),
        (b'{"folder_id": 7, "input": {}}', ["folder_id"]),
        (b'{"folder_id": "x", "input": []}', ["input"]),
        (b"", ["body"]),
        (b"[]", ["object"]),
    ],
)
def test_bad_json_is_refused_by_name(roost: Roost, node: str, text: bytes, words: list[str]) -> None:
    expect(roost.call("POST", f"/datasphere/v1/nodes/{node}:execute", raw=text), 400, 3, *words)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["value"]),
        ({"valeu": {}}, ["valeu"]),
        ({"value": 7}, ["value", "dict"]),
        ({"value": {"a": 1}, "more": 1}, ["more"]),
    ],
)
def test_wrong_variables_are_named(roost: Roost, node: str, values: dict[str, object], words: list[str]) -> None:
    expect(roost.execute(node, values), 400, 3, *words)


def test_an_exception_of_the_cell_comes_with_its_traceback(roost: Roost, node: str) -> None:
    answer = roost.execute(node, {"value": {"b": 1}})
    expect(answer, 500, 2, "KeyError")
    details = answer.json["details"][0]
    assert details["@type"].endswith("yandex.cloud.datasphere.v1.NodeExecutionErrorDetails")
    assert details["error_name"] == "KeyError"
    assert any("value['a'] * 2" in line for line in details["traceback"])
    assert answer.headers["x-roost-fault"] == "node"


def test_sizes_are_limited_and_said(roost: Roost, node: str) -> None:
    body = json.dumps({"folder_id": roost.folder, "input": {"value": {"a": "x" * (16 << 20)}}}).encode()
    answer = roost.call("POST", f"/datasphere/v1/nodes/{node}:execute", raw=body)
    expect(answer, 413, 8, str(16 << 20))


def test_access_is_refused_with_a_reason(roost: Roost, node: str, make_server) -> None:
    path = f"/datasphere/v1/nodes/{node}:execute"
    body = {"folder_id": roost.folder, "input": {"value": {"a": 1}}}
    missing = roost.call("POST", path, body, token="")
    expect(missing, 401, 16)
    assert missing.headers["www-authenticate"].startswith("Bearer")
    expect(roost.call("POST", path, body, token="nonsense"), 401, 16)
    foreign = make_server()
    expect(roost.call("POST", path, body, token=foreign.token), 401, 16)
    short = roost.call("POST", "/v1/tokens", {"ttlSeconds": 1}).json["iamToken"]
    import time

    end = time.monotonic() + 10
    while roost.call("POST", path, body, token=short).status == 200:
        assert time.monotonic() < end
    expect(roost.call("POST", path, body, token=short), 401, 16, "expired")
    wrong = {**body, "folder_id": "fldaaaaaaaaaaaaaaaaa"}
    expect(roost.call("POST", path, wrong), 403, 7, "fldaaaaaaaaaaaaaaaaa")
    expect(roost.call("POST", "/datasphere/v1/nodes/nodaaaaaaaaaaaaaaaaa:execute", body), 404, 5)
    revoked = roost.call("POST", "/v1/tokens", {"ttlSeconds": 600}).json
    assert roost.call("POST", path, body, token=revoked["iamToken"]).status == 200
    assert roost.call("DELETE", f"/v1/tokens/{revoked['id']}").status == 204
    expect(roost.call("POST", path, body, token=revoked["iamToken"]), 401, 16, "revoked")


def test_a_service_account_without_a_role_may_not_call(roost: Roost, node: str) -> None:
    account = roost.call("POST", "/v1/serviceAccounts", {"name": "caller"}).json
    token = roost.call("POST", "/v1/tokens", {"serviceAccount": "caller"}).json["iamToken"]
    body = {"folder_id": roost.folder, "input": {"value": {"a": 1}}}
    path = f"/datasphere/v1/nodes/{node}:execute"
    expect(roost.call("POST", path, body, token=token), 403, 7)
    granted = roost.call("POST", f"/v1/serviceAccounts/{account['id']}:grant", {"role": "datasphere.user"})
    assert granted.status == 200, granted
    assert roost.call("POST", path, body, token=token).status == 200
    assert roost.call("GET", f"/v1/nodes/{node}", token=token).status == 403


def test_the_management_api_names_unknown_fields(roost: Roost) -> None:
    answer = roost.call("POST", "/v1/nodes", {"name": "some-node", "checkpoint": "doubler", "replica": 3})
    assert answer.status == 400 and "replica" in answer.json["detail"]
    answer = roost.call("POST", "/v1/nodes", {"name": "Bad Name", "checkpoint": "doubler"})
    assert answer.status == 400 and answer.json["field"] == "name"
    answer = roost.call("GET", "/v1/nodes?page_sise=3")
    assert answer.status == 400 and "page_sise" in answer.json["detail"]
    answer = roost.call("PATCH", "/v1/nodes/doubler", {})
    assert answer.status == 400 and answer.json["field"] == "update_mask"
    assert roost.call("PUT", "/v1/nodes", {}).status == 405
    assert roost.call("GET", "/v1/nothing").status == 404
    answer = roost.call("POST", "/v1/tokens", {"ttlSeconds": 43201})
    assert answer.status == 400 and "12" in answer.json["detail"]


def test_a_suspended_node_refuses_and_says_how_to_resume(roost: Roost, node: str) -> None:
    roost.finished(roost.call("POST", f"/v1/nodes/{node}:suspend").json["id"])
    assert roost.status(node)["status"] == "SUSPENDED"
    expect(roost.execute(node, {"value": {"a": 1}}), 503, 14, "suspended", "resume")
    roost.finished(roost.call("POST", f"/v1/nodes/{node}:resume").json["id"])
    roost.healthy(node, 1)
    assert roost.execute(node, {"value": {"a": 1}}).status == 200


def test_a_corrupt_blob_is_refused_with_both_digests(roost: Roost) -> None:
    digest = "sha256:" + "0" * 64
    answer = roost.call("PUT", f"/v1/projects/default/blobs/{digest}", raw=b"something else")
    assert answer.status == 400 and digest in answer.json["detail"]


STATIC = [
    (["data = 1", "data = 2\nout = data"], ["data:int"], ["out:int"], ["overwrites", "data", "line 1"]),
    (["import sqlite3\ndb = sqlite3.connect(':memory:')", "out = str(db)"], [], ["out:str"], ["db", "sqlite3.Connection"]),
    (["x = 1", "!true\nout = x"], [], ["out:int"], ["line 1", "!true"]),
    (["x = 1", "def helper():\n    return missing_thing\nout = x"], [], ["out:int"], ["missing_thing", "line 2"]),
    (["x = 1", "out = x"], ["x:dct"], ["out:int"], ["dct", "dict"]),
    (["x = 1", "out = x"], ["x:int"], ["other:int"], ["other", "out"]),
]


@pytest.mark.parametrize(("cells", "inputs", "outputs", "words"), STATIC)
def test_a_cell_that_cannot_become_a_node_is_refused_with_the_reason(
    roost: Roost, cells: list[str], inputs: list[str], outputs: list[str], words: list[str], request: pytest.FixtureRequest
) -> None:
    name = f"static-{STATIC.index((cells, inputs, outputs, words))}"
    roost.checkpoint(*cells, name=name)
    answer = roost.call(
        "POST",
        "/v1/nodes",
        {
            "name": name,
            "checkpoint": name,
            "inputs": [dict(zip(("name", "type"), v.split(":"))) for v in inputs],
            "outputs": [dict(zip(("name", "type"), v.split(":"))) for v in outputs],
        },
    )
    assert answer.status == 400, answer
    for word in words:
        assert word in answer.json["detail"], answer.json
    answer = roost.call("DELETE", f"/v1/checkpoints/{name}")
    assert answer.status == 204


def test_a_notebook_that_fails_half_way_keeps_its_first_checkpoints(roost: Roost) -> None:
    import nbformat

    cells = [nbformat.v4.new_code_cell(text) for text in ("kept = 41", "raise ValueError('half way')", "never = 1")]
    path = roost.data.parent / "half.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    done = roost.cli("notebook", "run", path, check=False)
    assert done.returncode == 1
    assert "half way" in done.stderr and "Traceback" in done.stderr
    assert roost.get("/v1/checkpoints")["checkpoints"][0]["cell"]["source"] == "kept = 41"


@pytest.mark.parametrize("is_http2", [False, True])
def test_who_shows_nothing_sends_no_more_than_a_little(roost: Roost, node: str, is_http2: bool) -> None:
    def parts(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b" " * 10_000

    path = f"{roost.url}/datasphere/v1/nodes/{node}:execute"
    good = {"authorization": f"Bearer {roost.token}"}
    with httpx.Client(http1=not is_http2, http2=is_http2, timeout=30) as client:
        # The length is announced, or seen when so much has come: the rest need not.
        for content in (b" " * 5_000_000, parts(500)):
            refused = client.post(path, content=content)
            assert refused.status_code == 401 and "no token" in refused.json()["message"], refused.text
        # What is wrong with the body is told to whoever shows a token.
        for content in (b" " * 5_000_000, parts(500)):
            assert client.post(path, content=content, headers=good).status_code == 400
        # Uploads that are given up leave nothing behind.
        for _ in range(20):
            gone = httpx.Client(http1=not is_http2, http2=is_http2, timeout=30)
            with gone, pytest.raises(RuntimeError, match="enough"):
                gone.post(path, content=chain(parts(400), enough()), headers=good)
        assert client.post(path, content=b" " * 100, headers=good).status_code == 400
        figures = f"{roost.url}/metrics"
        wait_for("nothing is left", lambda: "\nroost_gateway_held_body_bytes 0\n" in client.get(figures, headers=good).text)


def enough() -> Iterator[bytes]:
    raise RuntimeError("enough")
    yield b""


def test_a_stream_without_a_token_is_refused_before_its_body_is_whole(roost: Roost, node: str) -> None:
    for length in ([], [("content-length", "5000000")]):
        with socket.create_connection(("127.0.0.1", roost.port), timeout=30) as link:
            client = h2.connection.H2Connection()
            client.initiate_connection()
            path = f"/datasphere/v1/nodes/{node}:execute"
            head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "a")]
            client.send_headers(1, head + length)
            link.sendall(client.data_to_send())
            # Where the length is not announced it is seen when so much has come.
            sent = 0 if length else 70_000
            while sent > 0:
                room = min(sent, client.local_flow_control_window(1), client.max_outbound_frame_size)
                if room > 0:
                    client.send_data(1, b" " * room)
                    link.sendall(client.data_to_send())
                    sent -= room
                else:
                    client.receive_data(link.recv(1 << 20))
            status = b""
            while not status:
                for event in client.receive_data(link.recv(1 << 20)):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = dict(event.headers)[b":status"]
            assert status == b"401"


def test_a_long_call_needs_a_token(roost: Roost, node: str) -> None:
    request = node_service_pb2.NodeExecutionRequest(folder_id=roost.folder, node_id=node)
    request.input.update({"value": "x" * 1_000_000})
    with grpc.insecure_channel(f"127.0.0.1:{roost.port}") as channel, pytest.raises(grpc.RpcError) as caught:
        NodeServiceStub(channel).Execute(request)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED and "no token" in caught.value.details()


def test_who_takes_no_answers_costs_little(roost: Roost) -> None:
    def held() -> int:
        figures = roost.call("GET", "/metrics").body.decode().splitlines()
        return next(int(line.split()[1]) for line in figures if line.startswith("roost_gateway_held_body_bytes "))

    whole = len(roost.call("GET", "/v1/openapi.json", token="").body)
    with socket.create_connection(("127.0.0.1", roost.port), timeout=30) as link:
        client = h2.connection.H2Connection()
        client.initiate_connection()
        client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        for stream in range(1, 201, 2):
            path = [(":method", "GET"), (":path", "/v1/openapi.json"), (":scheme", "http"), (":authority", "a")]
            client.send_headers(stream, path, end_stream=True)
        link.sendall(client.data_to_send())
        # All share one document; of each answer only the beginning was copied.
        wait_for("all are answered", lambda: held() == 100 * 16_384)
        client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        client.increment_flow_control_window(1 << 30)
        link.sendall(client.data_to_send())
        sizes, ended = collections.Counter[int](), 0
        while ended < 100:
            for event in client.receive_data(link.recv(1 << 20)):
                if isinstance(event, h2.events.DataReceived):
                    sizes[event.stream_id] += len(event.data)
                ended += isinstance(event, h2.events.StreamEnded)
        assert set(sizes.values()) == {whole} and len(sizes) == 100
    wait_for("nothing is left", lambda: held() == 0)


def test_who_asks_on_and_takes_no_answers_is_not_asked_for_more(roost: Roost) -> None:
    question = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="yandex.cloud.datasphere.v1.NodeService"
    ).SerializeToString()
    message = b"\0" + len(question).to_bytes(4, "big") + question
    most = 40_000
    with socket.create_connection(("127.0.0.1", roost.port), timeout=30) as link:
        client = h2.connection.H2Connection()
        client.initiate_connection()
        client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "a")]
        client.send_headers(1, [*head, ("content-type", "application/grpc"), ("te", "trailers")])
        asked, answered, got, ended = 0, 0, bytearray(), False

        def hear(seconds: float) -> None:
            nonlocal ended
            link.settimeout(seconds)
            with contextlib.suppress(TimeoutError):
                for event in client.receive_data(link.recv(1 << 20)):
                    if isinstance(event, h2.events.DataReceived):
                        got.extend(event.data)
                        client.acknowledge_received_data(event.flow_controlled_length, 1)
                    assert not isinstance(event, h2.events.StreamReset), event
                    ended = ended or isinstance(event, h2.events.StreamEnded)

        # The window for questions is used up, and stays so: who reads on as they come would take all of them.
        while asked < most:
            room = min(client.local_flow_control_window(1), client.max_outbound_frame_size) // len(message)
            if room == 0:
                before = client.local_flow_control_window(1)
                hear(1)
                if client.local_flow_control_window(1) == before:
                    break
                continue
            client.send_data(1, message * room)
            asked += room
            link.sendall(client.data_to_send())
        assert asked < most / 2 and not got
        # Who takes the answers gets all of them.
        client.end_stream(1)
        client.increment_flow_control_window((1 << 31) - 1 - 65_535)
        client.increment_flow_control_window((1 << 31) - 1, 1)
        link.sendall(client.data_to_send())
        while not ended:
            hear(30)
            link.sendall(client.data_to_send())
    while got:
        size = 5 + int.from_bytes(got[1:5], "big")
        assert size > 100
        del got[:size]
        answered += 1
    assert answered == asked
