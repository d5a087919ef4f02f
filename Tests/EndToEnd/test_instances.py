"""The noun `instance`: running copies of all nodes, by REST and by the command line."""

from __future__ import annotations

import json

import yaml
from conftest import Roost, send_signal, wait_for


def test_instances_are_listed_and_shown(roost: Roost) -> None:
    roost.checkpoint("n = 0", "result = n + 1", name="adder")
    first = roost.node("first", checkpoint="adder", inputs=["n:int"], outputs=["result:int"], instances={"count": 2})
    second = roost.node("second", checkpoint="adder", inputs=["n:int"], outputs=["result:int"])
    roost.healthy(first, 2)
    roost.healthy(second, 1)
    listed = roost.get("/v1/instances")["instances"]
    assert [i["nodeName"] for i in listed] == ["first", "first", "second"]
    of_first = roost.get("/v1/instances?node=first")["instances"]
    assert {i["id"] for i in of_first} == {i["id"] for i in listed if i["nodeId"] == first}
    assert roost.get(f"/v1/instances?node={second}")["instances"][0]["nodeName"] == "second"

    page = roost.get("/v1/instances?page_size=2")
    rest = roost.get(f"/v1/instances?page_size=2&page_token={page['nextPageToken']}")
    assert [i["id"] for i in page["instances"] + rest["instances"]] == [i["id"] for i in listed]

    one = roost.get(f"/v1/instances/{listed[0]['id']}")
    assert one["status"] == "HEALTHY" and one["pid"] > 1 and one["cpuSeconds"] >= 0 and one["privateBytes"] > 0

    table = roost.cli("instance", "list").stdout.splitlines()
    assert table[0].split() == ["INSTANCE", "NODE", "STATUS", "RELEASE", "PID", "AGE", "MEMORY", "WHERE"]
    assert [line.split()[:3] for line in table[1:]] == [[i["id"], i["nodeName"], "HEALTHY"] for i in listed]
    names = roost.cli("instance", "list", "--node", "second", "-o", "name").stdout.split()
    assert names == [listed[2]["id"]]
    assert len(json.loads(roost.cli("instance", "list", "-o", "json").stdout)["instances"]) == 3

    shown = roost.cli("instance", "show", listed[0]["id"]).stdout
    for part in ("Node:", f"first ({first})", "HEALTHY", "in proportion", "Processor time:", "roost node logs first --instance"):
        assert part in shown, shown
    assert yaml.safe_load(roost.cli("instance", "show", listed[0]["id"], "-o", "yaml").stdout)["id"] == listed[0]["id"]

    # One that was replaced is gone, and its error says where to look.
    send_signal(one["pid"])
    wait_for("it is replaced", lambda: one["id"] not in [i["id"] for i in roost.healthy(first, 2)])
    gone = roost.cli("instance", "show", one["id"], check=False)
    assert gone.returncode == 3 and "may have been replaced" in gone.stderr, gone


def test_who_has_no_role_sees_no_instances(roost: Roost) -> None:
    node = roost.node("hidden", checkpoint="adder", inputs=["n:int"], outputs=["result:int"])
    instance = roost.healthy(node, 1)[0]["id"]
    account = json.loads(roost.cli("service-account", "create", "nobody", "-o", "json").stdout)["id"]
    token = roost.call("POST", "/v1/tokens", {"serviceAccount": account})
    assert token.status in (200, 201), token
    foreign = token.json["iamToken"]
    assert roost.call("GET", "/v1/instances", token=foreign).json == {"instances": []}
    assert roost.call("GET", f"/v1/instances/{instance}", token=foreign).status == 404
    assert roost.call("GET", "/v1/instances?node=hidden", token=foreign).status == 404


def test_the_noun_completes_and_refuses_what_it_does_not_know(roost: Roost) -> None:
    assert roost.cli("__complete", "--", "inst").stdout.split() == ["instance"]
    assert roost.cli("__complete", "--", "instance", "").stdout.split() == ["list", "show"]
    assert "--node" in roost.cli("__complete", "--", "instance", "list", "--").stdout.split()
    assert roost.cli("instance", "list", "--node", "nowhere", check=False).returncode == 3
    refused = roost.call("GET", "/v1/instances?nodes=x")
    assert refused.status == 400 and "nodes: unknown query parameter" in refused.json["detail"]
    assert roost.call("GET", "/v1/instances?page_token=none").status == 400
    assert roost.call("POST", "/v1/instances").status == 405
