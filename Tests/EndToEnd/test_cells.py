"""What cells can do behind an API: types, state, isolation, prints, timeouts, limits."""

from __future__ import annotations

import json
import math

from conftest import ROOT, Roost, send_signal, wait_for


def test_instances_of_a_counter_keep_state_and_reset_forgets_it(roost: Roost) -> None:
    roost.checkpoint("count = 0\nstep = 1", "count = count + step\nresult = count", name="counter")
    node = roost.node("counter", inputs=["step:int"], outputs=["result:int"])
    values = [roost.execute(node, {"step": 1}).json["output"]["result"] for _ in range(3)]
    assert values == [2, 3, 4]  # the checkpoint was taken after the cell's first run
    roost.finished(roost.call("POST", f"/v1/nodes/{node}:reset").json["id"])
    assert roost.execute(node, {"step": 1}).json["output"]["result"] == 2


def test_isolation_request_gives_every_request_the_pinned_state(roost: Roost) -> None:
    node = roost.node("pinned", checkpoint="counter", inputs=["step:int"], outputs=["result:int"], isolation="request")
    assert {roost.execute(node, {"step": 1}).json["output"]["result"] for _ in range(6)} == {2}


def test_prints_are_in_the_log_with_the_request_id(roost: Roost) -> None:
    roost.checkpoint("who = 'me'", "print('hello', who)\ndone = True", name="printer")
    node = roost.node("printer", inputs=["who:str"], outputs=["done:bool"])
    body = {"folder_id": roost.folder, "input": {"who": "world"}}
    path = f"/datasphere/v1/nodes/{node}:execute"
    answer = roost.call("POST", path, body, headers={"x-request-id": "my-request-1"})
    assert answer.headers["x-request-id"] == "my-request-1"

    def line() -> bool:
        return any(
            entry["message"] == "hello world" and entry.get("requestId") == "my-request-1" for entry in roost.logs(node)
        )

    wait_for("the line is in the log", line)


def test_top_level_await_and_types_round_trip(roost: Roost) -> None:
    roost.checkpoint(
        "import asyncio, numpy as np\nitems = [1.0]\nblob = b''",
        "await asyncio.sleep(0)\narray = np.array(items) * 2\nback = blob[::-1]\nbad = float('nan')",
        name="types",
    )
    node = roost.node(
        "types", inputs=["items:list", "blob:bytes"], outputs=["array:numpy.ndarray", "back:bytes", "bad:float"]
    )
    output = roost.execute(node, {"items": [1, 2.5], "blob": "YWJj"}).json["output"]
    assert output == {"array": [2.0, 5.0], "back": "Y2Jh", "bad": None}


def test_a_timeout_names_its_timer_and_keeps_the_instance(roost: Roost) -> None:
    roost.checkpoint("seconds = 0.0", "import time\ntime.sleep(seconds)\nslept = seconds", name="sleeper")
    node = roost.node("sleeper", inputs=["seconds:float"], outputs=["slept:float"], timeoutSeconds=0.5)
    before = roost.instances(node)[0]["id"]
    answer = roost.execute(node, {"seconds": 30})
    assert answer.status == 504, answer
    assert "0.5" in answer.json["message"] or "500 ms" in answer.json["message"]
    assert roost.execute(node, {"seconds": 0}).status == 200
    assert roost.instances(node)[0]["id"] == before


def test_a_hang_is_killed_and_replaced(roost: Roost) -> None:
    roost.checkpoint(
        "hang = False",
        "import signal\nif hang:\n    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGUSR1])\n    while True:\n        pass\nok = True",
        name="hanger",
    )
    node = roost.node("hanger", inputs=["hang:bool"], outputs=["ok:bool"], timeoutSeconds=0.3)
    before = roost.instances(node)[0]["id"]
    answer = roost.execute(node, {"hang": True})
    assert answer.status == 504, answer
    wait_for("a new instance", lambda: before not in [i["id"] for i in roost.healthy(node, 1)])
    error = roost.status(node)["lastError"]
    assert error["exitClass"] == "hang", error
    assert f"did not end request {answer.headers['x-request-id']} within" in error["message"], error
    assert "recreated from checkpoint 'hanger' (" in error["message"], error
    assert roost.execute(node, {"hang": False}).status == 200


def test_an_instance_over_its_memory_limit_is_replaced_and_the_node_says_so(roost: Roost) -> None:
    # What is written page by page is killed by the kernel; one huge allocation might get a MemoryError instead.
    cell = "data = []\nfor _ in range(megabytes):\n    data.append(bytes([7]) * (1 << 20))\nsize = len(data)"
    roost.checkpoint("megabytes = 1", cell, name="eater")
    node = roost.node("eater", inputs=["megabytes:int"], outputs=["size:int"], memoryBytes=256 << 20)
    assert roost.execute(node, {"megabytes": 10}).status == 200
    answer = roost.execute(node, {"megabytes": 2000})
    assert answer.status == 503 and "roost node describe eater" in answer.json["message"], answer
    error = wait_for("lastError", lambda: roost.status(node).get("lastError"))
    assert error["exitClass"] == "outOfMemory", error
    assert "exceeded its memory limit of 256 MiB" in error["message"], error
    assert f"while it ran request {answer.headers['x-request-id']};" in error["message"], error
    assert "recreated from checkpoint 'eater' (" in error["message"] and "--memory" in error["message"], error
    assert error["message"] in roost.cli("node", "describe", "eater").stdout
    roost.healthy(node, 1)
    idle = roost.instances(node)[0]
    send_signal(idle["pid"])
    wait_for("its end is told", lambda: idle["id"] in roost.status(node)["lastError"]["message"])
    assert "while it ran" not in roost.status(node)["lastError"]["message"]
    roost.healthy(node, 1)
    assert roost.execute(node, {"megabytes": 1}).status == 200


