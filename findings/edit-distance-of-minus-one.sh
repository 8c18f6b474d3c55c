#!/usr/bin/env bash
# editdistance takes the labels -1 and -2 for the same one, and RapidFuzz does so in NumPy arrays.
#
# Versions: editdistance 0.8.1, rapidfuzz 3.14.6, Levenshtein 0.27.5, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: Both compare entries by Python's hash, which is -2 for -1 and for -2. So in editdistance a sequence of
#   labels with -1 (blank, padding, unknown, one step down) has distance 0 from that with -2. RapidFuzz has a case for
#   the int -1, not for NumPy's: with arrays it says 0 as well, and distance 1 for a list and the array of that list.
#   Levenshtein is built on it. Their documentation speaks of hashable entries; no message.
# A good guess: integers are compared as integers, and an array is the list of its entries.
# Seen: the distance of (3, -1, 5) from (3, -2, 5), which is 1, and of (3, -1, 5) as a list from itself as an array
#   editdistance: lists 0, arrays 0; list and array of the same 0
#   rapidfuzz: lists 1, arrays 0; list and array of the same 1
#   Levenshtein: lists 1, arrays 0; list and array of the same 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet editdistance==0.8.1 rapidfuzz==3.14.6 Levenshtein==0.27.5 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import editdistance
import Levenshtein
import numpy as np
import rapidfuzz

a, b = [3, -1, 5], [3, -2, 5]
tools = {
    "editdistance": (editdistance.eval, (0, 0, 0)),
    "rapidfuzz": (rapidfuzz.distance.Levenshtein.distance, (1, 0, 1)),
    "Levenshtein": (Levenshtein.distance, (1, 0, 1)),
}
for name, (distance, seen) in tools.items():
    assert distance([3, 1, 5], [3, 2, 5]) == distance(np.array([3, 1, 5]), np.array([3, 2, 5])) == 1
    found = distance(a, b), distance(np.array(a), np.array(b)), distance(a, np.array(a))
    print(f"{name}: lists {found[0]}, arrays {found[1]}; list and array of the same {found[2]}")
    if found != seen:
        sys.exit(f"CHANGED: {name} has other distances of -1 and -2")
PYTHON
