"""examples.translation: its numbers, its measure, its batches and its network, and what it learns and refuses."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import lacking, refusal

import minigrad as mg
import nn
from examples import translation
from examples.translation import END, UNKNOWN, Translator, batches, bleu, draw_numbers, exact, split


def run(*arguments: Any) -> int:
    return translation.main([str(argument) for argument in arguments])


def figures(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


# --- what it learns -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quick")
    assert run("--quick", "--out", folder) == 0
    return folder


def test_attention_translates_numbers_that_it_has_not_seen(quick: Path) -> None:
    found = figures(quick)["held-out names"]
    assert found["dot attention"] > 0.9  # a guess: 0
    assert found["dot attention"] > found["no attention"] + 0.05


def test_attention_reaches_beyond_the_lengths_of_training(quick: Path) -> None:
    found = figures(quick)["longer names"]
    assert found["dot attention"] > found["no attention"] + 0.15


def test_picture_is_written_and_nothing_else_but_the_figures(quick: Path) -> None:
    assert {path.name for path in quick.iterdir()} == {"translation.png", "result.json"}
    assert (quick / "translation.png").read_bytes().startswith(b"\x89PNG")


def write_pairs(path: Path, count: int) -> None:
    """Sentences of a toy language and their translations: each word has one, and the last word comes first."""
    rng = np.random.default_rng(0)
    words = {"ki": "red", "lo": "blue", "ma": "green", "nu": "sea", "pa": "sky", "so": "tree"}
    sentences = [rng.choice(list(words), rng.integers(4, 7)) for _ in range(count)]
    lines = [f"{' '.join(s)}\t{' '.join(words[w] for w in [s[-1], *s[:-1]])}\tby whom" for s in sentences]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


@pytest.mark.parametrize(("level", "attention"), [("word", "dot"), ("word", "additive"), ("character", "dot")])
def test_sentences_of_a_file_are_learnt(level: str, attention: str, tmp_path: Path, capsys: Any) -> None:
    write_pairs(tmp_path / "toy.tsv", 440)
    options = ["--held-out", 40, "--hidden", 32, "--epochs", 12, "--lr", 0.02, "--dropout", 0, "--batch-size", 16]
    options += ["--level", level, "--attention", attention, "--no-baseline", "--beam", 2]
    assert run("--pairs", tmp_path / "toy.tsv", *options, "--out", tmp_path / "out") == 0
    assert figures(tmp_path / "out")["held-out sentences"][f"{attention} attention"] > 80  # a shuffled file: below 20
    assert re.search(r"^result: held-out sentences, BLEU-4: ", capsys.readouterr().out, re.MULTILINE)


# --- data -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(0, 99))
def test_numbers_are_different_and_below_a_milliard(count: int, seed: int) -> None:
    numbers = draw_numbers(count, np.random.default_rng(seed))
    assert 1 <= len(numbers) == len(set(numbers)) <= count
    assert all(0 <= n < 10**9 for n in numbers)


def test_numbers_have_all_sizes() -> None:
    assert {len(str(n)) for n in draw_numbers(1000, np.random.default_rng(0))} == set(range(1, 10))


def test_what_is_held_out_is_not_trained_on_and_what_is_longer_is_longer() -> None:
    training, tests = translation.number_names(
        Namespace(languages=["en", "fr"], level="word", numbers=900, seed=0, held_out=90)
    )
    sources, held_out, longer = (
        {tuple(source) for source, _ in pairs} for pairs in (training, tests["held-out names"], tests["longer names"])
    )
    assert len(held_out) == 90
    assert not sources & held_out
    assert max(map(len, held_out)) <= max(map(len, sources)) < min(map(len, longer))
    pairs = dict((" ".join(source), " ".join(target)) for source, target in training)
    assert pairs["seven hundred"] == "sept cents"


def test_words_are_split_at_apostrophes_and_punctuation() -> None:
    assert split("N'est-ce pas l’eau ?", "word") == ["N'", "est", "-", "ce", "pas", "l’", "eau", "?"]
    assert split("eau !", "character") == ["e", "a", "u", " ", "!"]


@given(st.text(max_size=30))
def test_nothing_but_space_is_lost_when_a_text_is_split(text: str) -> None:
    assert "".join(split(text, "word")) == "".join(c for c in text if not c.isspace() or re.match(r"\w", c))
    assert "".join(split(text, "character")) == text


def test_vocabulary_has_the_words_that_occur_twice_after_the_two_marks() -> None:
    assert translation.vocabulary([["b", "a", "c"], ["c", "b"], ["d"]]) == {"b": 2, "c": 3}


words = st.lists(st.integers(2, 9), min_size=1, max_size=6)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=25), st.integers(1, 5), st.integers(0, 9))
def test_batches_hold_each_pair_once_with_every_target_after_the_words_before_it(
    pairs: list[Any], size: int, seed: int
) -> None:
    made = batches(pairs, size, np.random.default_rng(seed))
    found = []
    for xs, before, targets in made:
        assert xs.shape[1] == targets.shape[1] <= size
        assert before.shape == targets.shape
        assert len(targets) % 4 == 0
        assert (before[0] == END).all()
        assert (before[1:] == targets[:-1]).all()
        for x, target in zip(xs.T.tolist(), targets.T.tolist()):
            stop = target.index(END)
            assert set(target[stop + 1 :]) <= {UNKNOWN}
            found.append((x, target[:stop]))
    assert sorted(found) == sorted((list(x), list(y)) for x, y in pairs)
    again = batches(pairs, size, np.random.default_rng(seed + 1))
    assert {(x.shape, y.shape) for x, y, _ in made} == {(x.shape, y.shape) for x, y, _ in again}


# --- BLEU -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "found", "expected"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 100.0),
        # 5/6 of the words, 3/5 of the pairs, 2/4 of the triples, 1/3 of the quadruples; the product is 1/12
        ("the cat sat on the mat", "the cat sat on a mat", 100 * (1 / 12) ** 0.25),
        # the second a counts nothing: 5/6, 4/5, 3/4, 2/3
        ("a b c d e f", "a a b c d e", 100 * (1 / 3) ** 0.25),
        ("a b c d e f", "a b c d e", 100 * np.exp(1 - 6 / 5)),  # too short
        ("a b c d e", "a b c d e f", 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25),  # too long: no more than that
        ("a b c d", "a b c e", 0.0),  # no quadruple
        ("a b c d", "", 0.0),
    ],
)
def test_bleu_of_one_sentence(reference: str, found: str, expected: float) -> None:
    assert bleu([reference.split()], [found.split()]) == pytest.approx(expected)


def test_bleu_counts_over_all_sentences_and_never_across_them() -> None:
    references, found = [list("abcde"), list("fg")], [list("abcdx"), list("ff")]
    # words 4/5 + 1/2, pairs 3/4 + 0/1, triples 2/3, quadruples 1/2; 7 words in each
    assert bleu(references, found) == pytest.approx(100 * (5 / 7 * 3 / 5 * 2 / 3 * 1 / 2) ** 0.25)


def test_exact_match_is_of_whole_sentences() -> None:
    assert exact([["a", "b"], ["c"]], [["a", "b"], ["c", "c"]]) == 0.5


# --- the network ----------------------------------------------------------------------------------------------------


def made(kind: str, hidden: int = 6) -> Translator:
    words = {f"w{k}": k for k in range(2, 8)}
    return Translator(words, words, kind, Namespace(hidden=hidden, seed=1, dropout=0.5)).eval()


XS, WORDS = np.random.default_rng(0).integers(2, 8, (2, 5, 3))


@pytest.mark.parametrize("kind", translation.ATTENTION)
def test_a_word_is_written_from_those_before_it_and_from_the_whole_source(kind: str) -> None:
    model = made(kind)
    before = model(XS, WORDS).data
    for t in range(5):
        other = WORDS.copy()
        other[t] = 9 - other[t]
        changed = (model(XS, other).data != before).any(axis=(1, 2))
        assert changed.tolist() == [s >= t for s in range(5)]
        other = XS.copy()
        other[t] = 9 - other[t]
        assert (model(other, WORDS).data != before).any(axis=(1, 2)).all()


def test_every_key_knows_the_words_on_both_sides() -> None:
    model = made("dot")
    for t in (0, 4):
        other = XS.copy()
        other[t] = 9 - other[t]
        assert (model.read(other)[1].data != model.read(XS)[1].data).any(axis=(1, 2)).all()


@pytest.mark.parametrize("kind", translation.ATTENTION)
def test_a_beam_of_one_writes_the_most_probable_word_each_time(kind: str) -> None:
    model = made(kind)
    for source in (["w2", "w5"], ["w3", "w3", "w7", "w4"]):
        found = model.translate(source, 1)
        xs = np.array([int(word[1:]) for word in source])[:, None]
        written = np.array([END, *[model.words.index(word) for word in found]])[:, None]
        best = model(xs, written).data[:, 0].argmax(axis=-1)
        assert [model.words[n] for n in best[: len(found)]] == found


def test_a_beam_goes_on_from_the_states_of_its_own_words() -> None:
    model, source = made("dot"), ["w3", "w6", "w2"]
    xs = np.array([3, 6, 2])[:, None]

    def score(found: list[str]) -> float:
        targets = np.array([*[model.words.index(word) for word in found], END])[:, None]
        log_p = mg.log_softmax(model(xs, np.concatenate([[[END]], targets[:-1]])), axis=-1).data
        return float(np.take_along_axis(log_p[:, 0], targets, axis=-1).mean())

    model.output.b.data = 1.5 * (np.arange(8) == END).astype(np.float32)  # so that sentences end
    assert score(model.translate(source, 8)) >= score(model.translate(source, 1))


def test_attention_is_a_distribution_over_the_source_for_each_word_and_the_end() -> None:
    weights = made("dot").attends(["w2", "w3", "w4"], ["w5", "w6"])
    assert weights.shape == (3, 3)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_padding_of_targets_counts_nothing() -> None:
    model = made("dot")
    losses = []
    for rows in (3, 8):
        targets = np.full((rows, 1), UNKNOWN)
        targets[:3, 0] = 4, 5, END
        before = np.concatenate([[[END]], targets[:-1]])
        losses.append(nn.cross_entropy(model(XS[:, :1], before), targets, ignore_index=UNKNOWN).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


# --- options --------------------------------------------------------------------------------------------------------

SMALL = "--numbers 50 --held-out 8 --hidden 8 --epochs 1 --batch-size 8 --beam 1"


def test_there_is_no_option_without_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    step, search = nn.clip_grad_norm, nn.beam_search

    def clip(parameters: Any, *rest: Any) -> Any:
        seen.append([float(np.abs(p.grad).sum()) for p in parameters if p.grad is not None])
        return step(parameters, *rest)

    def beam(*arguments: Any, **options: Any) -> Any:
        seen.append(arguments[2:4])
        return search(*arguments, **options)

    monkeypatch.setattr(nn, "clip_grad_norm", clip)
    monkeypatch.setattr(nn, "beam_search", beam)
    monkeypatch.setattr(translation, "draw", lambda *picture: None)
    assert run(*SMALL.split(), "--out", tmp_path) == 0
    before = seen[:]
    changes = ["--seed 1", "--languages es it", "--numbers 60", "--level character", "--held-out 9", "--no-baseline"]
    changes += ["--attention additive", "--hidden 9", "--epochs 2", "--batch-size 1", "--lr 0.1", "--dropout 0"]
    for change in [*changes, "--beam 2"]:
        seen.clear()
        assert run(*SMALL.split(), *change.split(), "--out", tmp_path) == 0
        assert seen != before, f"{change} changed nothing"
    seen.clear()
    assert run(*SMALL.split(), "--out", tmp_path) == 0
    assert seen == before, "the same seed did not give the same run"


BAD = {
    "an unknown language": ("--languages en xx", "--languages en xx: num2words does not know both"),
    "a language of small numbers": ("--languages en am", "--languages en am: num2words does not know both up to"),
    "names of one word": ("--languages de en", "--level character"),
    "too many held out": ("--held-out 9000", "--held-out"),
    "languages of a file": ("--pairs {folder}/good.tsv --languages en fr", "--languages is for numbers"),
    "a missing file": ("--pairs {folder}/none.tsv", "none.tsv: No such file"),
    "another encoding": ("--pairs {folder}/latin.tsv", "latin.tsv: not UTF-8"),
    "a line without a tab": ("--pairs {folder}/bare.tsv", "bare.tsv, line 3: a sentence, a tab and its translation"),
    "an empty translation": ("--pairs {folder}/half.tsv", "half.tsv, line 1: a sentence"),
    "an empty file": ("--pairs {folder}/empty.tsv", "--held-out"),
    "a file too short": ("--pairs {folder}/good.tsv --held-out 2", "--held-out 2 leaves none"),
    "an unknown attention": ("--attention none", "--attention"),
    "no beam": ("--beam 0", "--beam: must be a whole number of at least 1, got '0'"),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_code_2_and_nothing_is_written(
    arguments: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"good": "a\tb\nc\td\n", "bare": "a\tb\n\nno tab\n", "half": "a\t\n", "empty": ""}
    for name, text in texts.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    (tmp_path / "latin.tsv").write_bytes("été\tsummer".encode("latin-1"))
    options = ["--quick", "--numbers", "200", *arguments.format(folder=tmp_path).split(), "--out", tmp_path / "out"]
    assert run(*options) == 2
    assert expected in refusal(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["rich", "matplotlib", "num2words"])
def test_a_missing_extra_is_one_line(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert run("--quick", "--out", tmp_path / "out") == 2
    assert refusal(capsys) == lacking(package)
    assert not (tmp_path / "out").exists()


def test_help_shows_the_command_and_the_subject(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert "usage: python -m examples.translation" in out
    assert "Translate" in out
