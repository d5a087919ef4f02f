"""Environments of cell nodes: built from wheels in a folder, checked against the notebook, pinned by their lock."""

from __future__ import annotations

import json
import os
import pathlib
import sqlite3
import sys
import time
import zipfile
from collections.abc import Callable, Iterator

import pytest
from conftest import Answer, Roost, send_signal, wait_for
from wheels import source, wheel

MINOR = "%d.%d" % sys.version_info[:2]
CELLS = "import greeting\nname = 'nobody'\ndef answer(name):\n    return greeting.greet(name)", "said = answer(name)"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        wheel(folder, "greeting", version)
    wheel(folder, "other-greeting", "5.0", module="greeting")
    wheel(folder, "unrelated", "1.0")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, wheels: pathlib.Path) -> Iterator[Roost]:
    """A server whose notebook kernels have `greeting` 1.0 beside them, as an installed package."""
    top = tmp_path_factory.mktemp("server")
    server = Roost(top / "data", "--wheels", str(wheels)).start()
    site = tmp_path_factory.mktemp("site")  # not below the notebook's folder: that would be a module of the project
    zipfile.ZipFile(wheels / "greeting-1.0-py3-none-any.whl").extractall(site)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(site)
    try:
        server.checkpoint(*CELLS, name="greeter")
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    yield server
    server.close()


def environment(server: Roost, name: str, requirements: str, **more: object) -> dict[str, object]:
    """Makes an environment and waits for it."""
    body = {"name": name, "requirements": requirements, "offline": True, **more}
    answer = server.call("POST", "/v1/environments", body)
    assert answer.status == 202, answer
    operation = server.finished(answer.json["id"], 120)
    assert "error" not in operation, operation
    return dict(server.get(f"/v1/environments/{name}"))


def refused(server: Roost, name: str, **more: object) -> Answer:
    body = {
        "name": name, "checkpoint": "greeter", "inputs": [{"name": "name", "type": "str"}],
        "outputs": [{"name": "said", "type": "str"}], **more,
    }  # fmt: skip
    answer = server.call("POST", "/v1/nodes", body)
    assert answer.status == 400, answer
    return answer


