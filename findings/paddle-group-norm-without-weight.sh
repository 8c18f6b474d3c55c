#!/usr/bin/env bash
# Paddle's group norm has a wrong gradient when it has no weight.
#
# Versions: paddlepaddle 3.3.1, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: nn.functional.group_norm(x, groups) without weight=, and nn.GroupNorm(weight_attr=False), return right
#   values, and gradients by x that are off by a third to a half of the largest, in float32 and float64, for 3, 4 and 5
#   axes. With a weight of ones, which changes no value, the gradient is right. layer_norm and instance_norm are right
#   without a weight too.
# A good guess: no weight is a weight of ones, backwards as well.
# Seen: the worst difference between the gradient by x and central differences, float64
#   group_norm, no weight                  1.3 of 2.9
#   group_norm, a bias and no weight       1.3 of 2.9
#   group_norm, a weight of ones           0.0 of 2.9, the same values
#   GroupNorm(weight_attr=False)           1.3 of 2.9
#   layer_norm, no weight                  0.0 of 1.9
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paddlepaddle==3.3.1 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import paddle
from paddle.nn import functional

paddle.set_default_dtype("float64")
rng = np.random.default_rng(0)
x0, weights = rng.standard_normal((2, 2, 4, 3))  # (B, C, T) of both
ones, zeros = paddle.ones([4]), paddle.zeros([4])
layer = paddle.nn.GroupNorm(2, 4, weight_attr=False, bias_attr=False)
norms = {
    "group_norm, no weight": lambda x: functional.group_norm(x, 2),
    "group_norm, a bias and no weight": lambda x: functional.group_norm(x, 2, bias=zeros),
    "group_norm, a weight of ones": lambda x: functional.group_norm(x, 2, weight=ones, bias=zeros),
    "GroupNorm(weight_attr=False)": layer,
    "layer_norm, no weight": lambda x: functional.layer_norm(x, [4, 3]),
}
reference = functional.group_norm(paddle.to_tensor(x0), 2).numpy()
wrong = []
for name, norm in norms.items():

    def loss(x, norm=norm):
        return (norm(x) * paddle.to_tensor(weights)).sum()

    x = paddle.to_tensor(x0, stop_gradient=False)
    loss(x).backward()
    slopes = np.zeros_like(x0)
    for index in np.ndindex(x0.shape):
        h = np.zeros_like(x0)
        h[index] = 1e-6
        slopes[index] = (loss(paddle.to_tensor(x0 + h)).item() - loss(paddle.to_tensor(x0 - h)).item()) / 2e-6
    off = np.abs(x.grad.numpy() - slopes).max()
    same = ", the same values" if "ones" in name and np.allclose(norm(x).numpy(), reference) else ""
    print(f"{name:<38} {off:.1f} of {np.abs(slopes).max():.1f}{same}")
    wrong.append(off > 0.1)
if wrong != [True, True, False, True, False]:
    sys.exit("CHANGED: the gradients of a group norm without a weight")
PYTHON
