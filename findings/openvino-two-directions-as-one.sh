#!/usr/bin/env bash
# OpenVINO makes one bidirectional node of a forward and a reverse LSTM, and computes one of the two wrongly.
#
# Versions: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: two LSTM nodes over the same input, one forward, one reverse, whose outputs are joined by Concat, give other
#   results than each of them alone in a file, and than a bidirectional node of the same weights: here the reverse one is
#   wrong, in other graphs the forward one, with free axes and with fixed ones. There is no message. onnxruntime runs all
#   of these files alike.
# A good guess: a runtime may fuse what it likes; how the two directions stand in the file does not matter.
# Seen:
#   two nodes, free axes: forward off by 0.00, reverse off by 0.86
#   two nodes, fixed axes: forward off by 0.00, reverse off by 0.86
#   one bidirectional node: off by 0.00
#   each node alone: off by 0.00 and 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

T, B, I, H = 5, 2, 3, 4
rng = np.random.default_rng(0)
xs = rng.standard_normal((T, B, I)).astype("f")
W, R = (rng.standard_normal((2, 4 * H, n)).astype("f") for n in (I, H))
bias = rng.standard_normal((2, 8 * H)).astype("f")


def stored(sides):
    return [numpy_helper.from_array(a[sides], f"{n}{sides.start}") for n, a in zip("WRB", (W, R, bias))]


def node(sides, direction, name):
    names = [f"{n}{sides.start}" for n in "WRB"]
    return helper.make_node("LSTM", ["X", *names], [name], hidden_size=H, direction=direction)


def run(nodes, weights, sides, fixed):
    """The outputs (T, sides, B, H) in OpenVINO and in onnxruntime."""
    sizes = (T, B) if fixed else ("T", "B")
    ends = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [*sizes, I]),
            helper.make_tensor_value_info("Y", TensorProto.FLOAT, [sizes[0], sides, sizes[1], H])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    compiled = openvino.Core().compile_model("model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    theirs = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"]).run(None, {"X": xs})[0]
    return abs(next(iter(compiled({"X": xs}).values())) - theirs).max(axis=(0, 2, 3))


one, other, both = slice(0, 1), slice(1, 2), slice(0, 2)
two = [node(one, "forward", "f"), node(other, "reverse", "r"), helper.make_node("Concat", ["f", "r"], ["Y"], axis=1)]
for word, fixed in (("free", False), ("fixed", True)):
    off = run(two, stored(one) + stored(other), 2, fixed)
    print(f"two nodes, {word} axes: forward off by {off[0]:.2f}, reverse off by {off[1]:.2f}")
    if off.max() < 0.01:
        sys.exit(f"CHANGED: OpenVINO runs two directions with {word} axes rightly")
single = run([node(both, "bidirectional", "Y")], stored(both), 2, True).max()
alone = [run([node(side, how, "Y")], stored(side), 1, True).max() for side, how in ((one, "forward"), (other, "reverse"))]
print(f"one bidirectional node: off by {single:.2f}")
print(f"each node alone: off by {alone[0]:.2f} and {alone[1]:.2f}")
if max(single, *alone) > 1e-4:
    sys.exit("CHANGED: other files are off as well")
PYTHON
