#!/usr/bin/env bash
# Thinc's own LSTM returns its weights as their gradient, and nothing flows through the first step.
#
# Versions: thinc 9.1.1, numpy 2.4.6; Python 3.11, on the CPU (NumpyOps). Date: 2026-11-28.
# Behaviour: the backward pass of thinc.api.LSTM begins its sums at the weights instead of at 0, and stops before step
#   0. After a sequence of one step the "gradient" of the weights is a copy of the weights, whatever the loss, and the
#   input's is 0. In longer sequences the first input's gradient is 0 and the others' are right; the weights' differ
#   from differences even when the weights are subtracted again. No message: a model with another layer around it
#   still learns something.
# A good guess: gradients as in any other LSTM, equal to finite differences of its predictions.
# Seen:
#   T = 1: the matrices' gradient is the matrices: True; the largest entry by differences is 0.202
#   T = 1: gradient of the input [0. 0. 0.], by differences [0.31  0.215 0.538]
#   T = 4: inputs, largest error by step [0.095 0.    0.    0.   ]
#   T = 4: the weights' gradient is off by 528% of its norm, by 43% without the weights in it
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet thinc==9.1.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from thinc.api import LSTM, NumpyOps

I, H = 3, 4
ops = NumpyOps()
# All matrices and biases lie in one vector: input side, its biases, recurrent side, its biases.
matrices = np.r_[: 4 * H * I, 4 * H * I + 4 * H : 4 * H * I + 4 * H + 4 * H * H]


def gradients(T):
    """Weights; of the sum of all outputs Thinc's gradients by input and weights, each beside central differences."""
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((T, I)).astype("f")
    lstm = LSTM(nO=H, nI=I)
    lstm.initialize(X=ops.list2padded([xs]))
    weights = (rng.standard_normal(lstm.get_param("LSTM").shape) / 2).astype("f")
    lstm.set_param("LSTM", weights)
    outputs, backward = lstm(ops.list2padded([xs]), True)
    by_xs = ops.padded2list(backward(ops.list2padded([np.ones((T, H), "f")])))[0]
    by_weights = lstm.get_grad("LSTM").copy()

    def total():
        lstm.set_param("LSTM", weights)
        return lstm.predict(ops.list2padded([xs])).data.astype(float).sum()

    def differences(array):
        slopes = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + 1e-2
            above = total()
            array[index] = value - 1e-2
            slopes[index] = (above - total()) / 2e-2
            array[index] = value
        return slopes

    return weights[matrices], by_xs, differences(xs), by_weights[matrices], differences(weights)[matrices]


weights, by_xs, true_xs, by_weights, true_weights = gradients(1)
same, largest = np.array_equal(by_weights, weights), abs(true_weights).max()
print(f"T = 1: the matrices' gradient is the matrices: {same}; the largest entry by differences is {largest:.3f}")
print(f"T = 1: gradient of the input {by_xs[0]}, by differences {true_xs[0].round(3)}")
alone = same and largest > 0.1 and not by_xs.any() and abs(true_xs).max() > 0.1
weights, by_xs, true_xs, by_weights, true_weights = gradients(4)
errors = abs(by_xs - true_xs).max(axis=1)
size = np.linalg.norm(true_weights)
off, less = (np.linalg.norm(g - true_weights) / size for g in (by_weights, by_weights - weights))
print(f"T = 4: inputs, largest error by step {errors.round(3)}")
print(f"T = 4: the weights' gradient is off by {off:.0%} of its norm, by {less:.0%} without the weights in it")
if not (alone and errors[0] > 0.01 and errors[1:].max() < 1e-3 and off > 0.5 and less > 0.05):
    sys.exit("CHANGED: Thinc's LSTM now has other gradients")
PYTHON
