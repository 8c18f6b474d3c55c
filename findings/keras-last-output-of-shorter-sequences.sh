#!/usr/bin/env bash
# In Keras 3, zero_output_for_mask=True makes the one output of a recurrent layer 0 for every sequence that is shorter.
#
# Versions: keras 3.15.1, jax 0.10.2; Python 3.11. Date: 2026-11-29.
# Behaviour: a GRU without return_sequences returns the output of the last step of the batch, which the option sets to 0
#   for each sequence that has ended before. The state that the layer hands out beside it is that of the sequence's own
#   last step. No warning.
# A good guess: as its documentation says, "this field is only used when return_sequences is True", so the one output
#   stays that of the last step which counts, as it is without the option.
# Seen:
#   lengths 4, 2: last outputs without the option   [[0.295, 0.031], [0.22, 0.171]]
#   lengths 4, 2: last outputs with the option      [[0.295, 0.031], [0.0, 0.0]]
#   lengths 4, 2: states with the option            [[0.295, 0.031], [0.22, 0.171]]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 jaxlib==0.10.2
KERAS_BACKEND=jax "$work/venv/bin/python" - <<'PYTHON'
import sys

import keras
import numpy as np

xs = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
xs[1, 2:] = 0  # the padding of the second sequence


def outputs(zero):
    """The last output and the state of each sequence."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.GRU(2, zero_output_for_mask=zero, return_state=True)
    last, state = layer(keras.layers.Masking()(xs))
    return [np.asarray(part) for part in (last, state)]


plain, _ = outputs(False)
last, state = outputs(True)
for what, found in (("last outputs without the option", plain), ("last outputs with the option", last),
                    ("states with the option", state)):
    print(f"lengths 4, 2: {what:33} {found.astype(float).round(3).tolist()}")
if last[1].any() or not np.allclose(last[0], plain[0]) or not np.allclose(state, plain) or not plain[1].any():
    sys.exit("CHANGED: the last output of a shorter sequence is no longer 0 with zero_output_for_mask")
PYTHON
