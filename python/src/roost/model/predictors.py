"""Loads a model of each kind and predicts with it. Only in sandboxes: a pickle, and any model, may run what its maker wrote.

A predictor takes arrays by the names of the signature's inputs, all with the same first dimension where the model takes
batches, and gives arrays by the names of its outputs.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
import types
import warnings
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from roost.model import onnxgraph
from roost.model.errors import ModelError
from roost.model.signature import DATATYPES, Signature, Tensor, datatype_of, from_arrays, given

Arrays = Dict[str, Any]
Predict = Callable[[Arrays], Arrays]
INPUT = "input__0"
OUTPUT = "output__0"
PROBABILITIES = "probabilities"


class Predictor:
    """A loaded model. `signature` is None where its kind does not tell it."""

    def __init__(self, path: str, threads: int = 1) -> None:
        self.path = path
        self.threads = threads
        self.signature: Optional[Signature] = None
        # Outputs that callers want this time; None: all of them.
        self.asked: Optional[Set[str]] = None

    def use(self, signature: Signature) -> None:
        """Takes a signature that was given in place of its own."""
        self.signature = signature

    @property
    def known(self) -> Signature:
        """The signature, which must be known by now."""
        if self.signature is None:
            raise ModelError(
                "inputs: this kind of model does not tell what goes in; give inputs and outputs, or an example",
                "inputs",
            )
        return self.signature

    def predict(self, arrays: Arrays) -> Arrays:
        """Outputs of a batch."""
        raise NotImplementedError

    def named(self, values: Sequence[Any]) -> Arrays:
        """Results in order, by the names of the outputs."""
        names = [tensor.name for tensor in self.known.outputs]
        if len(values) < len(names):
            raise ModelError(
                f"outputs: the model gives {len(values)} tensors, the signature names {len(names)} "
                f"({', '.join(names)})",
                "outputs",
            )
        return dict(zip(names, values))


class Onnx(Predictor):
    """By onnxruntime."""

    def __init__(self, path: str, threads: int = 1) -> None:
        super().__init__(path, threads)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.signature = rows(onnxgraph.read(path))
        self.ranks = {node.name: len(node.shape) for node in self.session.get_inputs()}

    def predict(self, arrays: Arrays) -> Arrays:
        """Runs the graph; lists of single numbers become columns and back."""
        fed = {
            name: texts(array.reshape(-1) if self.ranks.get(name) == 1 and array.ndim == 2 else array)
            for name, array in arrays.items()
        }
        names = [tensor.name for tensor in self.known.outputs]
        try:
            values = self.session.run(names, fed)
        except Exception as error:
            raise ModelError(f"{type(error).__name__}: {str(error)[:600]}") from error
        return dict(zip(names, values))


def rows(signature: Signature) -> Signature:
    """With lists of any length as columns of one number: batches have a second dimension."""

    def column(tensor: Tensor) -> Tensor:
        return tensor._replace(shape=(-1, 1)) if tensor.shape == (-1,) else tensor

    return signature._replace(
        inputs=tuple(map(column, signature.inputs)), outputs=tuple(map(column, signature.outputs))
    )


class Estimator(Predictor):
    """What has `predict`, `predict_proba` or `transform` as scikit-learn's estimators have."""

    def __init__(self, path: str, threads: int = 1) -> None:
        super().__init__(path, threads)
        self.estimator = unpickle(path)
        if not any(hasattr(self.estimator, name) for name in ("predict", "transform")):
            raise ModelError(
                f"the pickle holds a {type(self.estimator).__name__}, which has neither predict nor transform",
                "file",
            )
        names = getattr(self.estimator, "feature_names_in_", None)
        self.columns: List[str] = [] if names is None else [str(name) for name in names]
        count = getattr(self.estimator, "n_features_in_", None)
        self.classes: Any = getattr(self.estimator, "classes_", ())
        self.labels: Tuple[str, ...] = ()
        if hasattr(self.classes, "dtype") and datatype_of(self.classes.dtype, "classes_") == "BYTES":
            self.labels = tuple(str(label) for label in self.classes)
        self.is_of_texts = takes_texts(self.estimator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.is_of_texts:
                self.probe(Tensor(INPUT, "BYTES", (-1, 1)))
            elif count is not None:
                self.probe(Tensor(INPUT, "FP32", (-1, int(count))))

    def probe(self, tensor: Tensor) -> None:
        """What comes out of zeros or empty texts: its shape and datatype. Who can't take them is asked for the signature instead."""
        # What `predict` gives is named by its signature, which is not known yet.
        try:
            results = self.results(zeros(Signature((tensor,), ()), 2), probing=True)
        except Exception:
            return
        outputs = from_arrays({name: columns(value) for name, value in results.items()})
        self.signature = Signature((tensor,), outputs, self.labels)

    def frame(self, arrays: Arrays) -> Any:
        """What the estimator is given: an array, a list of texts, or a table where it was fitted with one."""
        if len(arrays) == 1 and self.is_of_texts:
            return texts(next(iter(arrays.values())).reshape(-1))
        if len(arrays) == 1 and not self.columns:
            return texts(next(iter(arrays.values())))
        import pandas

        if len(arrays) == 1 and len(self.columns) != 1:
            return pandas.DataFrame(texts(next(iter(arrays.values()))), columns=self.columns)
        table = pandas.DataFrame({name: texts(array.reshape(len(array))) for name, array in arrays.items()})
        return table[self.columns] if self.columns and set(self.columns) <= set(table) else table

    @property
    def gives_texts(self) -> bool:
        """Its signature was given, and wants the labels of classes rather than their numbers."""
        outputs = self.signature.outputs if self.signature else ()
        return any((tensor.name, tensor.datatype) == (OUTPUT, "BYTES") for tensor in outputs)

    def results(self, arrays: Arrays, probing: bool = False) -> Arrays:
        """Of `predict` and `predict_proba`, or of `transform`."""
        import numpy

        wanted = None if probing or self.signature is None else {t.name for t in self.signature.outputs}
        if wanted is not None and self.asked is not None and wanted <= {OUTPUT, PROBABILITIES}:
            wanted &= self.asked
        given_to = self.frame(arrays)
        if not hasattr(self.estimator, "predict"):
            value = self.estimator.transform(given_to)
            return {OUTPUT: value.toarray() if hasattr(value, "toarray") else numpy.asarray(value)}
        found: Arrays = {}
        if wanted is None or OUTPUT in wanted or not wanted <= {OUTPUT, PROBABILITIES}:
            found[OUTPUT] = numpy.asarray(self.estimator.predict(given_to))
            if self.labels and (wanted is None or OUTPUT in wanted) and not self.gives_texts:
                found[OUTPUT] = numpy.searchsorted(self.classes, found[OUTPUT]).astype("int64")
        if hasattr(self.estimator, "predict_proba") and (wanted is None or PROBABILITIES in wanted):
            value = self.estimator.predict_proba(given_to)
            if not isinstance(value, list):
                found[PROBABILITIES] = numpy.asarray(value)
        return found

    def predict(self, arrays: Arrays) -> Arrays:
        """Outputs by name; one output may have any name."""
        found = self.results(arrays)
        names = [tensor.name for tensor in self.known.outputs]
        if len(names) == 1 and names[0] not in found and found:
            return {names[0]: next(iter(found.values()))}
        return found


def takes_texts(estimator: Any) -> bool:
    """A vectorizer of texts, or a pipeline that begins with one: it takes a list of texts, not rows."""
    while getattr(estimator, "steps", None):
        estimator = estimator.steps[0][1]
    return callable(getattr(estimator, "build_analyzer", None))


def texts(array: Any) -> Any:
    """Bytes of the protocol as the texts that estimators, tables and onnxruntime take."""
    if array.dtype.kind != "O":
        return array
    import numpy

    decoded = [value.decode("utf-8") if isinstance(value, bytes) else value for value in array.reshape(-1)]
    return numpy.array(decoded, dtype=object).reshape(array.shape)


def columns(array: Any) -> Any:
    """A list of single results as a column."""
    return array.reshape(-1, 1) if array.ndim == 1 else array


def unpickle(path: str) -> Any:
    """Loads what pickle, cloudpickle or joblib wrote. This runs what its maker wrote."""
    with open(path, "rb") as file:
        head = file.read(2)
    if head[:1] == b"\x80":
        try:
            with open(path, "rb") as file:
                return pickle.load(file)
        except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError):
            pass  # joblib puts arrays between the opcodes
    import joblib

    # Its arrays are pages of the file, which the instances of a node share; what is written to becomes the process' own.
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*mmap_mode.*"
        )  # of a compressed file, which can't be mapped
        return joblib.load(path, mmap_mode="c")


