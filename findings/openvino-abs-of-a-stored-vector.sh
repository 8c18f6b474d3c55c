#!/usr/bin/env bash
# OpenVINO drops the absolute value of a vector that a file computes from its weights: a decay becomes a growth.
#
# Versions: openvino 2026.4.1, keras 3.15.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, scipy 1.17.1; Python 3.11,
#   CPU. Date: 2026-11-29.
# Behaviour: where abs is taken of a vector (one axis) that depends on constants only and is no constant itself, it is
#   left out: of 2 a, of a that is stored in float16 and cast, of a row of a stored matrix. abs(a) itself, the same of a
#   matrix and that of what the graph is given are right. So exp(-|2 a|), a cell's decay, is above 1. No message. It is
#   issue 38166 of the project. Keras' openvino backend meets it with plain calls: cumprod of a matrix that has negative
#   entries is NaN, logaddexp of vectors is their maximum plus the distance.
# A good guess: what depends on constants only is folded to the number that it is.
# Seen: f x of an ONNX file for x = 1, by onnxruntime and by OpenVINO; a = (0.5, -2, -3, 0.7)
#   |a|: 0.5 2.0 3.0 0.7, 0.5 2.0 3.0 0.7
#   |2 a|: 1.0 4.0 6.0 1.4, 1.0 -4.0 -6.0 1.4
#   |2 a| of a matrix a: 1.0 4.0 6.0 1.4, 1.0 4.0 6.0 1.4
#   |a| of float16, cast to float32: 0.5 2.0 3.0 0.7, 0.5 -2.0 -3.0 0.7
#   |row 1 of a|: 3.0 0.7, -3.0 0.7
#   exp(-|2 a|): 0.4 0.0 0.0 0.2, 0.4 54.6 403.4 0.2
#   |2 x| of the input: 1.0 4.0 6.0 1.4, 1.0 4.0 6.0 1.4
#   Keras on openvino: cumprod of ((0.5, -2, 3)) is 0.5 nan nan, of (0.5, -2, 3) is 0.5 -1.0 -3.0
#   Keras on openvino: logaddexp of (-7) and (3) is 13.0, of ((-7)) and ((3)) is 3.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet openvino==2026.4.1 keras==3.15.1 scipy==1.17.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
KERAS_BACKEND=openvino "$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from keras import ops
from onnx import helper, numpy_helper

core = openvino.Core()
a = np.array([0.5, -2.0, -3.0, 0.7], np.float32)
node = helper.make_node
absolute, doubled = node("Abs", ["t"], ["f"]), node("Mul", ["a", "two"], ["t"])


def words(numbers):
    return " ".join(f"{n:.1f}" for n in np.ravel(numbers))


def both(nodes, arrays, x):
    """y = f scale, by onnxruntime and by OpenVINO; scale is x, or 1 where f is computed from x."""
    of_input = any("x" in n.input for n in nodes)
    arrays = arrays | ({"one": np.ones(1, np.float32)} if of_input else {})
    nodes = [*nodes, node("Mul", ["f", "one" if of_input else "x"], ["y"])]
    axes = ["m", "n"] if arrays.get("a", a).ndim == 2 and nodes[0].op_type != "Gather" else ["n"]
    ends = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", x.shape), ("y", axes))]
    stored = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    right = onnxruntime.InferenceSession("model.onnx").run(None, {"x": x})[0]
    return right, core.compile_model(core.read_model("model.onnx"), "CPU")([x])[0]


one, two = np.ones(1, np.float32), np.array([2.0], np.float32)
decay = [doubled, node("Abs", ["t"], ["u"]), node("Neg", ["u"], ["n"]), node("Exp", ["n"], ["f"])]
matrix = a.reshape(2, 2)
cast = node("Cast", ["a"], ["t"], to=1)
row, of_input = node("Gather", ["a", "1"], ["t"], axis=0), node("Mul", ["x", "two"], ["t"])
cases = [
    ("|a|", [node("Abs", ["a"], ["f"])], {"a": a}, one, True),
    ("|2 a|", [doubled, absolute], {"a": a, "two": two}, one, False),
    ("|2 a| of a matrix a", [doubled, absolute], {"a": matrix, "two": two}, one, True),
    ("|a| of float16, cast to float32", [cast, absolute], {"a": a.astype("f2")}, one, False),
    ("|row 1 of a|", [row, absolute], {"a": matrix, "1": np.array(1)}, one, False),
    ("exp(-|2 a|)", decay, {"a": a, "two": two}, one, False),
    ("|2 x| of the input", [of_input, absolute], {"two": two}, a, True),
]
for name, nodes, arrays, x, right in cases:
    expected, found = both(nodes, arrays, x)
    print(f"{name}: {words(expected)}, {words(found)}")
    if np.allclose(expected, found, rtol=0.01) != right:
        sys.exit(f"CHANGED: OpenVINO has another {name}")


def keras(function, *arrays):
    return ops.convert_to_numpy(function(*[ops.convert_to_tensor(array) for array in arrays]))


numbers = np.array([0.5, -2.0, 3.0], np.float32)
of_matrix, of_vector = keras(ops.cumprod, numbers[None]), keras(ops.cumprod, numbers)
print(f"Keras on openvino: cumprod of ((0.5, -2, 3)) is {words(of_matrix)}, of (0.5, -2, 3) is {words(of_vector)}")
pair = np.array([-7.0], np.float32), np.array([3.0], np.float32)
vectors, matrices = keras(ops.logaddexp, *pair), keras(ops.logaddexp, *(array[None] for array in pair))
print(f"Keras on openvino: logaddexp of (-7) and (3) is {words(vectors)}, of ((-7)) and ((3)) is {words(matrices)}")
assert np.allclose(of_vector, np.cumprod(numbers)) and np.allclose(matrices, np.logaddexp(*pair))
if not np.isnan(of_matrix[1:]).all() or abs(vectors[0] - 13) > 1e-3:
    sys.exit("CHANGED: cumprod of a matrix, or logaddexp of vectors, is another on Keras' openvino backend")
PYTHON
