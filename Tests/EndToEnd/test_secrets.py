"""Secrets: what is given stays hidden, nodes get it, registries let it in."""

from __future__ import annotations

import base64
import glob
import http.server
import json
import os
import pathlib
import select
import sqlite3
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import engine
import pytest
from conftest import BINARY, Roost, wait_for
from engine import PASSWORD, REGISTRY, SOCKET, inspect, left_of
from test_image_nodes import failure, make

needs_engine = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)


def put(server: Roost, *arguments: str, value: str) -> subprocess.CompletedProcess[str]:
    """Gives a value on standard input."""
    done = subprocess.run(
        [BINARY, "secret", *arguments], env=server.environment, input=value, capture_output=True, text=True, timeout=60
    )
    assert value.strip() not in done.stdout + done.stderr
    return done


def seen_in(value: str, server: Roost) -> list[str]:
    """Where the value stands, of the places where it must not."""
    needles = [value.encode(), base64.b64encode(value.encode())[:-3]]
    found = []
    for path in [server.log, *server.data.rglob("*")]:
        if path.is_file() and any(needle in path.read_bytes() for needle in needles):
            found.append(str(path))
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            text = pathlib.Path(path).read_bytes()
        except OSError:
            continue
        if any(needle in text for needle in needles):
            found.append(f"{path}: {text!r}")
    for path in ("/v1/secrets", "/v1/nodes", "/v1/operations", "/v1/instances", "/metrics"):
        answer = server.call("GET", path)
        assert answer.status == 200, answer
        if any(needle in answer.body for needle in needles):
            found.append(path)
    for node in server.get("/v1/nodes")["nodes"]:
        for path in ("", "/logs?tail=1000", "/instances"):
            if any(needle in server.call("GET", f"/v1/nodes/{node['id']}{path}").body for needle in needles):
                found.append(node["name"] + path)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    flags = ("--engine", SOCKET) if SOCKET else ()
    server = Roost(tmp_path_factory.mktemp("secrets") / "data", *flags).start()
    yield server
    nodes = [node["id"] for node in server.get("/v1/nodes")["nodes"]]
    server.close()
    assert not glob.glob("/run/roost-*/ins*") + glob.glob("/dev/shm/roost-*/ins*")
    if SOCKET:
        assert [left_of(node) for node in nodes] == [[] for _ in nodes]


