#!/usr/bin/env bash
# PyTorch's default ONNX exporter keeps the example's number of steps of a bidirectional LSTM whose time is dynamic.
#
# Versions: torch 2.13.0, onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6; Python 3.11.
#   Date: 2026-11-28.
# Behaviour: torch.onnx.export(lstm, (x,), path, dynamic_shapes={T, B}) of a bidirectional nn.LSTM or nn.GRU writes the
#   input as (T, B, I) and checks nothing at the end, but the outputs of the last layer go through Reshape to the
#   constant (T of the example, -1, 2H). Run on another T the file gives a result of the example's T steps in which
#   those of other sequences stand, without an error, whenever the sizes divide. With the exporter of before
#   (dynamo=False) the same module is right. torch.export keeps T as a symbol.
# A good guess: an axis that was declared as torch.export.Dim, and is a symbol in the file's input, is free.
# Seen:
#   input ['T', 'B', 3], the last Reshape is to [ 6 -1  8]
#   12 steps, 2 sequences: the result has the shape (6, 4, 8), PyTorch's (12, 2, 8)
#   the exporter of before: (12, 2, 8), off by 0.0000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - 2>errors.txt <<'PYTHON' || { grep '^CHANGED' errors.txt || cat errors.txt; exit 1; }
import sys
import warnings

import onnx
import onnxruntime
import torch
from onnx import numpy_helper

warnings.simplefilter("ignore")
torch.manual_seed(0)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, bidirectional=True)

    def forward(self, x):
        return self.lstm(x)[0]


net, example = Net().eval(), torch.randn(6, 2, 3)
T, B = torch.export.Dim("T", min=2, max=100), torch.export.Dim("B", min=2, max=100)
torch.onnx.export(net, (example,), "new.onnx", dynamic_shapes=({0: T, 1: B},), external_data=False, verbose=False)
torch.onnx.export(net, (example,), "old.onnx", dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "T", 1: "B"}})

graph = onnx.load("new.onnx").graph
stored = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
shape = [stored.get(node.input[1]) for node in graph.node if node.op_type == "Reshape"][-1]
declared = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
print(f"input {declared}, the last Reshape is to {shape}")

x = torch.randn(12, 2, 3)
right = net(x).detach().numpy()
new = onnxruntime.InferenceSession("new.onnx").run(None, {graph.input[0].name: x.numpy()})[0]
old = onnxruntime.InferenceSession("old.onnx").run(None, {"x": x.numpy()})[0]
print(f"12 steps, 2 sequences: the result has the shape {new.shape}, PyTorch's {right.shape}")
print(f"the exporter of before: {old.shape}, off by {abs(old - right).max():.4f}")
if new.shape == right.shape or declared[:2] != ["T", "B"]:
    sys.exit("CHANGED: the default exporter keeps a dynamic T")
PYTHON
