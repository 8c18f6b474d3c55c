#!/usr/bin/env bash
# Hypothesis: mapping an array's elements by the identity makes other arrays.
#
# Versions: hypothesis 6.170.17, numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: hypothesis.extra.numpy.arrays draws some entries and fills the rest with one value, if the strategy of
#   the elements counts as reusable. Bounded floats do, `.map` of them does not. So a 30 × 30 array of floats(-10, 10)
#   has some twenty distinct values and hardly ever full rank, and with `.map(lambda x: x)`, which draws the same
#   numbers, hundreds. For tests of gradients: a plain strategy tries max, sort and norms at ties, matrices of low
#   rank, and little else.
# A good guess: entries are drawn one by one, or nearly; and a map by the identity is a way to write nothing.
# Seen:
#   floats(-10, 10): 23 distinct values of 900 (median); of full rank 6 of 50
#   floats(-10, 10).map(identity): 776 distinct values of 900 (median); of full rank 46 of 50
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet hypothesis==6.170.17 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats


def drawn(strategy, count):
    found = []

    @settings(max_examples=count, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def keep(array):
        found.append(array)

    keep()
    return found


def identity(x):
    return x


medians, regular = [], []
for name, elements in (("", floats(-10, 10)), (".map(identity)", floats(-10, 10).map(identity))):
    matrices = drawn(arrays(float, (30, 30), elements=elements), 50)
    medians.append(np.median([len(np.unique(matrix)) for matrix in matrices]))
    regular.append(sum(np.linalg.matrix_rank(matrix) == 30 for matrix in matrices))
    counted = f"{medians[-1]:.0f} distinct values of 900 (median); of full rank {regular[-1]} of {len(matrices)}"
    print(f"floats(-10, 10){name}: {counted}")
if medians[0] * 10 > medians[1] or regular[0] * 5 > regular[1]:
    sys.exit("CHANGED: an identity map no longer makes other arrays")
PYTHON
