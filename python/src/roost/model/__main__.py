"""`python -m roost.model`: looks at a model's file, and makes what Triton serves it from.

Models are loaded by `inspect` (but of ONNX) and run what their makers wrote: the server calls it in a sandbox.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Dict, List, Optional, Tuple

from roost.model import kinds, predictors, repository, tritonserver
from roost.model.errors import ModelError, brief
from roost.model.signature import Signature, from_arrays, given


def inspect(
    path: str, kind: Optional[str], signature: Optional[Signature], example: Optional[str]
) -> Dict[str, Any]:
    """Kind, size, inputs and outputs of a file."""
    if not os.path.exists(path):
        raise ModelError(f"file: {path} does not exist", "file")
    if kind is not None and kind not in kinds.KINDS:
        raise ModelError(f"kind: '{kind}' must be one of {', '.join(kinds.KINDS)}", "kind")
    kind = kind or kinds.detect(path)
    found = signature or repository.known_without_loading(kind, path)
    if found is None or example:
        found = loaded(kind, path, found, example)
    return {"kind": kind, "sizeBytes": os.path.getsize(path), **found.json()}


def loaded(kind: str, path: str, signature: Optional[Signature], example: Optional[str]) -> Signature:
    """What the loaded model tells of itself, or makes of an example."""
    predictor = predictors.load(kind, path, signature)
    if example is None:
        return predictor.known
    arrays = read_example(example)
    inputs = from_arrays(arrays)
    own = predictor.signature
    unnamed = own.outputs if own else ()
    predictor.use(Signature(inputs, unnamed, own.labels if own else ()))
    answers = outputs_of(predictor, arrays)
    return Signature(inputs, from_arrays(answers), own.labels if own else ())


def outputs_of(predictor: predictors.Predictor, arrays: Dict[str, Any]) -> Dict[str, Any]:
    """Outputs whose names, and how many they are, is not known before."""
    import numpy

    from roost.model.signature import Tensor

    count = len(predictor.known.outputs)
    if count == 0:
        for count in range(16, 0, -1):
            names = tuple(Tensor(f"output__{place}", "FP32", (-1, -1)) for place in range(count))
            predictor.use(predictor.known._replace(outputs=names))
            try:
                answers = predictor.predict(arrays)
                break
            except ModelError as error:
                if count == 1 or error.field != "outputs":
                    raise
    else:
        answers = predictor.predict(arrays)
    return {name: predictors.columns(numpy.asarray(value)) for name, value in answers.items()}


def read_example(path: str) -> Dict[str, Any]:
    """Arrays of an `.npz` file by name, of an `.npy` file as `input__0`, or of a JSON object of nested lists."""
    import numpy

    try:
        if path.endswith(".json"):
            with open(path, encoding="utf-8") as file:
                value = json.load(file)
            if not isinstance(value, dict):
                raise ModelError("example: the JSON must be an object of inputs by name", "example")
            return {name: single(numpy.asarray(rows)) for name, rows in value.items()}
        data = numpy.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"example: {path} can't be read: {error}; give .npz, .npy or .json", "example")
    if hasattr(data, "files"):
        return {name: data[name] for name in data.files}
    return {predictors.INPUT: data}


def single(array: Any) -> Any:
    """Numbers of JSON are taken for FP32, as models mostly want them."""
    return array.astype("float32") if array.dtype.kind == "f" else array


def main(arguments: List[str]) -> int:
    """The command line; the answer, or the problem, goes as JSON to the file of `--answer` too."""
    parser = argparse.ArgumentParser(prog="python -m roost.model", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    look = commands.add_parser("inspect", help="print kind, inputs and outputs of a model's file as JSON")
    look.add_argument("file")
    look.add_argument("--kind", help=f"where the file does not tell: {', '.join(kinds.KINDS)}")
    look.add_argument("--input", action="append", default=[], metavar="NAME:DATATYPE[SHAPE]")
    look.add_argument("--output", action="append", default=[], metavar="NAME:DATATYPE[SHAPE]")
    look.add_argument("--example", help="inputs as .npz, .npy or .json: the signature is made of them")
    look.add_argument("--answer", help="a file for the answer or the problem, as JSON")
    build = commands.add_parser("repository", help="write Triton's model repository of an order")
    build.add_argument(
        "order", help='JSON: {"folder", "models": [{"name", "kind", "file", "inputs", "outputs"}]}'
    )
    build.add_argument("--answer", help="a file for the answer or the problem, as JSON")
    options = parser.parse_args(arguments)
    code, answer = run(options)
    if options.answer:
        with open(options.answer, "w", encoding="utf-8") as file:
            json.dump(answer, file)
    if code == 0:
        print(json.dumps(answer))
    else:
        print(f"error: {answer['message']}", file=sys.stderr)
    return code


def run(options: argparse.Namespace) -> Tuple[int, Dict[str, Any]]:
    """The answer of a command, or its problem."""
    try:
        if options.command == "inspect":
            signature = given(options.input, options.output)
            return 0, inspect(options.file, options.kind, signature, options.example)
        with open(options.order, encoding="utf-8") as file:
            order = json.load(file)
        told = repository.make(order["folder"], [repository.plan_from(value) for value in order["models"]])
        if "server" in order:
            told["flags"] = tritonserver.flags(order["server"])
        return 0, told
    except Exception as error:
        return 1, {"message": brief(error), "field": getattr(error, "field", None)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
