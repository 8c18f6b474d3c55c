#!/usr/bin/env bash
# aeon does not read back the .ts file that it wrote: class labels come in lower case, and classes merge.
#
# Versions: aeon 1.6.0 and sktime 1.2.0, numpy 2.3.5; Python 3.11. Date: 2026-11-28.
# Behaviour: save_to_ts_file writes the labels Walk, walk and Run, and lists three classes in the header.
#   load_from_ts_file lowers every line before it splits it, so two classes come back, neither spelt as it was; the
#   header is not compared with the labels. sktime's load_from_tsfile does the same with the file.
# A good guess: labels are strings that come back as they went, as numbers do, or an error that they are not in the
#   header.
# Seen:
#   header: @classLabel true Run Walk walk
#   written ['Walk', 'walk', 'Run'], aeon reads ['walk', 'walk', 'run'], sktime ['walk', 'walk', 'run']
#   values: read back exactly True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet aeon==1.6.0 sktime==1.2.0 numpy==2.3.5
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from aeon.datasets import load_from_ts_file, save_to_ts_file
from sktime.datasets import load_from_tsfile

series, labels = np.random.default_rng(0).standard_normal((3, 1, 4)), ["Walk", "walk", "Run"]
save_to_ts_file(series, np.array(labels), label_type="classification", path=".", problem_name="gait")
print("header:", next(line.strip() for line in open("gait.ts") if line.startswith("@classLabel")))
values, aeons = load_from_ts_file("gait.ts")
sktimes = load_from_tsfile("gait.ts", return_data_type="numpy3d")[1]
print(f"written {labels}, aeon reads {aeons.tolist()}, sktime {sktimes.tolist()}")
print("values: read back exactly", np.array_equal(values, series))
if not aeons.tolist() == sktimes.tolist() == ["walk", "walk", "run"]:
    sys.exit("CHANGED: labels are no longer read in lower case")
PYTHON
