// --- one step -------------------------------------------------------------------------------------------------------

function link(k, parent, className = "link", before = "") {
  const button = element("button", parent, before + name(k), className);
  button.setAttribute("aria-label", `Go to entry ${k}, ${plain(entries[k].name)}`);
  button.addEventListener("click", () => move(k, back));
}

function card(kind, parent, number, heading, note = "", before = "") {  // an array with a title
  const box = element("div", parent, "", `array ${kind}`), top = element("div", box);
  if (typeof heading === "number") link(heading, top, "title", before);
  else element("span", top, heading, "title");
  if (number !== null && arrays[number].shape.length) element("small", top, sized(arrays[number].shape));
  if (number === null) element("small", box, "the value was not kept");
  else showArray(number, box);
  if (note) element("small", box, note);
  return box;
}

function signed(sign, parent) {  // a place behind a sign, which stays beside it
  const group = element("div", parent, "", "flow together");
  element("span", group, sign, "sign");
  return group;
}

function titled(text) { element("h3", $("body"), text); return element("div", $("body"), "", "flow"); }

function forwards(e) {
  const flow = titled(e.name === "leaf" ? "What is given" : "Computed from");
  const seen = new Set();
  for (const x of e.inputs.slice(0, 6)) {
    if (typeof x === "number" && !seen.has(x)) {
      seen.add(x);
      card("", flow, entries[x].value, x, plain(entries[x].label || ""));
    } else if (Array.isArray(x)) card("", flow, x[1], "constant");
    else if (typeof x === "string") element("code", flow, plain(x));
  }
  if (e.inputs.length > 6) element("span", flow, `and ${e.inputs.length - 6} more`, "note");
  card("y", e.inputs.length ? signed("→", flow) : flow, e.value, name(at), plain(e.label || ""));
}

function symbolsOf(e, rule, parent, filled) {
  const [text, names, symbols] = rule;
  for (const [k, [part, place]] of (symbols.length ? symbols : [[text, null]]).entries()) {
    if (place === null) { parent.append(plain(part)); continue; }
    const follows = symbols[k + 1]?.[0] || "";
    const source = place === 0 ? null : place === 1 ? at : e.inputs[place - 2];
    let shown = part;
    if (filled) {
      if (place === 0) shown = single(e.g) ?? "g";
      else if (typeof source === "number") shown = follows.startsWith(".") ? name(source) : single(entries[source].value) ?? name(source);
      else if (source !== undefined) shown = words(source);
      else shown = (e.static || []).find(([key]) => key === names[place])?.[1] ?? rule[5][place] ?? part;
    }
    element("span", parent, plain(shown), place === 0 ? "sym-g" : place === 1 ? "sym-y" : "sym-x");
  }
}

function single(number) {  // an array of one entry, as a number
  if (number === null || number === undefined || total(arrays[number].shape) !== 1) return null;
  const text = short(numbers[arrays[number].start]);
  return text.startsWith("−") ? `(${text})` : text;
}

function backwards(e) {
  const several = e.arrived.length > 1, flow = titled(several ? "What arrives, and its sum" : "What arrives");
  e.arrived.forEach(([user, , , array, how], k) => {
    const place = k ? signed("+", flow) : flow;
    if (array === null) {
      const box = element("div", place, "", "array g");
      link(user, element("div", box), "title", "from ");
      element("small", box, plain(how));
    } else card("g", place, array, user === null ? "given" : user, plain(how), "from ");
  });
  if (e.more) element("span", flow, `+ ${e.more} more`, "note");
  if (!e.arrived.length) element("span", flow, "nothing: its gradient is 0", "note");
  if (several || (e.arrived.length && e.arrived[0][4])) {
    card("g", signed("=", flow), e.g, `g of ${name(at)}`, plain(e.label || ""));
  }
  const shown = new Set();
  for (const [ruleNumber, input, to, array, how] of e.gives || []) {
    const part = element("div", $("body"), "", "gives"), rule = data.rules[ruleNumber];
    const heading = element("h3", part, `The rule for input ${input}, `);
    link(to, heading);
    const long = rule[0].includes("\n"), again = shown.has(ruleNumber) && (long || rule[3].length);
    if (again) element("p", part, "the same as above", "note");
    else symbolsOf(e, rule, element("pre", part, "", "rule"), false);
    if (!rule[0].startsWith("def ") && rule[2].length) {
      const filled = element("pre", part, "", "rule filled"), result = array === null ? null : single(array);
      symbolsOf(e, rule, filled, true);
      if (result !== null && !how) filled.append(` = ${result}`);
      if (filled.textContent === rule[0]) filled.remove();
    }
    if (!again) {
      for (const helper of rule[3]) {
        const more = element("details", part);
        element("summary", more, helper.split("\n")[0].replace(/^def (\w+).*/, "what $1 does"));
        element("pre", more, plain(helper));
      }
    }
    shown.add(ruleNumber);
    const flow = element("div", part, "", "flow with");
    for (const place of new Set(rule[2].map(symbol => symbol[1]))) {  // what the rule reads
      const source = place === 1 ? at : e.inputs[place - 2], title = `${plain(rule[1][place])} = `;
      if (!place || rule[2].every(([, p], k) => p !== place || (rule[2][k + 1]?.[0] || "").startsWith("."))) continue;
      if (Array.isArray(source)) card("", flow, source[1], `${title}constant`);
      if (typeof source !== "number" || entries[source].value === null || single(entries[source].value) !== null) continue;
      card(place === 1 ? "y" : "", flow, entries[source].value, source, "", title);
    }
    const end = flow.childElementCount ? signed("→", flow) : flow;
    if (array !== null) card("g", end, array, to, plain(how), "to ");
    else element("span", end, plain(how), "note");
  }
  if (e.name === "leaf") element("p", $("body"), "A leaf: this is its gradient, which backward() adds to .grad.");
}

