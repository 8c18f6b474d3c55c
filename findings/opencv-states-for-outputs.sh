#!/usr/bin/env bash
# OpenCV returns a GRU's final state in place of its outputs, unless the file asks for the state as well.
#
# Versions: opencv-python-headless 5.0.0.93, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6; Python 3.11, CPU.
#   Date: 2026-11-29.
# Behaviour: cv2.dnn reads an ONNX GRU whose only output is Y, the states of all steps, and returns one step, the last,
#   under that name; with Y_h as a second output Y is right. A GRU of direction "reverse" runs forwards. An LSTM of
#   direction "reverse" has the right Y, and as Y_h, its final state, that of the last step instead of the first.
#   "bidirectional" is right in all of this. No message, though other recurrent nodes (RNN) are refused.
# A good guess: which outputs are listed changes nothing in them, and where Y is right, Y_h is one of its rows.
# Seen: the worst difference from onnxruntime
#   GRU forward, outputs Y and Y_h: Y 0.00, Y_h 0.00
#   GRU reverse, outputs Y and Y_h: Y 1.43, Y_h 1.03
#   GRU bidirectional, outputs Y and Y_h: Y 0.00, Y_h 0.00
#   LSTM reverse, outputs Y and Y_h: Y 0.00, Y_h 0.61
#   LSTM bidirectional, outputs Y and Y_h: Y 0.00, Y_h 0.00
#   GRU forward, output Y: (1, 2, 4) for (5, 1, 2, 4), 0.00 from the last step
#   GRU reverse, Y from that of the forward node: 0.00
#   LSTM reverse, Y_h from Y's first step: 0.61, from its last: 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

T, B, I, H = 5, 2, 3, 4
x = np.random.default_rng(0).standard_normal((T, B, I)).astype("f")


def run(operator, direction, names):
    """The outputs of one node, by onnxruntime and by OpenCV."""
    rng, D, gates = np.random.default_rng(1), 1 + (direction == "bidirectional"), {"GRU": 3, "LSTM": 4}[operator]
    arrays = {"W": (D, gates * H, I), "R": (D, gates * H, H), "B": (D, 2 * gates * H), "h": (D, B, H), "c": (D, B, H)}
    used = list(arrays)[: 5 if operator == "LSTM" else 4]
    stored = [numpy_helper.from_array(rng.standard_normal(arrays[name]).astype("f"), name) for name in used]
    inputs = ["x", "W", "R", "B", "", *used[3:]]
    node = helper.make_node(operator, inputs, names, hidden_size=H, direction=direction)
    shapes = {"x": (T, B, I), "Y": (T, D, B, H), "Y_h": (D, B, H)}
    ends = [helper.make_tensor_value_info(name, 1, shapes[name]) for name in ["x", *names]]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    net = cv2.dnn.readNetFromONNX("model.onnx")
    net.setInput(x)
    return onnxruntime.InferenceSession("model.onnx").run(names, {"x": x}), net.forward(names)


def off(a, b):
    return round(float(abs(a - b).max()), 2)


both = ["Y", "Y_h"]
cases = [
    ("GRU", "forward", [0, 0]),
    ("GRU", "reverse", [1.43, 1.03]),
    ("GRU", "bidirectional", [0, 0]),
    ("LSTM", "reverse", [0, 0.61]),
    ("LSTM", "bidirectional", [0, 0]),
]
results = {}
for operator, direction, seen in cases:
    right, found = results[operator, direction] = run(operator, direction, both)
    differences = [off(a, b) for a, b in zip(right, found)]
    print(f"{operator} {direction}, outputs Y and Y_h: Y {differences[0]:.2f}, Y_h {differences[1]:.2f}")
    if differences != seen:
        sys.exit(f"CHANGED: OpenCV has another {direction} {operator}")
(all_steps,), (last_step,) = run("GRU", "forward", ["Y"])
found = off(all_steps[-1], last_step)
print(f"GRU forward, output Y: {last_step.shape} for {all_steps.shape}, {found:.2f} from the last step")
forwards = off(results["GRU", "forward"][0][0], results["GRU", "reverse"][1][0])
print(f"GRU reverse, Y from that of the forward node: {forwards:.2f}")
(right, right_state), (_, state) = results["LSTM", "reverse"]
print(f"LSTM reverse, Y_h from Y's first step: {off(state, right[0]):.2f}, from its last: {off(state, right[-1]):.2f}")
if last_step.shape != (1, B, H) or found or forwards or off(right_state, right[0]) or off(state, right[-1]):
    sys.exit("CHANGED: OpenCV returns other steps of a GRU or LSTM")
PYTHON
