#!/usr/bin/env bash
# PyTorch's centred RMSprop makes weights NaN when their gradient stays the same.
#
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: RMSprop(centered=True) divides by √(s - m²) + ε, with running means s of g² and m of g. Of equal gradients
#   s - m² is 0 up to rounding, and below 0 for some: the root is NaN, and so is the weight from then on. Adding ε
#   comes too late. Gradients are finite all the time, and nothing is raised.
# A good guess: a variance is never below 0, and ε is there for when it is 0.
# Seen:
#   gradient 0.1: weight -6682.757 after 2000 steps
#   gradient 0.7: NaN from step 138 on
#   gradient 123.4: NaN from step 140 on
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import torch

bad = 0
for g in (0.1, 0.7, 123.4):
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.RMSprop([weight], lr=1e-3, alpha=0.9, centered=True)
    first = None
    for step in range(2000):
        weight.grad = torch.full((1,), g)
        optimizer.step()
        if first is None and weight.isnan().any():
            first = step
    bad += first is not None
    print(f"gradient {g}: " + (f"NaN from step {first} on" if first else f"weight {weight.item():.3f} after 2000 steps"))
if not bad:
    sys.exit("CHANGED: no weight is NaN any more")
PYTHON
