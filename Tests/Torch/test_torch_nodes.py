"""Cells that call torch modules in a real node: torch's thread pools and forks don't go together by themselves.

Run by scripts/check-torch: torch is too large for every run.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import sys
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "EndToEnd"))
os.environ["ROOST_PYTHON"] = sys.executable

from conftest import Roost, roost  # noqa: E402, F401 (a fixture)

SIZE = 1024
# Large enough for several threads: each element of the answer is (3 x + 1) * 3 + 1.
NET = f"""
import os
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one = torch.nn.Linear({SIZE}, {SIZE})
        with torch.no_grad():
            self.one.weight.copy_(3 * torch.eye({SIZE}))
            self.one.bias.fill_(1)
    def forward(self, x):
        return self.one(self.one(x))
net = Net()
warm = net(torch.ones(512, {SIZE})).sum().item()
x = 1.0
"""
CELL = f"""
with torch.no_grad():
    out = net(torch.full((512, {SIZE}), x))
low, high = out.min().item(), out.max().item()
pid, instance, threads = os.getpid(), os.getppid(), torch.get_num_threads()
names = [open(f"/proc/self/task/{{t}}/comm").read().strip() for t in os.listdir("/proc/self/task")]
tasks = len(names)
"""
# A backward pass and a step of an optimizer: the engine of autograd has threads of its own.
TRAIN = f"""
copy = Net()
optimizer = torch.optim.SGD(copy.parameters(), lr=x / 1024)
before = copy.one.bias.sum().item()
copy(torch.ones(512, {SIZE})).sum().backward()
optimizer.step()
moved = before - copy.one.bias.sum().item()
"""
# Restoring this value starts torch's threads in the zygote.
EAGER = """
import os
import torch
class Eager:
    def __init__(self):
        self.weight = torch.eye(1024)
    def __setstate__(self, state):
        self.__dict__.update(state)
        torch.set_num_threads(2)
        self.product = self.weight @ self.weight
eager = Eager()
x = 1.0
"""
EAGER_CELL = "y = (eager.weight @ torch.full((1024, 1024), x)).max().item()\npid = os.getpid()"
OUTPUTS = ["low:float", "high:float", "pid:int", "instance:int", "threads:int", "tasks:int"]
CORES = min(2, len(os.sched_getaffinity(0)))


def concurrently(roost: Roost, node: str, numbers: list[float], at_once: int = 6) -> list[dict[str, Any]]:
    """The outputs of a request for each number; a hang shows as the node's timeout, a 504."""

    def one(x: float) -> dict[str, Any]:
        answer = roost.execute(node, {"x": x})
        assert answer.status == 200, answer
        return dict(answer.json["output"])

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, numbers))


@pytest.fixture(scope="module")
def net(roost: Roost) -> str:  # noqa: F811
    roost.checkpoint(NET, CELL, name="net")
    return "net"


def test_two_forked_instances_of_a_torch_module_answer_at_the_same_time(roost: Roost, net: str) -> None:  # noqa: F811
    node = roost.node(
        "net", inputs=["x:float"], outputs=OUTPUTS, instances={"count": 2}, cpus=CORES, timeoutSeconds=30, queueLimit=100
    )
    roost.healthy(node, 2)
    assert roost.status(node)["startMode"].startswith("fork:"), roost.status(node)
    numbers = [float(n) for n in range(80)]
    outputs = concurrently(roost, node, numbers)
    for x, output in zip(numbers, outputs):
        assert output["low"] == output["high"] == 9 * x + 4, (x, output)
    assert len({output["pid"] for output in outputs}) == 2
    assert {output["threads"] for output in outputs} == {CORES}
    if CORES > 1:
        assert max(output["tasks"] for output in outputs) > 1, "torch used no threads: this test shows nothing"
    status = roost.status(node)
    assert not status.get("restarts") and not status.get("lastError"), status


def test_training_in_forked_instances_neither_hangs_nor_is_shared(roost: Roost) -> None:  # noqa: F811
    roost.checkpoint(NET, TRAIN, name="train")
    node = roost.node(
        "train", inputs=["x:float"], outputs=["moved:float"], instances={"count": 2}, cpus=CORES, timeoutSeconds=30,
        queueLimit=100,
    )  # fmt: skip
    roost.healthy(node, 2)
    outputs = concurrently(roost, node, [1.0, 2.0] * 10)
    first, second = outputs[0]["moved"], outputs[1]["moved"]
    assert first > 0 and abs(second - 2 * first) < 1e-3 * second, outputs[:2]
    for at, output in enumerate(outputs):
        assert abs(output["moved"] - (first, second)[at % 2]) < 1e-3 * second, (at, output)
    assert not roost.status(node).get("restarts")


def test_torch_with_a_process_for_each_request_answers_at_the_same_time(roost: Roost, net: str) -> None:  # noqa: F811
    node = roost.node(
        "isolated", checkpoint=net, inputs=["x:float"], outputs=OUTPUTS, instances={"count": 2}, cpus=CORES,
        timeoutSeconds=30, queueLimit=100, isolation="request",
    )  # fmt: skip
    roost.healthy(node, 2)
    numbers = [float(n) for n in range(30)]
    outputs = concurrently(roost, node, numbers)
    for x, output in zip(numbers, outputs):
        assert output["low"] == output["high"] == 9 * x + 4, (x, output)
    assert len({output["pid"] for output in outputs}) == len(numbers)
    assert len({output["instance"] for output in outputs}) == 2
    assert not roost.status(node).get("restarts")


def test_a_restore_that_starts_torch_threads_is_spawned_and_answers(roost: Roost) -> None:  # noqa: F811
    if CORES == 1:
        pytest.skip("with one core torch starts no threads")
    roost.checkpoint(EAGER, EAGER_CELL, name="eager")
    node = roost.node(
        "eager", inputs=["x:float"], outputs=["y:float", "pid:int"], instances={"count": 2}, cpus=CORES,
        timeoutSeconds=30, queueLimit=100,
    )  # fmt: skip
    roost.healthy(node, 2)
    mode = roost.status(node)["startMode"]
    assert mode.startswith("spawn:") and "threads" in mode, mode
    numbers = [float(n) for n in range(40)]
    outputs = concurrently(roost, node, numbers)
    assert [output["y"] for output in outputs] == numbers
    assert len({output["pid"] for output in outputs}) == 2