def test_a_secret_lives_and_its_value_is_never_shown(server: Roost, tmp_path: pathlib.Path) -> None:
    assert put(server, "create", "api-key", "--description", "of the weather", value="s3cret-One\n").returncode == 0
    (tmp_path / "key.bin").write_bytes(b"\x00\xffs3cret-Two\n")
    server.cli("secret", "create", "binary-key", "--from-file", str(tmp_path / "key.bin"))
    shown = server.cli("secret", "get", "api-key").stdout
    assert "*** (version 1)" in shown and "no node" in shown and "of the weather" in shown
    assert put(server, "update", "api-key", value="s3cret-Three").returncode == 0
    server.cli("secret", "update", "api-key", "--description", "of the tides")
    found = json.loads(server.cli("secret", "get", "api-key", "-o", "json").stdout)
    assert (found["version"], found["description"]) == (2, "of the tides") and "value" not in found
    assert [s["name"] for s in server.get("/v1/secrets")["secrets"]] == ["api-key", "binary-key"]
    first = server.get("/v1/secrets?page_size=1")
    assert [s["name"] for s in first["secrets"]] == ["api-key"]
    rest = server.get(f"/v1/secrets?page_size=1&page_token={first['nextPageToken']}")
    assert [s["name"] for s in rest["secrets"]] == ["binary-key"] and "nextPageToken" not in rest
    said = server.cli("secret", "rotate-key").stderr
    assert "2 secrets are encrypted with master key 2" in said
    server.cli("secret", "delete", "binary-key", "--yes")
    assert server.call("GET", "/v1/secrets/binary-key").status == 404
    with sqlite3.connect(server.data / "roost.db") as database:
        events = [row[0].rpartition(".")[2] for row in database.execute("SELECT event_type FROM audit ORDER BY rowid")]
    expected = ["CreateSecret", "CreateSecret", "UpdateSecret", "UpdateSecret", "RotateSecretKey", "DeleteSecret"]
    assert [event for event in events if "Secret" in event] == expected
    for value in ("s3cret-One", "s3cret-Two", "s3cret-Three"):
        assert seen_in(value, server) == []
    assert (server.data / "keys" / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_value_on_the_command_line_is_refused_and_not_repeated(server: Roost) -> None:
    for words in (["create", "x-key", "Hunter2!"], ["update", "x-key", "Hunter2!"], ["create", "x-key", "--value", "Hunter2!"], ["create", "x-key", "--value=Hunter2!"]):  # fmt: skip
        done = server.cli("secret", *words, check=False)
        assert done.returncode == 2 and "--from-file" in done.stderr and "Hunter2" not in done.stdout + done.stderr, done
    done = server.cli("secret", "create", "x-key", check=False)
    assert done.returncode == 1 and "empty" in done.stderr


def test_a_value_is_asked_for_on_a_terminal_and_not_shown(server: Roost) -> None:
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.execve(BINARY, ["roost", "secret", "create", "typed-key"], server.environment)
    seen = b""
    for question, answer in ((b"value of typed-key: ", b"typed-Value\n"), (b"once more: ", b"typed-Value\n"), (b"is kept", b"")):
        deadline = time.monotonic() + 60
        while question not in seen and time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                break
        assert question in seen, seen
        if answer:
            os.write(terminal, answer)
    assert os.waitpid(child, 0)[1] == 0
    os.close(terminal)
    assert b"typed-Value" not in seen


@pytest.mark.parametrize(
    ("body", "status", "field", "words"),
    [
        ({"name": "X", "value": "v"}, 400, "name", "3 to 63 characters"),
        ({"name": "abc"}, 400, "value", "give value"),
        ({"name": "abc", "value": ""}, 400, "value", "is empty"),
        ({"name": "abc", "value": "v" * 65537}, 400, "value", "65537 bytes, at most 65536"),
        ({"name": "abc", "value": "v", "valueBase64": "dg=="}, 400, "valueBase64", "give one of them"),
        ({"name": "abc", "valueBase64": "d"}, 400, "valueBase64", "is not base64"),
        ({"name": "abc", "value": "v", "folder": "nowhere"}, 404, "folder", "no folder 'nowhere'"),
        ({"name": "abc", "value": "v", "colour": "red"}, 400, "colour", "colour"),
    ],
)
def test_a_wrong_field_is_named(server: Roost, body: dict[str, Any], status: int, field: str, words: str) -> None:
    answer = server.call("POST", "/v1/secrets", body)
    assert (answer.status, answer.json["field"]) == (status, field) and words in answer.json["detail"], answer


def test_roles_are_judged(server: Roost) -> None:
    def token(role: str) -> str:
        server.cli("service-account", "create", f"secrets-{role}", "--role", role)
        return server.cli("token", "create", "--service-account", f"secrets-{role}").stdout.strip()

    viewer, developer = token("viewer"), token("developer")
    body = {"name": "role-key", "value": "v"}
    assert server.call("POST", "/v1/secrets", body, token=viewer).status == 403
    assert server.call("POST", "/v1/secrets", body, token=developer).status == 201
    assert server.call("GET", "/v1/secrets/role-key", token=viewer).status == 200
    assert server.call("PATCH", "/v1/secrets/role-key?update_mask=value", {"value": "w"}, token=viewer).status == 403
    assert server.call("DELETE", "/v1/secrets/role-key", token=viewer).status == 403
    assert server.call("POST", "/v1/secrets:rotateKey", token=developer).status == 403
    server.cli("service-account", "create", "secrets-nobody")
    nobody = server.cli("token", "create", "--service-account", "secrets-nobody").stdout.strip()
    assert server.call("GET", "/v1/secrets", token=nobody).json == {"secrets": []}
    assert server.call("GET", "/v1/secrets/role-key", token=nobody).status == 404
    assert server.call("DELETE", "/v1/secrets/role-key", token=developer).status == 204


# What an instance says of its secret: the value backwards, so that the log does not have it.
TELL = """
import os, runpy
path = "/run/keys/token"
status = os.stat(path)
try:
    open(path, "w")
except OSError as error:
    print("writing:", error.strerror)
print("secret file", oct(status.st_mode & 0o7777), status.st_uid, open(path).read()[::-1])
print("secret variable", os.environ["APP_TOKEN"][::-1])
runpy.run_path("/app/app.py", run_name="__main__")
"""


def memory_of(server: Roost, instance: str) -> list[str]:
    """Files of an instance in memory."""
    return glob.glob(f"/run/roost-*/{instance}/*") + glob.glob(f"/dev/shm/roost-*/{instance}/*")


@needs_engine
def test_containers_get_secrets_as_variables_and_files(server: Roost) -> None:
    put(server, "create", "file-key", value="file-Value-1")
    put(server, "create", "variable-key", value="variable-Value-1")
    image = {
        "command": ["/usr/bin/python3", "-c", TELL], "secrets": {"APP_TOKEN": "variable-key"},
        "secretFiles": {"/run/keys/token": "file-key", "/etc/other": "file-key"},
    }  # fmt: skip
    node = make(server, "keeper", image)
    said = [line["message"] for line in server.logs(node)]
    assert "secret file 0o400 10001 " + "file-Value-1"[::-1] in said, said
    assert "secret variable " + "variable-Value-1"[::-1] in said and "writing: Read-only file system" in said
    first = server.instances(node)[0]["id"]
    assert len(memory_of(server, first)) == 2
    for path in memory_of(server, first):
        assert os.stat(os.path.dirname(os.path.dirname(path))).st_mode & 0o777 == 0o700
    # Only the variable is known to the engine.
    told = json.dumps(inspect(first))
    assert "variable-Value-1" in told and "file-Value-1" not in told
    assert seen_in("file-Value-1", server) == [] and seen_in("variable-Value-1", server) == []

    answer = server.call("DELETE", "/v1/secrets/file-key")
    assert answer.status == 400 and "used by node keeper" in answer.json["detail"], answer
    assert server.get("/v1/secrets/file-key")["usedBy"] == ["keeper"]

    # A restart needs no value: not even the key.
    server.kill()
    os.rename(server.data / "keys" / "secrets.json", server.data.parent / "away.json")
    server.start()
    assert [i["id"] for i in server.healthy(node, 1)] == [first]
    engine.ask("POST", f"/containers/roost-{first}/kill?signal=KILL")
    wait_for("the lost value is told", lambda: "can't be read" in str(server.status(node).get("lastError")))
    error = server.status(node)["lastError"]
    assert "master key" in error["message"] and "roost secret update" in error["message"], error
    server.kill()
    os.rename(server.data.parent / "away.json", server.data / "keys" / "secrets.json")
    server.start()
    second = server.healthy(node, 1)[0]["id"]
    assert memory_of(server, first) == []

    put(server, "update", "file-key", value="file-Value-2")
    server.cli("node", "reset", "keeper", "--wait")
    wait_for("the new value", lambda: any("file-Value-2"[::-1] in line["message"] for line in server.logs(node)))
    wait_for("the old files are gone", lambda: memory_of(server, second) == [])
    third = server.healthy(node, 1)[0]["id"]
    server.cli("node", "delete", "keeper", "--yes", "--wait")
    assert memory_of(server, third) == [] and left_of(node) == []
    server.cli("secret", "delete", "file-key", "variable-key", "--yes")
    assert seen_in("file-Value-2", server) == []


@needs_engine
def test_files_go_to_a_user_with_a_name(server: Roost) -> None:
    put(server, "create", "file-key", value="file-Value-3")
    image = {"command": ["/usr/bin/python3", "-c", TELL], "secrets": {"APP_TOKEN": "file-key"}, "secretFiles": {"/run/keys/token": "file-key"}}  # fmt: skip
    for user, number in (("app", 10001), ("0", 0), ("12345:app", 12345)):
        node = make(server, "named", {**image, "runAs": user})
        assert any(f"secret file 0o400 {number} " in line["message"] for line in server.logs(node))
        server.cli("node", "delete", "named", "--yes", "--wait")
    _, said = failure(server, "stranger", {"reference": "testapp:1", **image, "runAs": "nosuch"})
    assert "user 'nosuch' does not exist in image" in said
    server.cli("node", "delete", "stranger", "--yes", "--wait")
    server.cli("secret", "delete", "file-key", "--yes")


@pytest.mark.parametrize(
    ("image", "status", "field", "words"),
    [
        ({"secrets": {"APP": "nothing"}}, 404, "image.secrets.APP", "there is no secret 'nothing'"),
        ({"secretFiles": {"/key": "nothing"}}, 404, "image.secretFiles./key", "roost secret create nothing"),
        ({"passwordSecret": "nothing"}, 404, "image.passwordSecret", "there is no secret 'nothing'"),
        ({"secrets": {"PORT": "abc"}}, 400, "image.secrets.PORT", "give image.port"),
        ({"secrets": {"A": "abc"}, "environment": {"A": "1"}}, 400, "image.secrets.A", "give it once"),
        ({"secrets": {"A": "Hunter 2!"}}, 400, "image.secrets.A", "give the name, never the value"),
        ({"secretFiles": {"key": "abc"}}, 400, "image.secretFiles", "absolute path"),
        ({"secretFiles": {"/tmp": "abc"}}, 400, "image.secretFiles./tmp", "give a path of a file"),
        ({"registryUser": "me"}, 400, "image.registryUser", "image.passwordSecret"),
        ({"registryUser": "a:b", "passwordSecret": "abc"}, 400, "image.registryUser", "not a user name"),
    ],
)
def test_a_wrong_field_of_a_node_is_named(
    server: Roost, image: dict[str, Any], status: int, field: str, words: str
) -> None:
    body = {"name": "wrong", "kind": "image", "image": {"reference": "a", "port": 8080, **image}}
    answer = server.call("POST", "/v1/nodes:validate", body)
    assert (answer.status, answer.json["field"]) == (status, field) and words in answer.json["detail"], answer
    assert "Hunter" not in answer.json["detail"]


def forget_image() -> None:
    for image in engine.ask("GET", "/images/json"):
        if any("/team/testapp" in digest for digest in image["RepoDigests"] or []):
            engine.ask("DELETE", f"/images/{image['Id']}?force=1")


@needs_engine
def test_a_registry_is_asked_with_the_password_of_a_secret(server: Roost) -> None:
    put(server, "create", "registry-password", value="wrong-Password")
    forget_image()
    reference = f"{REGISTRY}/team/testapp:1"
    node, said = failure(server, "private", {"reference": reference, "passwordSecret": "registry-password"})
    assert "refuses user 'json_key' (image.registryUser)" in said and "roost secret update registry-password" in said, said
    put(server, "update", "registry-password", value=PASSWORD + "\n")
    server.healthy(node, 1)
    assert seen_in(PASSWORD, server) == [] and seen_in("wrong-Password", server) == []
    # It is asked as this caller even where the image is here.
    _, said = failure(server, "other", {"reference": reference, "registryUser": "other", "passwordSecret": "registry-password"})
    assert "refuses user 'other'" in said
    _, said = failure(server, "absent", {"reference": f"{REGISTRY}/team/nothing:1", "passwordSecret": "registry-password"})
    assert "does not exist in registry" in said
    for name in ("private", "other", "absent"):
        server.cli("node", "delete", name, "--yes", "--wait")
    out = server.cli(
        "node", "create", "by-flags", "--image", reference, "--port", "8080", "--registry-user", "json_key",
        "--registry-password-secret", "registry-password", "--health-check", "http:/health", "--secret", "APP_X=registry-password", "--wait",
    ).stdout  # fmt: skip
    assert "HEALTHY" in out
    shown = server.cli("node", "describe", "by-flags").stdout
    assert "json_key, password in secret registry-password" in shown and "APP_X=registry-password" in shown
    server.cli("node", "delete", "by-flags", "--yes", "--wait")
    server.cli("secret", "delete", "registry-password", "--yes")


class TokenServer(http.server.ThreadingHTTPServer):
    """Hands out bearer tokens of a registry for the right password."""

    def __init__(self, folder: pathlib.Path) -> None:
        import datetime

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.x509.oid import NameOID

        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = datetime.datetime.now(datetime.timezone.utc)
        self.certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(self.key, hashes.SHA256())
        )  # fmt: skip
        (folder / "root.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        self.given: list[str] = []
        super().__init__(("127.0.0.1", 0), TokenHandler)

    def token(self, scopes: list[str]) -> str:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding

        def encoded(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).decode().rstrip("=")

        der = base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()
        now = int(time.time())
        access = [dict(zip(("type", "name"), s.split(":"))) | {"actions": s.split(":")[2].split(",")} for s in scopes]
        claims = {
            "iss": "roost-test", "sub": "json_key", "aud": "registry", "exp": now + 300, "nbf": now - 60, "iat": now,
            "jti": str(now), "access": access,
        }  # fmt: skip
        head = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        return signed + "." + encoded(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))


