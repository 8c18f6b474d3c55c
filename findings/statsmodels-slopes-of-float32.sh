#!/usr/bin/env bash
# statsmodels' numerical gradient and Hessian of a function of float32 are wrong by any factor, also in sign.
#
# Versions: statsmodels 0.15.0, scipy 1.17.1, pandas 3.1.1, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: approx_fprime and approx_hess1 take f(x) at x as it is, in float32, and f(x + step) at the sum of x and an
#   array of float64, which is float64. The step is the one for float64, 1e-8 of x, so the rounding of f(x) to float32,
#   1e-7 of it, is divided by a step that is smaller. centered=True and approx_hess3 are right, as all their values are of
#   float64; SciPy's approx_fprime converts x first. No message.
# A good guess: either all in float32, which gives two or three digits, or all in float64.
# Seen: f = 2 (sin x_1 + sin x_2 + sin x_3) at 0.5, 1, 2, which float32 holds exactly
#   float64: approx_fprime [ 1.755  1.081 -0.832]
#   float64: approx_hess1 [-0.959 -1.683 -1.819]
#   float32: approx_fprime [-36.244 -17.919 -10.332]
#   float32: approx_hess1 [30883.093  7719.33   1928.435]
#   float32: approx_fprime, centered [ 1.755  1.081 -0.832]
#   float32: approx_hess3 [-0.959 -1.683 -1.819]
#   float32: SciPy's approx_fprime [ 1.755  1.081 -0.832]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet statsmodels==0.15.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import scipy.optimize
from statsmodels.tools.numdiff import approx_fprime, approx_hess1, approx_hess3


def f(x):
    return 2 * np.sin(x).sum()


x, single = np.array([0.5, 1, 2]), np.array([0.5, 1, 2], np.float32)
slopes, curvatures = 2 * np.cos(x), -2 * np.sin(x)
rows = {
    "float64: approx_fprime": (approx_fprime(x, f), slopes, True),
    "float64: approx_hess1": (np.diag(approx_hess1(x, f)), curvatures, True),
    "float32: approx_fprime": (approx_fprime(single, f), slopes, False),
    "float32: approx_hess1": (np.diag(approx_hess1(single, f)), curvatures, False),
    "float32: approx_fprime, centered": (approx_fprime(single, f, centered=True), slopes, True),
    "float32: approx_hess3": (np.diag(approx_hess3(single, f)), curvatures, True),
    "float32: SciPy's approx_fprime": (scipy.optimize.approx_fprime(single, f), slopes, True),
}
for name, (found, true, right) in rows.items():
    print(f"{name} {found.round(3)}")
    error = abs(found - true).max()
    if error > 1e-4 if right else error < 1:
        sys.exit(f"CHANGED: {name} is off by {error:.2g}")
PYTHON
