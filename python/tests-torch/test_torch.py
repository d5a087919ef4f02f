"""Tensors and modules of torch in checkpoints. Run by scripts/check-torch: torch is too large for every run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "checkpoint"))

from notebook_state import dumps_of, notebook, restore_and_run

MODULE = (
    "import torch\n"
    "class Net(torch.nn.Module):\n"
    "  def __init__(self):\n"
    "    super().__init__()\n"
    "    self.first = torch.nn.Linear(300, 300)\n"
    "    self.second = torch.nn.Linear(300, 300, bias=False)\n"
    "    self.second.weight = self.first.weight\n"
    "  def forward(self, x):\n"
    "    return self.second(self.first(x))\n"
    "torch.manual_seed(1)\n"
    "net = Net()\n"
    "optimizer = torch.optim.Adam(net.parameters())\n"
    "wanted = net(torch.ones(300)).detach()\n"
)


def test_a_module_comes_back_and_is_called() -> None:
    dumps = dumps_of(notebook(MODULE))
    assert sum(buffer.raw().nbytes for one in dumps for buffer in one.buffers) == 300 * 300 * 4
    restore_and_run(
        dumps,
        "import torch\nassert torch.allclose(net(torch.ones(300)), wanted)\n"
        "assert net.second.weight is net.first.weight\n"
        "assert optimizer.param_groups[0]['params'][0] is net.first.weight\n"
        "net(torch.ones(300)).sum().backward()\noptimizer.step()\n"
        "assert not torch.allclose(net(torch.ones(300)), wanted)",
    )


def test_views_share_memory_again() -> None:
    made = notebook("import torch\nbase = torch.zeros(100_000)\nview = base[10:20]\npair = [base, base.t()]")
    restore_and_run(
        dumps_of(made), "view[0] = 7\nassert base[10] == 7 and pair[0][10] == 7 and pair[1][10] == 7"
    )


def test_small_empty_and_odd_tensors_come_back() -> None:
    made = notebook(
        "import torch\nsmall = torch.arange(4)\nempty = torch.zeros(0, 3)\nhalf = torch.ones(50_000, dtype=torch.bfloat16)\n"
        "grad = torch.ones(3, requires_grad=True)\nodd = torch.arange(90_000.).reshape(300, 300).t()"
    )
    restore_and_run(
        dumps_of(made),
        "import torch\nsmall[0] = 9\nassert small.tolist() == [9, 1, 2, 3] and empty.shape == (0, 3)\n"
        "assert half.dtype == torch.bfloat16 and half.float().sum() == 50_000 and grad.requires_grad\n"
        "assert odd[1, 0] == 1 and odd.stride() == (1, 300)",
    )
