"""Anything may be killed at any time: what was acknowledged stays, what runs is found again."""

from __future__ import annotations

import collections
import pathlib
import threading
import time

import pytest
from conftest import Answer, Roost, send_signal, wait_for


class Load:
    """Constant load of a few clients; counts answers by status. A refused connection is retried: the server is being restarted."""

    def __init__(self, roost: Roost, node: str, clients: int = 8) -> None:
        self.roost = roost
        self.node = node
        self.folder = roost.folder
        self.counts: collections.Counter[int] = collections.Counter()
        self.failures: list[Answer] = []
        self.stopping = threading.Event()
        self.token = roost.token
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        body = {"folder_id": self.folder, "input": {"value": {"a": 1}}}
        while not self.stopping.is_set():
            answer = self.roost.call("POST", f"/datasphere/v1/nodes/{self.node}:execute", body, token=self.token)
            self.counts[answer.status] += 1
            if answer.status not in (0, 200):
                self.failures.append(answer)

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        wait_for("load is flowing", lambda: self.counts[200] > 50)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def node(roost: Roost) -> str:
    roost.checkpoint("value = dict(a=1)", "result = dict(twice=value['a'] * 2)", name="doubler")
    return roost.node("doubler", inputs=["value:dict"], outputs=["result:dict"], instances={"count": 3})


def test_killing_an_instance_fails_only_its_own_requests(roost: Roost, node: str) -> None:
    victim = roost.healthy(node, 3)[0]
    with Load(roost, node) as load:
        send_signal(victim["pid"])
        wait_for("it is replaced", lambda: victim["id"] not in [i["id"] for i in roost.healthy(node, 3)])
        before = load.counts[200]
        wait_for("load goes on", lambda: load.counts[200] > before + 50)
    print(f"instance killed: {dict(load.counts)}")
    # Each of the 8 clients has one request at a time: no more than those can have been inside.
    assert len(load.failures) <= 8, load.failures
    for failure in load.failures:
        assert failure.status == 503 and failure.json["message"], failure
    assert load.counts[0] == 0
    assert roost.status(node)["lastError"]["exitClass"] == "signal"


def test_killing_the_zygote_brings_everything_back(roost: Roost, node: str) -> None:
    instance = roost.healthy(node, 3)[0]
    zygote = parent_of(instance["pid"])
    with Load(roost, node) as load:
        send_signal(zygote)
        old = instance["id"]
        wait_for("new instances", lambda: old not in [i["id"] for i in roost.healthy(node, 3)])
        before = load.counts[200]
        wait_for("load goes on", lambda: load.counts[200] > before + 50)
    print(f"zygote killed: {dict(load.counts)}")
    assert load.counts[0] == 0
    assert all(failure.status in (429, 503, 504) for failure in load.failures), load.failures


def test_killing_roost_loses_no_instance_and_no_acknowledged_change(roost: Roost, node: str) -> None:
    before = {i["id"]: i["pid"] for i in roost.healthy(node, 3)}
    with Load(roost, node) as load:
        roost.call("PATCH", f"/v1/nodes/{node}?update_mask=description", {"description": "kept"})
        roost.kill()
        assert all(pathlib.Path(f"/proc/{pid}").exists() for pid in before.values())
        roost.start()
        after = {i["id"]: i["pid"] for i in roost.healthy(node, 3)}
        count = load.counts[200]
        wait_for("load goes on", lambda: load.counts[200] > count + 50)
    print(f"roost killed: {dict(load.counts)}")
    assert after == before
    assert roost.get(f"/v1/nodes/{node}")["spec"]["description"] == "kept"
    assert not load.failures, load.failures


