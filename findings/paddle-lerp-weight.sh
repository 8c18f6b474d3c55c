#!/usr/bin/env bash
# Paddle's lerp gives its weight no gradient, and masked_fill none to its value: a gate that is written with it never
# learns.
#
# Versions: paddlepaddle 3.3.1, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: paddle.lerp(x, y, weight) = x + weight (y - x), the update of a GRU's or a leaky cell's state, takes a
#   tensor as weight and differentiates by x and y only. The weight's `.grad` is None, and so is that of all that it was
#   made from; written out, the same formula has them. masked_fill(x, mask, value) with a tensor as value hands back a
#   gradient of 0. No message: stop_gradient of the result is False, and backward runs.
# A good guess: a gradient for each tensor, as in torch.lerp and torch.masked_fill, or an error for a weight that
#   requires one.
# Seen:
#   lerp: by h True, by n True, by the gate's weights None
#   h + z (n - h): by h True, by n True, by the gate's weights [-0.   -0.06 -0.21]
#   differences of lerp: [-0.   -0.06 -0.21]
#   masked_fill of two entries with a tensor: its gradient 0.0, difference 2.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paddlepaddle==3.3.1 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import paddle

paddle.set_default_dtype("float64")
rng = np.random.default_rng(0)
h0, n0, W0 = rng.standard_normal((3, 3)) * 2


def leaf(values):
    return paddle.to_tensor(values, stop_gradient=False)


def loss(update, h, n, W):
    """A step of a gated cell, whose update gate is z = sigmoid(h W)."""
    return (update(h, n, paddle.nn.functional.sigmoid(h * W)) ** 2).sum()


found = {}
for name, update in {"lerp": paddle.lerp, "h + z (n - h)": lambda h, n, z: h + z * (n - h)}.items():
    h, n, W = leaf(h0), leaf(n0), leaf(W0)
    loss(update, h, n, W).backward()
    found[name] = W.grad
    shown = None if W.grad is None else W.grad.numpy().round(2)
    print(f"{name}: by h {h.grad is not None}, by n {n.grad is not None}, by the gate's weights {shown}")
steps = 1e-6 * np.eye(3)
values = [[loss(paddle.lerp, leaf(h0), leaf(n0), leaf(W0 + s * d)).item() for s in (1, -1)] for d in steps]
slopes = np.array([(a - b) / 2e-6 for a, b in values])
print(f"differences of lerp: {slopes.round(2)}")
mask, value = paddle.to_tensor([True, False, True]), leaf(2.0)
paddle.masked_fill(leaf(h0), mask, value).sum().backward()
more, less = (paddle.masked_fill(leaf(h0), mask, leaf(2.0 + d)).sum().item() for d in (0.5, -0.5))
print(f"masked_fill of two entries with a tensor: its gradient {value.grad.item()}, difference {round(more - less, 6)}")
right = np.allclose(found["h + z (n - h)"].numpy(), slopes, atol=1e-6)
if found["lerp"] is not None or not right or value.grad.item() != 0 or abs(more - less - 2) > 1e-6:
    sys.exit("CHANGED: the weight of lerp, or the value of masked_fill, has a gradient now")
PYTHON
