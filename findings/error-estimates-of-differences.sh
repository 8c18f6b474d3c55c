#!/usr/bin/env bash
# Two packages that difference numerically and estimate their error: each is surely wrong where the other is right.
#
# Versions: scipy 1.17.1 (scipy.differentiate), jacobi 0.9.2, numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: scipy.differentiate.derivative begins with a step of 0.5 wherever x is, so x² at 1e12 is nearly all
#   rounding: it reports success and error 0. jacobi's step is a share of x, so it strides over many periods of sin at
#   1e8, or of sin(1000 x) at 1, and reports a small error.
# A good guess: both shrink or grow their steps until the estimate is honest, or say that they failed; an adaptive
#   method's error of 0 means right to the last digits.
# Seen:
#   x² at 1e12: true 2000000000000; scipy 1992864825344 ± 0; jacobi 2000000000000 ± 0.005
#   sin at 1e8: true -0.363385; scipy -0.363385 ± 9.5e-13; jacobi 1.07163e-08 ± 1.8e-08
#   sin(1000 x) at 1: true 562.379; scipy fails; jacobi -2.93749 ± 0.036
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scipy==1.17.1 jacobi==0.9.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from jacobi import jacobi
from scipy.differentiate import derivative

cases = {
    "x² at 1e12": (np.square, 1e12, 2e12),
    "sin at 1e8": (np.sin, 1e8, np.cos(1e8)),
    "sin(1000 x) at 1": (lambda x: np.sin(1000 * x), 1.0, 1000 * np.cos(1000)),
}
wrong = []
for name, (f, x, true) in cases.items():
    spell = (lambda value: f"{value:.0f}") if abs(true) > 1e6 else (lambda value: f"{value:.6g}")
    by_scipy, by_jacobi = derivative(f, x), jacobi(f, x)
    told = {"scipy": (by_scipy.df, by_scipy.error), "jacobi": by_jacobi} if by_scipy.success else {"jacobi": by_jacobi}
    for tool, (slope, error) in told.items():
        if abs(slope - true) > max(1e-3 * abs(true), 100 * error):
            wrong.append((tool, name))
    words = {"scipy": "fails"} | {tool: f"{spell(slope)} ± {error:.2g}" for tool, (slope, error) in told.items()}
    print(f"{name}: true {spell(true)}; " + "; ".join(f"{tool} {word}" for tool, word in words.items()))
if wrong != [("scipy", "x² at 1e12"), ("jacobi", "sin at 1e8"), ("jacobi", "sin(1000 x) at 1")]:
    sys.exit(f"CHANGED: wrong beyond its own error is now {wrong}")
PYTHON
