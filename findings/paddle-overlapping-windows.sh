#!/usr/bin/env bash
# Paddle's windows over a sequence have a wrong gradient where they overlap: each value counts once, not once a window.
#
# Versions: paddlepaddle 3.3.1, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: Tensor.unfold(axis, size, step), which cuts a sequence into windows, and paddle.as_strided are views. Their
#   backward pass writes the windows' gradients to where they came from, so the last one written stays. Windows that do
#   not overlap are right. No message.
# A good guess: the gradients of all windows that a value is in add up, as in torch's unfold and as_strided and as
#   differences say.
# Seen:
#   size 3, step 1: gradient [1. 1. 1. 1. 1. 1.], differences [1. 2. 3. 3. 2. 1.]
#   size 2, step 2: gradient [1. 1. 1. 1. 1. 1.], differences [1. 1. 1. 1. 1. 1.]
#   as_strided, the windows of size 3: gradient [1. 1. 1. 1. 1. 1.], differences [1. 2. 3. 3. 2. 1.]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paddlepaddle==3.3.1 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import paddle

windows = {
    "size 3, step 1": lambda x: x.unfold(0, 3, 1),
    "size 2, step 2": lambda x: x.unfold(0, 2, 2),
    "as_strided, the windows of size 3": lambda x: paddle.as_strided(x, [4, 3], [1, 1]),
}
wrong = []
for name, cut in windows.items():
    x = paddle.to_tensor(np.arange(6.0), stop_gradient=False)
    cut(x).sum().backward()
    gradient = x.grad.numpy()
    sums = [cut(paddle.to_tensor(np.arange(6.0) + d)).sum().item() for d in (*np.eye(6), np.zeros(6))]
    slopes = np.array(sums[:-1]) - sums[-1]
    print(f"{name}: gradient {gradient}, differences {slopes}")
    wrong.append(not np.allclose(gradient, slopes))
if wrong != [True, False, True]:
    sys.exit("CHANGED: the gradients of overlapping windows")
PYTHON
