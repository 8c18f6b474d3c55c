#!/usr/bin/env bash
# ncnn makes another matrix of a transposed array: shape of the transposed one, numbers in the order of the memory.
#
# Versions: ncnn 1.0.20261020, numpy 2.4.6; Python 3.11, x86-64. Date: 2026-11-29.
# Behaviour: ncnn.Mat(array), which an Extractor's input is made of, takes an array's shape and its first address, and
#   no strides. Features (F, T) that are turned to the (T, F) of ncnn's LSTM, GRU and RNN by `.T` are (T, F) with all
#   numbers in other places; so are images after np.transpose, Fortran-ordered arrays, and weights of other tools. No
#   message; `.clone()` keeps the mixed numbers.
# A good guess: copied where it is not C-contiguous, as by onnxruntime, torch and tinygrad, or refused.
# Seen:
#   features.T = [[0, 3], [1, 4], [2, 5]]
#   ncnn.Mat(features.T) = [[0, 1], [2, 3], [4, 5]]
#   ncnn.Mat(np.asfortranarray(features)) = [[0, 3, 1], [4, 2, 5]]
#   ncnn.Mat(np.ascontiguousarray(features.T)) = [[0, 3], [1, 4], [2, 5]]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ncnn==1.0.20261020 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import ncnn
import numpy as np

features = np.arange(6, dtype=np.float32).reshape(2, 3)  # (F, T)
arrays = {
    "features.T": features.T,
    "np.asfortranarray(features)": np.asfortranarray(features),
    "np.ascontiguousarray(features.T)": np.ascontiguousarray(features.T),
}
print(f"features.T = {features.T.astype(int).tolist()}")
same = []
for name, array in arrays.items():
    found = np.array(ncnn.Mat(array))
    print(f"ncnn.Mat({name}) = {found.astype(int).tolist()}")
    same.append(found.shape == array.shape and np.array_equal(found, array))
if same != [False, False, True]:
    sys.exit(f"CHANGED: what ncnn.Mat makes of arrays that are not C-contiguous, equal: {same}")
PYTHON
