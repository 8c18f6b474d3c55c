#!/usr/bin/env bash
# entmax: the Hessian of its sparsemax and entmax losses is 0, and that of entmax itself is NaN.
#
# Versions: entmax 1.3, torch 2.13.0, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: values and gradients are right. The losses' backward pass treats its result p - y as a constant, so
#   torch.autograd.functional.hessian and hvp return 0, the curvature of a straight line; the Hessian of the squared
#   loss lacks the same part. For entmax15 and entmax_bisect the second derivative goes through a power of the
#   probabilities below 1, and one probability of exactly 0, what they are made for, makes all of it NaN. sparsemax is
#   right twice. So Newton steps, influence functions and penalties on gradients go wrong.
# A good guess: the Hessian of the sparsemax loss is sparsemax' Jacobian, as that of cross-entropy is softmax'.
# Seen: Hessian by autograd and by differences of the gradient, the first row, at (1, 0.4, -0.2, -3)
#   sparsemax_loss: 0.00 0.00 0.00 0.00; 0.50 -0.50 0.00 0.00
#   sparsemax_loss ** 2: 0.08 -0.08 0.00 0.00; 0.12 -0.12 0.00 0.00
#   entmax15_loss: 0.00 0.00 0.00 0.00; 0.39 -0.27 -0.12 0.00
#   entmax15: nan nan nan nan; 0.17 0.10 -0.28 0.00
#   sparsemax ** 2: 0.50 -0.50 0.00 0.00; 0.50 -0.50 0.00 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 entmax==1.3 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from entmax import entmax15, entmax15_loss, sparsemax, sparsemax_loss

x, label = torch.tensor([[1.0, 0.4, -0.2, -3.0]], dtype=torch.float64), torch.tensor([0])
weights = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)


def differences(f, h=1e-5):
    def gradient(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(f(x), x)[0].flatten()

    steps = h * torch.eye(4, dtype=torch.float64)
    first = torch.stack([f(x + s) - f(x - s) for s in steps]) / (2 * h)
    assert (first - gradient(x)).abs().max() < 1e-6  # the gradient is right
    return torch.stack([gradient(x + s) - gradient(x - s) for s in steps]) / (2 * h)


cases = [
    ("sparsemax_loss", lambda x: sparsemax_loss(x, label).sum(), "zero"),
    ("sparsemax_loss ** 2", lambda x: sparsemax_loss(x, label).sum() ** 2, "wrong"),
    ("entmax15_loss", lambda x: entmax15_loss(x, label).sum(), "zero"),
    ("entmax15", lambda x: (weights * entmax15(x, dim=-1)).sum(), "nan"),
    ("sparsemax ** 2", lambda x: (sparsemax(x, dim=-1) ** 2).sum() / 2, "right"),
]
for name, f, kind in cases:
    found, right = torch.autograd.functional.hessian(f, x).reshape(4, 4), differences(f)
    rows = (" ".join(f"{v:.2f}" for v in (m[0].round(decimals=3) + 0.0).tolist()) for m in (found, right))
    print(f"{name}:", "; ".join(rows))
    off = (found - right).abs().max() > 0.02
    seen = {"zero": bool((found == 0).all()), "wrong": bool(off), "nan": bool(found.isnan().all()), "right": not off}
    if not seen[kind] or not right.abs().max() > 0.1:
        sys.exit(f"CHANGED: entmax has another Hessian of {name}")
PYTHON
