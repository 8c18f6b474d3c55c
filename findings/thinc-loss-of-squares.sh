#!/usr/bin/env bash
# Thinc's CategoricalCrossentropy returns no cross-entropy, and L2Distance a gradient of something else.
#
# Versions: thinc 9.1.1, numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: calling a loss returns (gradient, loss). For CategoricalCrossentropy the loss is the sum of the squares
#   of the gradient: bounded by 2 a row, and, since the gradient is divided by the number of rows, half as large when
#   the same rows come twice. L2Distance's loss is the sum of squares, but its gradient is half of that one's.
# A good guess: the mean of -log p, whose gradient by the logits is the returned p - y; loss and gradient belong
#   together.
# Seen:
#   CategoricalCrossentropy of p = 0.2 and 0.5 for the right class: 0.4450, of both rows twice: 0.2225
#   mean of -log p: 1.1513
#   sure and wrong, p = 1e-6: 1.9999960000019998, -log p is 13.8155
#   L2Distance of (1, 2) from 0: loss 5.0, gradient [1. 2.]; the loss's derivative is [2. 4.]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet thinc==9.1.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from thinc.api import CategoricalCrossentropy, L2Distance

p, right = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([0, 1])
loss = CategoricalCrossentropy()(p, right)[1]
true = -np.log(p[[0, 1], right]).mean()
twice = CategoricalCrossentropy()(np.tile(p, (2, 1)), np.tile(right, 2))[1]
print(f"CategoricalCrossentropy of p = 0.2 and 0.5 for the right class: {loss:.4f}, of both rows twice: {twice:.4f}")
print(f"mean of -log p: {true:.4f}")
sure = CategoricalCrossentropy()(np.array([[1e-6, 1 - 1e-6]]), np.array([0]))[1]
print(f"sure and wrong, p = 1e-6: {sure}, -log p is {-np.log(1e-6):.4f}")
gradient, square = L2Distance()(np.array([[1.0, 2.0]]), np.zeros((1, 2)))
print(f"L2Distance of (1, 2) from 0: loss {square}, gradient {gradient[0]}; the loss's derivative is [2. 4.]")
seen = [loss, twice, sure, square, *gradient[0]]
if not np.allclose(seen, [0.445, 0.2225, 2.0, 5.0, 1.0, 2.0], atol=1e-4):
    sys.exit("CHANGED: Thinc's losses are others now")
PYTHON
