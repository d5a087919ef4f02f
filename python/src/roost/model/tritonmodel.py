"""The code of every model in Triton's python backend: `model.py` of the repository imports it (see `repository`)."""

from __future__ import annotations

import ctypes
import json
import os
from typing import Any, Dict, List, Optional

import numpy
import triton_python_backend_utils as utils  # type: ignore[import-not-found]

from roost.model import batching, oldstub
from roost.model.errors import ModelError, brief
from roost.model.predictors import Arrays, Predictor, load
from roost.model.signature import Signature, signature_from

# The backend's own arrays are of the layout of numpy 1: with numpy 2 their sizes would be wrong, so memory is handed over by DLPack,
# and texts as `oldstub` says.
NUMPY_2 = int(numpy.__version__.split(".")[0]) >= 2
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.argtypes = [ctypes.py_object, ctypes.c_char_p]
_rename.restype = ctypes.c_int


class TritonPythonModel:
    """One instance of a model in Triton."""

    def initialize(self, arguments: Dict[str, str]) -> None:
        """Loads the model; what is raised here is what Triton tells of a model that can't be loaded."""
        folder = os.path.join(arguments["model_repository"], arguments["model_version"])
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            plan = json.load(file)
        self.signature: Signature = signature_from(plan)
        texts = [t.name for t in (*self.signature.inputs, *self.signature.outputs) if t.datatype == "BYTES"]
        if texts and NUMPY_2 and not oldstub.pass_texts(utils, output):
            raise ModelError(
                f"'{texts[0]}' has datatype BYTES, which the python backend of this Triton can't pass on with numpy "
                f"{numpy.__version__}; use numpy<2 for models of texts"
            )
        try:
            self.predictor: Predictor = load(
                plan["kind"], os.path.join(folder, plan["file"]), self.signature, int(plan["threads"])
            )
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(brief(error)) from error
        self.batches = bool(plan["maxBatchSize"])

    def execute(self, requests: List[Any]) -> List[Any]:
        """One response per request, in order; one bad request fails alone."""
        arrays: List[Arrays] = []
        places: List[int] = []
        outcomes: List[batching.Outcome] = ["" for _ in requests]
        for place, request in enumerate(requests):
            try:
                arrays.append(self.inputs(request))
                places.append(place)
            except Exception as error:
                outcomes[place] = brief(error)
        # What nobody asks for is not computed: probabilities cost a classifier as much as its classes.
        self.predictor.asked = {name for request in requests for name in request.requested_output_names()}
        for place, outcome in zip(places, batching.run(self.predictor, arrays, self.batches)):
            outcomes[place] = outcome
        return [self.response(outcome) for outcome in outcomes]

    def inputs(self, request: Any) -> Arrays:
        """The tensors of a request as arrays that read its memory in place."""
        found: Arrays = {}
        for tensor in self.signature.inputs:
            value = utils.get_input_tensor_by_name(request, tensor.name)
            if value is None:
                raise ModelError(f"input '{tensor.name}' is missing")
            is_text = tensor.datatype == "BYTES"
            found[tensor.name] = numpy.from_dlpack(value) if NUMPY_2 and not is_text else value.as_numpy()
        return found

    def response(self, outcome: batching.Outcome) -> Any:
        """Triton's response to one request."""
        if isinstance(outcome, str):
            return utils.InferenceResponse(error=utils.TritonError(outcome))
        return utils.InferenceResponse([output(name, array) for name, array in outcome.items()])


def output(name: str, array: Any) -> Any:
    """A tensor of the backend."""
    array = numpy.ascontiguousarray(array)
    if not NUMPY_2 or array.dtype == object:
        return utils.Tensor(name, array)
    if not array.flags.writeable:
        array = array.copy()
    capsule: Optional[Any] = array.__dlpack__()
    tensor = utils.Tensor.from_dlpack(name, capsule)
    # The backend marks what it took with a name that numpy does not know, and would complain about.
    _rename(capsule, b"used_dltensor")
    return tensor