class Boosted(Predictor):
    """Of trees: one input with a number per feature, one output, named as everybody names them."""

    def found(self, count: int) -> None:
        """Makes the signature of what comes out of zeros."""
        import numpy

        if count <= 0:
            return
        value = self.values(numpy.zeros((2, count), dtype="float32"))
        outputs = from_arrays({OUTPUT: columns(numpy.asarray(value).astype("float32"))})
        self.signature = Signature((Tensor(INPUT, "FP32", (-1, count)),), outputs)

    def values(self, array: Any) -> Any:
        """What the trees say."""
        raise NotImplementedError

    def predict(self, arrays: Arrays) -> Arrays:
        """Of the only input."""
        if len(arrays) != 1:
            raise ModelError(
                f"inputs: models of this kind have one input, {len(arrays)} were given", "inputs"
            )
        return self.named([self.values(next(iter(arrays.values())))])


class XGBoost(Boosted):
    """By xgboost, from what `save_model` wrote."""

    def __init__(self, path: str, threads: int = 1) -> None:
        super().__init__(path, threads)
        import xgboost

        self.booster = xgboost.Booster({"nthread": threads}, model_file=path)
        self.found(int(self.booster.num_features()))

    def values(self, array: Any) -> Any:
        """Without a copy of the rows."""
        return self.booster.inplace_predict(array, validate_features=False)


