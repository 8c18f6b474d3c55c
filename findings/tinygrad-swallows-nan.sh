#!/usr/bin/env bash
# tinygrad's relu turns NaN into 0, and its sort turns it into a neighbour.
#
# Versions: tinygrad 0.14.0 (DEV=PYTHON; DEV=CPU the same), numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: relu is "x where x > 0, else 0", and NaN > 0 is false: the value, not the gradient alone, is 0. sort and
#   topk go through minima and maxima, so a NaN is overwritten by another entry, which then occurs twice. max, maximum
#   and clip keep NaN. So a network that has diverged shows finite activations behind its first relu.
# A good guess: NaN, as from torch's, JAX's and MLX's relu and from tinygrad's own maximum(x, 0); sort puts NaN last.
# Seen:
#   relu(NaN) = [0.], maximum(NaN, 0) = [nan], clip = [nan], max of (NaN, 1) = nan
#   sort of (2, NaN, 1) = [1. 2. 2.], topk 2 of it = [2. 2.]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tinygrad==0.14.0 numpy==2.4.6
DEV=PYTHON CACHELEVEL=0 "$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from tinygrad import Tensor

nan = float("nan")
x, series = Tensor([nan]), Tensor([2.0, nan, 1.0])
relu, kept = x.relu().numpy(), [x.maximum(0).numpy(), x.clip(0, 1).numpy(), Tensor([nan, 1.0]).max().numpy()]
print(f"relu(NaN) = {relu}, maximum(NaN, 0) = {kept[0]}, clip = {kept[1]}, max of (NaN, 1) = {kept[2]}")
ordered, top = series.sort()[0].numpy(), series.topk(2)[0].numpy()
print(f"sort of (2, NaN, 1) = {ordered}, topk 2 of it = {top}")
swallowed = relu.tolist() == [0] and ordered.tolist() == [1, 2, 2] and not np.isnan(top).any()
if not (swallowed and all(np.isnan(value).all() for value in kept)):
    sys.exit("CHANGED: tinygrad treats NaN otherwise now")
PYTHON
