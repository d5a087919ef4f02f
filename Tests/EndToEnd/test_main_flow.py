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
