#!/usr/bin/env bash
# Paddle2ONNX writes an LSTM or GRU with lengths as one without: the file asks for lengths and does not use them.
#
# Versions: paddlepaddle 3.3.1, paddle2onnx 2.1.0, onnx 1.17.0, onnxruntime 1.32.0, numpy 2.4.6; Python 3.11, CPU.
#   Date: 2026-11-29.
# Behaviour: paddle.onnx.export of a model that gives sequence_length to paddle.nn.LSTM or GRU succeeds. The file has
#   the lengths among its inputs, and its LSTM node has none (sequence_lens is empty), so it runs over the padding:
#   final states are those after it, the backward direction starts in it, and outputs behind a sequence's end are not 0.
#   A sequence without padding is right.
# A good guess: lengths become the node's sequence_lens, which onnxruntime follows, or the export refuses them.
# Seen: worst differences of onnxruntime from Paddle; lengths 5 and 2 of 5 steps
#   LSTM: inputs x and lengths; used by a node: x
#     full sequence 0.00; of the short one: outputs in its length 0.00, last state 0.12
#   LSTM in both directions: inputs x and lengths; used by a node: x
#     full sequence 0.00; of the short one: outputs in its length 0.12, last state 0.12
#   GRU: inputs x and lengths; used by a node: x
#     full sequence 0.00; of the short one: outputs in its length 0.00, last state 0.21
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paddlepaddle==3.3.1 paddle2onnx==2.1.0 onnx==1.17.0 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
cat > program.py <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import paddle

x = np.random.default_rng(0).standard_normal((2, 5, 2)).astype(np.float32)
lengths = np.array([5, 2])


class Net(paddle.nn.Layer):
    def __init__(self, layer, direction):
        super().__init__()
        self.layer = layer(2, 3, direction=direction)

    def forward(self, x, lengths):
        outputs, state = self.layer(x, None, lengths)
        return outputs, state[0] if isinstance(state, tuple) else state


def off(a, b):
    return abs(a - b).max()


shown = []
for name, layer, direction in [
    ("LSTM", paddle.nn.LSTM, "forward"),
    ("LSTM in both directions", paddle.nn.LSTM, "bidirect"),
    ("GRU", paddle.nn.GRU, "forward"),
]:
    paddle.seed(0)
    net = Net(layer, direction)
    net.eval()
    outputs, state = (part.numpy() for part in net(paddle.to_tensor(x), paddle.to_tensor(lengths)))
    specs = [("x", [None, None, 2], "float32"), ("lengths", [None], "int64")]
    specs = [paddle.static.InputSpec(shape, dtype, end) for end, shape, dtype in specs]
    paddle.onnx.export(net, "model", input_spec=specs, opset_version=17)
    graph = onnx.load("model.onnx").graph
    ends = [end.name for end in graph.input]
    used = [end for end in ends if any(end in node.input for node in graph.node)]
    session = onnxruntime.InferenceSession("model.onnx")
    found, found_state = session.run(None, {"x": x, "lengths": lengths})
    assert np.all(outputs[1, 2:] == 0)
    shown.append(f"{name}: inputs {' and '.join(ends)}; used by a node: {' and '.join(used)}")
    full, within = off(outputs[0], found[0]), off(outputs[1, :2], found[1, :2])
    last = off(state[:, 1], found_state[:, 1])
    short = f"outputs in its length {within:.2f}, last state {last:.2f}"
    shown.append(f"  full sequence {full:.2f}; of the short one: {short}")
    if ends != ["x", "lengths"] or full > 1e-5 or last < 0.01 or (within > 0.01) != (direction == "bidirect"):
        sys.exit(f"CHANGED: Paddle2ONNX writes another {name} with lengths")
    if used != ["x"]:
        sys.exit(f"CHANGED: the {name} that Paddle2ONNX writes uses the lengths")
Path("seen.txt").write_text("\n".join(shown) + "\n")
PYTHON
"$work/venv/bin/python" -W ignore program.py > exporter.log
cat seen.txt
