#!/usr/bin/env bash
# numdifftools' multicomplex derivatives of plain functions are wrong, with an estimated error of 1e-14.
#
# Versions: numdifftools 0.11.2, numpy 2.4.6, scipy 1.17.1; Python 3.11. Date: 2026-11-29.
# Behaviour: method="multicomplex" of Derivative and Hessian, the one without cancellation, has wrong second derivatives
#   at x < 0 where a power (x ** 3, x ** 2, x ** -1) or np.sqrt is taken, and at any x for arcsin and arctan; the first
#   derivative of log1p at x < 0 has the wrong sign. x * x * x is right. The estimated error is about 1e-14 each time.
#   The default method, "central", is right. The notes on the methods say that complex ones are usually the most
#   accurate, and exclude functions that are not analytic, as abs and max.
# A good guess: the step into the complex numbers is exact to rounding for polynomials, at least.
# Seen: at x, the derivative by multicomplex with its estimated error, and by central
#   second of x * x * x at -0.6: -3.600000, error 3e-14; -3.600000
#   second of x ** 3 at 0.6: 3.600000, error 3e-14; 3.600000
#   second of x ** 3 at -0.6: -3.823370, error 3e-14; -3.600000
#   second of exp(-x ** 2) at -0.6: -0.553881, error 2e-14; -0.390699
#   second of sqrt(1 + x ** 2) at -0.6: 0.766461, error 2e-14; 0.630510
#   second of arctan at 0.8: -0.578125, error 2e-14; -0.594884
#   second of arcsin at 0.4: 0.625000, error 2e-14; 0.519566
#   first of log1p at -0.6: -0.625000, error 2e-14; 2.500000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numdifftools==0.11.2 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numdifftools as nd
import numpy as np

# n, function, x, right?, exact value by hand
cases = [
    (2, "x * x * x", lambda x: x * x * x, -0.6, True, -3.6),
    (2, "x ** 3", lambda x: x**3, 0.6, True, 3.6),
    (2, "x ** 3", lambda x: x**3, -0.6, False, -3.6),
    (2, "exp(-x ** 2)", lambda x: np.exp(-(x**2)), -0.6, False, (4 * 0.36 - 2) * np.exp(-0.36)),
    (2, "sqrt(1 + x ** 2)", lambda x: np.sqrt(1 + x**2), -0.6, False, 1.36**-1.5),
    (2, "arctan", np.arctan, 0.8, False, -1.6 / 1.64**2),
    (2, "arcsin", np.arcsin, 0.4, False, 0.4 / 0.84**1.5),
    (1, "log1p", np.log1p, -0.6, False, 2.5),
]
for n, name, f, x, right, exact in cases:
    found, error, *_ = nd.Derivative(f, n=n, method="multicomplex", full_output=True)(x)
    central = nd.Derivative(f, n=n)(x)
    which = {1: "first", 2: "second"}[n]
    print(f"{which} of {name} at {x}: {found:.6f}, error {error:.0e}; {central:.6f}")
    assert abs(central - exact) < 1e-8
    if (abs(found - exact) < 1e-8) != right or error > 1e-12:
        sys.exit(f"CHANGED: numdifftools has another multicomplex derivative of {name}")
PYTHON
