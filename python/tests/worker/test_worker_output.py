"""Prints and raw output in the node's log."""

from __future__ import annotations

import contextlib
import os
import re

import pytest
from worker_harness import eventually


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_prints_carry_the_request_and_keep_their_order(cell, isolation):
    code = (
        "import sys\nprint('one')\nprint('two', file=sys.stderr)\nprint('three\\nfour', end='')\n"
        "sys.stdout.buffer.write(b'!')\nout = 1"
    )
    client = cell(code, isolation=isolation)
    client.call({}, "req-7")
    eventually(lambda: len(client.zygote.lines(requestId="req-7")) == 4)
    lines = client.zygote.lines(requestId="req-7")
    assert [(one["stream"], one["message"]) for one in lines] == [
        ("stdout", "one"), ("stderr", "two"), ("stdout", "three"), ("stdout", "four!"),
    ]  # fmt: skip
    assert {(one["node"], one["instance"], one["release"]) for one in lines} == {("nodtest", "ins1", 1)}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one["time"]) for one in lines)


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_descriptor_1_and_subprocesses_are_logged_as_output(cell, isolation):
    code = "import os, subprocess\nos.write(1, b'raw\\n')\nsubprocess.run(['echo', 'sub'])\nos.write(2, b'\\xff\\n')\nout = 1"
    client = cell(code, isolation=isolation)
    client.call({}, "req")
    assert client.zygote.messages(3, stream="output") == ["raw", "sub", "\\xff"]
    assert all("requestId" not in one for one in client.zygote.lines(stream="output"))


def test_long_lines_are_cut_and_progress_bars_end_in_their_last_state(cell):
    client = cell(
        "print('x' * 100)\nprint('a\\rb\\rc')\nprint(chr(0xd800) + 'é')\nout = 1", maxLogLineBytes=20
    )
    client.call({}, "r")
    assert client.zygote.messages(3, requestId="r") == ["x" * 20 + "… (80 characters cut)", "c", "\ud800é"]


def test_a_long_request_can_be_followed(cell):
    code = "import time\nprint('early')\ntime.sleep(0.6)\nprint('later')\nwhile True: time.sleep(0.01)"
    client = cell(code, timeoutSeconds=5)
    client.sock.sendall(client.request(1, {}, "r"))
    assert client.zygote.messages(2, requestId="r") == ["early", "later"]
    assert client.answer()[1].kind == "timeout"


def test_a_flood_of_prints_is_written_without_being_kept_in_memory(cell):
    client = cell("for i in range(100000): print(i)\nout = 1", timeoutSeconds=20)
    client.call({}, "r")
    lines = client.zygote.messages(100000, requestId="r")
    assert lines == [str(i) for i in range(100000)]


def test_threads_print_between_requests(cell):
    code = (
        "import threading, time\nout = 1\n"
        "def late():\n    go.wait()\n    print('from a thread')\n"
        "go = threading.Event()\nthreading.Thread(target=late, daemon=True).start()\nthreading.Timer(0.1, go.set).start()"
    )
    client = cell(code)
    client.call({}, "r")
    assert client.zygote.messages(1, message="from a thread")
    assert "requestId" not in client.zygote.lines(message="from a thread")[0]


def test_a_renamed_log_is_opened_again(cell):
    client = cell("print('x')\nout = 1")
    client.call({})
    client.zygote.messages(1, message="x")
    log = client.zygote.log
    os.rename(log, f"{log}.1")
    eventually(lambda: client.call({}) and log.exists())


def test_a_full_disk_loses_lines_but_no_request(cell):
    client = cell("print('x' * 10)\nout = 1")
    client.call({})
    client.zygote.messages(1)
    log = client.zygote.log
    pid = client.zygote.op("info")["instances"][0]["pid"]
    os.rename(log, f"{log}.1")
    os.symlink("/dev/full", log)
    old = os.stat(f"{log}.1").st_ino

    def closed():
        """The instance has let go of the old file, so its lines go to the full disk."""
        assert client.call({}) == {"out": 1}
        inodes = set()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                inodes.add(os.stat(f"/proc/{pid}/fd/{fd}").st_ino)
        return old not in inodes

    eventually(closed)
    for _ in range(50):
        assert client.call({}) == {"out": 1}
    os.unlink(log)
    eventually(lambda: client.call({}) and client.zygote.lines(stream="system"))
    notice = client.zygote.lines(stream="system")[0]["message"]
    assert "lines were lost because the log could not be written: No space left on device" in notice


def test_a_fork_of_user_code_does_not_repeat_what_was_printed_before(cell):
    code = (
        "import multiprocessing\nprint('parent')\ndef work(): print('child')\n"
        "one = multiprocessing.get_context('fork').Process(target=work)\none.start()\none.join()\nout = one.exitcode"
    )
    client = cell(code)
    assert client.call({}, "r") == {"out": 0}
    assert sorted(client.zygote.messages(2, requestId="r")) == ["child", "parent"]


def test_lines_of_many_threads_are_all_there(cell):
    code = (
        "import threading\ndef work(n):\n    for i in range(500): print(f'{n}:{i}\\n', end='')\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "for t in threads: t.start()\nfor t in threads: t.join()\nout = 1"
    )
    client = cell(code)
    client.call({}, "r")
    assert sorted(client.zygote.messages(2000, requestId="r")) == sorted(
        f"{n}:{i}" for n in range(4) for i in range(500)
    )


def test_prints_of_the_restore_are_logged(checkpoint, zygote):
    made = checkpoint("out = 1")
    made.local_module("noisy", "print('importing')")
    made.module("noisy", "noisy")
    assert zygote(made).messages(1, stream="stdout") == ["importing"]


def test_magics_that_make_sense_work_and_others_are_refused(cell):
    code = (
        "get_ipython().run_line_magic('matplotlib', 'inline')\n"
        "get_ipython().run_line_magic('config', 'X.y = 1')\n"
        "get_ipython().run_cell_magic('time', '', 'n = 1\\nout = boom(1) if go else 2\\n')\n"
        "t = get_ipython().run_line_magic('time', '1 + 1')\n"
        "display(t)\n"
        "if go is None: get_ipython().system('ls')\n"
        "get_ipython().run_line_magic('timeit', 'n')\n"
    )
    client = cell(code, inputs={"go": "any"})
    assert client.call({"go": False}, "r") == {"out": 2}
    text = "\n".join(client.zygote.messages(6, requestId="r"))
    assert "Wall time: " in text and "\n2\n" in text and "per loop" in text
    error = client.call({"go": True})
    assert error.name == "NameError" and "line 3" in "".join(error.traceback)
    assert "shell commands: !ls" in client.call({"go": None}).message
