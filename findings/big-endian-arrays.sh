#!/usr/bin/env bash
# onnxruntime, tinygrad and ncnn read the bytes of a big-endian array as if they were little-endian: other numbers.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2, tinygrad 0.14.0 (DEV=PYTHON), ncnn 1.0.20261020, scipy 1.17.1, numpy 2.4.6;
#   Python 3.11, x86-64. Date: 2026-11-29.
# Behaviour: SciPy's reader of NetCDF 3, whose numbers are big-endian (as those of FITS and of many .npy and .mat files
#   from elsewhere), returns arrays of dtype >f4, which print and add like all others. The three tools look at kind and
#   size of the dtype and take the memory as it lies: 1 becomes 4.6e-41. No message. Integers become other integers.
# A good guess: converted, as NumPy, SciPy, HIPS autograd and CasADi do, or refused, as by torch 2.13.0, JAX 0.10.2,
#   MLX 0.32.4 and PaddlePaddle 3.3.1.
# Seen:
#   read from NetCDF: [1. 2. 3.] of dtype >f4, sum 6.0
#   onnxruntime, Identity: [4.6006e-41 8.9683e-44 2.3049e-41]
#   tinygrad: [4.6006e-41 8.9683e-44 2.3049e-41]
#   ncnn: [4.6006e-41 8.9683e-44 2.3049e-41]
#   after .astype(np.float32): [1. 2. 3.] from all three
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2 tinygrad==0.14.0 ncnn==1.0.20261020 scipy==1.17.1 numpy==2.4.6
cd "$work"
DEV=PYTHON CACHELEVEL=0 "$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import ncnn
import numpy as np
import onnx
import onnxruntime
import tinygrad
from onnx import TensorProto, helper
from scipy.io import netcdf_file

with netcdf_file("series.nc", "w") as file:
    file.createDimension("time", 3)
    file.createVariable("values", "f4", ("time",))[:] = [1, 2, 3]
with netcdf_file("series.nc", mmap=False) as file:
    series = file.variables["values"][:]
print(f"read from NetCDF: {series} of dtype {series.dtype}, sum {series.sum()}")

places = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", places[:1], places[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
session = onnxruntime.InferenceSession(model.SerializeToString())
tools = {
    "onnxruntime, Identity": lambda x: session.run(None, {"x": x})[0],
    "tinygrad": lambda x: tinygrad.Tensor(x).numpy(),
    "ncnn": lambda x: np.array(ncnn.Mat(x)),
}
swapped = np.array([1, 2, 3], ">f4").view("<f4")
found = {name: tool(series) for name, tool in tools.items()}
for name, values in found.items():
    print(f"{name}: {values}")
native = [tool(series.astype(np.float32)) for tool in tools.values()]
print(f"after .astype(np.float32): {native[0]} from all three")
garbled = [np.array_equal(values, swapped) for values in found.values()]
if not all(garbled) or not all(np.array_equal(values, [1, 2, 3]) for values in native):
    sys.exit(f"CHANGED: read as they lie by onnxruntime, tinygrad, ncnn: {garbled}")
PYTHON
