"""TLS on its own port: versions of HTTP, reload of certificates, client certificates; with curl."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
from collections.abc import Callable

import pytest
from conftest import BINARY, Roost, wait_for


def make(folder: pathlib.Path, name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """A self-signed certificate for localhost with a subject of its own."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain, "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return chain, key


def curl(chain: pathlib.Path, port: int, *flags: str) -> subprocess.CompletedProcess[str]:
    """One request to /version."""
    return subprocess.run(
        ["curl", "-sS", "--max-time", "10", "--cacert", str(chain), *flags, f"https://localhost:{port}/version"],
        capture_output=True, text=True,
    )  # fmt: skip


def tls_port(server: Roost) -> int:
    """The port that the log names."""
    line = next(line for line in server.log.read_text().splitlines() if '"roost serves"' in line)
    return int(json.loads(line)["tls_listen"].rpartition(":")[2])


def flags(chain: pathlib.Path, key: pathlib.Path, *more: str) -> list[str]:
    """What makes a server serve TLS."""
    return ["--tls-listen", "127.0.0.1:0", "--tls-cert", str(chain), "--tls-key", str(key), *more]


@pytest.mark.parametrize(("flag", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_both_versions_of_http_are_served(
    tmp_path: pathlib.Path, make_server: Callable[..., Roost], flag: str, version: str
) -> None:
    chain, key = make(tmp_path, "first")
    server = make_server(*flags(chain, key))
    answer = curl(chain, tls_port(server), flag, "-o", "/dev/null", "-w", "%{http_version} %{http_code}")
    assert (answer.stdout, answer.stderr) == (f"{version} 200", "")


def test_large_bodies_pass_both_ways(tmp_path: pathlib.Path, make_server: Callable[..., Roost]) -> None:
    chain, key = make(tmp_path, "first")
    server = make_server(*flags(chain, key))
    server.checkpoint("x = ''", "y = x[::-1]", name="reverse")
    node = server.node("reverse", inputs=["x:str"], outputs=["y:str"])
    text = "".join(chr(97 + at % 26) for at in range(4_000_000))
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"folder_id": server.folder, "input": {"x": text}}))
    for flag in ("--http1.1", "--http2"):
        answer = subprocess.run(
            ["curl", "-sS", "--max-time", "30", "--cacert", str(chain), flag, "-H", f"authorization: Bearer {server.token}",
             "-H", "content-type: application/json", "--data-binary", f"@{body}",
             f"https://localhost:{tls_port(server)}/datasphere/v1/nodes/{node}:execute"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(answer.stdout) == {"output": {"y": text[::-1]}}


def test_sighup_changes_the_certificate_and_a_bad_one_changes_nothing(
    tmp_path: pathlib.Path, make_server: Callable[..., Roost]
) -> None:
    chain, key = make(tmp_path, "first")
    server = make_server(*flags(chain, key))
    assert server.process
    port = tls_port(server)

    def subject() -> str:
        shown = subprocess.run(
            f"openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -subject",
            shell=True, capture_output=True, text=True,
        )  # fmt: skip
        return shown.stdout.strip()

    assert subject().endswith("first")
    make(tmp_path, "second")
    os.kill(server.process.pid, signal.SIGHUP)
    wait_for("the new certificate", lambda: subject().endswith("second"))
    key.write_text("no key")
    os.kill(server.process.pid, signal.SIGHUP)
    wait_for("the refusal in the log", lambda: "certificates stay as they were" in server.log.read_text())
    assert subject().endswith("second")


def test_clients_without_a_certificate_are_refused_where_one_is_asked_for(
    tmp_path: pathlib.Path, make_server: Callable[..., Roost]
) -> None:
    chain, key = make(tmp_path, "first")
    server = make_server(*flags(chain, key, "--tls-client-ca", str(chain)))
    port = tls_port(server)
    assert curl(chain, port).returncode != 0
    assert curl(chain, port, "--cert", str(chain), "--key", str(key)).returncode == 0


def test_bad_files_are_refused_at_the_start(tmp_path: pathlib.Path) -> None:
    chain, key = make(tmp_path, "first")
    key.write_text("no key")
    ended = subprocess.run(
        [str(BINARY), "serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", *flags(chain, key)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert ended.returncode == 1
    assert str(key) in ended.stdout + ended.stderr
