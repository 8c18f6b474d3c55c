#!/usr/bin/env bash
# Taichi's gradient through a loop with tanh, exp or max takes the last step's result for every step.
#
# Versions: taichi 1.7.4, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: h = tanh(w h + x[t]) over four steps in a variable of a kernel has the right value and a wrong gradient.
#   What a local variable was is kept for each step, so with sin, log and powers the gradient is right; the slopes of
#   tanh and exp (so of the logistic function), and the choice of max, are made from the operation's own result, of
#   which only that of the last step is left. A sum of tanh(w x[t]) in a local variable is wrong as well, without any
#   recurrence. ti.static(range(4)), which writes the steps out, makes all of them right. No message.
# A good guess: Taichi keeps what the steps' backward pass needs, or refuses the loop; the function makes no difference.
# Seen: derivative by w, and the right one
#   tanh(w h + x)             -0.173 -0.231
#   exp(w h + x - 2)           0.080  0.069
#   max(w h + x, 0)            0.888  0.300
#   h + tanh(w x)              0.445  0.689
#   sin(w h + x)               0.063  0.063
#   (w h + x + 3) ** 1.5     2860.081 2860.081
#   tanh(w h + x), ti.static  -0.231 -0.231
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet taichi==1.7.4 numpy==2.4.6
cd "$work"
cat > program.py <<'PYTHON'
import sys

import numpy as np
import taichi as ti

ti.init(arch=ti.cpu, log_level=ti.ERROR, default_fp=ti.f64, offline_cache=False)
x = ti.field(float, shape=4, needs_grad=True)
w, out = (ti.field(float, shape=(), needs_grad=True) for _ in range(2))
x.from_numpy(np.array([0.5, -1.0, 0.3, 0.8]))


def kernel(step, start=0.0):
    """h = step(w h, x[t]) over four steps."""

    @ti.kernel
    def run():
        for _ in range(1):
            h = start
            for t in range(4):
                h = step(h, x[t])
            out[None] += h

    return run


@ti.kernel
def written_out():
    for _ in range(1):
        h = 0.0
        for t in ti.static(range(4)):
            h = ti.tanh(w[None] * h + x[t])
        out[None] += h


@ti.func
def tanh(h, x):
    return ti.tanh(w[None] * h + x)


@ti.func
def exp(h, x):
    return ti.exp(w[None] * h + x - 2)


@ti.func
def maximum(h, x):
    return ti.max(w[None] * h + x, 0.0)


@ti.func
def added(h, x):
    return h + ti.tanh(w[None] * x)


@ti.func
def sin(h, x):
    return ti.sin(w[None] * h + x)


@ti.func
def power(h, x):
    return (w[None] * h + x + 3) ** 1.5


def slopes(run):
    """The derivative by w at 0.7: Taichi's, and by differences of the same kernel."""

    def value(at):
        w[None], out[None] = at, 0.0
        run()
        return out[None]

    difference = (value(0.7 + 1e-5) - value(0.7 - 1e-5)) / 2e-5
    w[None] = 0.7
    with ti.ad.Tape(out):
        run()
    return w.grad[None], difference


cases = [
    ("tanh(w h + x)", kernel(tanh), (-0.173, -0.231)),
    ("exp(w h + x - 2)", kernel(exp, 0.5), (0.080, 0.069)),
    ("max(w h + x, 0)", kernel(maximum, 0.5), (0.888, 0.3)),
    ("h + tanh(w x)", kernel(added), (0.445, 0.689)),
    ("sin(w h + x)", kernel(sin, 0.5), (0.063, 0.063)),
    ("(w h + x + 3) ** 1.5", kernel(power, 0.5), (2860.081, 2860.081)),
    ("tanh(w h + x), ti.static", written_out, (-0.231, -0.231)),
]
for name, run, seen in cases:
    found = slopes(run)
    print(f"{name:<24} {found[0]:7.3f} {found[1]:6.3f}")
    if not np.allclose(found, seen, atol=1e-3, rtol=0):
        sys.exit(f"CHANGED: Taichi has another gradient of {name}")
PYTHON
"$work/venv/bin/python" -W ignore program.py
