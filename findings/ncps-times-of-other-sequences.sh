#!/usr/bin/env bash
# ncps gives each unit of a liquid network another sequence's elapsed time, if there are as many sequences as units.
#
# Versions: ncps 1.0.1, torch 2.13.0, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: CfC and LTC take timespans, the time between two steps of each sequence, for data of irregular times. Of a
#   the shapes (B, T) and (B, T, 1) they make (B,) at each step, which broadcasting lays along the units of (B, H), not
#   along the batch. With B other than H there is an error; with B = H, as 32 and 32, unit j of each sequence takes the
#   time of sequence j, in results and gradients. Given as (B, T, H), the times repeated for each unit, it is right, and
#   so is a batch of one. The documentation names no shape for timespans; an issue of the project (83) tells of it.
# A good guess: what is told of a sequence is used for that sequence; a batch is its sequences run one by one.
# Seen: the largest difference between a batch of 4 and its sequences one by one, and how much the results of the first
#   sequence depend on the times of the others
#   CfC of 4 units, no times: 0.000
#   CfC of 4 units, times (B, T): 0.099, by the times of the others 0.731
#   CfC of 4 units, times (B, T, H): 0.000, by the times of the others 0.000
#   LTC of 4 units, times (B, T): 0.167, by the times of the others 2.818
#   CfC of 5 units, times (B, T): an error
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 ncps==1.0.1 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from ncps.torch import LTC, CfC

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
B, T, I = 4, 5, 2
x, times = torch.randn(B, T, I), torch.rand(B, T) + 0.5


def compare(layer, times):
    """Batch against one by one, and the sum of |derivative| of the first sequence's results by the others' times."""
    times = times.clone().requires_grad_()
    batch, _ = layer(x, timespans=times)
    alone = torch.cat([layer(x[b : b + 1], timespans=times[b : b + 1])[0] for b in range(B)])
    (by_times,) = torch.autograd.grad(batch[0].sum(), times)
    return (batch - alone).abs().max().item(), by_times[1:].abs().sum().item()


cfc, ltc = CfC(I, 4), LTC(I, 4)
batch, _ = cfc(x)
off = (batch - torch.cat([cfc(x[b : b + 1])[0] for b in range(B)])).abs().max().item()
print(f"CfC of 4 units, no times: {off:.3f}")
assert off < 1e-12
for name, layer, given, right in [
    ("CfC of 4 units, times (B, T)", cfc, times, False),
    ("CfC of 4 units, times (B, T, H)", cfc, times[:, :, None].expand(B, T, 4), True),
    ("LTC of 4 units, times (B, T)", ltc, times, False),
]:
    off, by_others = compare(layer, given)
    print(f"{name}: {off:.3f}, by the times of the others {by_others:.3f}")
    if (off < 1e-12 and by_others == 0) != right:
        sys.exit(f"CHANGED: {name}: the times of a sequence are {'lost' if right else 'its own'} now")
try:
    CfC(I, 5)(x, timespans=times)
    sys.exit("CHANGED: CfC takes times of any batch")
except RuntimeError:
    print("CfC of 5 units, times (B, T): an error")
PYTHON
