"""Writes little graphs into a directory, as anybody's exporter would: with an open first dimension.

    python tests/python/graphs.py DIRECTORY

`sums.onnx` gives `total`, the sum of each row of `x`, and `next`, one more than `n`. `mixed.onnx` gives each row of
`x` less the mean of all rows: what a row comes to depends on the others.
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIRECTORY = pathlib.Path(sys.argv[1])
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node


def write(name, nodes, inputs, outputs, constants):
    value = lambda tensor: helper.make_tensor_value_info(*tensor)
    weights = [numpy_helper.from_array(np.array(values, np.int64), key) for key, values in constants.items()]
    graph = helper.make_graph(nodes, name, [*map(value, inputs)], [*map(value, outputs)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, DIRECTORY / f"{name}.onnx")


write(
    "sums",
    [node("ReduceSum", ["x", "axes"], ["total"], keepdims=0), node("Add", ["n", "one"], ["next"])],
    [("x", FLOAT, ["N", 3]), ("n", INT64, ["N"])],
    [("total", FLOAT, ["N"]), ("next", INT64, ["N"])],
    {"axes": [1], "one": 1},
)
write(
    "mixed",
    [node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1), node("Sub", ["x", "mean"], ["y"])],
    [("x", FLOAT, ["N", 3])],
    [("y", FLOAT, ["N", 3])],
    {"axes": [0]},
)
