#!/usr/bin/env bash
# JAX's slope of sinc next to 0, where it is nearly 0, is anything up to -inf.
#
# Versions: jax 0.10.2, jaxlib 0.10.2, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: sinc(x) = sin(pi x) / (pi x) is flat at 0: its slope there is -pi^2 x / 3. jax.numpy.sinc's value is right
#   everywhere, and at 0, where it has a rule of its own, so are all derivatives. Next to 0 jax.grad is the difference of
#   two quotients as large as 1 / x, of which nothing right is left: in float64 it is -12.6 at 1e-17 and -inf at 1e-200,
#   in float32, JAX's default, 0.79 at 1.3e-7, and four times what it should be at 1e-4. No message; its documentation
#   speaks of accurate gradients at zero. PyTorch 2.13.0's slope is off by no more than itself.
# A good guess: next to 0 the slope is as good as at 0 and further away.
# Seen: x, the slope by its series, and by grad
#   float64 1e-200: -3.29e-200 -inf
#   float64 1e-17: -3.29e-17 -1.26e+01
#   float64 1e-16: -3.29e-16 1.57e+00
#   float64 0.01: -3.29e-02 -3.29e-02
#   float32 1.2573022e-07: -4.14e-07 7.85e-01
#   float32 0.0001: -3.29e-04 -1.36e-03
#   float32 0.1: -3.26e-01 -3.26e-01
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np


def slope(x):  # the derivative of 1 - (pi x)^2 / 3! + (pi x)^4 / 5! - ...
    z = (np.pi * x) ** 2
    return -np.pi**2 * x / 3 * (1 - z / 10 * (1 - z / 28 * (1 - z / 54)))


jax.config.update("jax_enable_x64", True)
for dtype, x, wrong in (
    *((jnp.float64, 1e-200, True), (jnp.float64, 1e-17, True), (jnp.float64, 1e-16, True), (jnp.float64, 0.01, False)),
    *((jnp.float32, 1.2573022e-07, True), (jnp.float32, 1e-4, True), (jnp.float32, 0.1, False)),
):
    found, expected = float(jax.grad(jnp.sinc)(dtype(x))), slope(x)
    print(f"{jnp.dtype(dtype).name} {x}: {expected:.2e} {found:.2e}")
    assert abs(float(jnp.sinc(dtype(x))) - np.sinc(x)) < 1e-6
    if (abs(found - expected) > 1e-4 * max(abs(expected), 1)) != wrong:
        sys.exit(f"CHANGED: JAX has another slope of sinc at {x}")
PYTHON
