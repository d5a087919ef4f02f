"""Cancelling operations and revoking tokens, by the stock SDK, grpcio, curl and the command line."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import jwt
import pytest
import websockets.sync.client
from conftest import BINARY, Roost, wait_for
from test_keys import command
from test_tls import flags, make, tls_port
from yandex.cloud.datasphere.v1 import node_service_pb2
from yandex.cloud.datasphere.v1.node_service_pb2_grpc import NodeServiceStub
from yandex.cloud.iam.v1.iam_token_service_pb2 import CreateIamTokenForServiceAccountRequest, RevokeIamTokenRequest
from yandex.cloud.iam.v1.iam_token_service_pb2_grpc import IamTokenServiceStub
from yandex.cloud.operation.operation_service_pb2 import CancelOperationRequest, GetOperationRequest
from yandex.cloud.operation.operation_service_pb2_grpc import OperationServiceStub

import yandexcloud


@pytest.fixture(scope="module")
def certificate() -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-tls-"))
    yield make(folder, "localhost")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def roost(certificate: tuple[pathlib.Path, pathlib.Path]) -> Iterator[Roost]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    server = Roost(folder / "data", *flags(*certificate), "--loops", "2").start()
    yield server
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def adder(roost: Roost) -> str:
    roost.checkpoint("x = 1", "y = x + 1", name="adder")
    return roost.node("adder", inputs=["x:int"], outputs=["y:int"])


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def waiting(roost: Roost, name: str) -> dict[str, Any]:
    """The creation of a node whose only server is not there: it waits for the next of its rare probes."""
    check = {"type": "http", "path": "/", "intervalSeconds": 300}
    body = {
        "name": name, "kind": "address", "addresses": [{"address": f"127.0.0.1:{closed_port()}"}],
        "endpoint": {"type": "http"}, "healthCheck": check,
    }  # fmt: skip
    answer = roost.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    return dict(answer.json)


def gone(roost: Roost, node: str) -> None:
    wait_for("the node is gone", lambda: roost.call("GET", f"/v1/nodes/{node}").status == 404)


def curl(*arguments: str) -> tuple[int, Any]:
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else None


def sdk(roost: Roost, certificate: tuple[pathlib.Path, pathlib.Path], token: str) -> Any:
    return yandexcloud.SDK(
        endpoint=f"localhost:{tls_port(roost)}", root_certificates=certificate[0].read_bytes(), iam_token=token
    )


def test_the_stock_sdk_cancels_a_creation(roost: Roost, certificate: tuple[pathlib.Path, pathlib.Path]) -> None:
    begun = waiting(roost, "sdk-cancelled")
    stub = sdk(roost, certificate, roost.token).client(OperationServiceStub)
    assert not stub.Get(GetOperationRequest(operation_id=begun["id"])).done
    ended = stub.Cancel(CancelOperationRequest(operation_id=begun["id"]))
    assert ended.done and ended.error.code == grpc.StatusCode.CANCELLED.value[0], ended
    assert "node 'sdk-cancelled' is being deleted (operation " in ended.error.message
    gone(roost, begun["resourceId"])
    again = stub.Cancel(CancelOperationRequest(operation_id=begun["id"]))
    assert again == ended
    with pytest.raises(grpc.RpcError) as caught:
        stub.Cancel(CancelOperationRequest(operation_id="none"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(("method", "prefix"), [("POST", "/v1"), ("POST", ""), ("GET", "")])
def test_curl_cancels_a_creation(roost: Roost, method: str, prefix: str) -> None:
    begun = waiting(roost, "curl-cancelled")
    url = f"{roost.url}{prefix}/operations/{begun['id']}:cancel"
    status, ended = curl("-X", method, "-H", f"authorization: Bearer {roost.token}", url)
    assert status == 200 and ended["done"] and ended["error"]["code"] == 1, ended
    gone(roost, begun["resourceId"])


def test_the_command_line_cancels_and_says_when_it_came_too_late(roost: Roost, adder: str) -> None:
    begun = waiting(roost, "cli-cancelled")
    done = roost.cli("operation", "cancel", begun["id"])
    assert "Create node cli-cancelled: cancelled by " in done.stdout and "is being deleted" in done.stdout
    assert "CANCELLED" in roost.cli("operation", "list").stdout
    late = roost.cli("operation", "wait", begun["id"], check=False)
    assert late.returncode == 1 and "cancelled by" in late.stderr
    gone(roost, begun["resourceId"])
    ended = roost.get(f"/v1/operations?resource={adder}")["operations"][0]["id"]
    late = roost.cli("operation", "cancel", ended, check=False)
    assert late.returncode == 1 and "had ended before it could be cancelled (DONE)" in late.stderr


def test_a_deletion_cannot_be_cancelled_and_says_why(roost: Roost) -> None:
    begun = waiting(roost, "delete-stays")
    # The reconciler may have ended it before it is asked to cancel: then it is told as it is.
    deletion = roost.call("DELETE", f"/v1/nodes/{begun['resourceId']}").json["id"]
    answer = roost.call("POST", f"/operations/{deletion}:cancel")
    if answer.status != 200:
        assert answer.status == 400 and answer.json["code"] == 9, answer
        assert "a deletion can't be cancelled" in answer.json["message"]
    else:
        assert answer.json["done"] and "error" not in answer.json
    gone(roost, begun["resourceId"])


def test_cancelling_needs_the_role_of_the_change(roost: Roost) -> None:
    command(roost, "service-account", "create", "looker", "--role", "viewer")
    token = command(roost, "token", "create", "--service-account", "looker").strip()
    begun = waiting(roost, "not-yours")
    answer = roost.call("POST", f"/v1/operations/{begun['id']}:cancel", token=token)
    assert answer.status == 403 and "developer" in answer.json["detail"], answer
    assert roost.call("POST", f"/v1/operations/{begun['id']}:cancel", token="").status == 401
    assert not roost.get(f"/v1/operations/{begun['id']}")["done"]
    assert roost.call("POST", f"/v1/operations/{begun['id']}:cancel").status == 200
    gone(roost, begun["resourceId"])


def test_operations_are_seen_by_their_makers_and_in_their_folder_only(roost: Roost, adder: str) -> None:
    other = roost.call("POST", "/v1/folders", {"name": "elsewhere"}).json["id"]
    body = {"name": "stranger", "folderId": other, "role": "admin"}
    assert roost.call("POST", "/v1/serviceAccounts", body).status == 201
    stranger = command(roost, "token", "create", "--service-account", "stranger").strip()
    begun = waiting(roost, "hidden")
    path = f"/v1/operations/{begun['id']}"
    for method, hidden in (("GET", path), ("POST", path + ":cancel"), ("GET", path.removeprefix("/v1"))):
        answer = roost.call(method, hidden, token=stranger)
        assert answer.status == 404, (hidden, answer)
    assert roost.call("GET", "/v1/operations", token=stranger).json["operations"] == []
    assert roost.call("GET", f"/v1/operations?resource={adder}", token=stranger).json["operations"] == []
    assert roost.call("POST", path + ":cancel").json["done"]
    gone(roost, begun["resourceId"])
    # The node has gone: the operation still knows whose it was.
    assert roost.call("GET", path, token=stranger).status == 404
    assert roost.get(path)["error"]["code"] == 1


def test_a_websocket_reaches_a_node_of_http2(roost: Roost) -> None:
    script = """
