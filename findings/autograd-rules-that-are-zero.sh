#!/usr/bin/env bash
# autograd: where it has no derivative it returns 0, as for chi2.logpdf of 3.5 degrees of freedom.
#
# Versions: autograd 1.9.1, numpy 2.4.6, scipy 1.17.1; Python 3.11. Date: 2026-11-29.
# Behaviour: the gradients of scipy.stats' chi2.pdf and chi2.logpdf by x are 0 unless the degrees of freedom are a whole
#   number; chi2.cdf is right for all. The gradient of the Bessel functions iv, ive and jn by their order is 0. Nothing
#   raises or warns; the gradient of chi2.logpdf by the degrees of freedom, which has no rule either, does raise.
# A good guess: a gradient that is not implemented raises; a density has its slope for all parameters.
# Seen: by autograd, and by central differences
#   chi2.logpdf(1.3, 3.0) by x: -0.115; -0.115
#   chi2.logpdf(1.3, 3.5) by x: 0.000; 0.077
#   chi2.pdf(1.3, 2.2) by x: 0.000; -0.111
#   chi2.cdf(1.3, 3.5) by x: 0.206; 0.206
#   iv(1.5, 2.0) by the order: 0.000; -0.926
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet autograd==1.9.1 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" -W error - <<'PYTHON'
import sys

from autograd import grad
from autograd.scipy.special import iv
from autograd.scipy.stats import chi2

cases = [
    ("chi2.logpdf(1.3, 3.0) by x", lambda x: chi2.logpdf(x, 3.0), 1.3, True),
    ("chi2.logpdf(1.3, 3.5) by x", lambda x: chi2.logpdf(x, 3.5), 1.3, False),
    ("chi2.pdf(1.3, 2.2) by x", lambda x: chi2.pdf(x, 2.2), 1.3, False),
    ("chi2.cdf(1.3, 3.5) by x", lambda x: chi2.cdf(x, 3.5), 1.3, True),
    ("iv(1.5, 2.0) by the order", lambda n: iv(n, 2.0), 1.5, False),
]
for name, f, x, right in cases:
    found, differences = float(grad(f)(x)), float(f(x + 1e-6) - f(x - 1e-6)) / 2e-6
    print(f"{name}: {found:.3f}; {differences:.3f}")
    assert abs(differences) > 0.05
    if abs(found - (differences if right else 0.0)) > 1e-6:
        sys.exit(f"CHANGED: autograd has another derivative of {name}")
PYTHON
