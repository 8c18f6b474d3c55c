#!/usr/bin/env bash
# tslearn: the second derivatives of its soft-DTW loss hold the alignment fixed, without a word.
#
# Versions: tslearn 0.10.0, torch 2.13.0, numpy 2.4.6, numba 0.68.1; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: the gradient of SoftDTWLossPyTorch is right. It has a graph of its own with create_graph=True, so that a
#   Hessian, a Hessian-vector product or a penalty on the gradient can be computed, and these lack what comes from the
#   change of the soft alignment: the backward pass computes it outside of PyTorch, as a constant. What is left is the
#   curvature of the squared distances, too large, and without entries between different steps. Nothing raises or warns.
# A good guess: right second derivatives, or the error that once_differentiable gives.
# Seen: the Hessian by the steps of a sequence, gamma = 1: by autograd, and by differences of the gradient
#   step 0: 3.29  0.00  0.00; 2.75  -0.06  0.14
#   step 1: 0.00  3.28  0.00; -0.06  2.18  -0.31
#   step 2: 0.00  0.00  3.26; 0.14  -0.31  2.31
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 tslearn==0.10.0 numpy==2.4.6 numba==0.68.1
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from tslearn.metrics import SoftDTWLossPyTorch

target = torch.tensor([[[0.0], [1.0], [0.4], [-0.5]]], dtype=torch.float64)
x = torch.tensor([[[0.3], [0.9], [-0.2]]], dtype=torch.float64)
loss = SoftDTWLossPyTorch(gamma=1.0)


def gradient(x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(loss(x, target).sum(), x)[0].flatten()


def differences(f, h=0.02):
    steps = h * torch.eye(3, dtype=torch.float64).reshape(3, 1, 3, 1)
    return torch.stack([(f(x + s) - f(x - s)) / (2 * h) for s in steps])


first = differences(lambda x: loss(x, target).sum())
assert (gradient(x) - first).abs().max() < 5e-3  # the gradient is right
found = torch.autograd.functional.hessian(lambda x: loss(x, target).sum(), x).reshape(3, 3)
right = differences(gradient)
for step in range(3):
    print(f"step {step}:", "; ".join("  ".join(f"{v:.2f}" for v in row[step].tolist()) for row in (found, right)))
between = found - torch.diag(found.diag())
if between.abs().max() > 1e-9 or (found.diag() <= right.diag() + 0.1).any() or (right - right.T).abs().max() > 0.02:
    sys.exit("CHANGED: tslearn has other second derivatives of the soft-DTW loss")
PYTHON
