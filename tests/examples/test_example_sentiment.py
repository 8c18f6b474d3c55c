"""The example of sentences and their labels: its rule, its files, that padding counts nothing, and what it learns."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from example_figures import figures
from hypothesis import given
from hypothesis import strategies as st
from profiles import long_profile
from refusals import lacking, refusal

from examples import sentiment


def run(*arguments: Any) -> int:
    return sentiment.main([str(argument) for argument in arguments])


def means(folder: Path) -> dict[str, float]:
    """The mean accuracy over the folds."""
    found = figures(folder)
    return {name: float(np.mean(folds)) for name, folds in found.items()}


def write(path: Path, lines: list[str]) -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


# --- data -----------------------------------------------------------------------------------------------------------

CLAUSE = re.compile(r"(i think |they say |i do not think )?the \w+ (was not|was|seemed) (\w+ )?(\w+)")
SIZES = {"slightly": 1, "somewhat": 1, None: 2, "rather": 2, "very": 4, "extremely": 4}


def understood(sentence: str) -> str:
    """The label, found from the sentence's words alone; on the way, `but` is to stand between opposites only."""
    values = []
    clauses = re.split(" (and|but) ", sentence)
    for clause in clauses[::2]:
        found = CLAUSE.fullmatch(clause)
        assert found, clause
        praise = found[4] in ("good", "great", "lovely", "superb")
        turned = (found[1] == "i do not think ") + (found[2] == "was not")
        values.append(SIZES[found[3] and found[3].strip()] * (1 if (turned + praise) % 2 else -1))
    assert clauses[1::2] == ["and" if a * b > 0 else "but" for a, b in pairwise(values)]
    assert sum(values) != 0
    return "positive" if sum(values) > 0 else "negative"


def test_the_rule_of_the_test_gives_hand_derived_labels() -> None:
    assert understood("i do not think the film was very good but the food was not bad") == "negative"
    assert understood("i do not think the film was good but the food was not extremely bad") == "positive"
    assert understood("they say the plot was not good") == "negative"
    assert understood("i do not think the room was not slightly dull") == "negative"


@given(st.integers(0, 2**32 - 1))
def test_generated_sentences_mean_what_their_labels_say_and_differ(seed: int) -> None:
    pairs = sentiment.generated(30, np.random.default_rng(seed))
    assert len({sentence for _, sentence in pairs}) == 30
    for label, sentence in pairs:
        assert label == understood(sentence)


def test_the_same_words_in_another_order_may_have_the_other_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentiment, "THINGS", ["film"])
    labels: dict[Any, set[str]] = {}
    for label, sentence in sentiment.generated(3000, np.random.default_rng(0)):
        labels.setdefault(tuple(sorted(sentence.split())), set()).add(label)
    assert {"positive", "negative"} in labels.values()


@pytest.mark.parametrize(
    "lines", [["1\tGood\x85 case.", "0\tBad.", "1\tfine"], ["Good\x85 case.\t1", "Bad.\t0", "fine\t1"]]
)
def test_labels_are_the_column_with_fewer_entries(lines: list[str], tmp_path: Path) -> None:
    expected = [["1", "Good\x85 case."], ["0", "Bad."], ["1", "fine"]]
    assert sentiment.read(str(write(tmp_path / "a.txt", ["", *lines, "  "]))) == expected


def test_of_two_columns_with_equally_many_entries_the_first_holds_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfx\ty\r\nz\tw")
    assert sentiment.read(str(path)) == [["x", "y"], ["z", "w"]]


def test_words_are_split_off_marks_and_numbered_by_the_vocabulary() -> None:
    words = [sentiment.tokens(text) for text in ("Don't go, é1!?", "...")]
    assert words == [["don't", "go", "é1", "!", "?"], [""]]
    model = reader("gru", [["go", "go", "once"], ["?", "?"]])
    xs, lengths = model.numbered(words)
    assert xs.T.tolist() == [[0, 2, 0, 0, 1, 0, 0, 0], [0] * 8]  # up to a multiple of 8
    assert lengths.tolist() == [5, 1]


# --- model ----------------------------------------------------------------------------------------------------------


def reader(cell: str, sentences: list[list[str]]) -> Any:
    o = SimpleNamespace(hidden=5, cell=cell, dropout=0.5)
    return sentiment.Reader(sentences, 3, o, np.random.default_rng(0))


@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=9), min_size=2, max_size=5))
@pytest.mark.parametrize("cell", sentiment.CELLS)
def test_a_sentence_has_the_same_label_beside_longer_ones(cell: str, sentences: list[list[str]]) -> None:
    model = reader(cell, [list("aabbccddee")])
    together, alone = model.probabilities(sentences), np.concatenate([model.probabilities([x]) for x in sentences])
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_order_counts_and_training_drops() -> None:
    model, x = reader("gru", [list("aabbcc")]), list("abc")
    assert np.abs(model.probabilities([x]) - model.probabilities([x[::-1]])).max() > 1e-5
    logits = [model.train()(*model.numbered([x])).data for _ in range(2)]
    assert not np.array_equal(*logits)


# --- the program ----------------------------------------------------------------------------------------------------


