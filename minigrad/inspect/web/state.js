// --- where we are: forwards 0 … n - 1, then backwards n - 1 … 0 -----------------------------------------------------

const entries = data.entries, n = entries.length, results = new Set(data.results);
const BARS = 120, ROW = 30, GUTTER = Math.min(84, 22 + 6 * Math.ceil(Math.log2(n + 1)));
document.documentElement.style.setProperty("--gutter", `${GUTTER}px`);
let at = 0, back = false, rows = [], rowOf = new Map(), timer = null;
const turns = new Map();  // the turn of each block that is shown, by the block's first entry
const most = Math.max(...entries.map(e => e.norm || 0)) || 1;

const name = k => `%${k}`;
const words = x => plain(Array.isArray(x) ? x[0] : x);  // of a constant: a text, or that and an array
const call = e => {
  if (e.name === "leaf") return e.label ? plain(e.label) : "leaf";
  const inside = e.inputs.map(x => typeof x === "number" ? name(x) : words(x));
  const few = inside.length > 6 ? [...inside.slice(0, 3), `… ${inside.length - 4} more`, inside.at(-1)] : inside;
  return `${plain(e.name)}(${[...few, ...(e.static || []).map(([key, x]) => `${plain(key)}=${plain(x)}`)].join(", ")})`;
};
