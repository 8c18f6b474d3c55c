"""What is found inside the language model, and how it gets into the page, which `test_char_lm_page` opens."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import data_of
from char_lm_runs import HOSTILE, train
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from examples import char_lm, char_lm_checkpoint, char_lm_explore
from examples.char_lm_explore import correlations, features, read
from examples.char_lm_model import CharLM
from examples.char_lm_options import Settings
from minigrad.inspect.html import filled

# --- features and correlations --------------------------------------------------------------------------------------


@given(st.text('ab \t"“”([{)]}\n'))
def test_features_are_what_they_are_called(text: str) -> None:
    found = features(text)
    for t in range(len(text)):
        so_far = text[: t + 1]
        line = so_far.rpartition("\n")[2]
        block = re.split(r"(?:\A|(?<=\n))\n", so_far)[-1]  # since the last empty line
        assert found["position in the line"][t] == len(line)
        assert found["indentation"][t] == len(line) - len(line.lstrip(" \t"))
        quoted, depth = False, 0
        for c in block:
            quoted = {'"': not quoted, "“": True, "”": False}.get(c, quoted)
            depth = depth + 1 if c in "([{" else max(0, depth - 1) if c in ")]}" else depth
        assert found["inside quotes"][t] == quoted
        assert found["depth of brackets"][t] == depth


def test_quotes_count_from_the_opening_to_before_the_closing_one() -> None:
    assert features('a "b" ("')["inside quotes"].tolist() == [0, 0, 1, 1, 0, 0, 0, 1]


def test_correlations_are_pearsons_and_0_with_what_never_changes() -> None:
    rng = np.random.default_rng(0)
    values, y = rng.integers(-127, 128, (4, 50)).astype(np.int8), rng.standard_normal((2, 50))
    values[3] = 5
    r = correlations(values, {"a": y[0], "b": y[1], "constant": np.ones(50)})
    np.testing.assert_allclose(r[:3, :2], np.corrcoef(values[:3], y)[:3, 3:])
    assert (r[3] == 0).all()
    assert (r[:, 2] == 0).all()
    assert correlations(values, {}).shape == (4, 0)


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("chunk", [7, 100])
def test_units_and_probabilities_are_those_of_single_steps(cell: str, chunk: int) -> None:
    rng = np.random.default_rng(0)
    model = CharLM(9, Settings(cell=cell, hidden=5, layers=2, dropout=0.5), rng)
    for parameter in model.parameters():
        parameter.data = rng.standard_normal(parameter.shape).astype(np.float32)
    model.train()  # which reading must undo: no dropout
    ids = rng.integers(0, 9, 23)
    found = read(model, ids, chunk)
    kinds = "hc" if cell == "lstm" else "h"
    assert found.units == [(layer, kind, k) for layer in (1, 2) for kind in kinds for k in range(5)]
    assert not model.training
    state = None
    for t, k in enumerate(ids):
        logits, state = model(np.array([[k]]), state)
        leaves = [leaf.data[0] for leaf in mg.tree_leaves(state)]  # h, or h and c, of layer 1 and then 2
        expected = np.concatenate([np.tanh(a) if cell == "lstm" and n % 2 else a for n, a in enumerate(leaves)])
        np.testing.assert_allclose(found.values[:, t], 127 * expected, atol=0.501)
        p = mg.softmax(logits[-1, 0]).data
        assert found.best[t].tolist() == np.argsort(-p)[:5].tolist()
        np.testing.assert_allclose(found.p[t], np.sort(p)[::-1][:5], rtol=1e-4)
        np.testing.assert_allclose(found.p_next[t], p[ids[t + 1]] if t + 1 < len(ids) else 0, rtol=1e-4)


# --- the page -------------------------------------------------------------------------------------------------------


def unpacked(text: str, dtype: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


def test_the_page_holds_what_was_read_whatever_the_text(explored: Path, hostile: Path) -> None:
    data = data_of(explored)
    text = HOSTILE[-200:]
    assert data["text"] == text[text.index("\n") + 1 :] if "\n" in text[:20] else text
    T, U = len(data["text"]), len(data["units"])
    checkpoint, model = char_lm_checkpoint.read_model(str(hostile))
    reading = read(model, np.array([checkpoint.vocabulary.index(c) for c in HOSTILE[-2000:]]))
    assert U == len(reading.units) == 2 * 2 * 16
    values = unpacked(data["values"], "i1", U, T)
    r = correlations(reading.values, features(HOSTILE[-2000:]))
    strengths = []
    for row, unit in enumerate(data["units"]):
        place = reading.units.index((unit["layer"], unit["kind"], unit["number"]))
        assert unit["row"] == row
        np.testing.assert_array_equal(values[row], reading.values[place, -T:])
        np.testing.assert_allclose(unit["r"], r[place], atol=6e-5)
        strengths.append(abs(r[place]).max())
    assert strengths == sorted(strengths, reverse=True)
    assert data["likely"] == "".join(checkpoint.vocabulary[k] for k in reading.best[-T:].flat)
    p = unpacked(data["p"], "<u2", T, 5)
    np.testing.assert_allclose(p / 65535, reading.p[-T:], atol=1e-5)
    np.testing.assert_allclose(unpacked(data["p_next"], "<u2", T) / 65535, reading.p_next[-T:], atol=1e-5)


def test_samples_are_what_sample_writes(explored: Path, hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = data_of(explored)["samples"]
    assert [t for t, _ in samples] == pytest.approx(np.arange(0.2, 1.51, 0.1))
    for temperature, text in samples[::6]:
        options = ["--temperature", str(temperature), "--length", "100", "--seed", "0"]
        assert char_lm.main(["sample", str(hostile), *options]) == 0
        assert capsys.readouterr().out == text + "\n"


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = filled(char_lm_explore.TEMPLATE, {})
    assert not re.search(r"https?:|//[a-z]+\.|\bsrc=|<link|@import|url\(|fetch\(|innerHTML", page)
    assert "default-src 'none'" in page
    assert "unsafe" not in page


def test_a_text_of_ones_own_is_read(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.txt").write_text('print "a" (b)\n', encoding="utf-8")
    out = tmp_path / "new" / "page.html"
    assert char_lm.main(["explore", str(hostile), "--text", str(tmp_path / "own.txt"), "--out", str(out)]) == 0
    assert data_of(out)["text"] == 'print "a" (b)\n'
    assert data_of(out)["features"] == ["inside quotes", "depth of brackets", "position in the line"]  # no indentation
    assert {len(sample) for _, sample in data_of(out)["samples"]} == {400}  # without --quick
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]
    printed = capsys.readouterr().out
    assert re.search(
        r"^inside quotes: best followed by [hc] \d+ of layer [12], r = [+-]\d\.\d\d$", printed, re.MULTILINE
    )
    assert f"page: {out} (" in printed


def test_a_feature_that_the_text_shown_does_not_have_is_not_followed(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("  (a) " * 5 + "in\n" * 20, encoding="utf-8")
    options = ["--text", str(tmp_path / "own.txt"), "--out", str(tmp_path / "page.html")]
    assert char_lm.main(["explore", str(hostile), *options, "--length", "50", "--quick"]) == 0
    assert data_of(tmp_path / "page.html")["features"] == ["position in the line"]


def test_what_was_learnt_from_standard_input_needs_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abcdefg " * 200)))
    assert train("-", "--steps", 2, "--quiet", "--out", tmp_path) == 0
    assert char_lm.main(["explore", str(tmp_path / "checkpoint.safetensors")]) == 2
    assert "--text" in capsys.readouterr().err
