#!/usr/bin/env bash
# PyTensor's check of gradients projects with positive numbers only: a backward pass that takes |g| for g passes.
#
# Versions: pytensor 3.0.7, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: pytensor.gradient.verify_grad multiplies the outputs by random numbers from 0.5 to 1.5, so the cotangent
#   that an Op's pullback gets is positive in every entry of every test. Pullbacks with |g| or max(g, 0), which lose
#   every negative gradient, pass. So does any gradient where slopes are below 1e-5, as of a mean over many entries:
#   the smaller one of absolute and relative error decides, so there the negative of the gradient and 0 pass as well.
# A good guess: "random projection" means both signs, as the normal numbers of HIPS autograd's check_grads; a gradient
#   of the wrong sign fails at any scale.
# Seen:
#   sin: right passes, |g| passes, max(g, 0) passes, 2 g refused
#   the gradient of a sum of -sin by that Op with |g|: [0.54], difference [-0.54]
#   1e-5 sin: right passes, -g passes, 0 passes
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pytensor==3.0.7 numpy==2.4.6
PYTENSOR_FLAGS="cxx=,base_compiledir=$work/compiled" "$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import GradientError, verify_grad
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op


class Sin(Op):
    """scale · sin x; the pullback is right if `fault` returns the cotangent as it is."""

    def __init__(self, fault, scale=1.0):
        self.fault, self.scale = fault, scale

    def make_node(self, x):
        x = pt.as_tensor(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = self.scale * np.sin(inputs[0])

    def pullback(self, inputs, outputs, cotangents):
        return [self.fault(cotangents[0]) * self.scale * pt.cos(inputs[0])]


def verdict(op):
    try:
        verify_grad(op, [np.linspace(-1, 1, 12).reshape(3, 4)], rng=np.random.default_rng(0), n_tests=20)
    except GradientError:
        return "refused"
    return "passes"


found = []
for name, scale, faults in (
    ("sin", 1.0, {"right": lambda g: g, "|g|": abs, "max(g, 0)": lambda g: pt.maximum(g, 0), "2 g": lambda g: 2 * g}),
    ("1e-5 sin", 1e-5, {"right": lambda g: g, "-g": lambda g: -g, "0": lambda g: 0 * g}),
):
    verdicts = {fault: verdict(Sin(function, scale)) for fault, function in faults.items()}
    print(f"{name}: " + ", ".join(f"{fault} {what}" for fault, what in verdicts.items()))
    found += verdicts.values()
    if name == "sin":
        x = pt.dvector()
        loss = (-Sin(abs)(x)).sum()
        gradient = pytensor.function([x], pytensor.grad(loss, x))([1.0])
        print(f"the gradient of a sum of -sin by that Op with |g|: {gradient.round(2)}, difference {-np.cos([1.0]).round(2)}")
if found != ["passes", "passes", "passes", "refused", "passes", "passes", "passes"]:
    sys.exit(f"CHANGED: verify_grad says {found}")
PYTHON
