#!/usr/bin/env bash
# AlgoPy's reverse mode is wrong for a matrix times a vector, its sums over rows and x ** -1; its forward mode is right.
#
# Versions: algopy 0.7.2, numpy 2.4.6, scipy 1.17.1; Python 3.11. Date: 2026-11-29.
# Behaviour: A traced function's gradient by W of dot(W, x), the product in every layer, has the same number in all
#   entries; by x it is right, and so is that of sum(W * x, axis=1) and of a product of two matrices. The gradient of
#   sum(W, axis=0) of a square matrix is transposed; that of x ** n is 0 for each n in -1, -2, -3 as an integer, and
#   right for n = -1.0. Taylor polynomials (UTPM), the forward mode of the same package, are right for all. No message.
# A good guess: of a package for derivatives of linear algebra, that both modes agree on W x.
# Seen: the largest error of 9 entries by reverse and by forward mode, against differences
#   dot(W, x): reverse 7.00, forward 0.00
#   sum(W * x, axis=1): reverse 0.00, forward 0.00
#   dot(W, V): reverse 0.00, forward 0.00
#   sum(W, axis=0): reverse 3.00, forward 0.00
#   W ** -1: reverse 4.00, forward 0.00
#   W ** -1.0: reverse 0.00, forward 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet algopy==0.7.2 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import algopy
import numpy as np
from algopy import UTPM

W0 = np.array([[1.0, -2.0, 0.5], [0.8, 1.5, -1.0], [-0.7, 0.9, 2.0]])
x, weights, V = np.array([1.0, -1.0, 2.0]), np.array([1.0, 2.0, -1.0]), W0.T + 1
cases = {
    "dot(W, x)": (lambda W: algopy.dot(W, x), False),
    "sum(W * x, axis=1)": (lambda W: algopy.sum(W * x, axis=1), True),
    "dot(W, V)": (lambda W: algopy.dot(W, V), True),
    "sum(W, axis=0)": (lambda W: algopy.sum(W, axis=0), False),
    "W ** -1": (lambda W: W**-1, False),
    "W ** -1.0": (lambda W: W**-1.0, True),
}
for name, (f, right) in cases.items():

    def loss(W):
        return algopy.sum(f(W) * weights)

    graph = algopy.CGraph()
    graph.independentFunctionList = [algopy.Function(W0)]
    graph.dependentFunctionList = [loss(graph.independentFunctionList[0])]
    graph.trace_off()
    reverse = graph.gradient([W0])[0]
    forward = UTPM.extract_jacobian(loss(UTPM.init_jacobian(W0.ravel()).reshape(W0.shape))).reshape(W0.shape)
    steps = 1e-6 * np.eye(W0.size).reshape(-1, *W0.shape)
    slopes = np.array([(loss(W0 + s) - loss(W0 - s)) / 2e-6 for s in steps]).reshape(W0.shape)
    errors = [abs(found - slopes).max() for found in (reverse, forward)]
    print(f"{name}: reverse {errors[0]:.2f}, forward {errors[1]:.2f}")
    if (errors[0] < 1e-6) != right or errors[1] > 1e-6:
        sys.exit(f"CHANGED: AlgoPy's gradient of {name} is {'wrong' if right else 'right'}, or its forward mode not")
PYTHON
