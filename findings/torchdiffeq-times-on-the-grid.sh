#!/usr/bin/env bash
# torchdiffeq's gradient by a time at which the state is asked for is 0 if a step ends there.
#
# Versions: torchdiffeq 0.2.5, torch 2.13.0, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: odeint by a method of fixed steps (euler, midpoint, rk4) with options step_size steps on a grid of its own
#   from t[0], and interpolates at the times asked for. A time that is a point of the grid gets the gradient 0, and the
#   first time gets what it lost. Between the points both are right; so they are by odeint_adjoint, by
#   interp="cubic" (which takes the slope there), without step_size, and by dopri5, the default.
# A good guess: the gradient by a time is the slope of the solution there, and does not jump where a step ends.
# Seen: the gradient of y(t1) + 3 y(t2) by t0, t1 and t2, and differences of it, y' = -(1 + t) y
#   rk4 with steps of 0.1, t1 = 0.52: 1.276 -1.153 -1.212, differences 1.276 -1.153 -1.212
#   rk4 with steps of 0.1, t1 = 0.5: 0.125 0.000 -1.212, differences 1.328 -1.203 -1.212
#   rk4 with steps of 0.1, t1 = 0.5, adjoint: 1.330 -1.204 -1.212, differences 1.328 -1.203 -1.212
#   rk4 with steps of 0.1, t1 = 0.5, cubic: 1.330 -1.204 -1.212, differences 1.330 -1.204 -1.212
#   dopri5, t1 = 0.5: 1.330 -1.204 -1.212, differences 1.330 -1.204 -1.212
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torchdiffeq==0.2.5 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torchdiffeq import odeint, odeint_adjoint

torch.set_default_dtype(torch.float64)
start, weights = torch.tensor([1.5]), torch.tensor([1.0, 3.0])


class Decay(torch.nn.Module):
    def forward(self, t, y):
        return -(1 + t) * y


def words(numbers):
    return " ".join(f"{float(n) + 0:.3f}" for n in numbers)


steps = {"method": "rk4", "options": {"step_size": 0.1}}
cubic = {"method": "rk4", "options": {"step_size": 0.1, "interp": "cubic"}}
cases = [
    ("rk4 with steps of 0.1, t1 = 0.52", 0.52, odeint, steps, True),
    ("rk4 with steps of 0.1, t1 = 0.5", 0.5, odeint, steps, False),
    ("rk4 with steps of 0.1, t1 = 0.5, adjoint", 0.5, odeint_adjoint, steps, True),
    ("rk4 with steps of 0.1, t1 = 0.5, cubic", 0.5, odeint, cubic, True),
    ("dopri5, t1 = 0.5", 0.5, odeint, {"method": "dopri5", "rtol": 1e-9, "atol": 1e-9}, True),
]
for name, t1, solve, how, right in cases:

    def loss(times):
        return (solve(Decay(), start, times, **how)[1:, 0] * weights).sum()

    times = torch.tensor([0.0, t1, 1.3], requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(times), times)
    differences = torch.stack([(loss(times + d) - loss(times - d)).detach() / 2e-5 for d in 1e-5 * torch.eye(3)])
    print(f"{name}: {words(gradient)}, differences {words(differences)}")
    close = (gradient - differences).abs() < 3e-3
    if close.tolist() != ([True] * 3 if right else [False, False, True]) or (gradient[1] == 0) == right:
        sys.exit(f"CHANGED: another gradient by the times, {name}")
PYTHON
