"""Each example does what its README says, through the real kernel, the real server and the real command line."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from conftest import ROOT, Roost

EXAMPLES = {
    "features": lambda output: output["summary"] and output["table"],
    "async-cell": lambda output: output["lengths"] == [3, 5],
    "counter": lambda output: output["visits"] >= 1,
    "classifier": lambda output: output["label"] and abs(sum(output["probabilities"]) - 1) < 1e-6,
    "randomizer": lambda output: 1 <= output["output_data"]["generated_value"] <= 10,
}


def commands(readme: str) -> list[list[str]]:
    """The `roost` commands of a README's shell blocks."""
    text = "\n".join(re.findall(r"```(?:sh)?\n(.*?)```", readme, re.S)).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("roost ")]
    return [line[1:] for line in lines]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works_as_its_readme_says(roost: Roost, name: str) -> None:
    ran = commands((ROOT / "examples" / name / "README.md").read_text())
    checkpoint = ""
    answers = []
    for words in ran:
        words = [str(ROOT / word) if word.endswith(".ipynb") else word for word in words]
        if words[:2] in (["node", "logs"], ["node", "delete"]):
            continue
        words = [checkpoint if word == "CHECKPOINT_ID" else word for word in words]
        done = roost.cli(*words)
        if words[:2] == ["checkpoint", "list"]:
            checkpoint = json.loads(roost.cli("checkpoint", "list", "-o", "json").stdout)["checkpoints"][0]["id"]
        if words[:2] == ["node", "call"]:
            answers.append(json.loads(done.stdout))
    assert answers and all(EXAMPLES[name](answer) for answer in answers), answers


REFUSED = {
    "overwritten-input": (["request:dict"], ["answer:dict"], "line 1"),
    "unsaved-variable": (["key:int"], ["row:list"], "settings['stores'][0]['connection']"),
    "shell-command": (["folder:str"], ["listing:list"], "!echo"),
    "unknown-name": (["value:int"], ["result:int"], "factor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_example_is_refused_with_its_reason(roost: Roost, name: str) -> None:
    inputs, outputs, reason = REFUSED[name]
    roost.cli("notebook", "run", ROOT / f"examples/refused/{name}.ipynb")
    newest = json.loads(roost.cli("checkpoint", "list", "-o", "json").stdout)["checkpoints"][0]
    roost.cli("checkpoint", "pin", newest["id"], "--name", name)
    flags = [word for variable in inputs for word in ("--input", variable)]
    flags += [word for variable in outputs for word in ("--output", variable)]
    done = roost.cli("node", "create", name, "--checkpoint", name, *flags, check=False)
    assert done.returncode == 1
    assert reason in done.stderr, done.stderr
