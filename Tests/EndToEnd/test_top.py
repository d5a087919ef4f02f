"""What nodes and instances use: sampled, in /metrics, by REST and in `roost top`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import engine
import pytest
from conftest import Roost, wait_for
from engine import SOCKET

BUSY = "import time\nend = time.process_time() + spin\nwhile time.process_time() < end:\n    pass\nout = spin"


def top(server: Roost, node: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = server.get(f"/v1/top?node={node}")
    return dict(found["nodes"][0]), list(found["instances"])


def metric(server: Roost, name: str, instance: str) -> float | None:
    for line in server.call("GET", "/metrics", token="").body.decode().splitlines():
        if line.startswith(f"{name}{{") and f'instance_id="{instance}"' in line:
            return float(line.rpartition(" ")[2])
    return None


def test_a_busy_cell_shows_its_processor_time_memory_and_requests(roost: Roost) -> None:
    roost.checkpoint("spin = 0.05", BUSY, name="busy")
    node = roost.node("busy", inputs=["spin:float"], outputs=["out:float"], memoryBytes=512 << 20)
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            assert roost.execute(node, {"spin": 0.05}).status == 200

    caller = threading.Thread(target=call)
    caller.start()
    try:

        def busy() -> Any:
            one, instances = top(roost, node)
            return one if one.get("cpuPercent", 0) > 15 and one.get("requestsPerSecond", 0) > 1 else None

        one = wait_for("processor time", busy)
        assert one["kind"] == "cell" and (one["healthyInstances"], one["instances"]) == (1, 1)
        assert 0.04 < one["p50Seconds"] < 5 and one["p50Seconds"] <= one["p99Seconds"]
        use = top(roost, node)[1][0]
        assert use["nodeName"] == "busy" and use["status"] == "HEALTHY" and use["cpuPercent"] > 5
        assert use["memoryBytes"] > 1 << 20 and use["memoryLimitBytes"] == 512 << 20 and use["processes"] >= 1
        assert "receivedBytesPerSecond" not in use, "a cell without a network has no traffic"
        assert (metric(roost, "roost_instance_cpu_seconds_total", use["id"]) or 0) > 0
        assert metric(roost, "roost_instance_memory_limit_bytes", use["id"]) == 512 << 20
    finally:
        stop.set()
        caller.join(60)
    shown = roost.cli("top", "--once").stdout
    assert "NODE" in shown and "busy" in shown and use["id"] in shown and "/ 512.0 MiB" in shown
    parsed = json.loads(roost.cli("top", "busy", "--once", "--sort", "cpu", "-o", "json").stdout)
    assert [n["name"] for n in parsed["nodes"]] == ["busy"]
    assert roost.cli("top", "nobody", "--once", check=False).returncode == 3
    assert roost.call("GET", "/v1/top", token="").status == 401
    assert roost.call("GET", "/v1/top?sort=cpu").json["field"] == "sort"
    wait_for("it rests again", lambda: top(roost, node)[0]["requestsPerSecond"] == 0, 90)
    assert "p50Seconds" not in top(roost, node)[0]


@pytest.mark.skipif(not SOCKET, reason=engine.MISSING)
def test_a_container_shows_traffic_and_how_its_limit_holds_it(make_server: Callable[..., Roost]) -> None:
    from test_image_nodes import images, make

    server = make_server("--engine", SOCKET)
    node = make(server, "spinning", cpus=0.2)
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            images(server, node, "GET", "/cpu?s=0.2")
            images(server, node, "POST", "/echo", b"x" * 100_000)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:

        def held() -> Any:
            use = top(server, node)[1][0]
            return use if use.get("throttledPercent", 0) > 5 and use["receivedBytesPerSecond"] > 1000 else None

        use = wait_for("it is held", held)
        assert use["cpuPercent"] < 60 and use["memoryLimitBytes"] == 256 << 20 and use["processes"] >= 1
        assert use["sentBytesPerSecond"] > 1000 and use["memoryBytes"] > 5 << 20
        assert (metric(server, "roost_instance_cpu_throttled_periods_total", use["id"]) or 0) > 0
        assert (metric(server, "roost_instance_network_received_bytes_total", use["id"]) or 0) > 100_000
    finally:
        stop.set()
        for caller in callers:
            caller.join(60)
