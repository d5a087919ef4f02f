"""Models of onnxruntime in a node: instances answer by sessions that each made for itself."""

from __future__ import annotations

from conftest import Roost

MAKE = """
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
w = numpy_helper.from_array(np.array([1, 2, 3], dtype="float32"), "w")
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy")
graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", [x], [y], [w])
made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
numbers = [1.0, 1.0, 1.0]
del made, graph, w, x, y
"""
CELL = "answer = session.run(None, {'x': np.array(numbers, dtype='float32')})[0].tolist()"


def test_a_node_with_a_session_of_onnxruntime_answers_from_all_instances(roost: Roost) -> None:
    roost.checkpoint(MAKE, CELL, name="onnx")
    node = roost.node("onnx", inputs=["numbers:list"], outputs=["answer:list"], instances={"count": 2})
    roost.healthy(node, 2)
    for number in range(1, 9):
        answer = roost.execute(node, {"numbers": [number, number, number]})
        assert answer.status == 200, answer
        assert answer.json["output"]["answer"] == [number, 2 * number, 3 * number]
