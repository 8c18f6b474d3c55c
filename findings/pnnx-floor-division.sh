#!/usr/bin/env bash
# Through pnnx to ncnn PyTorch's floor division divides, remainder is fmod, and a normalized vector is its signs.
#
# Versions: pnnx 20261020, ncnn 1.0.20261020, torch 2.13.0, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: pnnx reads a traced program and writes ncnn's files. torch.div with rounding_mode="floor" becomes a plain
#   division, with "trunc" a floor division. torch.remainder, whose sign is the divisor's, becomes an operation whose
#   sign is x's. torch.rsub(x, 2, alpha=3), 2 - 3 x, is written as 6 - x. normalize over the last axis of a sequence
#   divides each number by itself; x / norm written out is right. pnnx ends with success and prints no line about these,
#   though it has such lines ("RNN nonlinearity=relu not supported"). fmod, and add with alpha, are right.
# A good guess: a converter for PyTorch's own operators keeps their options, and leaves what ncnn has no layer for.
# Seen: for x = -1.5, -0.5, 0.5, 2
#   add(x, x, alpha=3): -6.0 -2.0 2.0 8.0, ncnn -6.0 -2.0 2.0 8.0
#   div(x, 0.7, "floor"): -3.0 -1.0 0.0 2.0, ncnn -2.1 -0.7 0.7 2.9
#   div(x, 0.7, "trunc"): -2.0 -0.0 0.0 2.0, ncnn -3.0 -1.0 0.0 2.0
#   remainder(x, 0.7): 0.6 0.2 0.5 0.6, ncnn -0.1 0.2 -0.2 -0.1
#   fmod(x, 0.7): -0.1 -0.5 0.5 0.6, ncnn -0.1 -0.5 0.5 0.6
#   rsub(x, 2, alpha=3): 6.5 3.5 0.5 -4.0, ncnn 7.5 6.5 5.5 4.0
#   normalize(x, dim=2): -0.6 -0.2 0.2 0.8, ncnn -1.0 -1.0 1.0 1.0
#   x / sqrt(sum(x x)): -0.6 -0.2 0.2 0.8, ncnn -0.6 -0.2 0.2 0.8
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 pnnx==20261020 ncnn==1.0.20261020 numpy==2.4.6
cd "$work"
PATH="$work/venv/bin:$PATH" "$work/venv/bin/python" -W ignore - <<'PYTHON'
import subprocess
import sys

import ncnn
import numpy as np
import torch
from torch.nn.functional import normalize

x = torch.tensor([[[-1.5, -0.5, 0.5, 2.0]]])


class Net(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def convert(function):
    """The numbers of one function by PyTorch and, through pnnx, by ncnn; what pnnx printed."""
    torch.jit.trace(Net(function), x).save("model.pt")
    command = ["pnnx", "model.pt", "inputshape=[1,1,4]", "fp16=0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    run = ncnn.Net()
    run.opt.use_fp16_storage = run.opt.use_fp16_arithmetic = run.opt.use_fp16_packed = False
    run.load_param("model.ncnn.param")
    run.load_model("model.ncnn.bin")
    extractor = run.create_extractor()
    extractor.input("in0", ncnn.Mat(x.numpy()).clone())
    return function(x).flatten().numpy(), np.array(extractor.extract("out0")[1]).ravel(), done.stdout + done.stderr


def words(numbers):
    return " ".join(f"{n:.1f}" for n in numbers)


cases = [
    ("add(x, x, alpha=3)", lambda x: torch.add(x, x, alpha=3), True),
    ('div(x, 0.7, "floor")', lambda x: torch.div(x, 0.7, rounding_mode="floor"), False),
    ('div(x, 0.7, "trunc")', lambda x: torch.div(x, 0.7, rounding_mode="trunc"), False),
    ("remainder(x, 0.7)", lambda x: torch.remainder(x, 0.7), False),
    ("fmod(x, 0.7)", lambda x: torch.fmod(x, 0.7), True),
    ("rsub(x, 2, alpha=3)", lambda x: torch.rsub(x, 2, alpha=3), False),
    ("normalize(x, dim=2)", lambda x: normalize(x, dim=2), False),
    ("x / sqrt(sum(x x))", lambda x: x / torch.sqrt((x * x).sum(2, keepdim=True)), True),
]
for name, function, right in cases:
    expected, found, log = convert(function)
    print(f"{name}: {words(expected)}, ncnn {words(found)}")
    if np.allclose(expected, found, atol=1e-3) != right or "not supported" in log:
        sys.exit(f"CHANGED: pnnx writes another {name}, or says so")
PYTHON