def test_the_first_answer_after_a_kill_waits_for_no_busy_instance(make_server) -> None:
    roost = make_server()
    roost.checkpoint("value = dict(a=1)", "result = dict(twice=value['a'] * 2)", name="doubler")
    quick = roost.node("quick", checkpoint="doubler", inputs=["value:dict"], outputs=["result:dict"], instances={"count": 3})
    roost.checkpoint("s = 0.0", "import time\nprint('begun', flush=True)\ntime.sleep(s)\nslept = s", name="sleeper")
    slow = roost.node("slow", checkpoint="sleeper", inputs=["s:float"], outputs=["slept:float"], timeoutSeconds=30)
    call, folder, token = roost.call, roost.folder, roost.token

    def execute(node: str, values: dict[str, object]) -> Answer:
        body = {"folder_id": folder, "input": values}
        return call("POST", f"/datasphere/v1/nodes/{node}:execute", body, token=token)

    busy = threading.Thread(target=execute, args=(slow, {"s": 6.0}))
    busy.start()
    wait_for("it runs", lambda: any(line["message"] == "begun" for line in roost.logs(slow)))
    seen: dict[str, float] = {}
    waited: list[Answer] = []

    def poll() -> None:
        while execute(quick, {"value": {"a": 1}}).status != 200:
            pass
        seen["first answer"] = time.monotonic()
        # Sent while its only instance still runs a request of the server that was killed.
        waited.append(execute(slow, {"s": 0.0}))

    roost.kill()
    busy.join()
    poller = threading.Thread(target=poll)
    begun = time.monotonic()
    poller.start()
    roost.start()
    ready = time.monotonic()
    poller.join()
    print(f"first answer {(seen['first answer'] - begun) * 1000:.0f} ms after the start, ready {(ready - begun) * 1000:.0f} ms")
    assert seen["first answer"] < ready
    assert waited[0].status == 200 and waited[0].json["output"] == {"slept": 0.0}, waited


@pytest.mark.parametrize("milliseconds", [0, 5, 20, 60, 150])
def test_a_delete_cut_short_by_a_crash_is_finished(make_server, milliseconds: int) -> None:
    roost = make_server()
    roost.checkpoint("value = dict(a=1)", "result = dict(twice=value['a'] * 2)", name="doubler")
    node = roost.node("doubler", inputs=["value:dict"], outputs=["result:dict"], instances={"count": 2})
    pids = [i["pid"] for i in roost.healthy(node, 2)]
    operation = roost.call("DELETE", f"/v1/nodes/{node}")
    assert operation.status == 202
    # Not a wait for anything: each moment leaves another part of the delete undone.
    time.sleep(milliseconds / 1000)
    roost.kill()
    roost.start()
    wait_for("the node is gone", lambda: not roost.get("/v1/nodes")["nodes"])
    assert "error" not in roost.finished(operation.json["id"])
    for pid in pids:
        wait_for("its processes are gone", lambda: not alive(pid))
    assert not list((roost.data / "run").iterdir())


def test_after_delete_and_stop_nothing_is_left(make_server) -> None:
    def groups() -> set[str]:
        return {str(path) for path in pathlib.Path("/sys/fs/cgroup").rglob("roost-*") if path.is_dir()}

    def mounts() -> list[str]:
        return [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if "roost" in line]

    before, mounted = groups(), mounts()
    roost = make_server()
    roost.checkpoint("value = dict(a=1)", "result = dict(twice=value['a'] * 2)", name="doubler")
    node = roost.node("doubler", inputs=["value:dict"], outputs=["result:dict"], instances={"count": 2})
    pids = [i["pid"] for i in roost.healthy(node, 2)]
    zygote = parent_of(pids[0])
    assert groups() > before
    roost.cli("node", "delete", "doubler", "--yes", "--wait")
    assert roost.stop() == 0
    assert not [pid for pid in (*pids, zygote) if alive(pid)]
    assert groups() <= before
    assert mounts() == mounted
    assert not list((roost.data / "run").iterdir())


def test_a_second_server_on_the_same_data_is_refused(make_server) -> None:
    import subprocess

    roost = make_server()
    done = subprocess.run(
        [pathlib.Path(roost.process.args[0]), "serve", "--data", roost.data, "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1 and "another roost" in done.stderr


def test_sigterm_drains_and_leaves_instances_running(make_server) -> None:
    roost = make_server()
    roost.checkpoint("value = dict(a=1)", "result = dict(twice=value['a'] * 2)", name="doubler")
    node = roost.node("doubler", inputs=["value:dict"], outputs=["result:dict"])
    pid = roost.healthy(node, 1)[0]["pid"]
    assert roost.stop() == 0
    assert alive(pid)
    roost.start()
    assert roost.healthy(node, 1)[0]["pid"] == pid
    assert roost.execute(node, {"value": {"a": 4}}).json["output"]["result"] == {"twice": 8}


def parent_of(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
