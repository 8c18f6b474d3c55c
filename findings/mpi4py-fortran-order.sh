#!/usr/bin/env bash
# mpi4py adds arrays of different memory order entry by memory position, not by index.
#
# Versions: mpi4py 4.1.2 with mpich 5.0.2 (Open MPI 5.0.11 the same), numpy 2.4.6; Python 3.11. Date: 2026-11-28.
# Behaviour: the upper-case calls refuse a strided view ("buffer is not contiguous") and take a Fortran-ordered array
#   as it lies. Where one rank's gradient is in C order and another's in Fortran order (`g.T`, a solver's result), or
#   the receiving array is another than the sent one, sums mix up the entries; shapes and dtypes agree, so there is no
#   message.
# A good guess: what is no C array is copied or refused, as strided views are.
# Seen:
#   each rank sends the same [[0. 1. 2.] [3. 4. 5.]]
#   C on both ranks: [[ 0.  2.  4.] [ 6.  8. 10.]]
#   Fortran on rank 1, received in C: [[ 0.  4.  3.] [ 7.  6. 10.]]
#   Fortran on both, received in C: [[ 0.  6.  2.] [ 8.  4. 10.]]
#   strided: BufferError: dlpack: buffer is not contiguous
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mpi4py==4.1.2 mpich==5.0.2 numpy==2.4.6
cat > "$work/sums.py" <<'PYTHON'
import sys

import numpy as np
from mpi4py import MPI

world = MPI.COMM_WORLD
array = np.arange(6.0).reshape(2, 3)
orders = {"C on both ranks": "CC", "Fortran on rank 1, received in C": "CF", "Fortran on both, received in C": "FF"}
right = []
lines = [f"each rank sends the same {array}"]
for name, order in orders.items():
    total = np.empty((2, 3))
    world.Allreduce(np.array(array, order=order[world.rank]), total)
    lines.append(f"{name}: {total}")
    right.append(np.array_equal(total, 2 * array))
try:  # refused on every rank before anything is sent
    world.Allreduce(np.arange(12.0).reshape(2, 6)[:, ::2], np.empty((2, 3)))
    lines.append("strided: taken")
except BufferError as error:
    lines.append(f"strided: BufferError: {error}")
if world.rank == 0:
    print("\n".join(lines).replace("\n [", " ["))
if right != [True, False, False] or not lines[-1].startswith("strided: BufferError"):
    sys.exit("CHANGED: mpi4py treats the order of memory otherwise now")
PYTHON
"$work/venv/bin/mpiexec" -n 2 "$work/venv/bin/python" "$work/sums.py"
