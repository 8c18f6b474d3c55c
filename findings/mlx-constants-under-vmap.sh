#!/usr/bin/env bash
# MLX: under vmap a constant that is written to a slice reaches the first sequence alone.
#
# Versions: mlx 0.32.4 (extra cpu, Linux), numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: a function of one sequence that sets a slice or an entry to a constant, `x[:2] = 0.0`, x.at[0].add(2.0) or
#   mx.slice_update, is right by itself. mx.vmap of it writes the constant into the first sequence only, and leaves the
#   others as they were, for whatever is written is the same for all: a number, or an argument with in_axes None. The
#   gradient is that of the right function. Written by an index array, by mx.where, or to `x[:]`, it is right, and so is
#   a value that each sequence has of its own.
# A good guess: vmap gives what a loop over the sequences gives, or refuses.
# Seen: ones of 3 sequences, as a loop and as vmap leave them
#   x[:2] = 0.0: [0, 0, 1] [0, 0, 1] [0, 0, 1]; [0, 0, 1] [1, 1, 1] [1, 1, 1]
#   x.at[0].add(2.0): [3, 1, 1] [3, 1, 1] [3, 1, 1]; [3, 1, 1] [1, 1, 1] [1, 1, 1]
#   x[:2] = value, in_axes None: [5, 5, 1] [5, 5, 1] [5, 5, 1]; [5, 5, 1] [1, 1, 1] [1, 1, 1]
#   x[:2] = value, in_axes 0: [5, 5, 1] [5, 5, 1] [5, 5, 1]; [5, 5, 1] [5, 5, 1] [5, 5, 1]
#   x[array] = 0.0: [0, 0, 1] [0, 0, 1] [0, 0, 1]; [0, 0, 1] [0, 0, 1] [0, 0, 1]
#   gradient of the sum after x[:2] = 0.0: [0, 0, 1] [0, 0, 1] [0, 0, 1]; [0, 0, 1] [0, 0, 1] [0, 0, 1]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import mlx.core as mx
import numpy as np

mx.set_default_device(mx.cpu)


def written(index):
    def write(x, value):
        x = x * 1.0
        x[index] = value
        return x

    return write


xs, values = mx.ones((3, 3)), mx.full((3,), 5.0)
zero = mx.array(0.0)
start, array = written(slice(0, 2)), written(mx.array([0, 1]))
cases = [
    ("x[:2] = 0.0", lambda x, _: start(x, 0.0), None, zero, False),
    ("x.at[0].add(2.0)", lambda x, _: x.at[0].add(2.0), None, zero, False),
    ("x[:2] = value, in_axes None", start, None, values[0], False),
    ("x[:2] = value, in_axes 0", start, 0, values, True),
    ("x[array] = 0.0", lambda x, _: array(x, 0.0), None, zero, True),
    ("gradient of the sum after x[:2] = 0.0", mx.grad(lambda x, _: start(x, 0.0).sum()), None, zero, True),
]
for name, f, axis, value, right in cases:
    alone = np.stack([np.array(f(x, value if axis is None else value[k])) for k, x in enumerate(xs)])
    mapped = np.array(mx.vmap(f, in_axes=(0, axis))(xs, value))
    print(f"{name}:", "; ".join(" ".join(str(row.astype(int).tolist()) for row in rows) for rows in (alone, mapped)))
    seen = alone if right else np.concatenate([alone[:1], np.ones((2, 3))])
    if not np.array_equal(mapped, seen):
        sys.exit(f"CHANGED: MLX's vmap has another result for {name}")
PYTHON