class LightGBM(Boosted):
    """By lightgbm, from what `save_model` wrote."""

    def __init__(self, path: str, threads: int = 1) -> None:
        super().__init__(path, threads)
        import lightgbm

        self.booster = lightgbm.Booster(model_file=path)
        self.found(int(self.booster.num_feature()))

    def values(self, array: Any) -> Any:
        """Of a batch."""
        return self.booster.predict(array, num_threads=self.threads)


class CatBoost(Boosted):
    """By catboost, from a `.cbm` file: probabilities of a classifier, else the value."""

    def __init__(self, path: str, threads: int = 1) -> None:
        super().__init__(path, threads)
        import catboost

        self.model = catboost.CatBoost()
        self.model.load_model(path)
        try:
            loss = str(self.model.get_all_params().get("loss_function", ""))
        except catboost.CatBoostError:
            loss = ""
        is_classifier = loss.split(":")[0] in ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")
        self.said = "Probability" if is_classifier else "RawFormulaVal"
        if not self.model.get_cat_feature_indices():
            self.found(len(self.model.feature_names_ or []))

    def values(self, array: Any) -> Any:
        """Of a batch."""
        return self.model.predict(array, prediction_type=self.said, thread_count=self.threads)


class TorchScript(Predictor):
    """By torch. Inputs are given in the order of the signature, which the file never tells."""

    def __init__(self, path: str, threads: int = 1) -> None:
        super().__init__(path, threads)
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.module = torch.jit.load(path, map_location="cpu")
        self.module.eval()

    def predict(self, arrays: Arrays) -> Arrays:
        """Of a tensor, a tuple, a list or a dictionary of tensors."""
        ordered = [
            self.torch.from_numpy(arrays[t.name].copy()) for t in self.known.inputs if t.name in arrays
        ]
        with self.torch.inference_mode():
            answer = self.module(*ordered)
        if isinstance(answer, dict):
            return {str(name): value.numpy() for name, value in answer.items()}
        several = answer if isinstance(answer, (tuple, list)) else [answer]
        return self.named([value.detach().numpy() for value in several])


class Keras(Predictor):
    """By keras, from a `.keras` or `.h5` file."""

    def __init__(self, path: str, threads: int = 1) -> None:
        super().__init__(path, threads)
        choose_backend()
        import keras

        self.array = keras.ops.convert_to_numpy
        # Keras tells the format by the name.
        with open(path, "rb") as file:
            ending = ".h5" if file.read(4) == b"\x89HDF" else ".keras"
        if not path.endswith(ending):
            link = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"model-{os.getpid()}{ending}")
            if not os.path.lexists(link):
                os.symlink(os.path.abspath(path), link)
            path = link
        self.model = keras.models.load_model(path, compile=False)
        self.signature = Signature(self.tensors(self.model.inputs), self.tensors(self.model.outputs))
        self.signature = rows(self.signature)

    @staticmethod
    def tensors(values: Sequence[Any]) -> Tuple[Tensor, ...]:
        """Of symbolic tensors; names are made unlike."""
        found: List[Tensor] = []
        for place, value in enumerate(values):
            name = str(value.name)
            if any(tensor.name == name for tensor in found):
                name = f"{name}_{place}"
            shape = tuple(-1 if length is None else int(length) for length in value.shape)
            found.append(Tensor(name, datatype_of(str(value.dtype), name), shape))
        return tuple(found)

    def predict(self, arrays: Arrays) -> Arrays:
        """Of a batch."""
        ordered = [arrays[tensor.name] for tensor in self.known.inputs]
        answer = self.model(ordered if len(ordered) > 1 else ordered[0], training=False)
        several = answer if isinstance(answer, (tuple, list)) else [answer]
        return self.named([self.array(value) for value in several])


