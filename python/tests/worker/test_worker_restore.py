"""What a zygote restores, how it says that it could not, and what instances share."""

from __future__ import annotations

import platform
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from worker_harness import eventually

from roost.worker import reach, rebuild

ARRAY = np.arange(1000, dtype="float64")


def test_only_what_the_cell_reaches_is_restored(checkpoint, zygote):
    made = checkpoint("out = model['w'] + np.ones(1)[0]")
    made.group(model={"w": 1}, mate=[2])
    made.group(used=False, other="x")
    made.module("np", "numpy", version=np.__version__)
    made.module("sk", "package_that_is_missing", used=False)
    running = zygote(made)
    info = running.op("info")
    assert info["restored"] == ["mate", "model", "np"], info
    assert (info["state"], info["mode"], info["threads"], info["warnings"]) == ("ready", "fork", 1, [])
    assert running.start().call({}) == {"out": 2.0}


@pytest.mark.parametrize("how", ["full", "dynamic"])
def test_everything_is_restored_on_request_or_where_the_reach_is_unknown(checkpoint, zygote, how):
    made = checkpoint("out = eval('other')")
    made.group(used=False, other="x")
    if how == "dynamic":
        made.manifest["analysis"]["dynamic"] = [{"name": "eval", "line": 1}]
    running = zygote(made, restore="full" if how == "full" else "reachable")
    assert running.op("info")["restored"] == ["other"]
    assert running.start().call({}) == {"out": "x"}


def test_an_output_that_the_cell_leaves_alone_is_restored_and_an_input_is_not(checkpoint, zygote):
    made = checkpoint("y = x")
    made.group(used=False, version="1.2")
    made.group(x=[0] * 10)
    running = zygote(
        made,
        inputs=[{"name": "x", "type": "int"}],
        outputs=[{"name": "y", "type": "int"}, {"name": "version", "type": "str"}],
    )
    assert running.op("info")["restored"] == ["version"]
    assert running.start().call({"x": 4}) == {"y": 4, "version": "1.2"}


def test_names_that_functions_read_are_found_without_attributes():
    code = compile("def f(a):\n    def g(): return deep\n    return a.attr + other + g()", "x", "exec")
    inner = next(one for one in code.co_consts if isinstance(one, types.CodeType))
    assert reach.names_of(inner) == {"deep", "other"}


def test_large_arrays_are_mapped_writable_and_private(checkpoint, zygote):
    made = checkpoint("array[0] += 1\nout = [float(array[0]), float(array.sum())]")
    group = made.group(array=ARRAY, empty=np.ones(0))
    assert group["buffers"]
    running = zygote(made)
    one, two = running.start("ins1"), running.start("ins2")
    assert one.call({})["out"][0] == 1.0
    assert one.call({})["out"][0] == 2.0
    assert two.call({})["out"] == [1.0, float(ARRAY.sum()) + 1]
    digest = group["buffers"][0]["digest"].rpartition(":")[2]
    assert (made.blobs / digest).read_bytes() == ARRAY.tobytes()
    pid = running.op("info")["instances"][0]["pid"]
    assert digest in Path(f"/proc/{pid}/maps").read_text()


def test_local_modules_come_from_the_checkpoint(checkpoint, zygote):
    made = checkpoint(
        "import pack.tool\nout = mylib.twice(4) + pack.tool.three()\nif out > 99: pass\nmylib.fail()"
    )
    made.local_module("mylib", "def twice(x): return 2 * x\ndef fail():\n    raise ValueError('in mylib')\n")
    made.local_module("pack", "", is_package=True)
    made.local_module("pack.tool", "def three(): return 3")
    made.module("mylib", "mylib")
    error = zygote(made).start().call({})
    assert error.name == "ValueError"
    text = "\n".join(error.traceback)
    assert "<checkpoint>/mylib.py" in text and "raise ValueError('in mylib')" in text


def failed(running):
    info = running.op("info")
    assert info["state"] == "failed" and running.op("start", "ins1") == {"ok": False, "error": info["error"]}
    assert running.process.poll() is None
    return info["error"]


def test_a_corrupt_blob_is_named(checkpoint, zygote):
    made = checkpoint("out = model")
    stream = made.group(model={"w": 1})["stream"]
    path = made.blobs / stream["digest"].rpartition(":")[2]
    path.write_bytes(b"x" * stream["size"])
    error = failed(zygote(made))
    assert error["phase"] == "blobs" and stream["digest"] in error["errorMessage"]
    assert "is corrupt: its content has the digest" in error["errorMessage"]
    path.write_bytes(b"x")
    assert "it has 1 bytes" in failed(zygote(made))["errorMessage"]
    path.unlink()
    assert "is missing" in failed(zygote(made))["errorMessage"]


