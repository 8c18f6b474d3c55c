#!/usr/bin/env bash
# ONNX's reference evaluator runs recurrent nodes without their clip, activations and coupling.
#
# Versions: onnx 1.23.2, numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: onnx.reference.ReferenceEvaluator takes a GRU with clip= or activations= and an LSTM with clip=,
#   activations= or input_forget=1 and returns what the node without the attribute returns, bit by bit. Only RNN looks
#   at activations, and refuses all but Tanh and Affine. The checker and shape inference pass all of these files;
#   onnxruntime 1.32.0 follows the attributes.
# A good guess: the reference is what the others are judged by, so it follows the specification, or raises.
# Seen:
#   GRU clip=0.5: equal to the plain node True, by the specification off by 1.06
#   GRU activations=['HardSigmoid', 'Tanh']: equal to the plain node True, by the specification off by 0.14
#   LSTM clip=0.5: equal to the plain node True, by the specification off by 0.67
#   LSTM input_forget=1: equal to the plain node True, by the specification off by 0.26
#   RNN activations=['Relu']: RuntimeError: Unknown activation function 'Relu'.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

T, B, I, H = 4, 2, 3, 3
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
rng = np.random.default_rng(0)
xs = (3 * rng.standard_normal((T, B, I))).astype("f")
weights = {op: [rng.standard_normal((1, n * H, k)).astype("f") for k in (I, H)] for op, n in GATES.items()}


def reference(op, **attributes):
    node = helper.make_node(op, ["X", "W", "R"], ["Y"], hidden_size=H, **attributes)
    values = [numpy_helper.from_array(array, name) for array, name in zip(weights[op], "WR")]
    shapes = {"X": [T, B, I], "Y": [T, 1, B, H]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph([node], op, ends[:1], ends[1:], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model)
    return ReferenceEvaluator(model).run(None, {"X": xs})[0][:, 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def gru(clip=np.inf, gate=sigmoid):
    W, R = (np.split(array[0].T, 3, axis=1) for array in weights["GRU"])
    h, hs = np.zeros((B, H)), []
    for x in xs:
        z, r = (gate(np.clip(x @ W[k] + h @ R[k], -clip, clip)) for k in (0, 1))
        new = np.tanh(np.clip(x @ W[2] + (r * h) @ R[2], -clip, clip))
        h = (1 - z) * new + z * h
        hs.append(h)
    return np.array(hs)


def lstm(clip=np.inf, coupled=False):
    W, R = (array[0].T for array in weights["LSTM"])
    h, c, hs = np.zeros((B, H)), np.zeros((B, H)), []
    for x in xs:
        i, o, f, g = np.split(np.clip(x @ W + h @ R, -clip, clip), 4, axis=1)
        f = 1 - sigmoid(i) if coupled else sigmoid(f)
        c = f * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        hs.append(h)
    return np.array(hs)


assert np.allclose(reference("GRU"), gru(), atol=1e-5) and np.allclose(reference("LSTM"), lstm(), atol=1e-5)
cases = [
    ("GRU", "clip=0.5", {"clip": 0.5}, gru(0.5)),
    ("GRU", "activations=['HardSigmoid', 'Tanh']", {"activations": ["HardSigmoid", "Tanh"]}, gru(gate=hard_sigmoid)),
    ("LSTM", "clip=0.5", {"clip": 0.5}, lstm(0.5)),
    ("LSTM", "input_forget=1", {"input_forget": 1}, lstm(coupled=True)),
]
for op, words, attributes, right in cases:
    found = reference(op, **attributes)
    same, off = np.array_equal(found, reference(op)), abs(found - right).max()
    print(f"{op} {words}: equal to the plain node {same}, by the specification off by {off:.2f}")
    if not same or off < 0.05:
        sys.exit(f"CHANGED: the reference evaluator's {op} with {words}")
try:
    reference("RNN", activations=["Relu"])
    sys.exit("CHANGED: the reference evaluator's RNN takes Relu")
except RuntimeError as error:
    print(f"RNN activations=['Relu']: RuntimeError: {error}")
PYTHON
