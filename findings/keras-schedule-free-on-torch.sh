#!/usr/bin/env bash
# Keras' ScheduleFreeAdamW is another algorithm on the torch backend than on the jax backend.
#
# Versions: keras 3.15.1, torch 2.13.0, jax 0.10.2, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: ScheduleFreeAdamW needs the momentum from before a step. On torch the variable that holds it is changed in
#   place, and what was kept is the new value; so the average is recovered wrongly, and each parameter is off from the
#   second step on. On jax the steps are those of the formulas, by hand in float64. The other optimizers agree on both
#   backends to 1e-5. No message; the documentation speaks of no difference.
# A good guess: an optimizer that is written once in Keras' own operations does the same on each backend.
# Seen: x of f(x) = x^2 / 2 from 1, learning rate 0.1, after steps 1, 2, 3, 10 and 100
#   by hand: 0.9000 0.8480 0.7968 0.4730 0.0158
#   jax:     0.9000 0.8480 0.7968 0.4730 0.0158
#   torch:   0.9000 0.8527 0.8060 0.5041 0.0634
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cd "$work"
cat > steps.py <<'PYTHON'
import keras
import numpy as np

optimizer = keras.optimizers.ScheduleFreeAdamW(learning_rate=0.1)
x = keras.Variable(np.ones(1, "float32"))
optimizer.build([x])
for _ in range(100):
    optimizer.apply([keras.ops.copy(x.value)], [x])  # the gradient of x^2 / 2
    print(float(keras.ops.convert_to_numpy(x.value)[0]))
PYTHON
cat > program.py <<'PYTHON'
import os
import subprocess
import sys

import numpy as np


def by_hand(rate=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Defazio et al. 2024, with Adam's second moment and equal weights: y is where gradients are taken."""
    x = y = z = 1.0
    v, path = 0.0, []
    for t in range(1, 101):
        g = y
        v = beta2 * v + (1 - beta2) * g * g
        z -= rate * g / ((v / (1 - beta2**t)) ** 0.5 + epsilon)
        x += (z - x) / t
        y = (1 - beta1) * z + beta1 * x
        path.append(y)
    return np.array(path)


def run(backend):
    environment = os.environ | {"KERAS_BACKEND": backend}
    lines = subprocess.check_output([sys.executable, "-W", "ignore", "steps.py"], env=environment, text=True)
    return np.array([float(line) for line in lines.split()])


paths = {"by hand": by_hand(), "jax": run("jax"), "torch": run("torch")}
for name, path in paths.items():
    print(f"{name + ':':<8} {' '.join(f'{path[t - 1]:.4f}' for t in (1, 2, 3, 10, 100))}")
off = {name: abs(path - paths["by hand"]).max() for name, path in paths.items()}
if off["jax"] > 1e-3 or off["torch"] < 1e-2:
    sys.exit("CHANGED: Keras' ScheduleFreeAdamW no longer depends on the backend as it did")
PYTHON
"$work/venv/bin/python" program.py
