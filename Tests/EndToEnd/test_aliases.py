"""Aliases: a name in front of cells and servers, whose requests move from node to node while callers notice nothing."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from conftest import Answer, Roost, wait_for
from google.protobuf import json_format, struct_pb2
from test_address_nodes import Web
from yandex.cloud.datasphere.v1 import node_service_pb2
from yandex.cloud.datasphere.v1.node_service_pb2_grpc import NodeServiceStub


@pytest.fixture(scope="module")
def cells(roost: Roost) -> dict[str, str]:
    """Three nodes whose answers say which they are."""
    found = {}
    for name in ("blue", "green", "red"):
        roost.checkpoint("x = 1", f"who = {name!r}\ny = x + 1", name=f"cell-{name}")
        found[name] = roost.node(
            name, checkpoint=f"cell-{name}", inputs=["x:int"], outputs=["who:str", "y:int"], instances={"count": 1}
        )
    for node in found.values():
        roost.healthy(node, 1)
    return found


@pytest.fixture(scope="module")
def webs(roost: Roost) -> Iterator[dict[str, Web]]:
    """Two nodes of one server each."""
    found = {name: Web() for name in ("left", "right")}
    for name, web in found.items():
        body = {"name": name, "kind": "address", "addresses": [{"address": web.address}], "endpoint": {"type": "http"}}
        answer = roost.call("POST", "/v1/nodes", body)
        assert answer.status == 202, answer
        roost.healthy(str(answer.json["resourceId"]), 1)
    yield found
    for web in found.values():
        web.close()


def publish(roost: Roost, name: str, shares: dict[str, int], **more: Any) -> dict[str, Any]:
    """Makes the alias, or changes it when there is one."""
    body = {"shares": [{"node": node, "weight": weight} for node, weight in shares.items()], **more}
    if any(alias["name"] == name for alias in roost.get("/v1/aliases")["aliases"]):
        answer = roost.call("PATCH", f"/v1/aliases/{name}?update_mask={','.join(body)}", body)
        assert answer.status == 200, answer
    else:
        answer = roost.call("POST", "/v1/aliases", {"name": name, **body})
        assert answer.status == 201, answer
    return dict(answer.json)


def run(roost: Roost, alias: str, x: int = 1, **headers: str) -> Answer:
    """Executes the cell behind an alias."""
    return roost.call(
        "POST",
        f"/datasphere/v1/aliases/{alias}:execute",
        {"folder_id": roost.folder, "input": {"x": x}},
        headers=headers,
    )


def who(answer: Answer) -> str:
    assert answer.status == 200, answer
    return str(answer.json["output"]["who"])


def test_weights_are_exact_over_a_hundred_requests(roost: Roost, cells: dict[str, str]) -> None:
    made = publish(roost, "weighted", {"blue": 70, "green": 25, "red": 5})
    assert made["fullName"] == "datasphere.user.weighted"
    # Each loop counts by itself: requests of one connection are at one loop.
    connection = http.client.HTTPConnection("127.0.0.1", roost.port)
    body = json.dumps({"folder_id": roost.folder, "input": {"x": 1}})
    headers = {"authorization": f"Bearer {roost.token}", "content-type": "application/json"}
    seen: list[str] = []
    for _ in range(250):
        connection.request("POST", "/datasphere/v1/aliases/weighted:execute", body, headers)
        answer = connection.getresponse()
        seen.append(json.loads(answer.read())["output"]["who"])
    connection.close()
    for start in range(0, 150, 7):
        assert Counter(seen[start : start + 100]) == {"blue": 70, "green": 25, "red": 5}
    text = roost.cli("alias", "describe", "weighted").stdout
    assert "70 %" in text and "serving" in text, text
    metrics = roost.call("GET", "/metrics").body.decode()
    path = "/datasphere/v1/aliases/weighted:execute"
    assert f'alias_requests{{alias_name="weighted",node_path="{path}"}} 250' in metrics
    assert f'roost_alias_share_weight{{alias_name="weighted",node_id="{cells["red"]}"}} 5' in metrics


def test_stock_clients_call_an_alias_by_grpc(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "called", {"green": 100})
    channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}")
    metadata = [("authorization", f"Bearer {roost.token}")]
    inputs = struct_pb2.Struct()
    inputs.update({"x": 41})
    for name in ("called", "datasphere.user.called"):
        request = node_service_pb2.AliasExecutionRequest(folder_id=roost.folder, alias_name=name, input=inputs)
        output = json_format.MessageToDict(NodeServiceStub(channel).ExecuteAlias(request, metadata=metadata).output)
        assert output == {"who": "green", "y": 42}
    request = node_service_pb2.AliasExecutionRequest(folder_id=roost.folder, alias_name="nobody", input=inputs)
    with pytest.raises(grpc.RpcError) as error:
        NodeServiceStub(channel).ExecuteAlias(request, metadata=metadata)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    assert "alias 'nobody' does not exist" in error.value.details()
    channel.close()
    assert 'alias_grpc_codes{alias_name="called"' in roost.call("GET", "/metrics").body.decode()


def test_servers_are_reached_by_the_header(roost: Roost, webs: dict[str, Web]) -> None:
    publish(roost, "site", {"left": 50, "right": 50}, showNode=True)
    connection = http.client.HTTPConnection("127.0.0.1", roost.port)
    for name in ("site", "datasphere.user.site"):
        for _ in range(2):
            connection.request(
                "GET", "/some/path", headers={"authorization": f"Bearer {roost.token}", "x-node-alias": name}
            )
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            assert answer.headers["x-roost-node"] and answer.headers["x-roost-release"] == "1"
    connection.close()
    for web in webs.values():
        assert [path for path, _ in web.seen] == ["/some/path"] * 2
    both = roost.call("GET", "/", headers={"x-node-alias": "site", "x-node-id": "nod0"})
    assert both.status == 400 and "exclude each other" in both.json["message"]
    none = roost.call("GET", "/", headers={"x-node-alias": "sites"})
    assert none.status == 404 and "alias 'sites' does not exist" in none.json["message"]


def test_servers_are_reached_by_path_and_by_host(
    make_server: Callable[..., Roost],
) -> None:
    web = Web()
    roost = make_server("--alias-domain", "models.example")
    body = {"name": "one", "kind": "address", "addresses": [{"address": web.address}], "endpoint": {"type": "http"}}
    roost.healthy(str(roost.call("POST", "/v1/nodes", body).json["resourceId"]), 1)
    publish(roost, "site", {"one": 100}, rules=[{"node": "one", "pathPrefix": "/here"}], showNode=True)
    assert roost.call("GET", "/aliases/site/proxy/there?x=1").status == 200
    assert roost.call("GET", "/by-host", headers={"host": "site.models.example:80"}).status == 200
    assert [path for path, _ in web.seen] == ["/there?x=1", "/by-host"]
    # Other hosts of the domain stay the platform's.
    assert roost.call("GET", "/livez", headers={"host": "api.models.example"}).body == b"ok\n"
    assert roost.call("GET", "/aliases/none/proxy/").status == 404
    assert roost.call("GET", "/aliases/site/proxy/", token="").status == 401
    web.close()


def test_an_alias_is_a_model_and_has_the_typed_service_of_its_nodes(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "model", {"green": 100})
    tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [41]}
    headers = {"x-node-alias": "model"}
    for path in ("/v2/models/model/infer", "/v2/models/green/infer", "/aliases/model/proxy/v2/models/model/infer"):
        answer = roost.call("POST", path, {"inputs": [tensor]}, headers={} if "proxy" in path else headers)
        assert answer.status == 200, answer
        found = {output["name"]: output["data"] for output in answer.json["outputs"]}
        assert found == {"who": ["green"], "y": [42]}
    assert roost.call("GET", "/v2/models/model/ready", headers=headers).status == 200
    wrong = roost.call("POST", "/v2/models/blue/infer", {"inputs": [tensor]}, headers=headers)
    assert wrong.status == 404 and "unknown model: 'blue'" in wrong.json["error"]
    proto = roost.call("GET", f"/nodes/{cells['green']}/node.proto").body.decode()
    package = proto.partition("package ")[2].partition(";")[0]
    service = proto.partition("service ")[2].partition(" ")[0]
    channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}")
    metadata = [("authorization", f"Bearer {roost.token}"), ("x-node-alias", "model")]
    # Field 1 is the varint x = 41.
    answer = channel.unary_unary(f"/{package}.{service}/Execute")(b"\x08\x29", metadata=metadata)
    assert b"green" in answer
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(f"/{package}.Other/Execute")(b"", metadata=metadata)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "service of no node of alias model" in error.value.details()
    channel.close()


def test_callers_stay_where_they_are(roost: Roost, cells: dict[str, str]) -> None:
    sticky = {"by": "header", "name": "X-User"}
    publish(roost, "sticky", {"blue": 60, "green": 40}, sticky=sticky)
    users = [f"user-{number}" for number in range(300)]
    first = {user: who(run(roost, "sticky", **{"x-user": user})) for user in users}
    assert first == {user: who(run(roost, "sticky", **{"x-user": user})) for user in users}
    part = Counter(first.values())["blue"] / len(users)
    assert 0.5 < part < 0.7, part
    publish(roost, "sticky", {"blue": 50, "green": 40, "red": 10})
    second = {user: who(run(roost, "sticky", **{"x-user": user})) for user in users}
    moved = [user for user in users if first[user] != second[user]]
    # Only from the share that shrank, and only to the one that grew.
    assert {(first[user], second[user]) for user in moved} == {("blue", "red")}
    assert 0.04 < len(moved) / len(users) < 0.17


def test_a_cookie_keeps_a_browser_at_its_node(roost: Roost, webs: dict[str, Web]) -> None:
    publish(roost, "shop", {"left": 50, "right": 50}, sticky={"by": "cookie", "name": "visitor"}, showNode=True)
    nodes = set()
    for _ in range(30):
        answer = roost.call("GET", "/", headers={"x-node-alias": "shop"})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("visitor=") and "HttpOnly" in cookie
        value = cookie.partition(";")[0]
        again = [
            roost.call("GET", "/", headers={"x-node-alias": "shop", "cookie": f"a=b; {value}"}) for _ in range(3)
        ]
        assert {one.headers["x-roost-node"] for one in again} == {answer.headers["x-roost-node"]}
        assert all("set-cookie" not in one.headers for one in again)
        nodes.add(answer.headers["x-roost-node"])
    assert len(nodes) == 2


def test_rules_and_the_callers_choice_come_before_weights(roost: Roost, cells: dict[str, str]) -> None:
    rules = [{"node": "green", "header": "X-Plan", "value": "gold"}, {"node": "red", "header": "x-beta"}]
    publish(roost, "ruled", {"blue": 100, "green": 0, "red": 0}, rules=rules)
    assert who(run(roost, "ruled")) == "blue"
    assert who(run(roost, "ruled", **{"x-plan": "gold"})) == "green"
    assert who(run(roost, "ruled", **{"x-plan": "iron"})) == "blue"
    assert who(run(roost, "ruled", **{"x-beta": ""})) == "red"
    assert who(run(roost, "ruled", **{"x-alias-target": "red", "x-plan": "gold"})) == "red"
    wrong = run(roost, "ruled", **{"x-alias-target": "left"})
    assert wrong.status == 404 and "its nodes are blue, green, red" in wrong.json["message"]


def test_who_may_call(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "secretive", {"blue": 100})
    account = roost.call("POST", "/v1/serviceAccounts", {"name": "stranger"}).json
    token = roost.call("POST", "/v1/tokens", {"serviceAccount": "stranger"}).json["iamToken"]
    refused = roost.call(
        "POST",
        "/datasphere/v1/aliases/secretive:execute",
        {"folder_id": roost.folder, "input": {"x": 1}},
        token=token,
    )
    assert refused.status == 403 and "alias secretive is private" in refused.json["message"], refused
    publish(roost, "secretive", {"blue": 100}, access="public")
    body = {"folder_id": roost.folder, "input": {"x": 1}}
    assert who(roost.call("POST", "/datasphere/v1/aliases/secretive:execute", body, token=token)) == "blue"
    chosen = roost.call(
        "POST", "/datasphere/v1/aliases/secretive:execute", body, token=token, headers={"x-alias-target": "blue"}
    )
    assert chosen.status == 403 and "may not choose" in chosen.json["message"]
    foreign = roost.call(
        "POST", "/datasphere/v1/aliases/secretive:execute", {**body, "folder_id": account["id"]}, token=token
    )
    assert foreign.status == 403 and "ACL of alias secretive" in foreign.json["message"]


def test_a_share_that_can_not_serve_gets_nothing(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "shaky", {"green": 50, "red": 50})
    operation = roost.call("POST", f"/v1/nodes/{cells['red']}:suspend")
    roost.finished(operation.json["id"])
    assert {who(run(roost, "shaky")) for _ in range(20)} == {"green"}
    shown = roost.get("/v1/aliases/shaky")
    assert shown["status"] == "DEGRADED"
    assert [share["serving"] for share in shown["shares"]] == [True, False]
    publish(roost, "shaky", {"red": 100, "green": 0})
    refused = run(roost, "shaky")
    assert refused.status == 503 and "node red: " in refused.json["message"] and "suspended" in refused.json["message"]
    assert roost.get("/v1/aliases/shaky")["status"] == "UNHEALTHY"
    roost.finished(roost.call("POST", f"/v1/nodes/{cells['red']}:resume").json["id"])
    assert who(run(roost, "shaky")) == "red"


def test_what_is_wrong_is_named_and_changes_nothing(roost: Roost, cells: dict[str, str], webs: dict[str, Web]) -> None:
    def refused(shares: dict[str, int], name: str = "wrong-one", **more: Any) -> tuple[int, str, str]:
        body = {"name": name, "shares": [{"node": n, "weight": w} for n, w in shares.items()], **more}
        answer = roost.call("POST", "/v1/aliases", body)
        return answer.status, answer.json.get("field", ""), answer.json["detail"]

    status, field, text = refused({"blue": 60, "green": 30})
    assert (status, field) == (400, "shares") and "sum to 90, not to 100: blue 60, green 30" in text
    status, field, text = refused({"blue": 50, "nowhere": 50})
    assert (status, field) == (404, "shares[1].node") and "no node 'nowhere'" in text
    status, field, text = refused({"blue": 150, "green": -50})
    assert (status, field) == (400, "shares[0].weight")
    status, field, text = refused({"blue": 50, cells["blue"]: 50})
    assert (status, field) == (400, "shares[1].node") and "'blue' has a share already" in text
    status, field, text = refused({"blue": 50, "left": 50})
    assert status == 400 and "'blue' runs a cell and 'left' is a server" in text
    status, field, text = refused({"blue": 100}, sticky={"by": "header"})
    assert (status, field) == (400, "sticky.name")
    status, field, text = refused({"blue": 100}, rules=[{"node": "blue"}])
    assert (status, field) == (400, "rules[0]")
    status, field, text = refused({"blue": 100}, access="secret")
    assert (status, field) == (400, "access")
    assert all(alias["name"] != "wrong-one" for alias in roost.get("/v1/aliases")["aliases"])
    made = publish(roost, "taken", {"blue": 100})
    status, field, text = refused({"green": 100}, name="taken")
    assert status == 409 and "'taken' already exists" in text
    body = {"generation": made["generation"], "shares": [{"node": "green", "weight": 100}]}
    assert roost.call("PATCH", "/v1/aliases/taken?update_mask=shares", body).status == 200
    stale = roost.call("PATCH", "/v1/aliases/taken?update_mask=shares", body)
    assert stale.status == 409 and stale.json["field"] == "generation", stale
    used = roost.call("DELETE", f"/v1/nodes/{cells['green']}")
    assert used.status == 400 and "sends 100 % of its requests to node 'green'" in used.json["detail"], used


def test_what_callers_would_notice_is_refused(roost: Roost, cells: dict[str, str]) -> None:
    roost.checkpoint("x = 1.5\nz = 1", "who = 'odd'\ny = x * 1.5 + z", name="cell-odd")
    inputs, outputs = ["x:int", "z:int"], ["who:str", "y:float"]
    roost.healthy(roost.node("odd", checkpoint="cell-odd", inputs=inputs, outputs=outputs, instances={"count": 1}), 1)
    publish(roost, "promised", {"blue": 100})
    body = {"shares": [{"node": "blue", "weight": 50}, {"node": "odd", "weight": 50}]}
    refused = roost.call("PATCH", "/v1/aliases/promised?update_mask=shares", body)
    assert refused.status == 400 and refused.json["field"] == "shares[1].node", refused
    for part in ("callers of 'blue' would notice 'odd'", "inputs.z: int is needed", "outputs.y: int became float"):
        assert part in refused.json["detail"], refused
    assert roost.get("/v1/aliases/promised")["generation"] == 1
    # A share that gets nothing by weight breaks nothing.
    publish(roost, "promised", {"blue": 100, "odd": 0})
    words = ["alias", "update", "promised", "--share", "blue=50", "--share", "odd=50"]
    assert "--allow-breaking" in roost.cli(*words, check=False).stderr
    roost.cli(*words, "--allow-breaking")
    # Those who serve together already may be weighed as one likes.
    publish(roost, "promised", {"blue": 10, "odd": 90})
    # A change of something else asks about no node again.
    roost.cli("alias", "update", "promised", "--metadata", "owner=team")
    both = {"name": "promised-two", **body}
    assert roost.call("POST", "/v1/aliases", both).status == 400
    assert roost.call("POST", "/v1/aliases", {**both, "allowBreaking": True}).status == 201


def test_the_command_line(roost: Roost, cells: dict[str, str]) -> None:
    roost.cli("alias", "create", "typed", "--share", "blue=90", "--share", "green=10%", "--sticky", "caller")
    assert "blue=90 green=10" in roost.cli("alias", "list").stdout
    roost.cli("alias", "update", "typed", "--share", "green=100", "--sticky", "off", "--metadata", "team=a")
    shown = json.loads(roost.cli("alias", "describe", "typed", "-o", "json").stdout)
    assert shown["spec"]["metadata"] == {"team": "a"} and "sticky" not in shown["spec"]
    assert who(run(roost, "typed")) == "green"
    bad = roost.cli("alias", "update", "typed", "--share", "green", check=False)
    assert bad.returncode == 2 and "must be NODE=PERCENT" in bad.stderr
    roost.cli("alias", "delete", "typed", "--yes")
    assert run(roost, "typed").status == 404


def test_moving_weights_under_load_and_a_restart_lose_nothing(roost: Roost, cells: dict[str, str]) -> None:
    publish(roost, "busy", {"blue": 100})
    answers: Counter[str] = Counter()
    errors: list[str] = []
    going = threading.Event()
    going.set()

    def load() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", roost.port)
        body = json.dumps({"folder_id": roost.folder, "input": {"x": 1}})
        headers = {"authorization": f"Bearer {roost.token}", "content-type": "application/json"}
        while going.is_set():
            connection.request("POST", "/datasphere/v1/aliases/busy:execute", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                answers[json.loads(text)["output"]["who"]] += 1
            else:
                errors.append(f"{answer.status} {text!r}")
        connection.close()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for step in range(30):
        names = list(cells)
        publish(roost, "busy", {names[step % 3]: 100 - step, names[(step + 1) % 3]: step})
    wait_for("every node answered", lambda: len(answers) == 3)
    going.clear()
    for thread in threads:
        thread.join()
    assert not errors, errors[:3]
    roost.kill()
    roost.start()
    assert roost.get("/v1/aliases/busy")["generation"] == 31
    assert run(roost, "busy").status == 200
