"""`explore`: one page, without anything around it, that shows what every unit of a model does while it reads a text.

Each character is coloured by the activation of a unit after reading it: of a hidden state h, which lies within ±1, or
of an LSTM's cell state c, shown as tanh(c), which is what h_t = o_t * tanh(c_t) reads. Some units are switches and
counters that can be named (Karpathy, Johnson & Li 2015). Those come first: the units are sorted by the largest
correlation of their activation with a feature of the text. The page is `char_lm_explore.html` with its data filled in.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import minigrad as mg
from minigrad.inspect.html import filled

from . import char_lm_checkpoint as checkpoints
from .char_lm_data import check_known, read_text
from .char_lm_model import CharLM, generate
from .char_lm_options import parse_explore
from .common import UserError, need, number, output_folder, written_whole

TEMPLATE = Path(__file__).with_suffix(".html")
TEMPERATURES = [k / 10 for k in range(2, 16)]
BEST = 5  # probabilities shown
NO_BREAK = "\u00a0"

# --- what is found --------------------------------------------------------------------------------------------------


def features(text: str) -> dict[str, np.ndarray]:
    """What a unit may follow, after each character. Quotes and brackets are all closed by an empty line."""
    quoted, depth, column, indent = False, 0, 0, 0
    rows = []
    for before, c in zip("\n" + text, text):
        if c == "\n":
            column = indent = 0
            if before == "\n":
                quoted, depth = False, 0
        else:
            indent += c in " \t" and indent == column
            column += 1
        if c == '"':
            quoted = not quoted
        elif c in "“”«»":
            quoted = c in "“«"
        depth = max(0, depth + (c in "([{") - (c in ")]}"))
        rows.append((quoted, depth, column, indent))
    names = ("inside quotes", "depth of brackets", "position in the line", "indentation")
    return dict(zip(names, np.array(rows, float).T))


class Reading(NamedTuple):
    """What happened inside a model that read T characters."""

    units: list[tuple[int, str, int]]  # layer, h or c, number within the layer
    values: np.ndarray  # (units, T), int8: activations in 127ths
    best: np.ndarray  # (T, 5): the most probable next characters
    p: np.ndarray  # (T, 5): their probabilities
    p_next: np.ndarray  # (T,): that of the character which came, 0 after the last


@mg.no_grad()
def read(model: CharLM, ids: np.ndarray, chunk: int = 500) -> Reading:
    """Read characters (T,), from a zero state, which is carried on from chunk to chunk."""
    model.eval()
    state, parts = None, []
    for start in range(0, len(ids), chunk):
        h, state, history = model.recurrent(ids[start : start + chunk, None], state, return_states=True)
        p = mg.softmax(model.output(h), axis=-1).data[:, 0]  # (T, V)
        best = np.argsort(-p, axis=1, kind="stable")[:, :BEST]
        following = ids[start + 1 : start + 1 + len(p)]
        p_next = np.zeros(len(p))
        p_next[: len(following)] = p[np.arange(len(following)), following]
        units, values = [], []
        for layer, states in enumerate(history, start=1):
            for kind, leaf in zip("hc", mg.tree_leaves(states)):  # (T, 1, H)
                a = np.tanh(leaf.data[:, 0]) if kind == "c" else leaf.data[:, 0]
                units += [(layer, kind, k) for k in range(a.shape[1])]
                values.append(np.round(127 * a.T).astype(np.int8))
        parts.append((np.concatenate(values), best, np.take_along_axis(p, best, axis=1), p_next))
    values, *others = zip(*parts)
    return Reading(units, np.concatenate(values, axis=1), *(np.concatenate(of) for of in others))


def correlations(values: np.ndarray, found: dict[str, np.ndarray]) -> np.ndarray:
    """r of each row of `values` (units, T) with each feature, (units, features); 0 where either is constant."""
    Y = np.array([f - f.mean() for f in found.values()]).reshape(len(found), values.shape[1])
    r = np.zeros((len(values), len(Y)))
    for row, x in zip(r, values):
        x = x - x.mean()
        scale = np.sqrt((x @ x) * (Y * Y).sum(axis=1))
        np.divide(Y @ x, scale, out=row, where=scale > 0)
    return r


# --- the page -------------------------------------------------------------------------------------------------------


def packed(a: np.ndarray) -> str:
    return base64.b64encode(a.tobytes()).decode()


def explore(argv: Sequence[str]) -> None:
    """`explore CHECKPOINT`: write the page, and say which unit follows each feature best."""
    options = parse_explore(argv)
    need("safetensors")
    checkpoint, model = checkpoints.read_model(options.checkpoint)
    if options.text is None and "-" in checkpoint.settings.text:
        raise UserError("the model was trained on standard input: give a text to read by --text")
    text = read_text(checkpoint.settings.text if options.text is None else options.text)[-10 * options.length :]
    check_known(text, checkpoint.vocabulary, "the text to read")
    if len(text) < 2:
        raise UserError("the text to read must have at least two characters")
    out = Path(options.out or Path(checkpoint.path).with_name("explore.html"))
    output_folder(str(out.parent))
    numbers = {c: k for k, c in enumerate(checkpoint.vocabulary)}
    written = 100 if options.quick else 400
    samples = [
        (t, "".join(generate(model, checkpoint.vocabulary, "", written, t, np.random.default_rng(options.seed))))
        for t in TEMPERATURES
    ]
    reading = read(model, np.array([numbers[c] for c in text]))
    start = max(0, len(text) - options.length)
    start = (text.find("\n", start, start + options.length // 10) + 1) or start  # rather with a whole line
    T = len(text) - start
    found = {name: f for name, f in features(text).items() if np.ptp(f[-T:]) > 0}  # what there is to see
    r = correlations(reading.values, found)
    strength = abs(r).max(axis=1, initial=0)
    order = np.argsort(-strength, kind="stable")
    s = checkpoint.settings
    data = {
        "title": f"What the units of a character-level {s.cell.upper()} do",
        "about": f"{s.layers} × {s.hidden} units. The text takes on the colours of one unit's activation, after each "
        f"character that the network has read. Units that follow something are listed first, with their correlation "
        f"over {number(len(text)).replace(' ', NO_BREAK)} characters.",
        "text": text[-T:],
        "features": list(found),
        "units": [
            {"layer": layer, "kind": kind, "number": k, "row": row, "r": np.round(r[u], 4).tolist()}
            for row, u in enumerate(order)
            for layer, kind, k in [reading.units[u]]
        ],
        "values": packed(reading.values[order, -T:]),
        "best": reading.best.shape[1],
        "likely": "".join(checkpoint.vocabulary[k] for k in reading.best[-T:].flat),
        "p": packed(np.round(65535 * reading.p[-T:]).astype("<u2")),
        "p_next": packed(np.round(65535 * reading.p_next[-T:]).astype("<u2")),
        "samples": samples,
    }
    with written_whole(out, keep=False) as file:
        file.write_text(filled(TEMPLATE, data), encoding="utf-8")
    for k, name in enumerate(found):
        best = int(abs(r[:, k]).argmax())
        layer, kind, n = reading.units[best]
        print(f"{name}: best followed by {kind} {n} of layer {layer}, r = {r[best, k]:+.2f}")
    print(f"page: {out} ({out.stat().st_size / 1e6:.1f} MB), to be opened in a browser")
