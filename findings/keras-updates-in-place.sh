#!/usr/bin/env bash
# Keras: on its numpy backend slice_update and scatter_update change the array that they are given.
#
# Versions: keras 3.15.1, jax 0.10.2, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: keras.ops.slice_update(x, start, updates) and scatter_update(x, indices, updates) return x with new
#   entries. On the jax and torch backends x stays as it was. On the numpy backend x itself is written to and
#   returned, so every name of it changes: of the states that a loop keeps, all are the last one. That scatter_update
#   did so on torch was mended there (Keras' issue 21096, which says that no other backend does).
# A good guess: keras.ops have no side effects, on any backend.
# Seen: x after the call, which was zeros; then the sums of three states that a loop kept
#   jax slice_update: [0, 0, 0, 0]; states 1 2 3
#   jax scatter_update: [0, 0, 0, 0]; states 1 2 3
#   numpy slice_update: [1, 0, 0, 0]; states 3 3 3
#   numpy scatter_update: [1, 0, 0, 0]; states 3 3 3
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat > "$work/updates.py" <<'PYTHON'
import os
import sys

os.environ["KERAS_BACKEND"] = backend = sys.argv[1]
import numpy as np
from keras import ops

operations = {
    "slice_update": lambda x, k: ops.slice_update(x, (k,), np.ones(1, np.float32)),
    "scatter_update": lambda x, k: ops.scatter_update(x, np.array([[k]]), np.ones(1, np.float32)),
}
for name, update in operations.items():
    x = ops.convert_to_tensor(np.zeros(4, np.float32))
    update(x, 0)
    after = ops.convert_to_numpy(x).astype(int).tolist()
    state, states = ops.convert_to_tensor(np.zeros(4, np.float32)), []
    for k in range(3):
        state = update(state, k)
        states.append(state)
    sums = [int(ops.convert_to_numpy(s).sum()) for s in states]
    print(f"{backend} {name}: {after}; states", *sums)
    seen = ([1, 0, 0, 0], [3, 3, 3]) if backend == "numpy" else ([0, 0, 0, 0], [1, 2, 3])
    if (after, sums) != seen:
        sys.exit(f"CHANGED: Keras' {name} on {backend} leaves {after} and {sums}")
PYTHON
for backend in jax numpy; do
  "$work/venv/bin/python" -W ignore "$work/updates.py" "$backend"
done
