#!/usr/bin/env bash
# Keras 3 builds a TensorFlow.js LSTM from its own config, with another hard_sigmoid: other numbers, no message.
#
# Versions: @tensorflow/tfjs 4.22.0, Node 18 or later, keras 3.15.1, jax 0.10.2, numpy 2.4.6; Python 3.11.
# Date: 2026-11-29.
# Behaviour: the gates of tf.layers.lstm are hard_sigmoid unless told otherwise, which there, as in Keras 1 and 2 whose
#   default it was as well, is 0.2 x + 0.5 between 0 and 1. The config that it saves says "hard_sigmoid", in the names
#   of Keras; Keras 3 takes it, and computes x / 6 + 0.5. Arrays and their order are the same, so all loads.
# A good guess: a layer's config and weights give the layer; a name that changed its meaning is told.
# Seen: the largest difference of five steps' outputs
#   Keras from the config, recurrent_activation hard_sigmoid: off by 0.0327
#   the same with 0.2 x + 0.5: off by 0.0000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cd "$work"
npm install --silent --no-fund --no-audit --prefix "$work" @tensorflow/tfjs@4.22.0
cat > program.js <<'NODE'
console.warn = () => {};  // it recommends faster backends
const tf = require("@tensorflow/tfjs");
const fs = require("fs");

tf.setBackend("cpu").then(() => {
  const model = tf.sequential({ layers: [tf.layers.lstm({ units: 3, inputShape: [5, 2], returnSequences: true })] });
  const wave = (shape, step) => tf.range(0, shape.reduce((a, b) => a * b, 1)).mul(step).sin().reshape(shape);
  model.setWeights(model.getWeights().map((w, k) => wave(w.shape, 1.3 + k)));
  const x = wave([1, 5, 2], 0.7).mul(2);
  const weights = model.getWeights().map((w) => w.arraySync());
  const config = model.toJSON(null, false).config.layers[0].config;
  fs.writeFileSync("lstm.json", JSON.stringify({ config, weights, x: x.arraySync(), y: model.predict(x).arraySync() }));
});
NODE
node program.js
KERAS_BACKEND=jax "$work/venv/bin/python" -W ignore - <<'PYTHON'
import json
import sys

import keras
import numpy as np
from keras import ops

saved = json.load(open("lstm.json"))
config = {name: saved["config"][name] for name in ("units", "activation", "recurrent_activation", "return_sequences")}


def off(**changes):
    layer = keras.layers.LSTM.from_config(config | changes)
    layer.build((1, 5, 2))
    layer.set_weights([np.array(w, "f") for w in saved["weights"]])
    return float(abs(np.asarray(layer(np.array(saved["x"], "f"))) - np.array(saved["y"])).max())


name = config["recurrent_activation"]
as_saved, by_fifths = off(), off(recurrent_activation=lambda x: ops.clip(0.2 * x + 0.5, 0, 1))
print(f"Keras from the config, recurrent_activation {name}: off by {as_saved:.4f}")
print(f"the same with 0.2 x + 0.5: off by {by_fifths:.4f}")
if name != "hard_sigmoid" or abs(as_saved - 0.0327) > 1e-3 or by_fifths > 1e-5:
    sys.exit("CHANGED: Keras and TensorFlow.js have one hard_sigmoid")
PYTHON
