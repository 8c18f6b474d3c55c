#!/usr/bin/env bash
# Awkward Array reads a slice of an Arrow array with its missing values at the places of the whole array.
#
# Versions: awkward 2.14.0, pyarrow 26.0.1, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: from_arrow of a slice takes the values from where the slice starts, and which of them are missing from
#   where the whole array starts. A value that is there becomes None; a missing one becomes 0, an empty list or what memory
#   held. So it is for numbers, strings, lists of any kind and tables, and a batch that has no missing value gets those
#   of the first batch. No message. An array without missing values is right in every slice.
# A good guess: a slice is an array like any other, as pyarrow itself reads it.
# Seen: by pyarrow and by Awkward Array
#   sequences: [[1, 2], None, [3], [4, 5]]; [[1, 2], None, [3], [4, 5]]
#   sequences from 1 on: [None, [3], [4, 5]]; [[], None, [4, 5]]
#   a table's from 2 on: [[3], [4, 5]]; [[3], None]
#   numbers from 1 on: [1.0, 2.0, 3.0]; [None, 2.0, 3.0]
#   numbers from 1 on, none missing in the whole: [1.0, 2.0, 3.0]; [1.0, 2.0, 3.0]
#   sums of batches of 3 of ten numbers, the first missing: 3, 12, 21, 9; 3, 9, 15, 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet awkward==2.14.0 pyarrow==26.0.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import awkward
import pyarrow
from pyarrow import compute

sequences = pyarrow.array([[1, 2], None, [3], [4, 5]])
table = pyarrow.table({"sequence": sequences})
cases = [
    ("sequences", sequences, True),
    ("sequences from 1 on", sequences[1:], False),
    ("a table's from 2 on", table[2:]["sequence"], False),
    ("numbers from 1 on", pyarrow.array([None, 1.0, 2.0, 3.0])[1:], False),
    ("numbers from 1 on, none missing in the whole", pyarrow.array([0.0, 1.0, 2.0, 3.0])[1:], True),
]
for name, array, right in cases:
    expected, found = array.to_pylist(), awkward.from_arrow(array).to_list()
    print(f"{name}: {expected}; {found}")
    if (expected == found) != right:
        sys.exit(f"CHANGED: Awkward Array reads {name} in another way")
ten = pyarrow.array([None] + [float(n) for n in range(1, 10)])
batches = [ten[start : start + 3] for start in range(0, 10, 3)]
expected = [compute.sum(batch).as_py() for batch in batches]
found = [float(awkward.sum(awkward.from_arrow(batch))) for batch in batches]
shown = "; ".join(", ".join(f"{total:.0f}" for total in sums) for sums in (expected, found))
print(f"sums of batches of 3 of ten numbers, the first missing: {shown}")
if expected == found:
    sys.exit("CHANGED: Awkward Array reads batches right")
PYTHON