def test_a_missing_package_is_named_with_its_variable(checkpoint, zygote):
    made = checkpoint("out = model")
    module = types.ModuleType("vanished_package")
    exec("class Model: pass", module.__dict__)
    module.Model.__module__ = "vanished_package"
    sys.modules["vanished_package"] = module
    try:
        made.group(model=module.Model())
    finally:
        del sys.modules["vanished_package"]
    made.manifest["packages"]["vanished_package"] = "2.1"
    error = failed(zygote(made))
    assert error["errorName"] == "ModuleNotFoundError" and error["traceback"]
    assert "package vanished_package is not installed in the node's environment" in error["errorMessage"]
    assert "'model'" in error["errorMessage"] and "2.1" in error["errorMessage"]


class Calls:
    """Comes back as the value of an expression, computed in the notebook's namespace while it is unpickled."""

    def __init__(self, expression: str) -> None:
        self.expression = expression

    def __reduce__(self):
        code = compile(self.expression, "<cell>", "eval")
        return eval, ("f()", {"f": Later(code)})


class Later:
    """A function of the notebook, as checkpoints hold it."""

    def __init__(self, code) -> None:
        self.code = code

    def __reduce__(self):
        return rebuild.make_function, (self.code, "f", None, None)


def test_names_that_an_object_reads_while_it_comes_back_are_there(checkpoint, zygote):
    made = checkpoint("out = eager")
    made.module("math", "math", used=False)
    made.group(used=False, scale=2.5)
    made.group(eager=Calls("math.floor(scale * 3)"))
    assert zygote(made).start().call({}) == {"out": 7}


def test_a_name_that_nothing_knows_is_told(checkpoint, zygote):
    made = checkpoint("out = 1")
    made.group(eager=Calls("nowhere()"))
    assert "NameError: name 'nowhere' is not defined" in failed(zygote(made))["errorMessage"]


def test_a_missing_module_of_a_variable_is_named(checkpoint, zygote):
    made = checkpoint("out = sk")
    made.module("sk", "package_that_is_missing.sub")
    assert "package package_that_is_missing is not installed" in failed(zygote(made))["errorMessage"]


@pytest.mark.parametrize(
    "change,words",
    [
        ({"formatVersion": 2}, "format version 2"),
        (
            {"python": {"version": "3.1.0"}},
            "made by Python 3.1.0, nodes of this server run Python " + platform.python_version(),
        ),
        ({"cell": {"code": "out ="}}, "the cell can't be compiled"),
    ],
)
def test_manifests_that_can_not_be_used_say_why(checkpoint, zygote, change, words):
    made = checkpoint("out = 1")
    made.manifest.update(change)
    assert words in failed(zygote(made))["errorMessage"]


def test_another_package_version_is_a_warning(checkpoint, zygote):
    made = checkpoint("out = 1")
    made.module("np", "numpy", version="0.1")
    warnings = zygote(made).op("info")["warnings"]
    assert len(warnings) == 1 and "was 0.1" in warnings[0]


class StartsThread:
    """Restoring it leaves a thread behind."""

    def __reduce__(self):
        code = "__import__('threading').Thread(target=__import__('time').sleep, args=(600,), daemon=True).start() or 5"
        return (eval, (code,))


class PrintsPid:
    """Restoring it tells in which process."""

    def __reduce__(self):
        return (eval, ("(print('restored here'), __import__('os').getpid())[1]",))


def test_a_restore_that_starts_threads_makes_the_node_spawn(checkpoint, zygote):
    made = checkpoint("import os\nout = [five, os.getppid() == zyg, os.environ.get('OMP_NUM_THREADS')]")
    made.group(five=StartsThread())
    running = zygote(made, inputs=[{"name": "zyg", "type": "int"}], environment={"OMP_NUM_THREADS": "3"})
    info = running.op("info")
    assert (info["mode"], info["threads"]) == ("spawn", 2) and "started threads" in info["modeReason"]
    assert running.start("ins1").call({"zyg": running.process.pid}) == {"out": [5, True, "3"]}
    assert running.start("ins2").call({"zyg": running.process.pid}) == {"out": [5, True, "3"]}
    assert len({one["pid"] for one in running.op("info")["instances"]}) == 2
    running.op("kill", "ins1")
    ended = eventually(lambda: [i for i in running.op("info")["instances"] if i["state"] == "exited"])
    assert ended[0]["signal"] == 9


def test_spawn_can_be_asked_for(checkpoint, zygote):
    made = checkpoint("import os\nprint('hi')\nos.write(1, b'raw\\n')\nout = x")
    made.group(x=7)
    running = zygote(made, startMode="spawn", isolation="request")
    assert "asks for spawn" in running.op("info")["modeReason"]
    assert running.start().call({}, "r1") == {"out": 7}
    assert running.messages(1, stream="stdout", requestId="r1") == ["hi"]
    assert running.messages(1, stream="output") == ["raw"]


def test_groups_for_after_the_fork_are_restored_in_each_instance(checkpoint, zygote):
    made = checkpoint("import os\nout = pid == os.getpid()")
    made.group(after_fork=True, pid=PrintsPid())
    running = zygote(made)
    assert running.op("info")["restored"] == []
    assert running.start("ins1").call({}) == {"out": True}
    assert running.start("ins2").call({}) == {"out": True}
    assert len(running.messages(2, message="restored here")) == 2


