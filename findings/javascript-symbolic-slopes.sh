#!/usr/bin/env bash
# Symbolic derivatives in JavaScript: wrong ones of atan2 in nerdamer, of acoth in mathjs.
#
# Versions: nerdamer 1.1.13, mathjs 15.2.0, Node 18 or later. Date: 2026-11-29.
# Behaviour: nerdamer's diff differentiates atan2(y, x) by its first argument only: by x alone it is 0, and where x
#   stands in both a term is missing. Its numbers of atan2 are right. mathjs' derivative of acoth(x) has the wrong sign;
#   those of its other hyperbolic functions are right. Its cube root of a negative number is real, and the derivative of
#   the root is complex there. No message, though mathjs refuses functions that it does not know, and nerdamer leaves
#   them as diff(...).
# A good guess: symbolic derivatives are tables, and right; what is missing is said.
# Seen: at 1.7, the cube root at -1.7
#   nerdamer atan2(x, 2): 0.290276, differences 0.290276
#   nerdamer atan2(2, x): 0.000000, differences -0.290276
#   nerdamer atan2(x, x + 1): 0.265226, differences 0.098232
#   mathjs atanh(1 / x): -0.529101, differences -0.529101
#   mathjs acoth(x): 0.529101, differences -0.529101
#   mathjs cbrt(x): complex, differences 0.234016
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --prefix "$work" nerdamer@1.1.13 mathjs@15.2.0
cat > program.js <<'NODE'
const nerdamer = require("nerdamer/all");
const math = require("mathjs");

const tools = {
  nerdamer: {
    value: (text, x) => Number(nerdamer(text).evaluate({ x }).text("decimals")),
    slope: (text, x) => Number(nerdamer(`diff(${text}, x)`).evaluate({ x }).text("decimals")),
  },
  mathjs: {
    value: (text, x) => math.evaluate(text, { x }),
    slope: (text, x) => math.derivative(text, "x").evaluate({ x }),
  },
};
const cases = [
  ["nerdamer", "atan2(x, 2)", 1.7, true],
  ["nerdamer", "atan2(2, x)", 1.7, false],
  ["nerdamer", "atan2(x, x + 1)", 1.7, false],
  ["mathjs", "atanh(1 / x)", 1.7, true],
  ["mathjs", "acoth(x)", 1.7, false],
  ["mathjs", "cbrt(x)", -1.7, false],
];
for (const [tool, text, x, right] of cases) {
  const { value, slope } = tools[tool];
  const found = slope(text, x);
  const difference = (value(text, x + 1e-4) - value(text, x - 1e-4)) / 2e-4;
  const shown = typeof found === "number" ? found.toFixed(6) : "complex";
  console.log(`${tool} ${text}: ${shown}, differences ${difference.toFixed(6)}`);
  if ((typeof found === "number" && Math.abs(found - difference) < 1e-5) !== right) {
    console.error(`CHANGED: the slope of ${text} in ${tool} is ${right ? "wrong" : "right"} now`);
    process.exit(1);
  }
}
NODE
node program.js
