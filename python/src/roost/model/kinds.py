"""What kind of model a file is, told by its bytes. Nothing of it is run: pickles are looked at, not loaded."""

from __future__ import annotations

import ast
import gzip
import io
import lzma
import os
import pickletools
import zipfile
import zlib
from typing import List, Optional, Set

from roost.model import onnxgraph
from roost.model.errors import ModelError

KINDS = ("onnx", "sklearn", "torchscript", "xgboost", "lightgbm", "catboost", "keras-saved", "python")
HEAD = 1 << 20


def detect(path: str) -> str:
    """The kind of a file. Refuses, with what to do, where the file does not tell."""
    if os.path.isdir(path):
        raise ModelError(
            "the model is a folder; save it as one file (Keras: model.save('model.keras'))", "file"
        )
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not head:
        raise ModelError("the model's file is empty", "file")
    found = by_head(head) or (zipped(path) if zipfile.is_zipfile(path) else pickled(head))
    if found:
        return found
    try:
        onnxgraph.read(path)
        return "onnx"
    except ModelError as error:
        if "it needs both" in str(error) or "of the ONNX graph" in str(error):
            raise
    if is_python(head):
        return "python"
    raise ModelError(
        f"kind: the file does not tell what kind of model it is; give one of {', '.join(KINDS)}", "kind"
    )


def by_head(head: bytes) -> Optional[str]:
    """Of formats that begin with what they are."""
    if head.startswith(b"CBM1"):
        return "catboost"
    if head.startswith(b"tree\n") and b"num_class=" in head[:4096]:
        return "lightgbm"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras-saved"
    if head.startswith(b"binf"):
        return "xgboost"
    # JSON begins with {"learner", UBJSON with {L and the length of "learner".
    start = head[:200].lstrip()
    if start.startswith(b"{") and b"learner" in start[:64]:
        return "xgboost"
    return None


def zipped(path: str) -> Optional[str]:
    """Of formats that are archives."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return None
    if {"config.json", "model.weights.h5"} <= names:
        return "keras-saved"
    tails = {name.split("/", 1)[-1] for name in names}
    if "constants.pkl" in tails and "data.pkl" in tails:
        return "torchscript"
    if "data.pkl" in tails:
        raise ModelError(
            "the file holds weights or a pickled module of torch, not TorchScript; save it with "
            "torch.jit.script(model).save('model.pt') or torch.jit.trace(model, example).save('model.pt')",
            "file",
        )
    return None


def pickled(head: bytes) -> Optional[str]:
    """Of pickles (of joblib too), by the modules that they name. Models of wrappers for scikit-learn are told apart by what loads them."""
    for opened in (head, unpacked(head)):
        if opened is not None and opened[:1] == b"\x80":
            modules = named_modules(opened)
            for package in ("sklearn", "xgboost", "lightgbm", "catboost"):
                if package in modules:
                    return "sklearn"
            raise ModelError(
                "kind: the file is a pickle that does not begin with a model of scikit-learn "
                f"(it names {', '.join(sorted(modules)[:5]) or 'no module'}); give kind sklearn when it holds one "
                "with the methods of an estimator",
                "kind",
            )
    return None


def unpacked(head: bytes) -> Optional[bytes]:
    """The begin of a compressed file, where it is one."""
    try:
        if head[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(head)) as stream:
                return stream.read(HEAD // 4)
        if head[:1] == b"\x78":
            return zlib.decompressobj().decompress(head, HEAD // 4)
        if head[:6] == b"\xfd7zXZ\x00":
            return lzma.LZMADecompressor().decompress(head, HEAD // 4)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        pass
    return None


def named_modules(data: bytes) -> Set[str]:
    """Top-level modules that a pickle names before its first array."""
    found: Set[str] = set()
    texts: List[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                found.add(str(argument).split(" ")[0].split(".")[0])
            elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
                found.add(texts[-2].split(".")[0])
            elif "UNICODE" in opcode.name:
                texts = [*texts[-8:], str(argument)]
    except Exception:  # joblib puts arrays between the opcodes
        pass
    return found


def is_python(head: bytes) -> bool:
    """Source of Python that defines `predict`."""
    try:
        tree = ast.parse(head.decode("utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == "predict" for node in tree.body)