import asyncio, socket
from hypercorn.asyncio import serve
from hypercorn.config import Config
async def app(scope, receive, send):
    if scope["type"] != "websocket": return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": scope["http_version"] + " " + event["text"]})
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
config = Config(); config.bind = [f"fd://{s.fileno()}"]
print(s.getsockname()[1], flush=True)
asyncio.run(serve(app, config))
"""
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout
        address = f"127.0.0.1:{int(server.stdout.readline())}"
        roost.cli("node", "create", "talker", "--address", address, "--endpoint", "http2", "--wait")
        node = roost.get("/v1/nodes/talker")["id"]
        headers = {"authorization": f"Bearer {roost.token}"}
        url = f"ws://127.0.0.1:{roost.port}/nodes/{node}/proxy/chat"
        with websockets.sync.client.connect(url, additional_headers=headers) as connection:
            for text in ("hello", "x" * 100_000):
                connection.send(text)
                assert connection.recv(timeout=30) == f"2 {text}"
        assert connection.close_code == 1000
    finally:
        server.kill()
        server.wait()


def new_token(roost: Roost) -> str:
    return command(roost, "token", "create", "--ttl", "1h").strip()


def subject(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["sub"])


def execution(roost: Roost, node: str) -> node_service_pb2.NodeExecutionRequest:
    request = node_service_pb2.NodeExecutionRequest(folder_id=roost.folder, node_id=node)
    request.input.update({"x": 1})
    return request


def test_the_stock_sdk_revokes_its_token(
    roost: Roost, adder: str, certificate: tuple[pathlib.Path, pathlib.Path]
) -> None:
    token = new_token(roost)
    client = sdk(roost, certificate, token)
    nodes = client.client(NodeServiceStub)
    assert nodes.Execute(execution(roost, adder)).output["y"] == 2
    revoked = client.client(IamTokenServiceStub).Revoke(RevokeIamTokenRequest(iam_token=token))
    assert revoked.subject_id == subject(token)
    with pytest.raises(grpc.RpcError) as caught:
        nodes.Execute(execution(roost, adder))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED and "revoked" in (caught.value.details() or "")
    # Ending it twice is no error: a client that lost the answer may ask again.
    assert client.client(IamTokenServiceStub).Revoke(RevokeIamTokenRequest(iam_token=token)) == revoked
    with pytest.raises(grpc.RpcError) as caught:
        client.client(IamTokenServiceStub).Revoke(RevokeIamTokenRequest(iam_token=token[:-12] + "A" * 12))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "iam_token" in (caught.value.details() or "")


def test_a_revoked_token_is_refused_at_once_on_every_warm_connection(roost: Roost, adder: str) -> None:
    token = new_token(roost)
    body = json.dumps({"folder_id": roost.folder, "input": {"x": 1}})
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connections = [http.client.HTTPConnection("127.0.0.1", roost.port, timeout=60) for _ in range(16)]

    def statuses() -> set[int]:
        found = set()
        for connection in connections:
            connection.request("POST", f"/datasphere/v1/nodes/{adder}:execute", body, headers)
            answer = connection.getresponse()
            answer.read()
            found.add(answer.status)
        return found

    # Both loops have the verdict in their caches.
    assert statuses() == {200} and statuses() == {200}
    status, answer = curl("-d", json.dumps({"iamToken": token}), f"{roost.url}/iam/v1/tokens:revoke")
    assert (status, answer) == (200, {"subjectId": subject(token)})
    assert statuses() == {401}
    assert roost.call("GET", "/v1/nodes", token=token).status == 401
    for connection in connections:
        connection.close()


def test_revoking_again_is_no_work(roost: Roost) -> None:
    token = new_token(roost)
    for _ in range(5):
        assert roost.call("POST", "/iam/v1/tokens:revoke", {"iamToken": token}, token="").status == 200
    identifier = jwt.decode(token, options={"verify_signature": False})["jti"]
    with contextlib.closing(sqlite3.connect(f"file:{roost.data}/roost.db?mode=ro", uri=True)) as store:
        events = store.execute("SELECT event_type, subject FROM audit WHERE resource_id = ?", (identifier,)).fetchall()
    assert [event.rpartition(".")[2] for event, _ in events] == ["CreateIamToken", "RevokeIamToken"], events
    assert events[1][1] == subject(token)


def test_a_session_ends_with_its_token(roost: Roost) -> None:
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    body = {
        "name": "pages", "kind": "address", "addresses": [{"address": f"127.0.0.1:{web.server_port}"}],
        "endpoint": {"type": "http"},
    }  # fmt: skip
    begun = roost.call("POST", "/v1/nodes", body).json
    node = begun["resourceId"]
    assert "error" not in roost.finished(begun["id"])
    token = new_token(roost)
    made = roost.call("POST", f"/nodes/{node}/session", token=token)
    headers = {"cookie": made.headers["set-cookie"].partition(";")[0]}
    path = f"/nodes/{node}/proxy/none"
    assert roost.call("GET", path, token="", headers=headers).status == 404
    subprocess.run([BINARY, "token", "revoke", "-"], env=roost.environment, input=token, text=True, check=True, timeout=60)
    assert roost.call("GET", path, token="", headers=headers).status == 401
    web.shutdown()
    web.server_close()


def test_what_is_no_token_is_refused_with_the_reason(roost: Roost) -> None:
    path = "/iam/v1/tokens:revoke"
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "iamToken: missing"),
        ({"iamToken": "a", "iam_token": "a"}, "two spellings"),
        ({"iamToken": "roost_abc"}, "an API key begins with roost_"),
        ({"token": "a"}, "token"),
    ]
    for body, reason in cases:
        answer = roost.call("POST", path, body, token="")
        assert answer.status == 400 and answer.json["code"] == 3 and reason in answer.json["message"], answer
    assert roost.call("POST", "/iam/v1/tokens:unknown", {}, token="").status in (401, 404)


def test_a_revoked_token_stays_revoked_after_kill_and_restart(make_server: Any) -> None:
    roost = make_server()
    token = command(roost, "token", "create").strip()
    other = command(roost, "token", "create").strip()
    assert roost.call("POST", "/iam/v1/tokens:revoke", {"iam_token": token}, token="").status == 200
    roost.kill()
    roost.start()
    assert roost.call("GET", "/v1/nodes", token=token).status == 401
    assert roost.call("GET", "/v1/nodes", token=other).status == 200
    # The proxy's way judges by the routing table, not by the store.
    body = {"folder_id": roost.folder, "input": {}}
    assert roost.call("POST", "/datasphere/v1/nodes/none:execute", body, token=token).status == 401
    assert roost.call("POST", "/datasphere/v1/nodes/none:execute", body, token=other).status == 404
    assert roost.stop() == 0
    roost.start()
    assert roost.call("GET", "/v1/nodes", token=token).status == 401


def test_the_operator_is_not_locked_out_by_revoking_the_operators_token(make_server: Any) -> None:
    roost = make_server()
    old = roost.token
    assert roost.call("POST", "/iam/v1/tokens:revoke", {"iamToken": old}, token="").status == 200
    assert roost.call("GET", "/v1/nodes", token=old).status == 401
    wait_for("a new admin.token", lambda: roost.token != old)
    assert roost.call("GET", "/v1/nodes").status == 200


def test_an_admin_gets_tokens_for_service_accounts(
    roost: Roost, certificate: tuple[pathlib.Path, pathlib.Path]
) -> None:
    command(roost, "service-account", "create", "robot", "--role", "viewer")
    account = command(roost, "service-account", "list", "-o", "json")
    robot = next(item["id"] for item in json.loads(account)["serviceAccounts"] if item["name"] == "robot")
    channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}")
    request = CreateIamTokenForServiceAccountRequest(service_account_id=robot)
    made = IamTokenServiceStub(channel).CreateForServiceAccount(
        request, metadata=[("authorization", f"Bearer {roost.token}")], timeout=30
    )
    assert subject(made.iam_token) == robot and made.expires_at.seconds > 0
    assert roost.call("GET", "/v1/nodes", token=made.iam_token).status == 200
    answer = roost.call("POST", "/iam/v1/tokens:createForServiceAccount", {"serviceAccountId": robot})
    assert answer.status == 200 and subject(answer.json["iamToken"]) == robot, answer
    refused = roost.call(
        "POST", "/iam/v1/tokens:createForServiceAccount", {"serviceAccountId": "operator"}, token=made.iam_token
    )
    assert refused.status == 403 and refused.json["code"] == 7, refused
    assert roost.call("POST", "/iam/v1/tokens:createForServiceAccount", {"serviceAccountId": robot}, token="").status == 401
    channel.close()
