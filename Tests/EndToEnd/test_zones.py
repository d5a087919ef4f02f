"""Zones: instances of image nodes over two real engines, one of which goes away and comes back; subnets in them."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import engine
import pytest
from conftest import Roost, wait_for
from engine import SOCKET, containers, left_of

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

QUICK = {"type": "http", "path": "/health", "timeoutSeconds": 2, "intervalSeconds": 0.2, "failsThreshold": 2, "passesThreshold": 1}
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
BRIDGE = f"roost-b{os.getpid()}"


class SecondEngine:
    """Another dockerd on this machine, with its own data root, bridge and containerd. It leaves the rules of the first alone."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.socket = str(folder / "docker.sock")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.folder / "dockerd.log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    "dockerd", "--host", f"unix://{self.socket}", "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                    "--pidfile", self.folder / "docker.pid", "--bridge", BRIDGE, "--iptables=false", "--ip-masq=false",
                    "--userland-proxy=false", "--log-level", "warn", "--shutdown-timeout", "3",
                ],
                env={**os.environ, "PATH": PATH}, stdout=log, stderr=log,
            )  # fmt: skip

        def answers() -> bool:
            assert self.process and self.process.poll() is None, (self.folder / "dockerd.log").read_text()[-2000:]
            try:
                engine.ask("GET", "/info", at=self.socket)
                return True
            except OSError:
                return False

        wait_for("the second engine answers", answers)

    def end(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def take_image(self) -> None:
        """The test image, as scripts/with-engine gives it to the first."""
        command = "changes=CMD%20%5B%22%2Fusr%2Fbin%2Fpython3%22%2C%22-I%22%2C%22%2Fapp%2Fapp.py%22%5D&changes=USER%2010001%3A10001"
        url = f"http://engine/v1.41/images/create?fromSrc=-&repo=testapp&tag=1&{command}"
        tar = pathlib.Path(__file__).resolve().parents[2] / ".build" / "test-image.tar"
        subprocess.run(
            ["curl", "-fsS", "--unix-socket", self.socket, "-X", "POST", "-H", "Content-Type: application/x-tar", "-H", "Expect:", "-T", tar, url],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="module")
def second() -> Iterator[SecondEngine]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-zone."))
    for words in (["link", "add", BRIDGE, "type", "bridge"], ["addr", "add", "172.31.8.1/24", "dev", BRIDGE], ["link", "set", BRIDGE, "up"]):
        subprocess.run(["ip", *words], check=True, env={**os.environ, "PATH": PATH})
    other = SecondEngine(folder)
    try:
        other.start()
        other.take_image()
        yield other
        if other.process and other.process.poll() is None:
            other.end()
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], check=False, env={**os.environ, "PATH": PATH})
        for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
            mounted = line.split()[1]
            if mounted.startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", mounted], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(make_server: Callable[..., Roost], second: SecondEngine) -> Roost:
    server = make_server("--engine", f"a={SOCKET}", "--engine", f"b={second.socket}")
    wait_for("both zones are up", lambda: [z["status"] for z in server.get("/v1/zones")["zones"]] == ["UP", "UP"])
    assert zone(server, "b")["engine"] == second.socket and zone(server, "b")["engineVersion"]
    return server


def body(name: str, count: int, zones: list[dict[str, str]] | None, **more: Any) -> dict[str, Any]:
    made = {
        "name": name, "kind": "image", "image": {"reference": "testapp:1", "port": 8080, "drainSeconds": 1, "stopSeconds": 2},
        "memoryBytes": 128 << 20, "cpus": 1, "healthCheck": QUICK, "instances": {"count": count}, **more,
    }  # fmt: skip
    return {**made, "zones": zones} if zones else made


def make(server: Roost, name: str, count: int, zones: list[dict[str, str]] | None = None, **more: Any) -> str:
    answer = server.call("POST", "/v1/nodes", body(name, count, zones, **more))
    assert answer.status == 202, answer
    done = server.finished(answer.json["id"], 180)
    assert "error" not in done, done
    return str(answer.json["resourceId"])


def spread(server: Roost, node: str) -> Counter[str]:
    return Counter(i["zone"] for i in server.instances(node) if i["status"] == "HEALTHY")


def condition(server: Roost, node: str) -> dict[str, Any]:
    return dict(next(c for c in server.status(node)["conditions"] if c["type"] == "Zones"))


def zone(server: Roost, name: str) -> dict[str, Any]:
    return dict(server.get(f"/v1/zones/{name}"))


def names(server: Roost, node: str, at: str) -> bool:
    """Whether the engine has exactly the containers of the instances that are to be there."""
    wanted = {f"/roost-{i['id']}" for i in server.instances(node) if i["zone"] == ("a" if at == SOCKET else "b")}
    return {c["Names"][0] for c in containers(node, at)} == wanted


