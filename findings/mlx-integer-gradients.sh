#!/usr/bin/env bash
# MLX differentiates by integers, and cuts the gradient down to integers.
#
# Versions: mlx 0.32.4 (extra cpu, Linux); Python 3.11. Date: 2026-11-28.
# Behaviour: mx.grad of a function at an integer array returns an integer array: slope 0.5 comes back as 0, 1.7 as 1,
#   and by booleans as True. value_and_grad says the same beside a float32 loss. No message.
# A good guess: an error, as in JAX ("grad requires real- or complex-valued inputs") and torch, or a float gradient.
# Seen:
#   slope 0.5 by int32: [0, 0] mlx.core.int32
#   slope 1.7 by int32: [1, 1] mlx.core.int32
#   slope 0.5 by bool_: [True, True] mlx.core.bool
#   slope 0.5 by float32: [0.5, 0.5] mlx.core.float32
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4'
"$work/venv/bin/python" - <<'PYTHON'
import sys

import mlx.core as mx

cases = [(0.5, mx.int32, [0, 0]), (1.7, mx.int32, [1, 1]), (0.5, mx.bool_, [True, True]), (0.5, mx.float32, [0.5, 0.5])]
for slope, dtype, seen in cases:
    gradient = mx.grad(lambda x: (slope * x).sum())(mx.array([1, 2], dtype=dtype))
    name = "bool_" if dtype == mx.bool_ else str(dtype).rpartition(".")[2]
    print(f"slope {slope} by {name}: {gradient.tolist()} {gradient.dtype}")
    if gradient.tolist() != seen or gradient.dtype != dtype:
        sys.exit("CHANGED: MLX no longer cuts gradients down to integers")
PYTHON