class TokenHandler(http.server.BaseHTTPRequestHandler):
    server: TokenServer

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(f"json_key:{PASSWORD}".encode()).decode()
        good = self.headers.get("authorization") == expected
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        body = b'{"details": "wrong password"}'
        if good:
            body = json.dumps({"token": self.server.token(query.get("scope", []))}).encode()
            self.server.given += query.get("scope", [])
        self.send_response(200 if good else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@needs_engine
def test_a_registry_with_bearer_tokens_is_asked_with_the_secret(server: Roost, tmp_path: pathlib.Path) -> None:
    tokens = TokenServer(tmp_path)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    settings = pathlib.Path(f"/proc/{os.environ['ROOST_TEST_REGISTRY_PID']}/cmdline").read_bytes().split(b"\0")[2].decode()
    storage = next(line for line in pathlib.Path(settings).read_text().splitlines() if line.startswith("storage"))
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "registry.yml").write_text(
        f"version: 0.1\nlog: {{level: warn}}\n{storage}\nhttp: {{addr: '127.0.0.1:{port}', secret: x}}\n"
        f"auth: {{token: {{realm: 'http://127.0.0.1:{tokens.server_address[1]}/token', service: registry, issuer: roost-test, "
        f"rootcertbundle: {tmp_path}/root.pem}}}}\n"
    )
    with open(tmp_path / "registry.log", "wb") as log:
        registry = subprocess.Popen(["docker-registry", "serve", str(tmp_path / "registry.yml")], stdout=log, stderr=log)
    try:

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for("the registry answers", answers)
        put(server, "create", "token-password", value="wrong-Password-2")
        forget_image()
        image = {"reference": f"127.0.0.1:{port}/team/testapp:1", "passwordSecret": "token-password"}
        node, said = failure(server, "by-token", image)
        assert "refuses user 'json_key'" in said, said
        put(server, "update", "token-password", value=PASSWORD)
        server.healthy(node, 1)
        assert "repository:team/testapp:pull" in tokens.given
        server.cli("node", "delete", "by-token", "--yes", "--wait")
        server.cli("secret", "delete", "token-password", "--yes")
    finally:
        registry.terminate()
        registry.wait(60)
        tokens.shutdown()
        tokens.server_close()
        forget_image()