A_AND_B = [{"zone": "a"}, {"zone": "b"}]


def test_instances_are_spread_evenly_and_a_zone_that_is_down_is_worked_around(server: Roost, second: SecondEngine) -> None:
    node = make(server, "web", 4, A_AND_B)
    assert spread(server, node) == {"a": 2, "b": 2}
    assert len(containers(node)) == 2 and len(containers(node, second.socket)) == 2
    assert condition(server, node)["reason"] == "AllUp"
    headers = {"x-node-id": node, "x-folder-id": server.folder}
    hosts = {server.call("GET", "/id", headers=headers).json["host"] for _ in range(40)}
    assert len(hosts) == 4, "each instance answers, whatever its zone"
    listed = server.cli("zone", "list").stdout
    assert listed.splitlines()[1].split()[:4] == ["a", "UP", "2", "2"], listed

    second.end()
    wait_for("zone b is down", lambda: zone(server, "b")["status"] == "DOWN")
    wait_for("its engine is gone", lambda: "can't be reached" in zone(server, "b")["message"])
    assert zone(server, "b")["since"]
    wait_for("all instances serve in zone a", lambda: spread(server, node) == {"a": 4}, 90)
    told = condition(server, node)
    assert (told["status"], told["reason"]) == (False, "ZoneDown") and "zone b is down" in told["message"], told
    assert "zone b is down" in server.cli("node", "describe", "web").stdout
    assert any("instances are started in a meanwhile" in line["message"] for line in server.logs(node))
    metrics = server.call("GET", "/metrics").body.decode()
    assert 'roost_zone_up{zone="a"} 1' in metrics and 'roost_zone_up{zone="b"} 0' in metrics
    for _ in range(20):
        assert server.call("GET", "/id", headers=headers).status == 200
    # An update goes on without the zone, and so does another node.
    server.cli("node", "update", "web", "--env", "APP_RELEASE=2", "--wait")
    assert spread(server, node) == {"a": 4}
    other = make(server, "other", 2, A_AND_B)
    assert spread(server, other) == {"a": 2}

    second.start()
    wait_for("zone b is up", lambda: zone(server, "b")["status"] == "UP")
    wait_for("the instances are spread again", lambda: spread(server, node) == {"a": 2, "b": 2}, 120)
    wait_for("those of the other node too", lambda: spread(server, other) == {"a": 1, "b": 1}, 120)
    assert condition(server, node)["reason"] == "AllUp"
    assert {i["release"] for i in server.healthy(node, 4)} == {2}
    assert any("zone b is up again" in line["message"] for line in server.logs(node))
    for at in (SOCKET, second.socket):
        wait_for("no container is too many", lambda at=at: names(server, node, at), 60)
    server.cli("node", "delete", "web", "--yes", "--wait")
    server.cli("node", "delete", "other", "--yes", "--wait")
    for made in (node, other):
        assert left_of(made) == [] and left_of(made, second.socket) == []


def test_a_killed_server_finds_its_instances_in_every_zone_again(server: Roost, second: SecondEngine) -> None:
    node = make(server, "web", 2, A_AND_B)
    before = {i["id"] for i in server.healthy(node, 2)}
    server.kill()
    server.start()
    assert {i["id"] for i in server.healthy(node, 2)} == before and spread(server, node) == {"a": 1, "b": 1}
    server.cli("node", "update", "web", "--zone", "b", "--wait")
    assert spread(server, node) == {"b": 2}
    wait_for("zone a is empty", lambda: containers(node) == [])
    server.cli("node", "delete", "web", "--yes", "--wait")
    assert left_of(node, second.socket) == []


def test_a_subnet_is_a_network_that_nodes_of_a_zone_share(server: Roost, second: SecondEngine) -> None:
    server.cli("subnet", "create", "apps", "--zone", "b", "--cidr", "10.77.3.0/24")
    server.cli("subnet", "create", "inner", "--cidr", "10.77.4.0/24", "--internal")
    assert [s["zone"] for s in server.get("/v1/subnets")["subnets"]] == ["b", "a"]
    first = make(server, "first", 1, [{"zone": "b", "subnet": "apps"}])
    other = make(server, "other", 2, [{"zone": "b", "subnet": "apps"}, {"zone": "a", "subnet": "inner"}])
    for node in (first, other):
        for instance in server.healthy(node, 1 if node == first else 2):
            address = ipaddress.ip_address(instance["address"].rpartition(":")[0])
            range_ = "10.77.3.0/24" if instance["zone"] == "b" else "10.77.4.0/24"
            assert address in ipaddress.ip_network(range_), instance
        answer = server.call("GET", "/id", headers={"x-node-id": node, "x-folder-id": server.folder})
        assert answer.status == 200, answer
    shown = server.cli("subnet", "show", "apps").stdout
    assert "first, other" in shown and "10.77.3.0/24" in shown, shown
    refused = server.cli("subnet", "delete", "apps", "--yes", check=False)
    assert refused.returncode != 0 and "is used by nodes first, other" in refused.stderr, refused.stderr
    for name in ("first", "other"):
        server.cli("node", "delete", name, "--yes", "--wait")
    server.cli("subnet", "delete", "apps", "inner", "--yes")
    wait_for("their networks are gone", lambda: not subnets_at(SOCKET) and not subnets_at(second.socket))
    assert server.get("/v1/subnets")["subnets"] == []


