#!/usr/bin/env bash
# autograd's gradient of rfft(x, n=16) is wrong, that of rfft(x, 16) is right.
#
# Versions: autograd 1.9.1, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: autograd.numpy.fft.rfft returns the right values. If the length is given by its name, n=, and is not that of
#   x, the gradient is made as if the transform had the length of x: its scale is wrong, and so is the weight of the
#   frequencies that occur once. By its position the same length gives the right gradient. So the causal convolution of
#   a long sequence, which pads with zeros, is differentiated wrongly in its usual form. norm="forward" of rfft has a
#   wrong gradient without n=, too, norm="ortho" a right one. irfft is right with n=. No message.
# A good guess: a keyword is its positional argument; who pads in rfft has a gradient that is cut off again.
# Seen: the largest error of the gradient by x, of 8 entries, against differences
#   rfft(x, 16): 0.000
#   rfft(x, n=16): 2.684
#   rfft(x, norm='ortho'): 0.000
#   rfft(x, norm='forward'): 3.021
#   convolution by rfft(x, 16): 0.000
#   convolution by rfft(x, n=16): 0.487
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet autograd==1.9.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import autograd.numpy as np
from autograd import grad
from autograd.numpy.fft import irfft, rfft

T = 8
x, filter, weights = (np.sin(step * np.arange(length)) for step, length in ((1.3, T), (0.7, T), (2.1, 2 * T)))


def weighted(values):
    parts = (np.real(values), np.imag(values))
    return sum(np.sum(part * weights[k : k + len(values)]) for k, part in enumerate(parts))


def convolved(spectrum):
    return np.sum(irfft(spectrum * rfft(filter, 2 * T))[:T] * weights[:T])


cases = {
    "rfft(x, 16)": (lambda x: weighted(rfft(x, 16)), True),
    "rfft(x, n=16)": (lambda x: weighted(rfft(x, n=16)), False),
    "rfft(x, norm='ortho')": (lambda x: weighted(rfft(x, norm="ortho")), True),
    "rfft(x, norm='forward')": (lambda x: weighted(rfft(x, norm="forward")), False),
    "convolution by rfft(x, 16)": (lambda x: convolved(rfft(x, 16)), True),
    "convolution by rfft(x, n=16)": (lambda x: convolved(rfft(x, n=16)), False),
}
for name, (loss, right) in cases.items():
    slopes = np.array([(loss(x + step) - loss(x - step)) / 2e-6 for step in 1e-6 * np.eye(T)])
    error = abs(grad(loss)(x) - slopes).max()
    print(f"{name}: {error:.3f}")
    if (error < 1e-6) != right:
        sys.exit(f"CHANGED: autograd's gradient of {name} is {'wrong' if right else 'right'} now")
PYTHON