def test_cells_get_secrets_in_their_environment(server: Roost) -> None:
    put(server, "create", "cell-key", value="cell-Value-1 ü\n")
    server.checkpoint("import os", "x = 1", "y = os.environ.get('API_KEY', '-')[::-1]", name="reads-secret")
    answer = server.call(
        "POST", "/v1/nodes:validate",
        {"name": "cell", "checkpoint": "reads-secret", "outputs": [{"name": "y", "type": "str"}], "secrets": {"API_KEY": "nothing"}},
    )  # fmt: skip
    assert (answer.status, answer.json["field"]) == (404, "secrets.API_KEY"), answer
    node = server.node("cell", checkpoint="reads-secret", inputs=[], outputs=["y:str"], secrets={"API_KEY": "cell-key"})

    def said() -> str:
        return str(server.execute(node, {}).json["output"]["y"])

    assert said() == "cell-Value-1 ü"[::-1]
    assert seen_in("cell-Value-1", server) == []
    first = server.instances(node)[0]["id"]
    server.kill()
    server.start()
    assert [i["id"] for i in server.healthy(node, 1)] == [first]
    put(server, "update", "cell-key", value="cell-Value-2")
    assert said() == "cell-Value-1 ü"[::-1], "an instance that runs keeps its value"
    server.cli("node", "reset", "cell", "--wait")
    wait_for("the new value", lambda: said() == "cell-Value-2"[::-1])
    assert server.call("DELETE", "/v1/secrets/cell-key").status == 400
    put(server, "create", "other-key", value="other-Value")
    server.cli("node", "update", "cell", "--secret", "API_KEY=other-key", "--wait")
    wait_for("the other value", lambda: said() == "other-Value"[::-1])
    assert server.status(node)["release"] == 2
    server.cli("secret", "delete", "cell-key", "--yes")
    answer = server.call("POST", f"/v1/nodes/{node}:rollback", {"release": 1})
    assert (answer.status, answer.json["field"]) == (404, "secrets.API_KEY"), answer
    put(server, "create", "cell-key", value="cell-Value-2")
    by_request = server.node(
        "cell-spawned", checkpoint="reads-secret", inputs=[], outputs=["y:str"], secrets={"API_KEY": "cell-key"}, startMode="spawn"
    )
    assert server.execute(by_request, {}).json["output"]["y"] == "cell-Value-2"[::-1]
    out = server.cli("node", "create", "cell-flags", "--checkpoint", "reads-secret", "--output", "y:str", "--secret", "API_KEY=cell-key", "--isolation", "request", "--wait").stdout  # fmt: skip
    assert "HEALTHY" in out
    assert json.loads(server.cli("node", "call", "cell-flags").stdout)["y"] == "cell-Value-2"[::-1]
    assert seen_in("cell-Value-2", server) == []


