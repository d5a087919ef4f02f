"""Trains and makes the models of this example: `train.py FOLDER` writes iris.pkl and mosaic.onnx."""

from __future__ import annotations

import pathlib
import pickle
import sys

import numpy
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def iris() -> bytes:
    """A pipeline of scikit-learn, pickled."""
    data = load_iris()
    return pickle.dumps(make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(data.data, data.target))


def mosaic() -> bytes:
    """A network that gives an image other colours, as a trained one for styles would: one picture of 224 x 224, NCHW."""
    colours = numpy.array([[0.4, 0.5, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]], dtype="float32").reshape(3, 3, 1, 1)
    weight = numpy_helper.from_array(colours, "w")
    image, styled = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 224, 224]) for n in ("input1", "output1"))
    graph = helper.make_graph([helper.make_node("Conv", ["input1", "w"], ["output1"])], "mosaic", [image], [styled], [weight])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    (folder / "iris.pkl").write_bytes(iris())
    (folder / "mosaic.onnx").write_bytes(mosaic())
