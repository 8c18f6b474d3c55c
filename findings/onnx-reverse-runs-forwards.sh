#!/usr/bin/env bash
# tract and MNN run a recurrent ONNX node of direction "reverse" forwards, without a word.
#
# Versions: tract 0.23.9, MNN 3.6.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: RNN and LSTM nodes with direction="reverse" give, in both, what the same weights give forwards. There is no
#   message from the converter or the runtime. "bidirectional" is right in both, so its backward half is understood.
# A good guess: who runs both directions runs one of them, or refuses it.
# Seen: the worst difference from onnxruntime's reverse node, and from its forward node
#   tract RNN : from reverse 2.00, from forward 0.00; bidirectional 0.00
#   tract LSTM: from reverse 0.63, from forward 0.00; bidirectional 0.00
#   MNN   RNN : from reverse 2.00, from forward 0.00; bidirectional 0.00
#   MNN   LSTM: from reverse 0.63, from forward 0.00; bidirectional 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tract==0.23.9 MNN==3.6.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
PATH="$work/venv/bin:$PATH" "$work/venv/bin/python" -W ignore - <<'PYTHON'
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

T, B, I, H = 5, 2, 3, 4
x = np.random.default_rng(0).standard_normal((T, B, I)).astype("f")
np.save("x.npy", x)


def write(operator, direction):
    rng, D, gates = np.random.default_rng(1), 1 + (direction == "bidirectional"), {"RNN": 1, "LSTM": 4}[operator]
    arrays = {"W": (D, gates * H, I), "R": (D, gates * H, H), "B": (D, 2 * gates * H), "h": (D, B, H), "c": (D, B, H)}
    names = list(arrays)[: 5 if operator == "LSTM" else 4]
    stored = [numpy_helper.from_array(rng.standard_normal(arrays[name]).astype("f"), name) for name in names]
    inputs = ["x", "W", "R", "B", "", *names[3:]]
    outputs = {"Y": (T, D, B, H), "Y_h": (D, B, H)} | ({"Y_c": (D, B, H)} if operator == "LSTM" else {})
    node = helper.make_node(operator, inputs, list(outputs), hidden_size=H, direction=direction)
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in [("x", (T, B, I)), *outputs.items()]]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    return onnxruntime.InferenceSession("model.onnx").run(None, {"x": x})[0]


PROGRAMS = {
    "tract": """
import numpy as np, tract
results = tract.onnx().load("model.onnx").into_model().into_runnable().run([np.load("x.npy")])
np.save("y.npy", results[0].to_numpy())
""",
    "MNN": """
import MNN, numpy as np
x = np.load("x.npy")
net = MNN.nn.load_module_from_file("model.mnn", ["x"], ["Y", "Y_h"])
y = net.forward([MNN.expr.const(x, list(x.shape), MNN.expr.NCHW)])[0]
np.save("y.npy", np.array(MNN.expr.convert(y, MNN.expr.NCHW).read()))
""",
}


def run(tool):
    pathlib.Path("y.npy").unlink(missing_ok=True)
    convert = ["mnnconvert", "-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn", "--bizCode", "x"]
    for command in [convert] * (tool == "MNN") + [[sys.executable, "-c", PROGRAMS[tool]]]:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return np.load("y.npy")


for tool in PROGRAMS:
    for operator in ("RNN", "LSTM"):
        forward, both = write(operator, "forward"), write(operator, "bidirectional")
        of_both = abs(run(tool).reshape(both.shape) - both).max()
        reverse = write(operator, "reverse")
        got = run(tool).reshape(reverse.shape)
        off, of_forward = abs(got - reverse).max(), abs(got - forward).max()
        print(f"{tool:<5} {operator:<4}: from reverse {off:.2f}, from forward {of_forward:.2f}; bidirectional {of_both:.2f}")
        if off < 0.5 or of_forward > 1e-4 or of_both > 1e-4:
            sys.exit(f"CHANGED: {tool} no longer runs a reverse {operator} forwards")
PYTHON