def test_logins_of_docker_are_imported(server: Roost, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def helper(name: str, script: str) -> None:
        (tmp_path / f"docker-credential-{name}").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / f"docker-credential-{name}").chmod(0o755)

    helper("good", 'read host; echo "warning" >&2; echo "{\\"Username\\": \\"robot\\", \\"Secret\\": \\"of-$host\\"}"')
    helper("bad", "echo credentials not found in native keychain; exit 1")
    helper("token", 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"x\\"}"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    auth = base64.b64encode(b"json_key:im-ported:1").decode()
    config = {
        "auths": {"ghcr.io:443": {"auth": auth}, "https://index.docker.io/v1/": {"auth": auth}, "stored.example": {}},
        "credHelpers": {"a.example": "bad", "b.example": "good", "c.example": "token", "d.example": "nowhere"},
        "credsStore": "good",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    done = server.cli("secret", "import-docker-config", check=False)
    assert done.returncode == 1 and "3 of 7 logins were not imported" in done.stderr, done.stderr
    assert "a.example: docker-credential-bad failed: credentials not found" in done.stderr
    assert "c.example: its login is an identity token" in done.stderr
    assert "can't run docker-credential-nowhere" in done.stderr
    assert "--registry-user json_key --registry-password-secret registry-ghcr-io-443" in done.stdout
    assert "--registry-user robot --registry-password-secret registry-b-example" in done.stdout
    names = {s["name"]: s["version"] for s in server.get("/v1/secrets")["secrets"]}
    expected = ["registry-ghcr-io-443", "registry-docker-io", "registry-b-example", "registry-stored-example"]
    assert all(names[name] == 1 for name in expected)
    del config["credHelpers"]
    (tmp_path / "other.json").write_text(json.dumps(config))
    done = server.cli("secret", "import-docker-config", str(tmp_path / "other.json"), check=False)
    assert done.returncode == 1 and "registry-docker-io exists already" in done.stderr
    server.cli("secret", "import-docker-config", str(tmp_path / "other.json"), "--replace")
    assert server.get("/v1/secrets/registry-docker-io")["version"] == 2
    assert seen_in("im-ported:1", server) == [] and seen_in("of-b.example", server) == []
    server.cli("secret", "delete", *expected, "--yes")