def subnets_at(at: str) -> list[str]:
    return [str(n["Name"]) for n in engine.ask("GET", "/networks", at=at) if "roost-sub" in n["Name"]]


def test_the_network_of_a_deleted_subnet_goes_when_its_engine_is_back(server: Roost, second: SecondEngine) -> None:
    def use_and_leave() -> None:
        server.cli("subnet", "create", "apps", "--zone", "b", "--cidr", "10.77.5.0/24")
        make(server, "first", 1, [{"zone": "b", "subnet": "apps"}])
        server.cli("node", "delete", "first", "--yes", "--wait")
        assert len(subnets_at(second.socket)) == 1

    use_and_leave()
    assert second.process
    second.process.send_signal(signal.SIGSTOP)
    server.cli("subnet", "delete", "apps", "--yes")
    second.process.send_signal(signal.SIGCONT)
    wait_for("the network is gone", lambda: not subnets_at(second.socket))
    # Nobody is in the way of the same range, and what an end of the server cut short is done by the next.
    use_and_leave()
    second.end()
    server.cli("subnet", "delete", "apps", "--yes")
    server.kill()
    second.start()
    assert len(subnets_at(second.socket)) == 1
    server.start()
    wait_for("the network is gone", lambda: not subnets_at(second.socket))


@pytest.mark.parametrize(
    ("asked", "status", "field", "words"),
    [
        ({"name": "outside", "cidr": "8.8.8.0/24"}, 400, "cidr", "is not private"),
        ({"name": "wide", "cidr": "10.0.0.0/8"}, 400, "cidr", "between /16 and /28"),
        ({"name": "crooked", "cidr": "10.78.0.1/24"}, 400, "cidr", "is not a range like"),
        ({"name": "pool", "cidr": "10.213.7.0/24"}, 400, "cidr", "overlaps the networks of nodes (10.213.0.0/16)"),
        ({"name": "nowhere", "cidr": "10.78.0.0/24", "zone": "z"}, 400, "zone", "this server has a, b"),
        ({"name": "lost", "cidr": "10.78.0.0/24", "folder": "none"}, 404, "folder", "no folder 'none'"),
    ],
)
def test_a_subnet_that_can_not_be_is_refused(server: Roost, asked: dict[str, str], status: int, field: str, words: str) -> None:
    answer = server.call("POST", "/v1/subnets", asked)
    assert (answer.status, answer.json["field"]) == (status, field) and words in answer.json["detail"], answer


@pytest.mark.parametrize(
    ("zones", "status", "field", "words"),
    [
        ([{"zone": "c"}], 400, "zones[0].zone", "'c' is unknown; this server has the zones a, b"),
        ([{"zone": "a"}, {"zone": "a"}], 400, "zones[1].zone", "is given twice"),
        ([{"zone": "a", "subnet": "nothing"}], 404, "zones[0].subnet", "roost subnet create nothing --zone a"),
    ],
)
def test_zones_that_there_are_not_are_refused(server: Roost, zones: Any, status: int, field: str, words: str) -> None:
    answer = server.call("POST", "/v1/nodes", body("web", 1, zones))
    assert (answer.status, answer.json["field"]) == (status, field) and words in answer.json["detail"], answer


def test_one_engine_is_not_two_zones(make_server: Callable[..., Roost], tmp_path: pathlib.Path) -> None:
    twin = tmp_path / "twin.sock"
    twin.symlink_to(SOCKET)
    server = make_server("--engine", f"a={SOCKET}", "--engine", f"b={twin}")
    wait_for("one of them is refused", lambda: [z for z in server.get("/v1/zones")["zones"] if z["status"] == "DOWN"])
    down = next(z for z in server.get("/v1/zones")["zones"] if z["status"] == "DOWN")
    assert "give each zone its own" in down["message"], down
