"""An ipykernel that saves a checkpoint after every cell run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import sys
import tempfile
from typing import Any, Dict, List, Optional

from ipykernel.ipkernel import IPythonKernel

from roost import __version__
from roost.checkpoint.capture import Cell
from roost.checkpoint.failures import Failure
from roost.checkpoint.writer import Saved, Writer
from roost.client import APIError, Client
from roost.kernel.notice import as_html, as_text, one_line
from roost.model.errors import ModelError
from roost.model.saving import save as save_model
from roost.model.signature import given, tensor_from

LOOK_AGAIN_SECONDS = 0.2
"""How soon a checkpoint that waits for earlier ones is tried again."""


class Checkpointer:
    """Decides when to save, and tells the user what he must know. One per kernel."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.mode = os.environ.get("ROOST_SAVE", "auto")
        self.wait = os.environ.get("ROOST_CHECKPOINT_WAIT") == "1"
        self.report_path = os.environ.get("ROOST_REPORT")
        self.initial: Dict[str, Any] = dict(shell.user_ns)
        self.writer: Optional[Writer] = None
        self.problem: Optional[str] = None
        self.told: Optional[str] = None
        self.named: List[Failure] = []
        self.last: Optional[Saved] = None
        self.last_cell: Optional[Cell] = None
        self.saved_count = 0
        self.waiting: Optional[Cell] = None
        self.running = False

    def connect(self) -> Optional[Writer]:
        """The writer, when the environment names a server that can be used."""
        if self.writer is None:
            try:
                client = Client.from_environment()
            except APIError as error:
                self.problem = str(error)
                return None
            if client is None:
                self.problem = "ROOST_URL is not set"
                return None
            self.problem = None
            self.writer = Writer(self.shell.user_ns, client)
        return self.writer

    def before_cell(self, info: Any) -> None:
        """The `pre_run_cell` hook: a checkpoint that waits is of the state that this cell may change."""
        self.catch_up()
        self.running = True

    def catch_up(self) -> None:
        """Saves the cell that waits, if it may be saved now; looks again later if not."""
        if self.waiting is None or self.running or self.writer is None:
            return
        self.settle()
        if self.writer.is_full:
            self.look_again()
            return
        cell, self.waiting = self.waiting, None
        self.save(cell, "Cell run")

    def look_again(self) -> None:
        """Has `catch_up` called when the kernel is idle."""
        with contextlib.suppress(RuntimeError):  # without a loop the next cell catches up
            asyncio.get_running_loop().call_later(LOOK_AGAIN_SECONDS, self.catch_up)

    def after_cell(self, result: Any) -> None:
        """The `post_run_cell` hook."""
        self.running = False
        info = result.info
        if info is None or info.silent or not info.store_history or not result.success:
            return
        source = info.raw_cell
        if not source.strip() or source.lstrip().startswith("%roost"):
            return
        self.last_cell = Cell(
            source=source,
            code=self.shell.transform_cell(source),
            execution_count=result.execution_count,
            cell_id=getattr(info, "cell_id", None),
            notebook=notebook_name(),
        )
        if self.mode != "auto":
            return
        self.settle()
        if self.writer is not None and self.writer.is_full and not self.wait:
            # A slow server must not stop the user: the newest cell waits, and takes the place of an older one.
            self.waiting = self.last_cell
            self.look_again()
            return
        self.waiting = None
        self.save(self.last_cell, "Cell run")

    def save(self, cell: Cell, operation: str) -> Optional[Saved]:
        """Saves a checkpoint; problems are told, never raised: the user's cell has run well."""
        self.settle()
        writer = self.connect()
        if writer is None:
            self.tell_once(f"not saved: {self.problem}")
            return None
        try:
            saved = writer.save(self.initial, cell, operation)
        except Exception as error:
            self.tell_once(f"not saved: {type(error).__name__}: {error}")
            return None
        self.last = saved
        self.name_failures(saved.failures)
        if self.wait:
            saved.poll(None)
            self.settle()
        return saved

    def settle(self) -> None:
        """Takes note of what has ended in the background."""
        for saved in self.writer.reap() if self.writer else []:
            result = saved.result or {}
            if "error" in result:
                self.tell_once(
                    f"checkpoint of cell [{saved.cell.execution_count}] was not saved: {result['error']}"
                )
            else:
                self.saved_count += 1
                self.told = None
            self.report(saved)

    def report(self, saved: Saved) -> None:
        """One JSON line for the headless runner."""
        if not self.report_path:
            return
        line = {
            "executionCount": saved.cell.execution_count,
            "pauseSeconds": round(saved.pause, 5),
            "failures": [failure._asdict() for failure in saved.failures],
            **(saved.result or {}),
        }
        with open(self.report_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def name_failures(self, failures: List[Failure]) -> None:
        """Names the variables that can't be saved, when the list has changed."""
        if failures == self.named:
            return
        new = [failure for failure in failures if failure not in self.named]
        self.named = failures
        if not new or self.report_path:
            return
        self.shell.display_pub.publish({"text/plain": as_text(new), "text/html": as_html(new)})

    def tell_once(self, text: str) -> None:
        """Tells the user, but not the same thing at every cell."""
        if text != self.told:
            self.told = text
            print(f"Roost: {text}", file=sys.stderr)

    def magic(self, line: str) -> None:
        """`%roost status | checkpoint | pin NAME | save auto|manual | save-model VAR | deploy-model VAR`."""
        try:
            words = shlex.split(line)
        except ValueError:  # a quote without its other half
            words = line.split()
        if words == ["status"]:
            self.status()
        elif words == ["checkpoint"]:
            self.checkpoint()
        elif len(words) == 2 and words[0] == "pin":
            self.pin(words[1])
        elif len(words) == 2 and words[0] == "save" and words[1] in ("auto", "manual"):
            self.mode = words[1]
            print(
                f"checkpoints are saved {'after every cell run' if self.mode == 'auto' else 'on %roost checkpoint'}"
            )
        elif words[:1] in (["save-model"], ["deploy-model"]):
            self.model(words)
        else:
            print(
                "usage: %roost status | checkpoint | pin NAME | save auto | save manual"
                " | save-model VAR --name NAME | deploy-model VAR --name NAME"
            )

    def model(self, words: List[str]) -> None:
        """`save-model VAR --name NAME [--input x:FP32[-1,8] --output y:FP32[-1,1]]`, and `deploy-model`, which makes a node too."""
        writer = self.connect()
        if writer is None:
            print(f"not saved: {self.problem}")
            return
        try:
            keep(self.shell.user_ns, words, writer.client)
        except (APIError, ModelError) as error:
            print(f"not saved: {error}")

    def status(self) -> None:
        """Prints server, mode, the last checkpoint and what could not be saved."""
        self.settle()
        writer = self.connect()
        print(f"server    {writer.client.url if writer else 'none: ' + str(self.problem)}")
        print(f"project   {writer.client.project if writer else '-'}")
        print(
            f"saving    {self.mode}; {self.saved_count} saved, {len(writer.under_way) if writer else 0} under way"
        )
        if self.last is not None:
            result = self.last.result or {}
            name = result.get("checkpoint", {}).get("id") or result.get("error") or "under way"
            print(f"last      {name}, pause {self.last.pause * 1000:.1f} ms")
        for failure in self.named:
            print(f"not saved {one_line(failure)}")

    def finish(self) -> Optional[Dict[str, Any]]:
        """Waits for the last checkpoint; None when there is none."""
        if self.waiting is not None:
            cell, self.waiting = self.waiting, None
            self.save(cell, "Cell run")
        if self.last is None:
            return None
        self.last.poll(None)
        self.settle()
        return (self.last.result or {}).get("checkpoint")

    def checkpoint(self) -> None:
        """Saves the state now, with the cell that ran last."""
        if self.last_cell is None:
            print("nothing to save: run a cell first")
            return
        if self.save(self.last_cell, "Manual") is None:
            return
        resource = self.finish()
        if resource:
            print(f"saved {resource['id']}")

    def pin(self, name: str) -> None:
        """Pins the checkpoint of the cell that ran last."""
        resource = self.finish()
        if resource is None or self.writer is None:
            print("nothing to pin: no checkpoint was saved; see %roost status")
            return
        try:
            self.writer.client.pin(resource["id"], name)
        except APIError as error:
            print(f"not pinned: {error}")
            return
        print(f"pinned {resource['id']} as {name}")


def notebook_name() -> Optional[str]:
    """The notebook's file: set by the headless runner, or by Jupyter Server."""
    name = os.environ.get("ROOST_NOTEBOOK") or os.environ.get("JPY_SESSION_NAME")
    return os.path.basename(name) if name else None


def keep(variables: Dict[str, Any], words: List[str], client: Client) -> None:
    """Saves a variable's model, and makes a node of it where that is asked for."""
    options: Dict[str, List[str]] = {"--name": [], "--input": [], "--output": []}
    rest = list(words[1:])
    variable = rest.pop(0) if rest else ""
    while len(rest) > 1 and rest[0] in options:
        options[rest.pop(0)].append(rest.pop(0))
    if rest or not variable or variable.startswith("-"):
        raise ModelError(
            f"usage: %roost {words[0]} VAR --name NAME [--input x:FP32[-1,8] --output y:FP32[-1,1]]"
        )
    if variable not in variables:
        raise ModelError(f"there is no variable '{variable}'")
    name = options["--name"][-1] if options["--name"] else variable.lower().replace("_", "-")
    signature = given(options["--input"], options["--output"])
    origin = {"notebook": notebook_name(), "variable": variable}
    with tempfile.TemporaryDirectory(prefix="roost-model-") as folder:
        saved = save_model(variables[variable], folder)
        shape = signature.json() if signature else {}
        model = client.save_model(name, saved["kind"], saved["path"], origin, shape)
    tensors = [[tensor_from(tensor, side).text for tensor in model[side]] for side in ("inputs", "outputs")]
    print(
        f"saved {model['id']} as {name} ({model['kind']}): {', '.join(tensors[0])} -> {', '.join(tensors[1])}"
    )
    if words[0] == "deploy-model":
        operation = client.deploy_model(name, model["id"])
        print(f"node {name} is being made (operation {operation['id']}); see: roost node describe {name}")


class RoostKernel(IPythonKernel):  # type: ignore[misc]
    """Python 3 (Roost)."""

    implementation = "roost"
    implementation_version = __version__
    banner = "Python 3 (Roost): every cell run is a checkpoint. %roost status"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checkpointer = Checkpointer(self.shell)
        self.shell.events.register("pre_run_cell", self.checkpointer.before_cell)
        self.shell.events.register("post_run_cell", self.checkpointer.after_cell)
        self.shell.register_magic_function(self.checkpointer.magic, "line", "roost")

    def do_shutdown(self, restart: bool) -> Any:
        """Lets checkpoints under way end before the process does."""
        self.checkpointer.finish()
        return super().do_shutdown(restart)
