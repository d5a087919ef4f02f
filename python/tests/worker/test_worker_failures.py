"""Timeouts, cancellation, exceptions, and processes that die."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from worker_harness import Client, Control, eventually

SLEEPERS = {
    "a busy loop": "while go: pass",
    "a sleep": "import time\nif go: time.sleep(30)",
    # It calls something: Python 3.10 runs no signal handler in a loop that begins with `try` and calls nothing.
    "a loop that swallows Exception": "while go:\n    try:\n        len('')\n    except Exception:\n        pass",
    "a lock that is never released": "import threading\nl = threading.Lock(); l.acquire()\nif go: l.acquire()",
    "a bare except that catches it twice": (
        "n = 0\nwhile go and n < 2:\n    try:\n        while True: pass\n    except:\n        n += 1\nwhile go: pass"
    ),
    "an await": "import asyncio\nif go: await asyncio.sleep(30)",
    "a subprocess": "import subprocess\nif go: subprocess.run(['sleep', '30'])",
}


@pytest.mark.parametrize("isolation", ["instance", "request"])
@pytest.mark.parametrize("name", SLEEPERS)
def test_a_cell_is_interrupted_at_its_limit(cell, name, isolation):
    client = cell(
        SLEEPERS[name] + "\nout = 1", inputs={"go": "bool"}, isolation=isolation, timeoutSeconds=0.2
    )
    error = client.call({"go": True})
    assert error.kind == "timeout" and "0.2 s" in error.message and error.body["stateKept"] is True, error
    assert client.call({"go": False}) == {"out": 1}


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_the_running_request_is_noted_where_a_killed_process_leaves_it(cell, isolation):
    client = cell("import time\nif go: time.sleep(30)\nout = 1", inputs={"go": "bool"}, isolation=isolation)
    path = client.zygote.folder / "sock" / "ins1.run"

    def note() -> bytes:
        data = path.read_bytes()
        return data[1 : 1 + data[0]]

    assert client.call({"go": False}, "first") == {"out": 1}
    eventually(lambda: note() == b"")  # an answer may leave before the note is wiped
    client.sock.sendall(client.request(5, {"go": False}, "first") + client.request(6, {"go": True}, "second"))
    eventually(lambda: note() == b"second")
    client.zygote.op("kill", "ins1")
    eventually(lambda: client.zygote.op("info")["instances"][0]["state"] == "exited")
    assert note() == b"second"
    client.zygote.op("forget", "ins1")
    assert not path.exists()


def test_an_alarm_that_comes_before_the_cell_has_begun_is_not_lost(cell):
    code = (
        "import signal, time\n"
        "if slow:\n"
        "    interrupter = signal.getsignal(signal.SIGALRM).__self__\n"
        "    arm = type(interrupter).arm_until\n"
        "    def slowly(self, deadline):\n"
        "        arm(self, deadline)\n"
        "        time.sleep(0.4)\n"
        "    type(interrupter).arm_until = slowly\n"
        "    interrupter.disarm()\n"
        "while go: pass\n"
        "out = 1"
    )
    client = cell(code, inputs={"slow": "bool", "go": "bool"}, timeoutSeconds=0.2)
    assert client.call({"slow": True, "go": False}) == {"out": 1}
    error = client.call({"slow": False, "go": True})
    assert error.kind == "timeout" and "0.2 s" in error.message, error


def test_the_timer_of_a_request_does_not_hit_a_later_one(cell):
    client = cell("import time\ntime.sleep(s)\nout = 1", inputs={"s": "float"}, timeoutSeconds=0.3)
    for _ in range(6):
        assert client.call({"s": 0.1}) == {"out": 1}
    assert client.call({"s": 1}).kind == "timeout"
    assert client.call({"s": 0.5}, timeout_ms=5000) == {"out": 1}


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_a_running_request_can_be_cancelled(cell, isolation):
    code = "import time\nprint('begun', flush=True)\nif go: time.sleep(30)\nout = 1"
    client = cell(code, inputs={"go": "bool"}, isolation=isolation)
    client.sock.sendall(client.request(5, {"go": True}, "slow"))
    client.zygote.messages(1, requestId="slow", message="begun")
    client.send(3, 5)
    os.kill(client.zygote.op("info")["instances"][0]["pid"], signal.SIGUSR1)
    tag, error = client.answer()
    assert (tag, error.kind) == (5, "cancelled")
    assert client.call({"go": False}) == {"out": 1}


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_a_waiting_request_is_cancelled_without_being_run(cell, isolation):
    code = "import time\nprint('ran', n, flush=True)\ntime.sleep(0.3 if n == 1 else 0)\nout = n"
    client = cell(code, inputs={"n": "int"}, isolation=isolation)
    client.sock.sendall(b"".join(client.request(n, {"n": n}) for n in (1, 2, 3)))
    client.zygote.messages(1, message="ran 1")
    client.send(3, 2)
    os.kill(client.zygote.op("info")["instances"][0]["pid"], signal.SIGUSR1)
    answers = dict(client.answer() for _ in range(3))
    assert answers[1] == {"out": 1} and answers[3] == {"out": 3} and answers[2].kind == "cancelled"
    assert not client.zygote.lines(message="ran 2")


def test_a_cancel_for_an_answered_request_is_ignored(cell):
    client = cell("out = 1")
    assert client.call({}, tag=4) == {"out": 1}
    client.send(3, 4)
    os.kill(client.zygote.op("info")["instances"][0]["pid"], signal.SIGUSR1)
    assert client.call({}, tag=4) == {"out": 1}


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_kinds_of_exceptions(cell, isolation):
    code = "import errno, socket, sys\nclass Odd(Exception):\n    def __str__(self): raise ValueError\nexec(do)\nout = 1"
    client = cell(code, inputs={"do": "str"}, isolation=isolation)
    for do, kind, name, words in [
        ("raise ValueError('no')", "cell", "ValueError", "no"),
        ("{}['k']", "cell", "KeyError", "'k'"),
        ("raise MemoryError", "memory", "MemoryError", "memory"),
        ("sys.exit(3)", "cell", "SystemExit", "exit(3)"),
        ("raise KeyboardInterrupt", "cell", "KeyboardInterrupt", ""),
        ("raise Odd", "cell", "Odd", "can't be shown"),
        ("raise OSError(errno.ENETUNREACH, 'x')", "network", "OSError", "--subnet host"),
        ("raise socket.gaierror(socket.EAI_AGAIN, 'x')", "network", "gaierror", "`none`"),
        (
            "try:\n  raise OSError(errno.ENETUNREACH, 'x')\nexcept OSError as e: raise RuntimeError('w') from e",
            "network", "RuntimeError", "--subnet host",
        ),
        ("def f(): f()\nf()", "cell", "RecursionError", "recursion"),
        ("raise FileNotFoundError(2, 'x')", "cell", "FileNotFoundError", "x"),
    ]:  # fmt: skip
        error = client.call({"do": do})
        assert (error.kind, error.name) == (kind, name), (do, error)
        assert words in error.message and error.body["stateKept"] is True
        assert len(error.traceback) <= 201
    assert client.call({"do": ""}) == {"out": 1}


def test_a_network_error_is_the_cells_own_where_the_subnet_is_host(cell):
    client = cell("import errno\nraise OSError(errno.ENETUNREACH, 'x')", network="host")
    assert client.call({}).kind == "cell"


def test_tracebacks_show_the_cell_with_carets_and_chained_causes(cell):
    code = (
        "def inner(x):\n    return x['a'] + x['b']['c']\n\ntry:\n    inner({'a': 1, 'b': {}})\n"
        "except KeyError as error:\n    raise ValueError('bad') from error\n"
    )
    lines = cell(code).call({}).traceback
    text = "\n".join(lines)
    assert "direct cause" in text and "Cell In[2], line 2, in inner" in text and "Cell In[2], line 7" in text
    assert any("^" in line for line in lines) or not hasattr(code, "co_positions")
    assert "roost" not in text


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_an_async_cell_keeps_its_event_loop_and_its_traceback(cell, isolation):
    code = "import asyncio\nawait asyncio.sleep(0)\nout = 1 // n"
    client = cell(code, inputs={"n": "int"}, isolation=isolation)
    assert client.call({"n": 1}) == {"out": 1}
    error = client.call({"n": 0})
    assert error.name == "ZeroDivisionError" and "asyncio" not in "".join(error.traceback[:3])
    assert client.call({"n": 1}) == {"out": 1}


@pytest.mark.parametrize("how,code,number", [("os._exit(3)", 3, None), ("os.kill(os.getpid(), 9)", None, 9)])
def test_the_end_of_an_instance_is_an_event_and_its_id_can_be_used_again(cell, how, code, number):
    client = cell(f"import os\nprint('before')\n{how}" if code else f"import os\n{how}")
    zygote = client.zygote
    events = type(zygote.control)(zygote.sockets / "zygote.sock")
    events.send({"op": "events"})
    client.sock.sendall(client.request(1, {}))
    assert events.receive() == {"event": "exited", "instance": "ins1", "code": code, "signal": number}
    with pytest.raises((EOFError, ConnectionResetError)):
        client.receive()
    info = zygote.op("info")["instances"]
    assert [(i["id"], i["state"], i["code"], i["signal"]) for i in info] == [("ins1", "exited", code, number)]
    assert not zygote.op("start", "ins1")["ok"]
    assert zygote.op("forget", "ins1") == {"ok": True} == zygote.op("forget", "ins1")
    assert zygote.op("info")["instances"] == []
    assert zygote.start("ins1").send(4, 9) is None
    if code:
        assert zygote.messages(1, stream="stdout") == ["before"]
    events.close()


def test_a_process_that_ends_in_an_isolated_request_does_not_end_the_instance(cell):
    client = cell("import os, ctypes\nexec(do)\nout = 1", inputs={"do": "str"}, isolation="request")
    error = client.call({"do": "print('bye'); os._exit(3)"}, "req")
    assert error.kind == "cell" and "exit code 3" in error.message
    error = client.call({"do": "ctypes.string_at(0)"})
    assert error.kind == "cell" and "SIGSEGV" in error.message
    error = client.call({"do": "os.kill(os.getpid(), 9)"})
    assert "SIGKILL" in error.message
    assert client.call({"do": ""}) == {"out": 1}
    assert client.zygote.messages(1, stream="stdout", requestId="req") == ["bye"]
    assert any("Segmentation fault" in line for line in client.zygote.messages(1, stream="output"))


def test_the_service_hears_of_a_request_that_lost_its_process(cell):
    client = cell("import os\nexec(do)\nout = 1", inputs={"do": "str"}, isolation="request")
    client.call({"do": "os._exit(3)"}, "unheard")
    events = Control(client.zygote.sockets / "zygote.sock")
    events.send({"op": "events"})
    told = {"event": "requestEnded", "instance": "ins1", "request": "unheard", "code": 3, "signal": None}
    assert events.receive() == told
    client.call({"do": "os.kill(os.getpid(), 9)"}, "killed")
    assert events.receive() == {**told, "request": "killed", "code": None, "signal": 9}
    events.close()
    assert client.call({"do": ""}) == {"out": 1}


def test_a_request_is_run_though_the_process_that_waited_for_it_is_gone(cell):
    client = cell("import os\nout = os.getpid(), os.getppid()", isolation="request")
    _, instance = client.call({})["out"]
    waiting = [int(p) for p in Path(f"/proc/{instance}/task/{instance}/children").read_text().split()]
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: all("Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1] for pid in waiting))
    ran, parent = client.call({})["out"]
    assert parent == instance and ran not in waiting


def test_the_process_of_a_request_is_the_first_to_go_for_want_of_memory(cell):
    code = (
        "import os\nout = [open(f'/proc/{pid}/oom_score_adj').read() for pid in (os.getpid(), os.getppid())]"
    )
    client = cell(code, isolation="request")
    request, instance = client.call({})["out"]
    assert request == "1000\n" != instance


def test_an_isolated_request_never_sees_another_ones_changes(cell):
    client = cell("n = globals().get('n', 0) + 1\nout = n", isolation="request")
    assert [client.call({}) for _ in range(5)] == [{"out": 1}] * 5


def test_a_child_that_ignores_the_interrupt_is_killed(cell):
    code = "import signal\nif go:\n    signal.pthread_sigmask(0, {14})\n    while True: pass\nout = 1"
    client = cell(code, inputs={"go": "bool"}, isolation="request", timeoutSeconds=0.2)
    error = client.call({"go": True})
    assert error.kind == "timeout" and "killed" in error.message
    assert client.call({"go": False}) == {"out": 1}


def test_stop_lets_the_running_request_end(cell):
    client = cell("import time\nprint('begun', flush=True)\ntime.sleep(0.3)\nout = 1")
    client.sock.sendall(client.request(1, {}))
    client.zygote.messages(1, message="begun")
    assert client.zygote.op("stop", "ins1") == {"ok": True}
    assert client.answer() == (1, {"out": 1})
    ended = eventually(lambda: [i for i in client.zygote.op("info")["instances"] if i["state"] == "exited"])
    assert ended[0]["code"] == 0
    assert client.zygote.op("stop", "unknown") == {"ok": True}


def test_a_fork_made_by_user_code_is_an_ordinary_process(cell):
    code = (
        "import multiprocessing, os\ndef f(x): return x * x\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n    out = pool.map(f, [1, 2, 3])\n"
    )
    assert cell(code).call({}) == {"out": [1, 4, 9]}


def test_nothing_runs_before_begin(checkpoint, zygote):
    running = zygote(checkpoint("out = 1"))
    running.op("start", "ins1")
    client = running.connect("ins1")
    client.sock.sendall(Client.request(3, {}))
    kind, tag, payload = client.receive()
    assert (kind, tag) == (130, 3) and "before begin" in json.loads(payload)["errorMessage"]
    client.begin()
    client.begin()
    assert client.call({}) == {"out": 1}


def test_a_broken_frame_ends_only_its_connection(cell):
    client = cell("out = 1")
    other = client.zygote.connect()
    other.sock.sendall(b"\x03\x00\x00\x00" + bytes(20))
    assert other.sock.recv(10) == b""
    third = client.zygote.connect()
    third.sock.sendall(b"\xff\xff\xff\xff" + bytes(20))
    assert third.sock.recv(10) == b""
    assert client.call({}) == {"out": 1}