def test_a_request_over_the_memory_limit_costs_only_itself_and_the_node_says_so(roost: Roost) -> None:
    node = roost.node(
        "glutton", checkpoint="eater", inputs=["megabytes:int"], outputs=["size:int"], memoryBytes=256 << 20, isolation="request"
    )
    before = roost.instances(node)[0]["id"]
    restarts = roost.status(node).get("restarts", 0)
    answer = roost.execute(node, {"megabytes": 2000})
    assert answer.status == 500 and "SIGKILL" in answer.json["message"], answer
    error = wait_for("lastError", lambda: roost.status(node).get("lastError"))
    assert error["exitClass"] == "outOfMemory", error
    assert f"the process of request {answer.headers['x-request-id']} exceeded its memory limit of 256 MiB" in error["message"], error
    assert f"in instance {before}; the instance goes on with the state of checkpoint 'eater' (" in error["message"], error
    assert "--memory" in error["message"], error
    assert error["message"] in roost.cli("node", "describe", "glutton").stdout
    assert error["message"] in roost.cli("node", "logs", "glutton").stdout
    # Asked for after the node has said it: an instance that is being replaced would not be healthy.
    assert [i["id"] for i in roost.healthy(node, 1)] == [before]
    assert roost.status(node).get("restarts", 0) == restarts
    assert roost.execute(node, {"megabytes": 10}).json["output"] == {"size": 10}


def test_a_cell_that_needs_a_network_is_told_about_subnets(roost: Roost) -> None:
    code = "import socket\nsocket.create_connection((host, 9), timeout=2)\nok = True"
    roost.checkpoint("host = '127.0.0.1'\nskip = True", "ok = True\nif not skip:\n    " + code.replace("\n", "\n    "), name="caller")
    node = roost.node("caller", inputs=["host:str", "skip:bool"], outputs=["ok:bool"])
    answer = roost.execute(node, {"host": "192.0.2.1", "skip": False})
    assert answer.status == 500 and "subnet" in answer.json["message"], answer
    described = roost.cli("node", "describe", "caller").stdout
    assert "none" in described


def test_the_sandbox_hides_the_data_folder(roost: Roost) -> None:
    roost.checkpoint(
        "path = '/'", "import os\nfound = os.path.exists(path)\nwritable = os.access('/usr', os.W_OK)", name="looker"
    )
    node = roost.node("looker", inputs=["path:str"], outputs=["found:bool", "writable:bool"])
    output = roost.execute(node, {"path": str(roost.data / "admin.token")}).json["output"]
    assert output == {"found": False, "writable": False}


def test_overload_is_refused_with_retry_after(roost: Roost) -> None:
    import concurrent.futures

    node = roost.node("busy", checkpoint="sleeper", inputs=["seconds:float"], outputs=["slept:float"], queueLimit=2)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: roost.execute(node, {"seconds": 0.3}), range(12)))
    refused = [answer for answer in answers if answer.status == 429]
    assert refused and all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {answer.status for answer in answers} == {200, 429}
    assert refused[0].json["code"] == 8


def test_a_failing_restore_is_told_in_the_users_words(roost: Roost) -> None:
    roost.checkpoint(
        "class Bomb:\n    def __reduce__(self):\n        return (eval, (\"(_ for _ in ()).throw(RuntimeError('boom at restore'))\",))\nbomb = Bomb()",
        "used = str(type(bomb))",
        name="bomb",
    )
    answer = roost.call(
        "POST", "/v1/nodes", {"name": "bomb", "checkpoint": "bomb", "outputs": [{"name": "used", "type": "str"}]}
    )
    operation = roost.finished(answer.json["id"])
    assert "boom at restore" in operation["error"]["message"]
    error = roost.status(answer.json["resourceId"])["lastError"]
    assert error["phase"] == "restore" and error["traceback"]
    refused = roost.execute(answer.json["resourceId"], {})
    assert refused.status == 503 and "boom at restore" in refused.json["message"]


def test_instances_share_a_big_array(roost: Roost) -> None:
    roost.checkpoint("import numpy as np\nbig = np.ones(25_000_000)", "index = 5\ntotal = float(big.sum())", name="big")
    node = roost.node("big", inputs=[], outputs=["total:float"], instances={"count": 4})
    for _ in range(12):
        assert roost.execute(node, {}).json["output"]["total"] == 25_000_000
    instances = roost.healthy(node, 4)
    total = sum(instance["proportionalBytes"] for instance in instances)
    assert total < 1.6 * 200e6, instances
    assert not math.isnan(total)


def test_examples_work_as_their_readme_says(roost: Roost) -> None:
    run = roost.cli("notebook", "run", ROOT / "examples/classifier/classifier.ipynb")
    assert "checkpoint" in run.stdout
    newest = roost.get("/v1/checkpoints")["checkpoints"][0]
    roost.cli("checkpoint", "pin", newest["id"], "--name", "iris")
    roost.node("iris", inputs=["features:list"], outputs=["label:str", "probabilities:list"])
    output = json.loads(roost.cli("node", "call", "iris", "--input", '{"features": [5.1, 3.5, 1.4, 0.2]}').stdout)
    assert output["label"] == "setosa" and len(output["probabilities"]) == 3