def test_a_group_that_fails_after_the_fork_fails_at_begin(checkpoint, zygote):
    made = checkpoint("out = broken")
    stream = made.group(after_fork=True, broken={"w": 1})["stream"]
    (made.blobs / stream["digest"].rpartition(":")[2]).write_bytes(b"?" * stream["size"])
    running = zygote(made)
    assert running.op("info")["state"] == "ready" and running.op("start", "ins1")["ok"]
    client = running.connect("ins1")
    for tag, kind in ((1, 1), (2, 2), (3, 1)):
        client.send(kind, tag, bytes(5) + b"{}" if kind == 2 else b"{}")
        answer = client.receive()
        assert answer[:2] == (130, tag) and b"is corrupt" in answer[2]


def test_instances_have_random_numbers_of_their_own(checkpoint, zygote):
    made = checkpoint("import random, numpy\nout = [random.random(), numpy.random.random()]")
    made.module("random", "random")
    made.module("numpy", "numpy")
    running = zygote(made)
    drawn = [running.start(name).call({})["out"] for name in ("ins1", "ins2", "ins3")]
    assert len({one[0] for one in drawn}) == 3 and len({one[1] for one in drawn}) == 3


@pytest.mark.parametrize("keep", [True, False])
def test_isolated_requests_draw_new_numbers_unless_the_state_is_kept(checkpoint, zygote, keep):
    made = checkpoint("import random, numpy\nout = [random.random(), numpy.random.random()]")
    made.module("random", "random")
    made.module("numpy", "numpy")
    client = zygote(made, isolation="request", keepRandomState=keep).start()
    drawn = [client.call({})["out"] for _ in range(4)]
    assert len({one[0] for one in drawn}) == (1 if keep else 4), drawn
    assert len({one[1] for one in drawn}) == (1 if keep else 4), drawn


def test_instances_share_kept_random_state(checkpoint, zygote):
    made = checkpoint("import random, numpy\nout = [random.random(), numpy.random.random()]")
    made.module("random", "random")
    made.module("numpy", "numpy")
    running = zygote(made, keepRandomState=True)
    assert running.start("ins1").call({}) == running.start("ins2").call({})


def test_the_environment_is_pinned_only_in_the_zygote(checkpoint, zygote):
    code = "import os\nout = [os.environ.get('OMP_NUM_THREADS'), os.environ.get('MKL_NUM_THREADS')]"
    made = checkpoint(code)
    made.local_module("looks", "import os\nprint('zygote has', os.environ['OMP_NUM_THREADS'])")
    made.module("looks", "looks")
    running = zygote(made, environment={"OMP_NUM_THREADS": "6"})
    assert running.messages(1, stream="stdout") == ["zygote has 1"]
    assert running.start().call({}) == {"out": ["6", None]}


def test_the_namespace_holds_nothing_of_the_worker(checkpoint, zygote):
    made = checkpoint("out = [sorted(k for k in globals() if k != 'out'), __name__]")
    assert zygote(made).start().call({}) == {
        "out": [["__builtins__", "__doc__", "__loader__", "__name__", "__package__", "__spec__"], "__main__"]
    }


def test_what_the_cell_imports_is_loaded_before_the_fork(checkpoint, zygote):
    code = "import os, pinned\ntry:\n    import missing_package\nexcept ImportError:\n    pass\nout = pinned.pid != os.getpid()"
    made = checkpoint(code)
    made.local_module("pinned", "import os\npid = os.getpid()")
    assert zygote(made).start().call({}) == {"out": True}


def test_an_empty_folder_of_sockets_remains_after_shutdown(checkpoint, zygote):
    running = zygote(checkpoint("out = 1"))
    running.start("ins1")
    running.start("ins2")
    assert running.op("shutdown") == {"ok": True}
    assert running.process.wait(10) == 0
    assert list(running.sockets.iterdir()) == []


def test_instances_end_when_the_zygote_is_killed(checkpoint, zygote):
    running = zygote(checkpoint("out = 1"))
    running.start("ins1")
    client = running.connect("ins1")
    running.process.kill()
    assert client.sock.recv(1) == b""


def test_the_control_socket_survives_nonsense(checkpoint, zygote):
    running = zygote(checkpoint("out = 1"))
    control = running.control
    for line in (
        b"nonsense\n",
        b"[]\n",
        b'{"op":"fly"}\n',
        b'{"op":"start"}\n',
        b'{"op":"start","instance":"../x"}\n',
    ):
        control.file.write(line)
        control.file.flush()
        answer = control.receive()
        assert answer["ok"] is False and answer["error"]["errorMessage"]
    control.file.write(b'{"op":"start","instance":"a"}\n{"op":"info"}\n{"op":"start","instance":"a"}\n')
    control.file.flush()
    first, info, again = (control.receive() for _ in range(3))
    assert first["ok"] and first == again and info["instances"][0]["pid"] == first["pid"]
