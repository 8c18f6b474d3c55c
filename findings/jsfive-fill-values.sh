#!/usr/bin/env bash
# jsfive reads what was not written of an HDF5 file as holes in an array, which JavaScript's sums and loops leave out.
#
# Versions: jsfive 0.4.2, Node 18 or later, h5py 3.16.0, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: HDF5 has a fill value, 0 by default, for entries that were never written; h5py fills in what a file lacks.
#   jsfive knows nothing of it: the entries of missing chunks are holes, `in` is false and the value undefined, so that
#   reduce and forEach skip them, arithmetic gives NaN, and a typed array holds NaN, or 0 of integers. If no chunk
#   was written at all, the array is empty, of another length than shape says.
# A good guess: a reader gives the fill value, or refuses; a padded batch that grew by resize has its padding.
# Seen: h5py; then jsfive's length, its sum and count by reduce, the entries as Float32Array
#   grown, fill value -1: [3, 4, -1, -1, -1, -1, 5, 6]; 8, sum 18 of 4, [3, 4, NaN, NaN, NaN, NaN, 5, 6]
#   grown, no fill value: [3, 4, 0, 0, 0, 0, 5, 6]; 8, sum 18 of 4, [3, 4, NaN, NaN, NaN, NaN, 5, 6]
#   nothing written: [0, 0, 0]; 0, sum 0 of 0, []
#   all written: [1, 2, 3]; 3, sum 6 of 3, [1, 2, 3]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet h5py==3.16.0 numpy==2.4.6
npm install --silent --no-fund --no-audit --prefix "$work" jsfive@0.4.2
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import json

import h5py

with h5py.File("sequences.h5", "w") as file:
    for name, fill in (("grown, fill value -1", -1.0), ("grown, no fill value", None)):
        rows = file.create_dataset(name, (1, 2), "f4", maxshape=(None, 2), chunks=(1, 2), fillvalue=fill)
        rows[0] = (3, 4)
        rows.resize((4, 2))
        rows[3] = (5, 6)
    file.create_dataset("nothing written", (3,), "f4", chunks=(2,))
    file.create_dataset("all written", data=[1.0, 2.0, 3.0], chunks=(2,))
with h5py.File("sequences.h5") as file, open("h5py.json", "w") as out:
    json.dump({name: file[name][()].ravel().tolist() for name in file}, out)
PYTHON
cat > program.js <<'NODE'
const fs = require("fs");
const hdf5 = require("jsfive");

const wanted = JSON.parse(fs.readFileSync("h5py.json", "utf8"));
const bytes = fs.readFileSync("sequences.h5");
const file = new hdf5.File(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), "sequences.h5");
const seen = {
  "grown, fill value -1": "8, sum 18 of 4, [3, 4, NaN, NaN, NaN, NaN, 5, 6]",
  "grown, no fill value": "8, sum 18 of 4, [3, 4, NaN, NaN, NaN, NaN, 5, 6]",
  "nothing written": "0, sum 0 of 0, []",
  "all written": "3, sum 6 of 3, [1, 2, 3]",
};
for (const name of Object.keys(seen)) {
  const read = file.get(name).value;
  const [sum, count] = read.reduce(([s, n], v) => [s + v, n + 1], [0, 0]);
  const found = `${read.length}, sum ${sum} of ${count}, [${Array.from(Float32Array.from(read)).join(", ")}]`;
  console.log(`${name}: [${wanted[name].join(", ")}]; ${found}`);
  if (found !== seen[name]) {
    console.error(`CHANGED: jsfive reads ${name} as ${found}`);
    process.exit(1);
  }
}
NODE
node program.js
