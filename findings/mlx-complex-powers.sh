#!/usr/bin/env bash
# In MLX z ** 2 of complex numbers has a wrong gradient; mx.square(z) and z * z have the right one.
#
# Versions: mlx 0.32.4 (extra cpu, Linux), numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: the gradients of products, quotients, square, exp, sqrt, abs and Fourier transforms of complex numbers are
#   those of differences of the real loss. Those of power, also as **, and of cumprod lack a complex conjugate: right for
#   real numbers, another number for all others. Spectra are complex: irfft(rfft(x) ** 2), a convolution of x with
#   itself, has a wrong gradient by real x. No message.
# A good guess: z ** 2, z * z and square(z) have one gradient, the steepest ascent, as products have.
# Seen: gradient by a real x of a weighted sum, and central differences
#   irfft(rfft(x) * rfft(x))   [  6.00   8.50  -0.50  -1.62] and [  6.00   8.50  -0.50  -1.62]
#   irfft(square(rfft(x)))     [  6.00   8.50  -0.50  -1.62] and [  6.00   8.50  -0.50  -1.62]
#   irfft(rfft(x) ** 2)        [ -2.75   5.88   8.25   1.00] and [  6.00   8.50  -0.50  -1.62]
#   real part of cumprod       [  1.00   0.00  -0.25   0.00] and [ 14.00  -6.50   3.25   8.00]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import mlx.core as mx
import numpy as np

mx.set_default_device(mx.cpu)
fft = mx.fft
x = np.array([0.5, -1.0, 2.0, 0.75], "f")
weights = mx.array([1.0, -0.5, 0.25, 2.0])
functions = {
    "irfft(rfft(x) * rfft(x))": lambda x: fft.irfft(fft.rfft(x) * fft.rfft(x)),
    "irfft(square(rfft(x)))": lambda x: fft.irfft(mx.square(fft.rfft(x))),
    "irfft(rfft(x) ** 2)": lambda x: fft.irfft(fft.rfft(x) ** 2),
    "real part of cumprod": lambda x: mx.cumprod(x * (1 + 1j)).real,
}
wrong = []
for name, function in functions.items():

    def loss(x, function=function):
        return (function(x) * weights).sum()

    gradient = np.array(mx.grad(loss)(mx.array(x)))
    steps = np.eye(4, dtype="f") / 64
    slopes = np.array([(loss(mx.array(x + h)) - loss(mx.array(x - h))).item() * 32 for h in steps])
    spelt = [" ".join(f"{number:6.2f}" for number in row) for row in (gradient, slopes)]
    print(f"{name:<26} [{spelt[0]}] and [{spelt[1]}]")
    wrong.append(not np.allclose(gradient, slopes, rtol=0.02, atol=0.02))
if wrong != [False, False, True, True]:
    sys.exit("CHANGED: the gradients of complex powers")
PYTHON
