// --- moving ---------------------------------------------------------------------------------------------------------

function move(k, backwards_, keep = false) {
  at = Math.max(0, Math.min(n - 1, k));
  back = backwards_;
  if (lastTurns(at) || !rows.length) layRows();
  document.body.classList.toggle("back", back);
  document.documentElement.style.setProperty("--accent", `var(--${back ? "g" : "y"})`);
  const box = $("scroll"), top = rowOf.get(at) * ROW;
  if (!keep) box.scrollTop += Math.min(0, top - 3 * ROW - box.scrollTop) + Math.max(0, top + 4 * ROW - box.scrollTop - box.clientHeight);
  paintList();
  const e = entries[at], position = back ? 2 * n - 1 - at : at;
  $("slider").value = position;
  const words = `${back ? "backwards" : "forwards"} ${back ? n - at : at + 1} of ${n}`;
  $("where").textContent = words + (e.step === undefined ? "" : ` · time step ${e.step}`);
  $("slider").setAttribute("aria-valuetext", words);
  $("direction").textContent = back ? "← backwards" : "forwards →";
  $("turn").textContent = back ? "⇄ forwards here" : "⇄ backwards here";
  $("what").textContent = `${name(at)} = ${call(e)}`;
  $("body").textContent = "";
  (back ? backwards : forwards)(e);
  source(e);
  strips();
  const given = (e.gives || []).map(g => `entry ${g[2]}`).join(" and ");
  $("said").textContent = `${words}: ${plain(e.name)}, entry ${at}` + (back && given ? `, gives to ${given}` : "");
  try { history.replaceState(null, "", `#${back ? "b" : "f"}${at}`); } catch { /* some viewers allow none */ }
}

function step(by) {
  const position = (back ? 2 * n - 1 - at : at) + by;
  if (position < 0 || position >= 2 * n) return false;
  if (position < n) move(position, false);
  else move(2 * n - 1 - position, true);
  return true;
}

function otherTurn(by) {  // the same entry at the time step before or after
  const around = rows.filter(row => row.block && at >= row.first && at < row.first + row.block.turns * row.block.period).at(-1);
  if (!around) return;
  const time = row => entries[row.first + row.turn * row.block.period].step;
  const forward = around.block.turns < 2 || !(time(around) > (entries[around.first + (around.turn + 1) * around.block.period]?.step ?? Infinity));
  move(clampTurn(around, around.turn + (forward ? by : -by)), back);
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => { if (!step(1)) play(false); }, 1100) : null;
  $("play").textContent = on ? "❚❚ pause" : "▶ play";
  $("play").setAttribute("aria-pressed", on);
}

const acts = {
  ArrowLeft: e => e.shiftKey ? otherTurn(-1) : step(-1), ArrowRight: e => e.shiftKey ? otherTurn(1) : step(1),
  ArrowUp: () => move(at - 1, back), ArrowDown: () => move(at + 1, back), b: () => move(at, !back),
  Home: () => move(0, false), End: () => move(0, true), " ": () => play(!timer),
};
document.addEventListener("keydown", e => {
  const upDown = e.key === "ArrowUp" || e.key === "ArrowDown";
  if (!acts[e.key] || e.ctrlKey || e.altKey || e.metaKey || e.target.closest("input")) return;
  if (e.key === " " && e.target.closest("button, summary")) return;  // which has a meaning of its own
  if (upDown && e.target !== $("scroll") && e.target !== document.body) return;
  e.preventDefault();
  acts[e.key](e);
});
$("first").addEventListener("click", () => move(0, false));
$("last").addEventListener("click", () => move(0, true));
$("back").addEventListener("click", () => step(-1));
$("forth").addEventListener("click", () => step(1));
$("turn").addEventListener("click", () => move(at, !back));
$("play").addEventListener("click", () => play(!timer));
$("slider").max = 2 * n - 1;
$("slider").addEventListener("input", () => { const p = +$("slider").value; if (p < n) move(p, false); else move(2 * n - 1 - p, true); });
$("scroll").addEventListener("scroll", () => requestAnimationFrame(paintList));
$("theme").addEventListener("click", () => move(at, back, true));  // heat maps take on the colours
addEventListener("resize", paintList);
for (const remark of data.remarks) element("div", $("remarks"), plain(remark));
const wanted = /^#([fb])(\d+)$/.exec(location.hash);
move(wanted ? +wanted[2] : 0, wanted?.[1] === "b");
