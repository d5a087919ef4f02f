"""The node's example request is run before callers' requests, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
from worker_harness import Checkpoint, Zygote, eventually

COUNTER = "count += x\nseen.append(x)\nprint('ran with', x)\nout = [count, len(seen)]"

Make = Callable[..., Zygote]


@pytest.fixture
def run(zygote: Make) -> Make:
    """Starts zygotes."""
    return zygote


@pytest.fixture
def counter(folder: Path) -> Checkpoint:
    """A cell whose requests change its state."""
    checkpoint = Checkpoint(folder / "counter", COUNTER)
    checkpoint.group(count=0)
    checkpoint.group(seen=[])
    return checkpoint


def with_a_thread(checkpoint: Checkpoint) -> Checkpoint:
    """Its restore starts a thread, so that instances are spawned."""
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    checkpoint.local_module("busy", source)
    checkpoint.module("busy", "busy")
    return checkpoint


def warm(zygote: Zygote) -> dict[str, Any]:
    """Asks for the rehearsal as the service does; how it went."""
    answer = zygote.control.ask({"op": "rehearse", "groups": 0})
    assert answer["ok"], answer
    assert zygote.op("info")["warmUp"] == answer["warmUp"]
    return dict(answer["warmUp"] or {})


def config(mode: str, **values: Any) -> dict[str, Any]:
    """What the service writes of the warm-up."""
    return {
        "warmUp": mode,
        "example": json.dumps(values),
        "inputs": [{"name": name, "type": "any"} for name in values],
    }


def test_a_rehearsal_leaves_the_state_as_it_was_and_its_prints_are_labelled(
    counter: Checkpoint, run: Make
) -> None:
    zygote = run(counter, **config("fork", x=5))
    outcome = warm(zygote)
    assert outcome["state"] == "done" and 0 < outcome["seconds"] < 5, outcome
    assert zygote.messages(requestId="warm-up", stream="stdout") == ["ran with 5"]
    assert "example request ran" in zygote.lines(stream="system")[-1]["message"]
    assert zygote.start().call({"x": 1}) == {"out": [1, 1]}


def test_in_the_instance_itself_the_state_is_that_after_the_example(counter: Checkpoint, run: Make) -> None:
    zygote = run(counter, **config("instance", x=5))
    assert warm(zygote)["state"] == "done"
    for instance in ("ins1", "ins2"):
        assert zygote.start(instance).call({"x": 1}) == {"out": [6, 2]}
        assert zygote.messages(instance=instance, requestId="warm-up", stream="stdout") == ["ran with 5"]
        assert zygote.messages(instance=instance, stream="system")[0].startswith(
            "warm-up: the example request ran in"
        )


def test_without_a_warm_up_nothing_runs(counter: Checkpoint, run: Make) -> None:
    zygote = run(counter, **config("off", x=5))
    assert warm(zygote) == {}
    assert zygote.start().call({"x": 1}) == {"out": [1, 1]}
    assert not zygote.lines(requestId="warm-up")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ValueError('not these')", "ValueError: not these"),
        ("import os; os._exit(3)", "ended with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal SIGSEGV"),
        ("while True: pass", "RequestTimeout: the cell did not end within 0.3 s"),
        (
            "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\nwhile True: pass",
            "did not end within 0.3 s and was killed",
        ),
        ("out = object()", "has no JSON form"),
    ],
)
@pytest.mark.parametrize("mode", ["fork", "instance"])
def test_an_example_that_fails_is_told_and_instances_start_all_the_same(
    folder: Path, run: Make, code: str, words: str, mode: str
) -> None:
    checkpoint = Checkpoint(folder / "c", f"if x == 0:\n    out = 'served'\nelse:\n    exec({code!r})")
    zygote = run(checkpoint, **{**config(mode, x=5), "timeoutSeconds": 0.3})
    outcome = warm(zygote)
    assert outcome["state"] == "failed" and words in outcome["message"], outcome
    assert outcome["seconds"] < 3
    assert zygote.start().call({"x": 0}) == {"out": "served"}


def test_what_the_example_imported_is_there_for_all_instances(folder: Path, run: Make) -> None:
    checkpoint = Checkpoint(
        folder / "c", "import sys\nout = ['wave' in sys.modules]\n__import__('wave'); out.append(True)"
    )
    zygote = run(checkpoint, **config("fork"))
    outcome = warm(zygote)
    assert outcome["state"] == "done" and "modules that it imported are loaded" in outcome["message"], outcome
    assert zygote.start().call({}) == {"out": [True, True]}
    cold = run(checkpoint, **config("off"))
    assert cold.start().call({}) == {"out": [False, True]}


def test_what_a_subprocess_of_the_example_prints_is_labelled_and_it_ends_with_the_example(
    folder: Path, run: Make
) -> None:
    code = (
        "import subprocess\nsubprocess.run(['echo', 'from a program'])\n"
        f"open({str(folder / 'pid')!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))\nout = 1"
    )
    zygote = run(Checkpoint(folder / "c", code), **config("fork"))
    assert warm(zygote)["state"] == "done"
    assert zygote.messages(requestId="warm-up", stream="output") == ["from a program"]
    status = Path(f"/proc/{(folder / 'pid').read_text()}/stat")
    eventually(lambda: not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_with_threads_there_is_no_copy_and_that_is_said(counter: Checkpoint, run: Make) -> None:
    zygote = run(with_a_thread(counter), **config("fork", x=5))
    outcome = warm(zygote)
    assert outcome["state"] == "skipped" and "the restore started threads" in outcome["message"]
    assert zygote.start().call({"x": 1}) == {"out": [1, 1]}


def test_an_instance_that_dies_of_its_warm_up_is_the_last_one_that_has_any(folder: Path, run: Make) -> None:
    checkpoint = Checkpoint(folder / "c", "import os\nif x == 5: os._exit(9)\nout = x")
    zygote = run(with_a_thread(checkpoint), **config("instance", x=5))
    assert warm(zygote)["state"] == "skipped"  # no copy can be made, so the first instance finds out
    assert zygote.op("start", "ins1")["ok"]
    zygote.connect("ins1").send(1, 1, b"{}")
    eventually(lambda: zygote.op("info")["instances"][0]["state"] == "exited")
    told = zygote.op("info")["warmUp"]
    assert told["state"] == "failed" and "in its warm-up" in told["message"], told
    assert zygote.start("ins2").call({"x": 1}) == {"out": 1}
