#!/usr/bin/env bash
# MLX computes exp, sigmoid, softmax, erf and sin of float64 in float32, and returns float64.
#
# Versions: mlx 0.32.4 (extra cpu, Linux x86-64), numpy 2.4.6, scipy 1.17.1; Python 3.11. Date: 2026-11-29.
# Behaviour: of the elementary functions of mx.float64 arrays on the CPU some are right to the last bits (log, tanh,
#   expm1, sqrt, power, products of matrices), others to seven digits: exp, sin, cos, sigmoid, erf, erfinv, logaddexp,
#   softmax, logsumexp, convolve, and so the losses and activations made of them. The dtype is float64 throughout. A
#   finite difference with the step of float64 is mostly noise then: of sigmoid at 0.3 with 1e-6 it is off by percents.
# A good guess: float64 is float64, or unsupported, as it is on the GPU.
# Seen: the largest relative errors at 0.3, 1.2 and 2.5
#   exp 3e-08 float64, sin 6e-08 float64, sigmoid 1e-08 float64, erf 2e-07 float64, softmax 8e-08 float64
#   log 0e+00 float64, tanh 0e+00 float64, expm1 0e+00 float64, sqrt 0e+00 float64
#   slope of sigmoid at 0.3: gradient 0.2445, difference 0.2483
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import sys

import mlx.core as mx
import numpy as np
from scipy import special

mx.set_default_device(mx.cpu)
x = np.array([0.3, 1.2, 2.5])


def double(values):
    return mx.array(values, dtype=mx.float64)


def told(names):
    errors = {}
    for name in names:
        right = {"sigmoid": special.expit, "erf": special.erf, "softmax": special.softmax}.get(name) or getattr(np, name)
        y = getattr(mx, name)(double(x))
        errors[name] = np.max(np.abs(np.array(y) / right(x) - 1))
        names[names.index(name)] = f"{name} {errors[name]:.0e} {str(y.dtype).rpartition('.')[2]}"
    print(", ".join(names))
    return errors.values()


short = told(["exp", "sin", "sigmoid", "erf", "softmax"])
exact = told(["log", "tanh", "expm1", "sqrt"])
slope = mx.grad(mx.sigmoid)(double(0.3)).item()
difference = (mx.sigmoid(double(0.3 + 1e-6)).item() - mx.sigmoid(double(0.3 - 1e-6)).item()) / 2e-6
print(f"slope of sigmoid at 0.3: gradient {slope:.4f}, difference {difference:.4f}")
if min(short) < 1e-12 or max(exact) > 1e-12:
    sys.exit("CHANGED: which functions of float64 are computed in float64")
PYTHON
