"""Makes the model repository that Triton serves a node from: a folder per model, linked to the model's file."""

from __future__ import annotations

import json
import os
import re
import struct
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from roost.model import natives, onnxgraph
from roost.model.errors import ModelError
from roost.model.predictors import rows
from roost.model.signature import DATATYPES, Signature, Tensor, given, signature_from

MAX_BATCH = 64
MAX_CANARY_BYTES = 16 << 20
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}\Z")
MOST_VERSIONS = 16
"""Of one model: each is a process of its own."""
LAST_VERSION = 2**53 - 1
"""Triton takes 2**63 - 1; JSON keeps integers up to this one everywhere."""
MODEL_PY = """import os, sys
sys.path.insert(0, os.environ["ROOST_PYTHON"])
from roost.model.tritonmodel import TritonPythonModel
"""


class Plan(NamedTuple):
    """One model of a node, or one version of it."""

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
    """Of several with one name the highest answers requests that name none."""
    version: int = 1
    native: bool = False
    """Triton has backends of its own: one of them runs the model, where there is one for its kind."""
    gpu: bool = False
    """They do so on a GPU; what Python runs decides for itself."""
    readable: Optional[str] = None
    """Where the file can be read now, if Triton will see it elsewhere."""

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
    if (
        isinstance(plan.version, bool)
        or not isinstance(plan.version, int)
        or not 1 <= plan.version <= LAST_VERSION
    ):
        raise ModelError(
            f"version: {plan.version!r} of model '{plan.name}' must be a whole number from 1 to {LAST_VERSION}",
            "version",
        )
    return plan


def by_name(plans: List[Plan]) -> Dict[str, List[Plan]]:
    """The versions of each model, the lowest first; all have the same inputs and outputs."""
    models: Dict[str, List[Plan]] = {}
    for plan in plans:
        models.setdefault(plan.name, []).append(plan)
    for name, versions in models.items():
        versions.sort(key=lambda plan: plan.version)
        if len(versions) > MOST_VERSIONS:
            raise ModelError(
                f"version: model '{name}' has {len(versions)} versions, at most {MOST_VERSIONS} are served",
                "version",
            )
        first = versions[0]
        for former, plan in zip(versions, versions[1:]):
            if former.version == plan.version:
                raise ModelError(f"version: {plan.version} of model '{name}' is given twice", "version")
            if (problem := difference(first, plan)) is not None:
                raise ModelError(problem, "version")
    return models


def difference(one: Plan, other: Plan) -> Optional[str]:
    """What keeps two versions from being served as one model."""
    sides = (("input", one.signature.inputs, other.signature.inputs),
             ("output", one.signature.outputs, other.signature.outputs))  # fmt: skip
    for side, ours, theirs in sides:
        for name in [t.name for t in (*ours, *theirs)]:
            told = [next((t.text for t in each if t.name == name), "missing") for each in (ours, theirs)]
            if told[0] != told[1]:
                return (
                    f"version: versions {one.version} and {other.version} of model '{one.name}' can't be served together: "
                    f"{side} '{name}' is {told[0]} in version {one.version}, but {told[1]} in version {other.version}"
                )
    return None


def make(folder: str, plans: List[Plan]) -> Dict[str, Any]:
    """Writes the repository; says under which names models answer, and how each is asked whether it works."""
    told: Dict[str, Any] = {}
    usesPython = False
    for name, versions in by_name(plans).items():
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        write(os.path.join(folder, name, "config.pbtxt"), configuration(versions))
        backend = backend_of(versions)
        usesPython = usesPython or backend is None
        for plan in versions:
            make_version(os.path.join(folder, name, str(plan.version)), plan, backend)
            if plan.alias is not None and plan.alias != name:
                make_alias(os.path.join(folder, plan.alias), plan, plan.alias)
        # The signatures are the same: so is the request that each version is asked by.
        told[name] = canary(versions[0].signature, os.path.join(folder, f"{name}.canary"))
    return {"models": told, "usesPython": usesPython}


def make_alias(folder: str, plan: Plan, alias: str) -> None:
    """Writes another name of one version: requests are handed on, nothing is loaded twice."""
    version = os.path.join(folder, str(plan.version))
    os.makedirs(version, exist_ok=True)
    if {tensor.name for tensor in plan.signature.inputs} & {tensor.name for tensor in plan.signature.outputs}:
        # To an ensemble an input and an output of one name are one tensor: Triton would never answer. So it is loaded once more.
        write(os.path.join(folder, "config.pbtxt"), configuration([plan._replace(name=alias)]))
        make_version(version, plan, backend_of([plan]))
    else:
        write(os.path.join(folder, "config.pbtxt"), ensemble(plan, alias))


