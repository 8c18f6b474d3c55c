#!/usr/bin/env bash
# The slope of log_ndtr far below 0 is lost in JAX and in PyTorch: 1 or 0.4 in the place of 100 000.
#
# Versions: jax 0.10.2, jaxlib 0.10.2, torch 2.13.0, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: the logarithm of the normal distribution function is there for the tail, where it is -x^2 / 2 and its slope
#   -x. Both tools have the right value. Their gradients are made of exp(-x^2 / 2 - log_ndtr(x)), a difference of large
#   numbers: in float32, the default of both, 12590 is 2981 in JAX and 3.5 million in PyTorch, 100 000 is 1 and 0.4; in
#   float64 1e9 is 1 and 0.4, and at 1e8 neither has a digit right. No message.
# A good guess: a function for tails whose value is right there has the right slope, too.
# Seen: x, the slope, by JAX and by PyTorch
#   float32 -20: 20.05 20.05 20.05
#   float32 -12590: 12590.00 2980.96 3545045.50
#   float32 -100000: 100000.00 1.00 0.40
#   float64 -12590: 12590.00 12590.00 12590.00
#   float64 -1000000000: 1000000000.00 1.00 0.40
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import jax
import torch
from jax.scipy.special import log_ndtr

jax.config.update("jax_enable_x64", True)
for dtype, x, wrong in (
    *(("float32", -20, False), ("float32", -12590, True), ("float32", -100_000, True)),
    *(("float64", -12590, False), ("float64", -1_000_000_000, True)),
):
    expected = -x * (1 + 1 / x**2 - 2 / x**4)  # the series of the tail
    by_jax = float(jax.grad(log_ndtr)(jax.numpy.asarray(x, dtype)))
    t = torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True)
    y = torch.special.log_ndtr(t)
    y.backward()
    print(f"{dtype} {x}: {expected:.2f} {by_jax:.2f} {t.grad.item():.2f}")
    for value in (y.item(), float(log_ndtr(jax.numpy.asarray(x, dtype)))):
        assert abs(value / (-(x**2) / 2) - 1) < 0.02
    for tool, slope in (("JAX", by_jax), ("PyTorch", t.grad.item())):
        if (abs(slope / expected - 1) > 0.01) != wrong:
            sys.exit(f"CHANGED: {tool} has another slope of log_ndtr at {x}")
PYTHON