def choose_backend() -> None:
    """Keras computes with what is installed; by itself it wants TensorFlow."""
    if "KERAS_BACKEND" in os.environ:
        return
    for name in ("tensorflow", "jax", "torch"):
        if importlib.util.find_spec(name) is not None:
            os.environ["KERAS_BACKEND"] = name
            return


class Source(Predictor):
    """A file of Python with `predict(**inputs)`; `INPUTS` and `OUTPUTS` in it are its signature, `load()` is called first."""

    def __init__(self, path: str, threads: int = 1) -> None:
        super().__init__(path, threads)
        module = types.ModuleType("model_source")
        module.__file__ = path
        sys.modules["model_source"] = module
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), module.__dict__)
        if not callable(getattr(module, "predict", None)):
            raise ModelError(
                "the file defines no function 'predict'; write def predict(**inputs): ...", "file"
            )
        if callable(getattr(module, "load", None)):
            module.load()
        self.function = module.predict
        self.signature = given(getattr(module, "INPUTS", None), getattr(module, "OUTPUTS", None))

    def predict(self, arrays: Arrays) -> Arrays:
        """Inputs by name; a dictionary by name, or values in the order of the outputs."""
        answer = self.function(**arrays)
        if isinstance(answer, dict):
            return {str(name): value for name, value in answer.items()}
        return self.named(answer if isinstance(answer, (tuple, list)) else [answer])


PREDICTORS: Dict[str, Callable[[str, int], Predictor]] = {
    "onnx": Onnx,
    "sklearn": Estimator,
    "xgboost": XGBoost,
    "lightgbm": LightGBM,
    "catboost": CatBoost,
    "torchscript": TorchScript,
    "keras-saved": Keras,
    "python": Source,
}


def load(kind: str, path: str, signature: Optional[Signature] = None, threads: int = 1) -> Predictor:
    """Loads the model of a file; a given signature takes the place of its own."""
    if kind not in PREDICTORS:
        raise ModelError(f"kind: '{kind}' must be one of {', '.join(PREDICTORS)}", "kind")
    predictor = PREDICTORS[kind](path, threads)
    if signature is not None:
        predictor.use(signature)
    return predictor


def checked(predictor: Predictor, arrays: Arrays) -> Arrays:
    """Predicts, and holds what comes out against the signature."""
    import numpy

    answers = predictor.predict(arrays)
    found: Arrays = {}
    for tensor in predictor.known.outputs:
        if predictor.asked is not None and tensor.name not in predictor.asked:
            continue
        if tensor.name not in answers:
            raise ModelError(
                f"outputs: the model gives no '{tensor.name}', only {', '.join(map(repr, answers)) or 'nothing'}",
                "outputs",
            )
        array = numpy.asarray(answers[tensor.name])
        if array.ndim == len(tensor.shape) - 1 and tensor.shape[-1] == 1:
            array = array.reshape(*array.shape, 1)
        if not fits(array.shape, tensor.shape):
            raise ModelError(
                f"outputs: '{tensor.name}' of the model has shape {list(array.shape)}, the signature says "
                f"{list(tensor.shape)}",
                "outputs",
            )
        wanted = DATATYPES[tensor.datatype]
        found[tensor.name] = array if str(array.dtype) == wanted else array.astype(wanted)
    return found


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """A shape is one of those that a signature allows."""
    return len(shape) == len(wanted) and all(w in (-1, s) for s, w in zip(shape, wanted))


def zeros(signature: Signature, rows_count: int = 1) -> Arrays:
    """The smallest request that the signature allows, of nothing but zeros or empty texts."""
    import numpy

    found: Arrays = {}
    for tensor in signature.inputs:
        shape = [max(1, length) for length in tensor.shape]
        if tensor.shape[0] == -1:
            shape[0] = rows_count
        if tensor.datatype == "BYTES":
            found[tensor.name] = numpy.full(shape, "", dtype=object)
        else:
            found[tensor.name] = numpy.zeros(shape, dtype=DATATYPES[tensor.datatype])
    return found