def make_version(folder: str, plan: Plan, backend: Optional[natives.Backend]) -> None:
    """Writes the folder of one version: a link to the file, and the code of the python backend."""
    os.makedirs(folder, exist_ok=True)
    target = backend.file if backend else "source.py" if plan.kind == "python" else "model.bin"
    link = os.path.join(folder, target)
    if not os.path.lexists(link):
        os.symlink(os.path.abspath(plan.file), link)
    if backend:
        return
    write(os.path.join(folder, "model.py"), MODEL_PY)
    details = {
        "kind": plan.kind,
        "file": target,
        "maxBatchSize": plan.batch,
        "threads": plan.threads,
        **plan.signature.json(),
    }
    write(os.path.join(folder, "model.json"), json.dumps(details))


def write(path: str, text: str) -> None:
    """A file of the repository."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def quoted(text: str) -> str:
    """As protocol buffers' text format writes it."""
    return json.dumps(text, ensure_ascii=True)


def tensors(word: str, values: List[Tensor], batch: int, own: Mapping[str, Tuple[int, ...]] = {}) -> str:
    """A list of inputs or outputs; the dimension of the batch is not written. `own`: shapes that the model itself takes."""
    lines = []
    for tensor in values:
        datatype = "TYPE_STRING" if tensor.datatype == "BYTES" else f"TYPE_{tensor.datatype}"
        shape = tensor.shape[1:] if batch else tensor.shape
        dimensions = ", ".join(str(length) for length in shape)
        more = natives.reshape(tensor, own, batch)
        lines.append(
            f"  {{ name: {quoted(tensor.name)} data_type: {datatype} dims: [ {dimensions} ]{more} }}"
        )
    return f"{word} [\n" + ",\n".join(lines) + "\n]\n"


def backend_of(versions: List[Plan]) -> Optional[natives.Backend]:
    """Triton's own backend that runs all versions of a model; None: the python backend, which takes any."""
    first = versions[0]
    if (
        any(not plan.native or plan.kind != first.kind for plan in versions)
        or first.kind not in natives.BACKENDS
    ):
        return None
    shapes = [natives.shapes(plan.kind, plan.readable or plan.file) for plan in versions]
    return natives.BACKENDS[first.kind] if all(each == shapes[0] for each in shapes) else None


def configuration(versions: List[Plan]) -> str:
    """`config.pbtxt` of a model with all its versions, for the python backend or for Triton's own of its kind."""
    plan = versions[0]
    batch, backend = plan.batch, backend_of(versions)
    if backend and plan.kind == "torchscript":
        natives.check_places("inputs", plan.signature.inputs)
        natives.check_places("outputs", plan.signature.outputs)
    text = f'name: {quoted(plan.name)}\nbackend: "{backend.name if backend else "python"}"\nmax_batch_size: {batch}\n'
    own = natives.shapes(plan.kind, plan.readable or plan.file) if backend else {}
    text += tensors("input", list(plan.signature.inputs), batch, own)
    text += tensors("output", list(plan.signature.outputs), batch, own)
    numbers = ", ".join(str(each.version) for each in versions)
    text += f"version_policy {{ specific {{ versions: [ {numbers} ] }} }}\n"
    if backend:
        text += natives.parameters(backend, plan.threads)
    where = "KIND_GPU" if backend and plan.gpu else "KIND_CPU"
    text += f"instance_group [ {{ kind: {where} count: {plan.instances} }} ]\n"
    if batch:
        delay = plan.queueDelayMicroseconds
        text += f"dynamic_batching {{ max_queue_delay_microseconds: {delay} }}\n"
    return text


def ensemble(plan: Plan, name: str) -> str:
    """`config.pbtxt` of another name of the same model."""

    def maps(word: str, values: List[Tensor]) -> str:
        pairs = [f"{word} {{ key: {quoted(t.name)} value: {quoted(t.name)} }}" for t in values]
        return " ".join(pairs)

    batch = plan.batch
    inputs, outputs = list(plan.signature.inputs), list(plan.signature.outputs)
    text = f'name: {quoted(name)}\nplatform: "ensemble"\nmax_batch_size: {batch}\n'
    text += tensors("input", inputs, batch) + tensors("output", outputs, batch)
    step = f"model_name: {quoted(plan.name)} model_version: {plan.version} {maps('input_map', inputs)} {maps('output_map', outputs)}"
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
