#!/usr/bin/env bash
# In MLX a value that was overwritten still gets a gradient.
#
# Versions: mlx 0.32.4 (extra cpu, Linux), numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: `z[index] = x` and put_along_axis with an index that occurs twice keep the last of the values. The
#   backward pass reads the cotangent at every index, so the values that were lost get the gradient of the one that
#   stayed.
# A good guess: gradient 0 for what was overwritten, as in JAX's `.at[].set` and as differences say.
# Seen:
#   z[[0, 0, 1]] = x: z = [2.0, 3.0, 0.0], gradient [1.0, 1.0, 2.0], differences [0.0, 1.0, 2.0]
#   put_along_axis: z = [2.0, 3.0, 0.0], gradient [1.0, 1.0, 2.0], differences [0.0, 1.0, 2.0]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import mlx.core as mx
import numpy as np

index, weights = mx.array([0, 0, 1]), mx.array([1.0, 2.0, 3.0])


def assigned(x):
    z = mx.zeros(3)
    z[index] = x
    return z


functions = {"z[[0, 0, 1]] = x": assigned, "put_along_axis": lambda x: mx.put_along_axis(mx.zeros(3), index, x, 0)}
for name, function in functions.items():
    loss = lambda x: (function(x) * weights).sum()
    x = np.array([1.0, 2.0, 3.0], "f")
    gradient = mx.grad(loss)(mx.array(x)).tolist()
    slopes = [(loss(mx.array(x + d)) - loss(mx.array(x - d))).item() / 2 for d in np.eye(3, dtype="f")]
    print(f"{name}: z = {function(mx.array(x)).tolist()}, gradient {gradient}, differences {slopes}")
    if gradient != [1, 1, 2] or slopes != [0, 1, 2]:
        sys.exit("CHANGED: MLX gives overwritten values another gradient now")
PYTHON
