#!/usr/bin/env bash
# TVM's import of a PyTorch program leaves out alpha of add and sub, and its SELU is another function below 0.
#
# Versions: apache-tvm 0.27.0.post1, apache-tvm-ffi 0.1.15.post2, torch 2.13.0, numpy 2.4.6; Python 3.11, CPU.
#   Date: 2026-11-29.
# Behaviour: from_exported_program takes a program of torch.export. In it torch.add(h, u, alpha=0.1), the update of a
#   leaky unit, is h + u, and torch.sub and rsub leave alpha out, too; beta and alpha of addmm and the factor of addcmul
#   are kept. SELU below 0 lacks its factor 1.0507. No message, though operations that it does not know are refused. The
#   SELU of an ONNX file (from_onnx) is right.
# A good guess: an argument of an operation is understood or refused.
# Seen: what TVM computes, divided by what PyTorch does
#   h + 0.1 * u: 1.000
#   torch.add(h, u, alpha=0.1): 2.000
#   torch.sub(h, u, alpha=0.1): -0.286
#   torch.addcmul(h, h, u, value=0.1): 1.000
#   elu(-h): 1.000
#   selu(-h): 0.952
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 apache-tvm==0.27.0.post1 apache-tvm-ffi==0.1.15.post2 numpy==2.4.6
cd "$work"
cat > program.py <<'PYTHON'
import sys

import torch
import tvm
from torch.nn import functional as F
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program


class Program(torch.nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, h, u):
        return self.f(h, u)


h, u = torch.tensor([1.0, 2.0]), torch.tensor([1.25, 2.5])
cases = {
    "h + 0.1 * u": (lambda h, u: h + 0.1 * u, 1),
    "torch.add(h, u, alpha=0.1)": (lambda h, u: torch.add(h, u, alpha=0.1), 2),
    "torch.sub(h, u, alpha=0.1)": (lambda h, u: torch.sub(h, u, alpha=0.1), -0.25 / 0.875),
    "torch.addcmul(h, h, u, value=0.1)": (lambda h, u: torch.addcmul(h, h, u, value=0.1), 1),
    "elu(-h)": (lambda h, u: F.elu(-h) + 0 * u, 1),
    "selu(-h)": (lambda h, u: F.selu(-h) + 0 * u, 1 / 1.0507),
}
for name, (f, seen) in cases.items():
    module = from_exported_program(torch.export.export(Program(f), (h, u)))
    machine = relax.VirtualMachine(tvm.compile(module, "llvm"), tvm.cpu())
    found = machine["main"](tvm.runtime.tensor(h.numpy()), tvm.runtime.tensor(u.numpy()))[0].numpy()
    ratios = found / f(h, u).numpy()
    print(f"{name}: {ratios[0]:.3f}")
    if abs(ratios - seen).max() > 1e-4:
        sys.exit(f"CHANGED: TVM computes something else for {name}")
PYTHON
"$work/venv/bin/python" -W ignore program.py
