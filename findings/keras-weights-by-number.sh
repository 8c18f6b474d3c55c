#!/usr/bin/env bash
# Keras 3 loads a .weights.h5 by the number of each class of layer; the layers' names, which the file has, count nothing.
#
# Versions: keras 3.15.1, h5py 3.16.0, jax 0.10.2; Python 3.11. Date: 2026-11-28.
# Behaviour: a file of a model with the layers "first" and "second" loads into one with "second" before "first", and
#   each gets the other's weights; it loads into a model of "second" alone, which gets those of "first", while the rest
#   of the file stays unread. No warning, though the names stand in the file, as an attribute of each layer.
# A good guess: names decide, as in Keras 2's load_weights(by_name=True) and in state dicts, or a mismatch raises.
# Seen:
#   names in the file: first, second
#   layers second, first: second got first's weights, first got second's; 0 warnings
#   layer second alone: second got first's weights; 0 warnings
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet keras==3.15.1 h5py==3.16.0 jax==0.10.2 jaxlib==0.10.2
KERAS_BACKEND=jax "$work/venv/bin/python" - "$work/model.weights.h5" <<'PYTHON'
import sys
import warnings

import h5py
import keras
import numpy as np

path = sys.argv[1]


def model(*names):
    layers = [keras.layers.LSTM(3, return_sequences=True, name=name) for name in names]
    return keras.Sequential([keras.Input((5, 3)), *layers])


saved = model("first", "second")
saved.save_weights(path)
kernels = {name: saved.get_layer(name).get_weights()[0] for name in ("first", "second")}
with h5py.File(path) as file:
    names = [str(layer["vars"].attrs["name"]) for layer in file["layers"].values()]
print(f"names in the file: {', '.join(names)}")


def loaded(*names):
    """Whose weights each layer got, and how many warnings came."""
    other = model(*names)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        other.load_weights(path)
    got = {}
    for name in names:
        kernel = other.get_layer(name).get_weights()[0]
        got[name] = next((own for own, a in kernels.items() if np.array_equal(a, kernel)), "none")
    return got, len(caught)


turned, one = loaded("second", "first"), loaded("second")
print(f"layers second, first: second got {turned[0]['second']}'s weights, first got {turned[0]['first']}'s; "
      f"{turned[1]} warnings")
print(f"layer second alone: second got {one[0]['second']}'s weights; {one[1]} warnings")
if (turned, one) != (({"second": "first", "first": "second"}, 0), ({"second": "first"}, 0)) or "first" not in names:
    sys.exit("CHANGED: weights are no longer loaded by number, or not without a word")
PYTHON