// --- the line of source, and time -----------------------------------------------------------------------------------

function source(e) {
  $("code").textContent = "";
  $("source").hidden = !data.lines.length;
  if (!e.lines) { element("div", $("code"), e.name === "leaf" ? "A leaf is given, no line computed it." : "The line was not kept.", "file"); return; }
  for (const [k, number] of e.lines.entries()) {
    const [file, line, where] = data.lines[number], [title, text] = data.files[file];
    element("div", $("code"), `${k ? "called from " : ""}${plain(title)}:${line} in ${plain(where)}`, "file");
    for (let m = line - (k ? 0 : 5); m <= line + (k ? 0 : 5); m++) {
      if (text[m] === undefined) continue;
      const row = element("div", $("code"), "", "line");
      element("span", row, m);
      row.append(plain(text[m]));
      if (m === line) row.setAttribute("aria-current", "true");
    }
  }
}

function strips() {
  $("strips").textContent = "";
  const timed = item => typeof item !== "number" && (entries[item.start + item.states[0]].step !== undefined || item.turns > 7);
  const blocks = data.items.filter(timed).slice(0, 8);
  $("times").hidden = !blocks.length;
  for (const block of blocks) {
    const end = block.start + block.turns * block.period, inside = at >= block.start && at < end;
    const turn = inside ? Math.floor((at - block.start) / block.period) : -1;
    for (const offset of block.states) strip(block, offset, block.start + turn * block.period + offset);
  }
}

function strip(block, offset, now) {
  const each = Array.from({length: block.turns}, (_, t) => block.start + t * block.period + offset);
  if ((entries[each[0]].step ?? 0) > (entries[each.at(-1)].step ?? 0)) each.reverse();
  const norms = each.map(k => entries[k].norm ?? 0), high = Math.max(...norms);
  const box = element("div", $("strips"), "", "strip"), top = element("div", box);
  const what = entries[each[0]].label || `${entries[each[0]].name} of ${block.path || "a turn"}`;
  element("b", top, plain(what));
  element("span", top, high ? `‖g‖ up to ${short(high, 3)}` : "g = 0 at every step", "note");
  const bars = element("div", box, "", "bars");
  bars.setAttribute("role", "group");
  bars.setAttribute("aria-label", `Size of the gradient of ${plain(what)} at each of ${each.length} time steps`);
  const wide = Math.ceil(each.length / BARS);  // steps that share a bar, which shows the largest
  bars.classList.toggle("many", each.length > 40);
  for (let t = 0; t < each.length; t += wide) {
    const part = norms.slice(t, t + wide), best = t + part.indexOf(Math.max(...part)), bar = element("button", bars);
    const time = k => entries[k].step ?? each.indexOf(k);
    const label = wide === 1 ? `step ${time(each[t])}: ${short(norms[t], 3)}`
      : `steps ${time(each[t])} … ${time(each[Math.min(t + wide, each.length) - 1])}: up to ${short(norms[best], 3)}`;
    bar.title = label;
    bar.setAttribute("aria-label", label);
    bar.setAttribute("aria-pressed", each.slice(t, t + wide).includes(now));
    element("u", bar).style.height = `${100 * norms[best] / (high || 1)}%`;
    bar.addEventListener("click", () => move(each[best], true));
  }
  const axis = element("div", box, "", "axis");
  element("span", axis, `step ${entries[each[0]].step ?? 0}`);
  element("span", axis, `step ${entries[each.at(-1)].step ?? each.length - 1}`);
  const first = norms[0], last = norms.at(-1), T = norms.length - 1;
  if (T && first > 0 && last > 0) {
    element("p", box, `${short(last, 3)} at the last step, ${short(first, 3)} at the first: × ${short((first / last) ** (1 / T), 3)} a step back`);
  }
}
