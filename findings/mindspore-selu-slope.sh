#!/usr/bin/env bash
# MindSpore's SELU has a wrong slope below 0, negative even where the function rises.
#
# Versions: mindspore 2.10.0, numpy 1.26.4; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: mindspore.ops.selu returns the right values. Its gradient is right above 0, and below it is the value plus
#   0.9815 where the derivative is the value plus 1.7581, in float32 and float64. So at -1.5 a step along the gradient
#   goes the wrong way. Its elu is right.
# A good guess: 1.7581 exp(x), the slope that ops.elu has, scaled.
# Seen: at -3, -1.5, -0.5 and 0.5
#   selu: slopes [-0.705 -0.384  0.324  1.051], differences [0.088 0.392 1.066 1.051]
#   elu : slopes [0.05  0.223 0.607 1.   ], differences [0.05  0.223 0.607 1.   ]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mindspore==2.10.0 numpy==1.26.4
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import mindspore
import numpy as np
from mindspore import Tensor, ops

x = np.array([-3, -1.5, -0.5, 0.5])
for name, seen in (("selu", [-0.705, -0.384, 0.324, 1.051]), ("elu", [0.05, 0.223, 0.607, 1])):
    f = getattr(ops, name)
    slopes = mindspore.grad(lambda a: f(a).sum())(Tensor(x, mindspore.float32)).asnumpy()
    above, below = (f(Tensor(x + step, mindspore.float32)).asnumpy().astype(float) for step in (0.01, -0.01))
    differences = (above - below) / 0.02
    print(f"{name:<4}: slopes {slopes.round(3)}, differences {differences.round(3)}")
    if not np.allclose(slopes, seen, atol=2e-3) or np.allclose(slopes, differences, atol=2e-3) != (name == "elu"):
        sys.exit(f"CHANGED: MindSpore's {name} has another slope")
PYTHON
