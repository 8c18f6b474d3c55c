#!/usr/bin/env bash
# DyNet's contract3d_1d adds what memory held before to its result; fold_rows keeps one sequence of a batch.
#
# Versions: dynet38 2.2, numpy 1.26.4; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: contract3d_1d(x, y), a tensor times a vector, is right in the first graph of a process. Each graph is made
#   in the memory of the one before, and there the result is the product plus the numbers that were in its place: the
#   same inputs give twice the product, then three times. With a bias, as contract3d_1d_bias, it is right. fold_rows,
#   which adds up pairs of rows, has a result of batch size 1, the first sequence; a loss after it lacks the others.
#   Other operations that know no batches refuse them. No message.
# A good guess: the same graph of the same numbers has the same result, and a batch is handled or refused.
# Seen:
#   contract3d_1d, graphs 1, 2, 3: 1 2 3 times the product
#   contract3d_1d_bias with a bias of 0, graphs 1, 2, 3: 1 1 1 times the product
#   the sum of a batch of (1, 2, 3, 4) and (10, 20, 30, 40): 110, after fold_rows 10
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet dynet38==2.2 numpy==1.26.4
"$work/venv/bin/python" - <<'PYTHON'
import sys

import dynet as dy
import numpy as np

x, y = np.arange(1.0, 25.0).reshape(2, 3, 4), np.array([1.0, -1.0, 2.0, 0.5])
product = np.einsum("ijk,k->ij", x, y)


def times(bias):
    """The result of each of three graphs, as a multiple of the product."""
    found = []
    for _ in range(3):
        dy.renew_cg()
        arrays = [dy.inputTensor(x), dy.inputTensor(y)]
        if bias:
            result = dy.contract3d_1d_bias(*arrays, dy.inputTensor(np.zeros((2, 3))))
        else:
            result = dy.contract3d_1d(*arrays)
        found.append(np.unique((result.npvalue() / product).round(3)))
    return found


plain, with_bias = times(bias=False), times(bias=True)
for name, found in {"contract3d_1d": plain, "contract3d_1d_bias with a bias of 0": with_bias}.items():
    print(f"{name}, graphs 1, 2, 3: {' '.join(f'{t[0]:.0f}' for t in found)} times the product")
if [len(t) for t in plain + with_bias] != [1] * 6 or plain[1][0] == 1 or any(t[0] != 1 for t in with_bias):
    sys.exit("CHANGED: contract3d_1d no longer adds what memory held, or contract3d_1d_bias does")
dy.renew_cg()
batch = dy.inputTensor(np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 10.0]).reshape(4, 1, 2), batched=True)
sums = [dy.sum_batches(dy.sum_elems(rows)).value() for rows in (batch, dy.fold_rows(batch, 2))]
print(f"the sum of a batch of (1, 2, 3, 4) and (10, 20, 30, 40): {sums[0]:.0f}, after fold_rows {sums[1]:.0f}")
if sums != [110, 10]:
    sys.exit("CHANGED: fold_rows handles batches")
PYTHON
