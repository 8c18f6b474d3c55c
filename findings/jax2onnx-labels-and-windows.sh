#!/usr/bin/env bash
# jax2onnx's files know a one-hot vector of the label -1, shorten a window at the end, and overflow in cumlogsumexp.
#
# Versions: jax2onnx 0.17.1, jax 0.10.2, jaxlib 0.10.2, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6; Python 3.11, CPU.
#   Date: 2026-11-29.
# Behaviour: jax.nn.one_hot of -1, a padding's label, is 0 everywhere; the file's OneHot counts from the end, so it is
#   the last class. lax.dynamic_slice moves a window that would pass the end back; the file cuts it and has fewer steps.
#   lax.cumlogsumexp is written as log(cumsum(exp(x))), infinite above 88. lax.round rounds halves away from 0, the file
#   to even. gammainc is an integral of few points, 0.658 for 0.683. No message from jax2onnx, which has a plugin for
#   each of the five; onnxruntime warns of the window's shape.
# A good guess: an exporter that tests each primitive against onnxruntime writes the same function.
# Seen: by JAX, and by onnxruntime from the file
#   one_hot of 1 and -1: 0 1 0 0 0 0; 0 1 0 0 0 1
#   3 of 6 steps from 2 on: 2 3 4; 2 3 4
#   3 of 6 steps from 4 on: 3 4 5; 4 5
#   cumlogsumexp of 1, 2, 80: 1 2.313 80; 1 2.313 80
#   cumlogsumexp of 1, 2, 100: 1 2.313 100; 1 2.313 inf
#   round of 0.5, 2.5, 1.2: 1 3 1; 0 2 1
#   gammainc of 0.5 at 0.5, of 2 at 2: 0.683 0.594; 0.658 0.594
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax2onnx==0.17.1 jax==0.10.2 jaxlib==0.10.2 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import logging
import sys

import jax
import numpy as np
import onnxruntime
from jax import lax
from jax.scipy.special import gammainc
from jax2onnx import to_onnx

logging.disable(logging.CRITICAL)
steps = np.arange(6, dtype=np.float32)


def floats(*numbers):
    return np.array(numbers, np.float32)


def window(x, start):
    return lax.dynamic_slice(x, (start,), (3,))


def words(numbers):
    return " ".join(f"{n:.4g}" if n > 9 else f"{n:.3f}".rstrip("0").rstrip(".") for n in np.ravel(numbers))


cases = [
    ("one_hot of 1 and -1", lambda labels: jax.nn.one_hot(labels, 3), [np.array([1, -1], np.int32)], False),
    ("3 of 6 steps from 2 on", window, [steps, np.array(2, np.int32)], True),
    ("3 of 6 steps from 4 on", window, [steps, np.array(4, np.int32)], False),
    ("cumlogsumexp of 1, 2, 80", lax.cumlogsumexp, [floats(1, 2, 80)], True),
    ("cumlogsumexp of 1, 2, 100", lax.cumlogsumexp, [floats(1, 2, 100)], False),
    ("round of 0.5, 2.5, 1.2", lax.round, [floats(0.5, 2.5, 1.2)], False),
    ("gammainc of 0.5 at 0.5, of 2 at 2", gammainc, [floats(0.5, 2), floats(0.5, 2)], False),
]
for name, function, arrays, right in cases:
    expected = np.asarray(function(*arrays))
    model = to_onnx(function, [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {end.name: array for end, array in zip(session.get_inputs(), arrays)})[0]
    print(f"{name}: {words(expected)}; {words(found)}")
    if (expected.shape == found.shape and np.allclose(expected, found, atol=1e-3)) != right:
        sys.exit(f"CHANGED: jax2onnx writes another {name}")
PYTHON
