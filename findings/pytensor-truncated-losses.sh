#!/usr/bin/env bash
# PyTensor's truncate_gradient leaves out the losses of all steps but the last k; it does not go back k steps from each.
#
# Versions: pytensor 3.0.7, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: scan(truncate_gradient=k) runs its backward pass over the last k steps of the sequence alone. Where the loss
#   reads every step, as a language model's does, what the steps before add to it has no gradient, though each of them is
#   only one step from its own input.
# A good guess: each step's loss goes back k steps, or the sequence is cut into chunks of k, so every step learns.
# Seen: h = w h + x at w = 0.5, x = 1, five steps, loss = sum of all h; gradient by x
#   not truncated: [1.9375, 1.875, 1.75, 1.5, 1.0]
#   truncate_gradient=2: [0.0, 0.0, 0.0, 1.5, 1.0]
#   two steps back from each loss: [1.5, 1.5, 1.5, 1.5, 1.0]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pytensor==3.0.7 numpy==2.4.6
PYTENSOR_FLAGS="cxx=,base_compiledir=$work/compiled" "$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import pytensor
import pytensor.tensor as pt


def gradient(steps):
    x, w = pt.dvector(), pt.dscalar()
    first = pt.zeros((), dtype="float64")
    hs = pytensor.scan(
        lambda x, h, w: w * h + x, sequences=x, outputs_info=[first], non_sequences=[w], truncate_gradient=steps
    )
    hs = hs[0] if isinstance(hs, (tuple, list)) else hs
    return pytensor.function([x, w], pytensor.grad(hs.sum(), x))(np.ones(5), 0.5).tolist()


each = [sum(0.5**back for back in range(2) if t + back < 5) for t in range(5)]
rows = {"not truncated": gradient(-1), "truncate_gradient=2": gradient(2), "two steps back from each loss": each}
for name, row in rows.items():
    print(f"{name}: {row}")
if list(rows.values())[:2] != [[1.9375, 1.875, 1.75, 1.5, 1.0], [0.0, 0.0, 0.0, 1.5, 1.0]]:
    sys.exit("CHANGED: truncate_gradient no longer runs over the last steps alone")
PYTHON
