#!/usr/bin/env bash
# Optax's rprop is late by one step: each call returns the update of the call before, the first one 0.
#
# Versions: optax 0.2.8, jax 0.10.2; Python 3.11. Date: 2026-11-28.
# Behaviour: scale_by_rprop returns the update that it worked out at the call before. The first call returns 0
#   whatever the gradient is, every later one is late by one, and where the sign of the gradient changes the waiting
#   update is dropped, so the gradients +1, -1 never move anything.
# A good guess: -0.1 at once, then -0.12, -0.144, as Riedmiller & Braun (1993) and torch.optim.Rprop have it.
# Seen:
#   gradients 1 1 1 1       optax 0 -0.1 -0.12 -0.144, Rprop -0.1 -0.12 -0.144 -0.1728
#   gradients 1 -1 -1 -1    optax 0 0 0 0.05, Rprop -0.1 0 0.05 0.06
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet optax==0.2.8 jax==0.10.2 jaxlib==0.10.2
"$work/venv/bin/python" - <<'PYTHON'
import sys

import jax.numpy as jnp
import numpy as np
import optax


def by_optax(gradients):
    optimizer = optax.rprop(learning_rate=0.1)
    state = optimizer.init(jnp.array(0.0))
    for g in gradients:
        update, state = optimizer.update(jnp.array(g), state)
        yield float(update)


def by_the_paper(gradients):
    """Rprop without backtracking: where the sign changes, the step halves and the weight waits once."""
    size, before = 0.1, 0.0
    for g in gradients:
        size *= {1: 1.2, -1: 0.5, 0: 1.0}[np.sign(g * before)]
        before = 0.0 if g * before < 0 else g
        yield -size * np.sign(before)


expected = {(1.0, 1.0, 1.0, 1.0): [0, -0.1, -0.12, -0.144], (1.0, -1.0, -1.0, -1.0): [0, 0, 0, 0.05]}
for gradients, late in expected.items():
    optaxs, papers = list(by_optax(gradients)), list(by_the_paper(gradients))
    words = [" ".join(f"{x + 0.0:.4g}" for x in row) for row in (gradients, optaxs, papers)]
    print(f"gradients {words[0]:<13} optax {words[1]}, Rprop {words[2]}")
    if not np.allclose(optaxs, late, atol=1e-6) or np.allclose(optaxs, papers, atol=1e-6):
        sys.exit("CHANGED: Optax's rprop is no longer late by one step")
PYTHON
