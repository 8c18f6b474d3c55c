#!/usr/bin/env bash
# The gradient of PyTorch's hardsigmoid in float64 is only as good as in float32.
#
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11, x86-64.
# Date: 2026-11-28.
# Behaviour: the slope between the kinks is 1/6, and the backward pass on the CPU multiplies by 1/6 rounded to float32:
#   3e-8 of it is wrong. The value is right to the last bit, so a finite difference of it tells. torch.autograd.gradcheck
#   passes with its usual tolerances.
# A good guess: 1/6 in float64, as for hardswish, whose slope at 0.5 has a sixth in it too and is right.
# Seen:
#   hardsigmoid(0.5) = 0.5833333333333334, slope 0.1666666716337204, off by 5.0e-09
#   hardswish(0.5)   = 0.2916666666666667, slope 0.6666666666666666, off by 0.0e+00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn import functional

for name, exact in (("hardsigmoid", 1 / 6), ("hardswish", 2 / 3)):
    x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y = getattr(functional, name)(x)
    y.backward()
    off = abs(x.grad.item() - exact)
    print(f"{name + '(0.5)':<16} = {y.item()}, slope {x.grad.item()}, off by {off:.1e}")
    if (off > 1e-12) != (name == "hardsigmoid"):
        sys.exit(f"CHANGED: the slope of {name} in float64")
PYTHON
