"""Mirrors, recordings and replays of aliases: a candidate is compared with what serves, and callers notice nothing of it."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Answer, Roost, wait_for

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
        failed = seen["failed"] if not seen["sent"] else 0
        return seen if seen["sent"] + failed + sum(seen["dropped"].values()) >= count else None

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
    assert seen["sent"] == 0 and seen["failed"] > 0, seen
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
                self.send_header("content-type", "application/json; charset=utf-8")
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
