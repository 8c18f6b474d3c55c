#!/usr/bin/env bash
# PyTorch's CTC loss has another gradient than its own derivative by the log-probabilities that it takes.
#
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: the gradient of ctc_loss by its argument log_probs is exp(log_probs) minus the share of all alignments
#   that has the label at that time: the gradient by logits of which the log-softmax was taken. So the log-softmax before
#   it, whose rule leaves such a gradient as it is, gives the right one; whatever else stands there does not.
#   Log-probabilities that are leaves, or were mixed with another model's or scaled, get a wrong one; gradcheck fails.
# A good guess: minus the share of all alignments, which is the derivative; the gradient by the logits comes from it by
#   the rule of the log-softmax.
# Seen:
#   one labelling and one alignment, (1, 2, 3) in three times: loss = -(y_1(1) + y_2(2) + y_3(3))
#   its derivative by the blank at time 1: 0.0000; the gradient at time 1 [0.25, -0.7499999999999998, 0.25, 0.25]
#   by a weight of all log-probabilities: gradient 0.9334, difference of losses 4.2418
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn.functional import ctc_loss

labels = torch.tensor([[1, 2, 3]])


def loss(y):
    return ctc_loss(y, labels, [3], [3], reduction="sum")


y = torch.full((3, 1, 4), 0.25, dtype=torch.float64).log().requires_grad_()
loss(y).backward()
h = torch.zeros_like(y)
h[0, 0, 0] = 1e-6
slope = (loss(y.detach() + h) - loss(y.detach() - h)).item() / 2e-6
print("one labelling and one alignment, (1, 2, 3) in three times: loss = -(y_1(1) + y_2(2) + y_3(3))")
print(f"its derivative by the blank at time 1: {slope:.4f}; the gradient at time 1 {y.grad[0, 0].tolist()}")

generator = torch.Generator().manual_seed(0)
y0 = torch.randn(3, 1, 4, dtype=torch.float64, generator=generator).log_softmax(-1)
weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
loss(weight * y0).backward()
difference = (loss((1 + 1e-6) * y0) - loss((1 - 1e-6) * y0)).item() / 2e-6
print(f"by a weight of all log-probabilities: gradient {weight.grad.item():.4f}, difference of losses {difference:.4f}")
wrong = [abs(slope) < 1e-8, abs(y.grad[0, 0, 0].item() - 0.25) < 1e-12, abs(weight.grad.item() - difference) > 0.1]
if not all(wrong):
    sys.exit("CHANGED: the gradient is that of the log-probabilities now")
PYTHON
