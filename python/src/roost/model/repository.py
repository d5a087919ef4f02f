"""Makes the model repository that Triton serves a node from: a folder per model, linked to the model's file."""

from __future__ import annotations

import json
import os
import re
import struct
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from roost.model import onnxgraph
from roost.model.errors import ModelError
from roost.model.predictors import rows
from roost.model.signature import DATATYPES, Signature, Tensor, given, signature_from

MAX_BATCH = 64
MAX_CANARY_BYTES = 16 << 20
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}\Z")
MODEL_PY = """import os, sys
sys.path.insert(0, os.environ["ROOST_PYTHON"])
from roost.model.tritonmodel import TritonPythonModel
"""


class Plan(NamedTuple):
    """One model of a node."""

    name: str
    kind: str
    file: str
    signature: Signature
    """Another name under which the same model answers."""
    alias: Optional[str] = None
    maxBatchSize: Optional[int] = None
    queueDelayMicroseconds: int = 0
    instances: int = 1
    threads: int = 1

    @property
    def batch(self) -> int:
        """Most rows in one call of the model; 0: its requests are not put together."""
        if not self.signature.batches:
            if self.maxBatchSize:
                raise ModelError(
                    f"maxBatchSize: model '{self.name}' takes no batches: the first dimension of every input and output "
                    "must be -1 (any length), and there must be a second one",
                    "maxBatchSize",
                )
            return 0
        return MAX_BATCH if self.maxBatchSize is None else self.maxBatchSize


def plan_from(value: Mapping[str, Any]) -> Plan:
    """A plan of an order, as JSON."""
    signature = signature_from(value)
    known = {k: value[k] for k in Plan._fields if k in value and k != "signature" and value[k] is not None}
    plan = Plan(signature=signature, **known)
    for name in (plan.name, plan.alias):
        if name is not None and not MODEL_NAME.match(name):
            raise ModelError(f"name: '{name}' must be letters, digits, '_', '.' or '-', at most 128", "name")
    return plan


def make(folder: str, plans: List[Plan]) -> Dict[str, Any]:
    """Writes the repository; says under which names models answer, and how each is asked whether it works."""
    told: Dict[str, Any] = {}
    for plan in plans:
        version = os.path.join(folder, plan.name, "1")
        os.makedirs(version, exist_ok=True)
        write(os.path.join(folder, plan.name, "config.pbtxt"), configuration(plan))
        write(os.path.join(version, "model.py"), MODEL_PY)
        target = "source.py" if plan.kind == "python" else "model.bin"
        link = os.path.join(version, target)
        if not os.path.lexists(link):
            os.symlink(os.path.abspath(plan.file), link)
        details = {
            "kind": plan.kind,
            "file": target,
            "maxBatchSize": plan.batch,
            "threads": plan.threads,
            **plan.signature.json(),
        }
        write(os.path.join(version, "model.json"), json.dumps(details))
        if plan.alias is not None and plan.alias != plan.name:
            os.makedirs(os.path.join(folder, plan.alias, "1"), exist_ok=True)
            write(os.path.join(folder, plan.alias, "config.pbtxt"), ensemble(plan, plan.alias))
        told[plan.name] = canary(plan.signature, os.path.join(folder, f"{plan.name}.canary"))
    return {"models": told}


def write(path: str, text: str) -> None:
    """A file of the repository."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def quoted(text: str) -> str:
    """As protocol buffers' text format writes it."""
    return json.dumps(text, ensure_ascii=True)


def tensors(word: str, values: List[Tensor], batch: int) -> str:
    """A list of inputs or outputs; the dimension of the batch is not written."""
    lines = []
    for tensor in values:
        datatype = "TYPE_STRING" if tensor.datatype == "BYTES" else f"TYPE_{tensor.datatype}"
        shape = tensor.shape[1:] if batch else tensor.shape
        dimensions = ", ".join(str(length) for length in shape)
        lines.append(f"  {{ name: {quoted(tensor.name)} data_type: {datatype} dims: [ {dimensions} ] }}")
    return f"{word} [\n" + ",\n".join(lines) + "\n]\n"


def configuration(plan: Plan) -> str:
    """`config.pbtxt` of a model of the python backend."""
    batch = plan.batch
    text = f'name: {quoted(plan.name)}\nbackend: "python"\nmax_batch_size: {batch}\n'
    text += tensors("input", list(plan.signature.inputs), batch)
    text += tensors("output", list(plan.signature.outputs), batch)
    text += f"instance_group [ {{ kind: KIND_CPU count: {plan.instances} }} ]\n"
    if batch:
        delay = plan.queueDelayMicroseconds
        text += f"dynamic_batching {{ max_queue_delay_microseconds: {delay} }}\n"
    return text


def ensemble(plan: Plan, name: str) -> str:
    """`config.pbtxt` of another name of the same model: requests are handed on, nothing is loaded twice."""

    def maps(word: str, values: List[Tensor]) -> str:
        pairs = [f"{word} {{ key: {quoted(t.name)} value: {quoted(t.name)} }}" for t in values]
        return " ".join(pairs)

    batch = plan.batch
    inputs, outputs = list(plan.signature.inputs), list(plan.signature.outputs)
    text = f'name: {quoted(name)}\nplatform: "ensemble"\nmax_batch_size: {batch}\n'
    text += tensors("input", inputs, batch) + tensors("output", outputs, batch)
    step = f"model_name: {quoted(plan.name)} model_version: -1 {maps('input_map', inputs)} {maps('output_map', outputs)}"
    return text + f"ensemble_scheduling {{ step [ {{ {step} }} ] }}\n"


def canary(signature: Signature, path: str) -> Dict[str, Any]:
    """Writes the smallest request that the signature allows, ready to be sent; zeros and empty texts."""
    header: List[Dict[str, Any]] = []
    raw = b""
    for tensor in signature.inputs:
        shape = [max(1, length) for length in tensor.shape]
        count = 1
        for length in shape:
            count *= length
        # An empty text is its length, of four bytes.
        size = 4 if tensor.datatype == "BYTES" else item_size(tensor.datatype)
        if count * size + len(raw) > MAX_CANARY_BYTES:
            return {}
        raw += bytes(count * size)
        header.append(
            {"name": tensor.name, "shape": shape, "datatype": tensor.datatype,
             "parameters": {"binary_data_size": count * size}}
        )  # fmt: skip
    body = json.dumps({"inputs": header, "parameters": {"binary_data_output": True}}).encode()
    with open(path, "wb") as file:
        file.write(body + raw)
    return {"file": os.path.basename(path), "headerLength": len(body)}


def item_size(datatype: str) -> int:
    """Bytes of one number."""
    return {
        "BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "UINT32": 4, "INT32": 4, "FP32": 4,
    }.get(datatype, struct.calcsize("<q"))  # fmt: skip


def known_without_loading(kind: str, path: str) -> Optional[Signature]:
    """The signature of a file whose format tells it; None where the model must be loaded."""
    return rows(onnxgraph.read(path)) if kind == "onnx" else None


__all__ = [
    "DATATYPES",
    "Plan",
    "canary",
    "configuration",
    "ensemble",
    "given",
    "known_without_loading",
    "make",
    "plan_from",
]
