#!/usr/bin/env bash
# TensorFlow.js: the gradient of its cross-entropy by the labels is wrong, and so is that of a reflected padding.
#
# Versions: @tensorflow/tfjs 4.22.0 (CPU backend), Node 18 or later. Date: 2026-11-29.
# Behaviour: tf.losses.softmaxCrossEntropy is differentiable by labels and logits. By the logits its gradient is right.
#   By the labels, as learnt, smoothed or distilled ones need, it is labels - softmax, which is the one by the logits
#   with the other sign; the derivative is -log softmax. tf.mirrorPad hands each entry the cotangent of its own place
#   alone, and drops those of its reflections.
# A good guess: -log softmax, as TensorFlow in Python has it, or no gradient; a padding's gradients add up.
# Seen:
#   logits (2, 1, 0): gradient 0.465, -0.055, -0.410; differences 0.465, -0.055, -0.410
#   labels (0.2, 0.3, 0.5): gradient -0.465, 0.055, 0.410; differences 0.408, 1.408, 2.408
#   mirrorPad of (1, 2, 3, 4) by 1 on each side, sum: gradient 1, 1, 1, 1; differences 1, 2, 2, 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --prefix "$work" @tensorflow/tfjs@4.22.0
cat > program.js <<'NODE'
console.warn = () => {};  // it recommends faster backends
const tf = require("@tensorflow/tfjs");

const near = (row, wanted) => row.every((v, i) => Math.abs(v - wanted[i]) < 2e-3);
const text = (row, digits) => row.map((v) => v.toFixed(digits)).join(", ");

/** Prints the gradient of `loss` at `values` beside central differences, and stops if one of them is not as it was. */
function compare(name, loss, values, digits, seen, right) {
  const gradient = Array.from(tf.grad(loss)(tf.tensor1d(values)).dataSync());
  const at = (i, step) => loss(tf.tensor1d(values.map((v, k) => v + (k === i ? step : 0)))).dataSync()[0];
  const differences = values.map((_, i) => (at(i, 0.05) - at(i, -0.05)) / 0.1);
  console.log(`${name}: gradient ${text(gradient, digits)}; differences ${text(differences, digits)}`);
  if (!near(gradient, seen) || !near(differences, right)) {
    console.error(`CHANGED: TensorFlow.js has another gradient: ${name}`);
    process.exit(1);
  }
}

tf.setBackend("cpu").then(() => {
  const logits = tf.tensor2d([[2, 1, 0]]);
  const labels = tf.tensor2d([[0.2, 0.3, 0.5]]);
  const byLogits = (a) => tf.losses.softmaxCrossEntropy(labels, tf.reshape(a, [1, 3]));
  const byLabels = (p) => tf.losses.softmaxCrossEntropy(tf.reshape(p, [1, 3]), logits);
  const softmaxLess = [0.465, -0.055, -0.41];
  compare("logits (2, 1, 0)", byLogits, [2, 1, 0], 3, softmaxLess, softmaxLess);
  compare("labels (0.2, 0.3, 0.5)", byLabels, [0.2, 0.3, 0.5], 3, [-0.465, 0.055, 0.41], [0.408, 1.408, 2.408]);
  const padded = (x) => tf.sum(tf.mirrorPad(x, [[1, 1]], "reflect"));
  compare("mirrorPad of (1, 2, 3, 4) by 1 on each side, sum", padded, [1, 2, 3, 4], 0, [1, 1, 1, 1], [1, 2, 2, 1]);
});
NODE
node program.js
