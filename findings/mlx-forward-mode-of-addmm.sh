#!/usr/bin/env bash
# MLX: forward-mode derivatives of addmm leave out its factors alpha and beta.
#
# Versions: mlx 0.32.4 (extra cpu, Linux), numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: mx.addmm(c, a, b, alpha, beta) is alpha a b + beta c. mx.jvp gives da b + a db + dc for all factors. The
#   gradients by mx.vjp and mx.grad are right, so that both modes contradict each other: <w, jvp v> is not <vjp w, v>.
#   With factors 1, as nn.Linear has them, both are right.
# A good guess: the two modes agree; where no rule is written, as for a convolution, jvp raises.
# Seen: <w, J v> by jvp, by vjp, and by central differences
#   alpha 1.0, beta 1.0: 16.923; 16.923; 16.923
#   alpha 0.5, beta 1.0: 16.923; 12.647; 12.647
#   alpha 1.0, beta 2.0: 16.923; 25.293; 25.293
#   alpha -1.0, beta 0.1: 16.923; -7.715; -7.715
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import mlx.core as mx
import numpy as np

mx.set_default_device(mx.cpu)
rng = np.random.default_rng(0)
shapes = [(3, 3), (3, 4), (4, 3)]
(c, a, b), v = ([mx.array(rng.normal(size=s).astype(np.float32)) for s in shapes] for _ in range(2))
w = mx.array(rng.normal(size=(3, 3)).astype(np.float32))
dc, da, db = v
without = float((w * (da @ b + a @ db + dc)).sum())
for alpha, beta in ((1.0, 1.0), (0.5, 1.0), (1.0, 2.0), (-1.0, 0.1)):

    def f(c, a, b):
        return mx.addmm(c, a, b, alpha, beta)

    forward = float((w * mx.jvp(f, [c, a, b], v)[1][0]).sum())
    backward = float(sum((g * x).sum() for g, x in zip(mx.vjp(f, [c, a, b], [w])[1], v)))
    up, down = (float((w * f(*(x + s * 1e-2 * d for x, d in zip((c, a, b), v)))).sum()) for s in (1, -1))
    differences = (up - down) / 2e-2
    print(f"alpha {alpha}, beta {beta}: {forward:.3f}; {backward:.3f}; {differences:.3f}")
    assert abs(backward - differences) < 5e-3
    if abs(forward - without) > 1e-4 or (alpha, beta) != (1.0, 1.0) and abs(forward - backward) < 0.1:
        sys.exit("CHANGED: MLX has another forward-mode derivative of addmm")
PYTHON