def test_two_nodes_with_two_versions_of_a_package_answer_differently(server: Roost, tmp_path: pathlib.Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("greeting==1.0  # what the notebook has\n")
    made = server.cli("environment", "create", "first", "--requirements", requirements, "--offline", "--wait")
    assert "READY" in made.stdout and "greeting==1.0" in made.stdout
    second = environment(server, "second", "greeting>=2")
    assert second["status"] == "READY" and second["packageCount"] == 1
    assert "greeting==2.0 \\\n    --hash=sha256:" in str(second["lock"])
    one = server.node("one", checkpoint="greeter", inputs=["name:str"], outputs=["said:str"], environment="first")
    done = server.cli(
        "node", "create", "two", "--checkpoint", "greeter", "--input", "name:str", "--output", "said:str",
        "--environment", "second", "--wait",
    )  # fmt: skip
    assert "warning: package greeting is 2.0 in environment 'second' and was 1.0 in the notebook" in done.stderr
    two = server.get("/v1/nodes/two")["id"]
    assert server.execute(one, {"name": "Ann"}).json["output"] == {"said": "Ann by 1.0"}
    assert server.execute(two, {"name": "Ann"}).json["output"] == {"said": "Ann by 2.0"}
    for node, name, reason in ((one, "first", "Fits"), (two, "second", "Differs")):
        found = server.get(f"/v1/nodes/{node}")
        digest = server.get(f"/v1/environments/{name}")["lockDigest"]
        assert found["spec"]["cell"]["environment"] == {
            "id": server.get(f"/v1/environments/{name}")["id"], "name": name, "lockDigest": digest,
        }  # fmt: skip
        condition = next(c for c in found["status"]["conditions"] if c["type"] == "Environment")
        assert condition["reason"] == reason, condition
    assert "second" in server.cli("node", "describe", "two").stdout


def test_a_restart_and_a_crash_keep_nodes_in_their_environments(server: Roost) -> None:
    node = server.get("/v1/nodes/two")["id"]
    pids = {i["pid"] for i in server.healthy(node, 1)}
    server.kill()
    server.start()
    assert {i["pid"] for i in server.healthy(node, 1)} == pids, "instances live on"
    for pid in pids:
        send_signal(pid)
    wait_for("a new instance", lambda: {i["pid"] for i in server.healthy(node, 1)} != pids)
    assert server.execute(node, {"name": "Bo"}).json["output"] == {"said": "Bo by 2.0"}


def test_an_update_to_another_environment_is_a_release_that_can_be_taken_back(server: Roost) -> None:
    server.cli("node", "update", "one", "--environment", "second", "--wait")
    node = server.get("/v1/nodes/one")["id"]
    assert server.execute(node, {"name": "Cy"}).json["output"] == {"said": "Cy by 2.0"}
    assert server.status(node)["release"] == 2
    used = server.call("DELETE", "/v1/environments/first")
    assert used.status == 400 and "former releases count" in used.json["detail"], used
    strict = server.cli("node", "update", "one", "--environment", "second", "--strict-environment", check=False)
    assert strict.returncode != 0 and "greeting is 2.0" in strict.stderr
    server.cli("node", "rollback", "one", "--wait")
    assert server.execute(node, {"name": "Cy"}).json["output"] == {"said": "Cy by 1.0"}


def test_what_is_missing_is_refused_with_package_versions_and_fix(server: Roost) -> None:
    environment(server, "lacking", "unrelated")
    message = refused(server, "nope", environment="lacking").json["detail"]
    assert "package greeting 1.0 is not in environment 'lacking'" in message, message
    assert "variables 'answer', 'greeting' need it" in message or "variable 'greeting' needs it" in message, message
    assert "create an environment with 'greeting==1.0' in its requirements" in message
    default = refused(server, "nope").json
    assert "package greeting 1.0 is not in environment 'default'" in default["detail"] and default["field"] == "environment"
    environment(server, "newer", "greeting==2.0")
    strict = refused(server, "nope", environment="newer", strictEnvironment=True).json["detail"]
    assert "package greeting is 2.0 in environment 'newer' and was 1.0 in the notebook" in strict
    environment(server, "replaced", "other-greeting")
    answer = server.call("POST", "/v1/environments/replaced:check", {"checkpoint": "greeter"}).json
    assert answer["fits"] and "module greeting comes from other-greeting 5.0" in answer["findings"][0]["message"]
    said = server.cli(
        "node", "validate", "nope", "--checkpoint", "greeter", "--environment", "newer", "--input", "name:str", "--output", "said:str"
    )
    assert "warning: package greeting is 2.0 in environment 'newer' and was 1.0" in said.stderr, said
    assert said.stdout == "node nope is valid\n"
    unknown = server.call("POST", "/v1/nodes", {"name": "nope", "checkpoint": "greeter", "environment": "nowhere", "outputs": [{"name": "said", "type": "str"}]})
    assert unknown.status == 404 and "roost environment list" in unknown.json["detail"], unknown
    done = server.cli("environment", "check", "lacking", "--checkpoint", "greeter", check=False)
    assert done.returncode == 1 and "doesn't fit" in done.stdout and "missing" in done.stdout
    done = server.cli("environment", "check", "first", "--checkpoint", "greeter")
    assert "fits checkpoint greeter" in done.stdout


def test_another_minor_version_of_python_is_refused_before_anything_runs(server: Roost) -> None:
    other = next((f"3.{n}" for n in range(9, 14) if f"3.{n}" != MINOR and has_python(f"3.{n}")), None)
    if other is None:
        pytest.skip("this machine has no second minor version of Python 3.9 to 3.13")
    made = environment(server, "elder", "greeting==1.0", python=other)
    assert str(made["pythonVersion"]).startswith(other + ".")
    message = refused(server, "nope", environment="elder").json["detail"]
    assert f"the checkpoint was made by Python {MINOR}." in message and f"environment 'elder' has Python {other}." in message
    assert f"create the environment with --python {MINOR}" in message


def has_python(minor: str) -> bool:
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
    return pathlib.Path(f"/usr/bin/python{minor}").exists() or any(pyenv.glob(f"{minor}.*/bin/python3"))


def test_an_environment_in_use_stays_and_a_free_one_goes_with_its_files(server: Roost) -> None:
    used = server.call("DELETE", "/v1/environments/second")
    assert used.status == 400 and "it is used by node 'one', 'two'" in used.json["detail"], used
    free = environment(server, "free", "greeting==1.0\nunrelated")
    folder = server.data / "environments/ready" / str(free["lockDigest"])
    assert folder.is_dir()
    server.cli("environment", "delete", "free", "--yes")
    assert not folder.exists()
    assert server.call("GET", "/v1/environments/free").status == 404
    # Two of one lock share files: those stay until the last is gone.
    one, two = environment(server, "twin-a", "unrelated"), environment(server, "twin-b", "unrelated==1.0")
    assert one["lockDigest"] == two["lockDigest"] == server.get("/v1/environments/lacking")["lockDigest"]
    assert server.call("DELETE", "/v1/environments/twin-a").status == 204
    assert (server.data / "environments/ready" / str(one["lockDigest"])).is_dir()
    answer = server.call("DELETE", "/v1/environments/default")
    assert answer.status == 400 and "server's own" in answer.json["detail"]


def test_an_environment_of_the_same_lock_is_there_at_once(server: Roost) -> None:
    lock = str(server.get("/v1/environments/second")["lock"])
    start = time.monotonic()
    body = {"name": "again", "lock": lock, "offline": True}
    operation = server.call("POST", "/v1/environments", body).json["id"]
    assert "error" not in server.finished(operation)
    log = server.cli("environment", "logs", "again").stdout
    assert "the same environment was made before" in log and "pip sync" not in log
    assert time.monotonic() - start < 30


def test_a_killed_service_makes_the_environment_again(make_server: Callable[..., Roost], tmp_path: pathlib.Path) -> None:
    wheel(tmp_path, "greeting", "1.0")
    gate = tmp_path / "slow"
    gate.mkdir()
    # A build step that waits until the file `go` is among the wheels, which the sandbox shows.
    source(
        gate, "waiting", "1.0",
        f"import time\n    while not os.path.exists({str(gate / 'go')!r}): time.sleep(0.05)",
    )  # fmt: skip
    server = make_server("--wheels", str(tmp_path), "--wheels", str(gate))
    body = {"name": "slow", "requirements": "waiting", "offline": True, "allowSource": True}
    operation = server.call("POST", "/v1/environments", body).json
    building = server.data / "environments/work/building"

    wait_for("the build has begun", lambda: any(building.glob("*/process")))
    refusal = server.call("POST", "/v1/nodes", {"name": "early", "checkpoint": "x", "outputs": [], "environment": "slow"})
    assert refusal.status in (400, 404)
    pid, _ = next(building.glob("*/process")).read_text().split()
    server.kill()
    wait_for("the build ends with the service", lambda: not pathlib.Path(f"/proc/{pid}").exists() or is_zombie(pid))
    (gate / "go").write_text("")
    server.start()
    done = server.finished(operation["id"], 120)
    assert "error" not in done, done
    assert server.get("/v1/environments/slow")["status"] == "READY"
    assert list(building.iterdir()) == []


def test_a_build_can_be_cancelled_and_leaves_nothing(make_server: Callable[..., Roost], tmp_path: pathlib.Path) -> None:
    source(tmp_path, "waiting", "1.0", "import time\n    time.sleep(600)")
    server = make_server("--wheels", str(tmp_path))
    body = {"name": "slow", "requirements": "waiting", "offline": True, "allowSource": True}
    operation = server.call("POST", "/v1/environments", body).json["id"]
    building = server.data / "environments/work/building"
    wait_for("the build has begun", lambda: any(building.glob("*/process")))
    pid, _ = next(building.glob("*/process")).read_text().split()
    text = server.call("GET", "/metrics").body.decode()
    assert 'roost_environments{status="BUILDING"} 1' in text, text
    said = server.cli("operation", "cancel", operation, check=False)
    assert "environment 'slow' is removed" in said.stdout + said.stderr, said
    ended = server.finished(operation)
    assert ended["error"]["code"] == 1 and "cancelled by" in ended["error"]["message"], ended
    wait_for("the build has ended", lambda: not pathlib.Path(f"/proc/{pid}").exists() or is_zombie(pid))
    assert server.call("GET", "/v1/environments/slow").status == 404
    wait_for("its files are gone", lambda: not list(building.iterdir()))
    assert server.get(f"/v1/operations/{operation}") == ended, "what has ended stays as it is"
    assert server.call("POST", f"/v1/operations/{operation}:cancel").json == ended


def is_zombie(pid: str) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_default_environment_lists_its_packages(server: Roost) -> None:
    shown = server.cli("environment", "get", "default").stdout
    for package in ("numpy", "pandas", "scikit-learn", "scipy", "pillow", "requests", "cloudpickle"):
        assert f"  {package}==" in shown, shown
    assert server.get("/v1/environments")["environments"][0]["name"] == "default"


def test_bad_requests_name_the_field_and_the_fix(server: Roost) -> None:
    cases: list[tuple[dict[str, object], str, str]] = [
        ({"name": "bad-one"}, "requirements", "--requirements FILE"),
        ({"name": "bad-one", "requirements": "-r /etc/passwd"}, "requirements", "line 1: the option '-r'"),
        ({"name": "bad-one", "requirements": "a\n./folder"}, "requirements", "line 2"),
        ({"name": "bad-one", "lock": "greeting"}, "lock", "has no version"),
        ({"name": "bad-one", "lock": "greeting==1.0"}, "lock", "--generate-hashes"),
        ({"name": "bad-one", "presets": ["nothing"]}, "presets[0]", "torch"),
        ({"name": "bad-one", "requirements": "a", "python": "3"}, "python", "like 3.11"),
        ({"name": "bad-one", "requirements": "a", "python": "3.4"}, "python", "from 3.9"),
        ({"name": "bad-one", "requirements": "a", "indexUrl": "https://u:p@index"}, "indexUrl", "password"),
        ({"name": "bad-one", "requirements": "a", "findLinks": ["/etc"]}, "findLinks[0]", "--wheels"),
        ({"name": "default", "requirements": "a"}, "name", "server's own"),
        ({"name": "Bad", "requirements": "a"}, "name", "3 to 63"),
    ]
    for body, field, words in cases:
        answer = server.call("POST", "/v1/environments", body)
        assert answer.status == 400 and answer.json["field"] == field and words in answer.json["detail"], (body, answer)
    body = {"name": "unresolved", "requirements": "greeting==9", "offline": True}
    operation = server.finished(server.call("POST", "/v1/environments", body).json["id"], 120)
    assert "greeting==9" in operation["error"]["message"], operation
    failed = server.get("/v1/environments/unresolved")
    assert failed["status"] == "FAILED" and "greeting==9" in failed["error"]
    message = refused(server, "nope", environment="unresolved").json["detail"]
    assert "could not be made" in message and "roost environment logs unresolved" in message
    assert server.call("POST", "/v1/environments", {"name": "second", "requirements": "a"}).status == 409
    events = json.dumps(server.get("/v1/operations?page_size=1000"))
    assert "Create environment unresolved" in events
    audited = audit(server)
    assert "yandex.cloud.audit.datasphere.CreateEnvironment" in audited
    assert "yandex.cloud.audit.datasphere.DeleteEnvironment" in audited


def audit(server: Roost) -> set[str]:
    with sqlite3.connect(f"file:{server.data}/roost.db?mode=ro", uri=True) as database:
        return {row[0] for row in database.execute("SELECT event_type FROM audit")}


def test_a_viewer_may_look_and_not_make(server: Roost) -> None:
    folder = server.folder
    account = server.call("POST", "/v1/serviceAccounts", {"name": "looker", "folderId": folder}).json
    granted = server.call("POST", f"/v1/serviceAccounts/{account['id']}:grant", {"role": "viewer", "folderId": folder})
    assert granted.status == 200, granted
    token = server.cli("token", "create", "--service-account", "looker", "--ttl", "1h", "-q").stdout.strip()
    assert server.call("GET", "/v1/environments/second", token=token).status == 200
    assert server.call("POST", "/v1/environments", {"name": "mine", "requirements": "a"}, token=token).status == 403
    assert server.call("DELETE", "/v1/environments/second", token=token).status == 403


def test_the_real_index_is_asked_where_it_can_be_reached(server: Roost) -> None:
    operation = server.call("POST", "/v1/environments", {"name": "real", "requirements": "six==1.16.0"}).json
    done = server.finished(operation["id"], 300)
    if "error" in done and "can't be reached" in done["error"]["message"]:
        pytest.skip("no package index can be reached from here")
    assert "error" not in done, done
    assert [p["name"] for p in server.get("/v1/environments/real")["packages"]] == ["six"]
