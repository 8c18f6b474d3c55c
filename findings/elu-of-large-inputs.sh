#!/usr/bin/env bash
# The ELU of MLX and of tinygrad has gradient NaN for inputs above 88.7, where it is the identity.
#
# Versions: mlx 0.32.4 (extra cpu, Linux), tinygrad 0.14.0 (DEV=PYTHON; DEV=CPU the same), numpy 2.4.6; Python 3.11.
# Date: 2026-11-28.
# Behaviour: both compute exp(x) for all inputs, so where it overflows in float32 the backward pass multiplies 0 by
#   infinity. The values are right. Both SELUs and tinygrad's CELU are the same; MLX's CELU is right.
# A good guess: slope 1. The trap of a branch not taken is the users' to avoid, but a library's own activation avoids
#   it, as those of torch 2.13.0 and JAX 0.10.2 do.
# Seen:
#   MLX elu        values [-0.632 88.    89.   ] slopes [0.368 1.      nan]
#   MLX selu       values [-1.111 92.462 93.512] slopes [0.647 1.051   nan]
#   MLX celu       values [-0.632 88.    89.   ] slopes [0.368 1.    1.   ]
#   tinygrad elu   values [-0.632 88.    89.   ] slopes [0.368 1.      nan]
#   tinygrad selu  values [-1.111 92.462 93.512] slopes [0.647 1.051   nan]
#   tinygrad celu  values [-0.632 88.    89.   ] slopes [0.368 1.      nan]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' tinygrad==0.14.0 numpy==2.4.6
DEV=PYTHON CACHELEVEL=0 "$work/venv/bin/python" - <<'PYTHON'
import sys

import mlx.core as mx
import mlx.nn
import numpy as np
import tinygrad

inputs = [-1.0, 88.0, 89.0]


def by_mlx(name):
    function = getattr(mlx.nn, name)
    x = mx.array(inputs)
    return np.array(function(x)), np.array(mx.grad(lambda x: function(x).sum())(x))


def by_tinygrad(name):
    x = tinygrad.Tensor(inputs)
    y = getattr(x, name)()
    return y.numpy(), y.sum().gradient(x)[0].numpy()


for library, by in (("MLX", by_mlx), ("tinygrad", by_tinygrad)):
    for name in ("elu", "selu", "celu"):
        values, slopes = by(name)
        print(f"{library + ' ' + name:<14} values {values.round(3)} slopes {slopes.round(3)}")
        last = (library, name) != ("MLX", "celu")
        if not np.isfinite(values).all() or np.isnan(slopes).tolist() != [False, False, last]:
            sys.exit(f"CHANGED: the slopes of {library}'s {name}")
PYTHON