@pytest.mark.pictures
def test_network_learns_what_bags_of_words_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--hidden", 32, "--lr", 0.02]
    if not long_profile():  # half as many sentences of fewer words
        options = ["--hidden", 24, "--lr", 0.03]
        monkeypatch.setattr(sentiment, "THINGS", ["film", "plot", "music", "food"])
        monkeypatch.setattr(sentiment, "DEGREES", {" slightly": 1, "": 2, " very": 4})
        monkeypatch.setattr(sentiment, "ADJECTIVES", {"good": 1, "great": 1, "bad": -1, "dull": -1})
        monkeypatch.setattr(sentiment, "generated", lambda count, rng, of=sentiment.generated: of(count // 2, rng))
    assert run("--quick", "--epochs", 4, *options, "--out", tmp_path) == 0
    found = means(tmp_path)
    assert found["GRU"] > (0.85 if long_profile() else 0.75)  # a guess: 0.5
    assert found["naive Bayes"] < 0.6
    assert found["logistic regression"] < 0.6
    assert {path.name for path in tmp_path.iterdir()} == {"sentiment.png", "result.json"}
    assert (tmp_path / "sentiment.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert re.search(r"^result: accuracy over 2 folds: GRU 0\.\d+, naive Bayes 0\.\d+, logistic", out, re.MULTILINE)


SMALL = ["--folds", 2, "--epochs", 16, "--hidden", 12, "--lr", 0.02]
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon"]


def reviews(count: int, rng: np.random.Generator) -> list[str]:
    """Sentences of some of five words; the first one decides among three labels."""
    lines = []
    for words in rng.integers(0, 5, (count, 6)):
        words = words[: rng.integers(2, 7)]
        lines.append(f"{['low', 'middle', 'high'][words[0] % 3]}\t{' '.join(WORDS[k] for k in words)}")
    return lines


def test_own_sentences_with_three_labels_are_learnt_from_several_files(tmp_path: Path) -> None:
    first, second = np.split(np.array(reviews(300, np.random.default_rng(0))), 2)
    turned = ["\t".join(line.split("\t")[::-1]) for line in second]
    files = write(tmp_path / "a.txt", list(first)), write(tmp_path / "b.txt", turned)
    assert run("--data", *files, *SMALL, "--cell", "lstm", "--out", tmp_path / "out") == 0
    found = means(tmp_path / "out")
    assert found["LSTM"] > 0.9  # the most frequent label: 0.4
    assert found["LSTM"] > found["naive Bayes"]


def test_nothing_is_known_of_sentences_held_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{rng.integers(2)}\t{' '.join(f'w{k}' for k in rng.integers(0, 300, 8))}" for _ in range(400)]
    assert run("--data", write(tmp_path / "a.txt", lines), *SMALL, "--out", tmp_path / "out") == 0
    for accuracy in means(tmp_path / "out").values():
        assert 0.4 < accuracy < 0.6


CHANGES = [
    "--seed 1",
    "--folds 3",
    "--cell rnn",
    "--hidden 13",
    "--epochs 2",
    "--lr 1e-4",
    "--dropout 0",
]


def test_there_is_no_option_without_effect_and_a_seed_makes_a_run_reproducible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentiment, "draw", lambda *picture: None)
    monkeypatch.setattr(sentiment, "bags_of_words", lambda *data: {})
    monkeypatch.setattr(sentiment.mg, "compile", lambda f: f)  # takes longer than so few steps
    lines = reviews(80, np.random.default_rng(1))
    options = ["--data", write(tmp_path / "a.txt", lines), *SMALL, "--epochs", 4, "--out", tmp_path]
    assert run(*options) == 0
    before = (tmp_path / "result.json").read_text()
    assert run(*options) == 0
    assert (tmp_path / "result.json").read_text() == before
    for change in CHANGES:
        assert run(*options, *change.split()) == 0
        assert (tmp_path / "result.json").read_text() != before, f"{change} changed nothing"


# --- what it refuses ------------------------------------------------------------------------------------------------

BAD = {
    "an unknown option": ("--dta x", "--dta"),
    "one fold": ("--folds 1", "--folds: must be a whole number of at least 2, got '1'"),
    "a missing file": ("--data {folder}/none.txt", "--data: cannot read {folder}/none.txt: No such file"),
    "a folder": ("--data {folder}", "--data: cannot read {folder}: Is a directory"),
    "another encoding": ("--data {folder}/latin.txt", "latin.txt: not UTF-8"),
    "a line without a tab": ("--data {folder}/none.tsv", "--data: {folder}/none.tsv, line 3: a label and a sentence"),
    "a line with two tabs": ("--data {folder}/two.tsv", "two.tsv, line 1"),
    "an empty file": ("--data {folder}/empty.tsv", "--data: at least two labels"),
    "one label": ("--data {folder}/one.tsv", "--data: at least two labels"),
    "too few of a label": ("--data {folder}/few.tsv --folds 3", "as many sentences as --folds, 3"),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_code_2_and_nothing_is_written(
    arguments: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin.txt").write_bytes("1\té\n".encode("latin-1"))
    files = {"none": ["a\tb", "", "c"], "two": ["a\tb\tc"], "empty": [], "one": ["a\tb", "a\tc"]}
    for name, lines in {**files, "few": ["a\tx", "a\ty", "a\tz", "b\tv", "b\tw"]}.items():
        write(tmp_path / f"{name}.tsv", lines)
    assert run("--quick", *arguments.format(folder=tmp_path).split(), "--out", tmp_path / "out") == 2
    assert expected.format(folder=tmp_path) in refusal(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["rich", "matplotlib", "sklearn"])
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
    assert "usage: python -m examples.sentiment" in out
    assert "Does a sentence praise or blame?" in out
