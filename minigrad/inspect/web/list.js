// --- the tape: rows, of a block those of one turn -------------------------------------------------------------------

function walkRows(items, shift, depth, found) {
  for (const item of items) {
    if (typeof item === "number") found.push({entry: item + shift, depth});
    else {
      const first = item.start + shift, turn = turns.get(first) || 0;
      found.push({block: item, first, turn, depth});
      walkRows(item.items, shift + turn * item.period, depth + 1, found);
    }
  }
  return found;
}

function lastTurns(k) {  // show the turns that entry k lies in
  let changed = false;
  const walk = (items, shift) => {
    for (const item of items) {
      if (typeof item === "number") continue;
      const first = item.start + shift, turn = Math.floor((k - first) / item.period);
      if (k < first || turn >= item.turns) continue;
      changed ||= turns.get(first) !== turn;
      turns.set(first, turn);
      walk(item.items, shift + turn * item.period);
    }
  };
  walk(data.items, 0);
  return changed;
}

function layRows() {
  rows = walkRows(data.items, 0, 0, []);
  rowOf = new Map(rows.map((row, k) => [row.entry, k]));
  $("rows").style.height = `${rows.length * ROW}px`;
}

function rowFor(k) {  // of an entry, or of that which stands for it in the turn that is shown
  if (rowOf.has(k)) return [rowOf.get(k), false];
  let shown = k;
  const walk = (items, shift) => {
    for (const item of items) {
      if (typeof item === "number") continue;
      const first = item.start + shift, turn = Math.floor((shown - first) / item.period);
      if (shown < first || turn >= item.turns) continue;
      const now = turns.get(first) || 0;
      shown += (now - turn) * item.period;
      walk(item.items, shift + now * item.period);
    }
  };
  walk(data.items, 0);
  return [rowOf.get(shown), true];
}

function paintRow(row, k) {
  const div = element("div", $("rows"), "", row.depth ? "row inside" : "row");
  div.style.top = `${k * ROW}px`;
  if (row.block) {
    const {block, first, turn} = row, inside = entries[first + turn * block.period];
    div.classList.add("block");
    div.classList.remove("inside");
    div.setAttribute("role", "group");
    div.setAttribute("aria-label", `one of ${block.turns} turns`);
    element("span", div, `× ${block.turns}`);
    const go = by => () => move(clampTurn(row, turn + by), back);
    const before = element("button", div, "◀");
    element("output", div, inside.step === undefined ? `turn ${turn}` : `step ${inside.step}`);
    const after = element("button", div, "▶");
    for (const [button, by, word] of [[before, -1, "Previous"], [after, 1, "Next"]]) {
      button.setAttribute("aria-label", `${word} turn`);
      button.tabIndex = -1;
      button.addEventListener("click", go(by));
    }
    element("small", div, plain(block.path));
    return;
  }
  const e = entries[row.entry];
  div.id = `row-${row.entry}`;
  div.setAttribute("role", "option");
  div.setAttribute("aria-setsize", n);
  div.setAttribute("aria-posinset", row.entry + 1);
  div.setAttribute("aria-selected", row.entry === at);
  if (!back && row.entry > at) div.classList.add("later");
  element("b", div, name(row.entry));
  const text = element("span", div, call(e), "call");
  if (e.label && e.name !== "leaf") element("em", text, `  ${plain(e.label)}`);
  element("small", div, sized(e.shape));
  if (back && row.entry >= at && e.norm) element("u", element("i", div)).style.width = `${100 * Math.sqrt(e.norm / most)}%`;
  div.addEventListener("click", () => move(row.entry, back));
}

function clampTurn(row, turn) {
  const {block, first} = row;
  const inside = at >= first && at < first + block.turns * block.period ? (at - first) % block.period : block.states.at(-1);
  return first + Math.max(0, Math.min(block.turns - 1, turn)) * block.period + inside;
}

function paintList() {
  const box = $("scroll"), low = Math.max(0, Math.floor(box.scrollTop / ROW) - 12);
  const high = Math.min(rows.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 12);
  $("rows").textContent = "";
  for (let k = low; k < high; k++) paintRow(rows[k], k);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", GUTTER);
  svg.setAttribute("height", (high - low) * ROW);
  svg.setAttribute("aria-hidden", "true");
  svg.style.top = `${low * ROW}px`;
  const arc = (from, to, className) => {
    const [a, other] = rowFor(from), [b] = rowFor(to);
    if (a === undefined || b === undefined || a === b) return;
    const y = k => (k - low + .5) * ROW, bulge = Math.min(GUTTER - 16, 8 + 5 * Math.sqrt(Math.abs(b - a)));
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path"), x = GUTTER - 10;
    path.setAttribute("d", `M${x} ${y(a)} C${x - bulge * 1.3} ${y(a)} ${x - bulge * 1.3} ${y(b)} ${x} ${y(b)}`);
    path.setAttribute("class", className + (other ? " other" : ""));
    svg.append(path);
  };
  for (let k = low; k < high; k++) {
    if (rows[k].entry !== undefined && rows[k].entry !== at) {
      for (const x of entries[rows[k].entry].inputs.slice(0, 12)) if (typeof x === "number") arc(x, rows[k].entry, "");
    }
  }
  for (const x of entries[at].inputs.slice(0, 200)) if (typeof x === "number") arc(x, at, back ? "cotangent" : "value");
  if (back) for (const [user] of entries[at].arrived) if (user !== null) arc(user, at, "cotangent");
  $("rows").prepend(svg);
  box.setAttribute("aria-activedescendant", `row-${at}`);
}
