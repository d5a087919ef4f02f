"""Writes a model of a notebook's variable to a file of one of the kinds."""

from __future__ import annotations

import os
from typing import Any, Dict

from roost.model.errors import ModelError


def save(value: Any, folder: str) -> Dict[str, str]:
    """The file that a variable's model was written to, and its kind."""
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__]
    path = os.path.join(folder, "model")
    if any(name.startswith("onnx.") and name.endswith("ModelProto") for name in names):
        with open(path, "wb") as file:
            file.write(value.SerializeToString())
        return {"path": path, "kind": "onnx"}
    if any(name.endswith("InferenceSession") and name.startswith("onnxruntime") for name in names):
        raise ModelError(
            "an onnxruntime session keeps no model; save the onnx.ModelProto, or upload the file"
        )
    if "xgboost.core.Booster" in names:
        # The format is told by the ending.
        value.save_model(path + ".ubj")
        return {"path": path + ".ubj", "kind": "xgboost"}
    if "lightgbm.basic.Booster" in names:
        value.save_model(path)
        return {"path": path, "kind": "lightgbm"}
    if any(name.startswith("catboost.core.") for name in names):
        value.save_model(path, format="cbm")
        return {"path": path, "kind": "catboost"}
    if any(name.startswith("torch.jit.") and name.endswith("ScriptModule") for name in names):
        value.save(path)
        return {"path": path, "kind": "torchscript"}
    if any(name.startswith("torch.nn.modules.module.") for name in names):
        raise ModelError(
            "a module of torch is saved as TorchScript: torch.jit.script(model) or torch.jit.trace(model, example)"
        )
    if any(name.startswith(("keras.", "tf_keras.")) and name.endswith(".Model") for name in names):
        value.save(path + ".keras")
        return {"path": path + ".keras", "kind": "keras-saved"}
    if hasattr(value, "predict") or hasattr(value, "transform"):
        import cloudpickle

        with open(path, "wb") as file:
            cloudpickle.dump(value, file)
        return {"path": path, "kind": "sklearn"}
    raise ModelError(
        f"a {type(value).__name__} is no model of a known kind: it has neither predict nor transform; "
        "write a file with def predict(**inputs), and: roost model upload FILE"
    )
