#!/usr/bin/env bash
# JAX's two modes disagree on the dilogarithm: between 1 and 2 jax.jvp is right and jax.grad NaN, at 1 both are wrong.
#
# Versions: jax 0.10.2, jaxlib 0.10.2, numpy 2.4.6, scipy 1.17.1; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: jax.scipy.special.spence is right everywhere above 0. Its derivative, log(x) / (1 - x), has no singular
#   point there. jax.grad of it is NaN for 1 < x <= 2; jax.jvp and jax.jacfwd are right there. At x = 1, where the
#   derivative is -1, both return 0. It is so in float32 and float64. No message; its documentation speaks of NaN for
#   negative numbers only.
# A good guess: the modes of JAX differ by rounding, as reverse mode is the transpose of forward mode.
# Seen: by differences of SciPy's spence, by jvp and by grad
#   0.5: -1.386294 -1.386294 -1.386294
#   1.0: -1.000000 0.000000 0.000000
#   1.1: -0.953102 -0.953102 nan
#   1.5: -0.810930 -0.810930 nan
#   2.0: -0.693147 -0.693147 nan
#   2.1: -0.674488 -0.674488 -0.674488
#   3.0: -0.549306 -0.549306 -0.549306
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import sys

import jax
import numpy as np
import scipy.special
from jax.scipy.special import spence

jax.config.update("jax_enable_x64", True)
for x in (0.5, 1.0, 1.1, 1.5, 2.0, 2.1, 3.0):
    difference = (scipy.special.spence(x + 1e-5) - scipy.special.spence(x - 1e-5)) / 2e-5
    forward, reverse = float(jax.jvp(spence, (x,), (1.0,))[1]), float(jax.grad(spence)(x))
    print(f"{x}: {difference:.6f} {forward:.6f} {reverse:.6f}")
    assert abs(difference - (np.log(x) / (1 - x) if x != 1 else -1)) < 1e-8
    assert abs(float(spence(x)) - scipy.special.spence(x)) < 1e-12
    at_one = 0.0 if x == 1 else difference
    seen = [at_one, np.nan if 1 < x <= 2 else at_one]
    if not np.allclose([forward, reverse], seen, atol=1e-8, equal_nan=True):
        sys.exit(f"CHANGED: JAX has another derivative of spence at {x}")
PYTHON
