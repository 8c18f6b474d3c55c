// --- arrays: small ones as numbers, others as heat maps -------------------------------------------------------------

const numbers = data.wide ? new Float64Array(bytes(data.numbers)) : new Float32Array(bytes(data.numbers));
const arrays = [];  // {shape, rows, columns, ends, bad, numbers}
for (const [shape, rows, columns, ends, bad] of data.arrays) {
  const start = arrays.length ? arrays.at(-1).stop : 0;
  arrays.push({shape, rows, columns, ends, bad, start, stop: start + rows * columns});
}

const plain = text => Array.from(String(text), c => c === " " || c === "\n" ? c : glyph(c)).join("");
const sized = shape => shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
const total = shape => shape.reduce((n, m) => n * m, 1);

function short(x, digits = 4) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x < 0 ? "−∞" : "∞";
  const size = Math.abs(x);
  const text = size && (size < 1e-3 || size >= 1e5) ? x.toExponential(Math.min(2, digits - 1)) : String(+x.toPrecision(digits));
  return text.replaceAll("-", "−");
}

function about(a) {
  const words = [];
  if (a.bad) words.push(`${a.bad} not finite`);
  if (a.ends) words.push(`${short(a.ends[0], 3)} … ${short(a.ends[1], 3)}`);
  return words.join(", ");
}

function shownPart(a) {
  const last = a.shape.at(-1) ?? 1, all = total(a.shape), rows = last ? all / last : 0;
  const words = [];
  if (a.rows < rows) words.push(`first ${a.rows} of ${rows} rows`);
  if (a.columns < last) words.push(`first ${a.columns} of ${last} columns`);
  return words.join(", ");
}

function colour(name) {  // as numbers, for a canvas
  const probe = element("i", document.body);
  probe.style.color = `var(--${name})`;
  const rgb = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  probe.remove();
  return rgb;
}

function index(a, row, column) {  // of an entry, as in Python
  const place = a.shape.length ? [column] : [];
  for (let k = a.shape.length - 2; k >= 0; k--) {
    place.unshift(row % a.shape[k]);
    row = Math.floor(row / a.shape[k]);
  }
  return `[${place.join(", ")}]`;
}

function numbersOf(a, parent) {
  if (a.shape.length === 0) return element("div", parent, short(numbers[a.start], 5), "big");
  const table = element("table", element("div", parent, "", "scrolling"));
  table.setAttribute("aria-label", `array ${sized(a.shape)}`);
  const most = Math.max(...a.ends ? a.ends.map(Math.abs) : [0]) || 1;
  for (let r = 0; r < a.rows; r++) {
    const tr = element("tr", table);
    for (let c = 0; c < a.columns; c++) {
      const x = numbers[a.start + r * a.columns + c], td = element("td", tr, short(x, 3));
      td.title = `${index(a, r, c)} = ${short(x, 6)}`;
      td.style.backgroundColor = `color-mix(in srgb, var(--${x < 0 ? "minus" : "plus"}) ${Math.round(Math.min(1, Math.abs(x) / most) * 45) || 0}%, transparent)`;
    }
  }
}

function heatMap(a, parent) {
  const cell = Math.max(5, Math.min(innerWidth < 480 ? 18 : 22, Math.floor(230 / a.columns), Math.floor(230 / a.rows)));
  const canvas = element("canvas", parent), context = canvas.getContext("2d");
  canvas.width = a.columns * cell;
  canvas.height = a.rows * cell;
  const paint = () => {
    const plus = colour("plus"), minus = colour("minus");
    const most = Math.max(...a.ends ? a.ends.map(Math.abs) : [0]) || 1;
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (let k = 0; k < a.rows * a.columns; k++) {
      const x = numbers[a.start + k], [r, g, b] = x < 0 ? minus : plus;
      const left = (k % a.columns) * cell, top = Math.floor(k / a.columns) * cell;
      context.fillStyle = Number.isFinite(x) ? `rgba(${r}, ${g}, ${b}, ${Math.abs(x) / most})` : "#d0021b";
      context.fillRect(left, top, cell - 1, cell - 1);
    }
  };
  paint();
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  let row = 0, column = 0;
  const name = `array ${sized(a.shape)}, ${about(a)}`;
  canvas.setAttribute("aria-label", name);
  const read = (x, y) => {
    const text = `${index(a, row, column)} = ${short(numbers[a.start + row * a.columns + column], 6)}`;
    canvas.setAttribute("aria-label", `${name}; ${text}`);
    const tip = $("tip");
    tip.hidden = false;
    tip.textContent = text;
    tip.style.left = `${Math.min(x + 12, innerWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.min(y + 14, innerHeight - tip.offsetHeight - 4)}px`;
  };
  canvas.addEventListener("pointermove", e => {
    const box = canvas.getBoundingClientRect();
    row = Math.max(0, Math.min(a.rows - 1, Math.floor((e.clientY - box.top) / box.height * a.rows)));
    column = Math.max(0, Math.min(a.columns - 1, Math.floor((e.clientX - box.left) / box.width * a.columns)));
    read(e.clientX, e.clientY);
  });
  canvas.addEventListener("keydown", e => {
    const by = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[e.key];
    if (!by || e.shiftKey) return;
    e.preventDefault();
    e.stopPropagation();
    row = Math.max(0, Math.min(a.rows - 1, row + by[0]));
    column = Math.max(0, Math.min(a.columns - 1, column + by[1]));
    const box = canvas.getBoundingClientRect();
    read(box.left + (column + .5) * box.width / a.columns, box.top + (row + .5) * box.height / a.rows);
  });
  for (const leaves of ["pointerleave", "blur"]) canvas.addEventListener(leaves, () => { $("tip").hidden = true; });
  canvas.repaint = paint;
}

function showArray(number, parent) {  // the numbers of an array, or its heat map
  const a = arrays[number];
  if (total(a.shape) === 0) return element("small", parent, "no entries");
  if (a.rows * a.columns <= 24 && a.columns <= 6 && !shownPart(a)) numbersOf(a, parent);
  else heatMap(a, parent);
  const words = [a.shape.length ? about(a) : "", shownPart(a)].filter(Boolean).join(" · ");
  if (words) element("small", parent, words);
}
