"""The main flow, word for word as a user types it."""

from __future__ import annotations

import json
import subprocess

from conftest import ROOT, Roost


def test_a_notebook_cell_becomes_a_balanced_api(roost: Roost) -> None:
    run = roost.cli("notebook", "run", ROOT / "examples/randomizer/randomizer.ipynb")
    assert run.stdout.count("checkpoint chk") == 2
    checkpoints = json.loads(roost.cli("checkpoint", "list", "-o", "json").stdout)["checkpoints"]
    newest = checkpoints[0]
    assert "output_data" in newest["cell"]["source"]
    assert newest["cell"]["executionCount"] == 2
    assert newest["cell"]["notebook"] == "randomizer.ipynb"
    roost.cli("checkpoint", "pin", newest["id"], "--name", "randomizer-checkpoint")
    created = roost.cli(
        "node", "create", "randomizer-node", "--checkpoint", "randomizer-checkpoint", "--input", "input_data:dict",
        "--output", "output_data:dict", "--configuration", "c1.4", "--instances", "2", "--wait",
    )  # fmt: skip
    assert created.returncode == 0
    values = {"input_data": {"left_bound": 1, "right_bound": 10}}
    for _ in range(5):
        output = json.loads(roost.cli("node", "call", "randomizer-node", "--input", json.dumps(values)).stdout)
        assert 1 <= output["output_data"]["generated_value"] <= 10
    node = json.loads(roost.cli("node", "list", "-o", "json").stdout)["nodes"][0]
    assert node["status"]["status"] == "HEALTHY"
    assert node["status"]["healthyInstances"] == 2

    curl = subprocess.run(
        [
            "curl", "-sS", "-i", "-X", "POST", f"{roost.url}/datasphere/v1/nodes/{node['id']}:execute",
            "-H", f"Authorization: Bearer {roost.cli('token', 'create', '--ttl', '1h').stdout.strip()}",
            "-H", "Content-Type: application/json", "-d", json.dumps({"folder_id": node["folderId"], "input": values}),
        ],
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    head, _, body = curl.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert 1 <= json.loads(body)["output"]["output_data"]["generated_value"] <= 10
    assert "x-request-id:" in head.lower() and "server-timing:" in head.lower()

    described = roost.cli("node", "describe", "randomizer-node").stdout
    assert "HEALTHY" in described and "curl" in described
    assert "generated_value" in roost.cli("node", "logs", "randomizer-node", "--tail", "20").stdout
    for verb in ("reset", "suspend", "resume"):
        roost.cli("node", verb, "randomizer-node", "--wait")
    roost.healthy(node["id"], 2)
    used = roost.cli("checkpoint", "delete", newest["id"], check=False)
    assert used.returncode == 1 and "randomizer-node" in used.stderr
    roost.cli("node", "delete", "randomizer-node", "--yes", "--wait")
    assert json.loads(roost.cli("node", "list", "-o", "json").stdout)["nodes"] == []
    assert not list((roost.data / "run").iterdir())


def test_every_listing_is_empty_or_full_but_never_broken(roost: Roost) -> None:
    for noun in ("checkpoint", "node", "folder", "project", "operation", "token", "service-account", "configuration"):
        json.loads(roost.cli(noun, "list", "-o", "json").stdout)
        roost.cli(noun, "list")


def test_the_openapi_document_is_served(roost: Roost) -> None:
    served = roost.call("GET", "/v1/openapi.json", token="").json
    assert served == json.loads((ROOT / "api/openapi.json").read_text())


def test_health_version_and_metrics_need_no_token(roost: Roost) -> None:
    assert roost.call("GET", "/livez", token="").status == 200
    assert roost.call("GET", "/readyz", token="").json["status"] == "ok"
    assert roost.call("GET", "/version", token="").json["version"] == "0.1.0"
    metrics = roost.call("GET", "/metrics", token="").body.decode()
    for name in ("process_resident_memory_bytes", "roost_build_info", "node_http_codes_total", "node_request_duration_seconds"):
        assert name in metrics, name


def test_the_data_folder_keeps_its_secrets(roost: Roost) -> None:
    assert (roost.data / "admin.token").stat().st_mode & 0o777 == 0o600
    assert (roost.data / "keys/token.pem").stat().st_mode & 0o777 == 0o600
    assert roost.token not in roost.log.read_text()
