"""examples.translation: its network, and what it learns, needs and refuses."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_figures import figures
from profiles import long_profile
from refusals import lacking, refusal

import minigrad as mg
import nn
from examples import translation
from examples.translation import END, RARE, Translator


def run(*arguments: Any) -> int:
    return translation.main([str(argument) for argument in arguments])


# --- what it learns -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quick")
    options: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation, "TEST", 60)
        if not long_profile():  # fewer and smaller numbers, in smaller batches without dropout
            patch.setattr(translation, "TEST", 20)
            patch.setattr(translation, "BATCH", 16)
            patch.setattr(translation, "DROPOUT", 0)
            patch.setattr(translation, "draw_numbers", lambda count, rng: rng.choice(10**5, count, False).tolist())
            options = ["--numbers", 500, "--epochs", 6, "--beam", 1, "--hidden", 48, "--lr", 0.015]
        assert run("--quick", *options, "--out", folder) == 0
    return folder


def test_attention_translates_numbers_that_it_has_not_seen(quick: Path) -> None:
    found = {name: of["held out"] for name, of in figures(quick).items()}
    assert found["attention"] > (0.9 if long_profile() else 0.7)  # a guess: 0
    assert found["attention"] > found["no attention"] + 0.05


def test_attention_reaches_beyond_the_lengths_of_training(quick: Path) -> None:
    found = {name: of["longer"] for name, of in figures(quick).items()}
    assert found["attention"] > found["no attention"] + 0.15


def test_picture_is_written_and_nothing_else_but_the_figures(quick: Path) -> None:
    assert {path.name for path in quick.iterdir()} == {"translation.png", "result.json"}
    assert (quick / "translation.png").read_bytes().startswith(b"\x89PNG")


def write_pairs(path: Path, count: int) -> None:
    """Sentences of a toy language and their translations: each word has one, and the last word comes first."""
    rng = np.random.default_rng(0)
    words = {"ki": "red", "lo": "blue", "ma": "green", "nu": "sea", "pa": "sky", "so": "tree"}
    sentences = [rng.choice(list(words), rng.integers(4, 6)) for _ in range(count)]
    lines = [f"{' '.join(s)}\t{' '.join(words[w] for w in [s[-1], *s[:-1]])}\tby whom" for s in sentences]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


@pytest.mark.parametrize(("level", "epochs"), [("word", 6), pytest.param("character", 12, marks=pytest.mark.campaign)])
def test_sentences_of_a_file_are_learnt(
    level: str, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "toy.tsv", 450)
    monkeypatch.setattr(translation, "TEST", 20)
    monkeypatch.setattr(translation, "BATCH", 16)  # of few sentences, and no dropout
    monkeypatch.setattr(translation, "DROPOUT", 0)
    monkeypatch.setattr(translation, "NETWORKS", ("attention",))
    options = ["--level", level, "--hidden", 48, "--epochs", epochs, "--lr", 0.015, "--beam", 2]
    assert run("--pairs", tmp_path / "toy.tsv", *options, "--out", tmp_path / "out") == 0
    assert set(figures(tmp_path / "out")["attention"]) == {"held out"}
    assert figures(tmp_path / "out")["attention"]["held out"] > 80  # a shuffled file: below 20
    assert re.search(r"^result: attention: BLEU-4: held out ", capsys.readouterr().out, re.MULTILINE)


def test_what_is_held_out_is_not_trained_on_and_what_is_longer_is_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, asked = [], []
    monkeypatch.setattr(translation, "train", lambda model, pairs, *others: known.append(pairs))
    monkeypatch.setattr(Translator, "translate", lambda model, words, width: asked.append(words) or (words, None))
    monkeypatch.setattr(translation, "draw", lambda *picture: None)
    assert run("--numbers", 900, "--out", tmp_path) == 0
    sources = {tuple(source) for source, _ in known[0]}
    tests = [tuple(words) for words in asked[: len(asked) // 2]]  # the second half: with attention
    held_out, longer = set(tests[: len(tests) // 2]), set(tests[len(tests) // 2 :])
    assert len(held_out) == len(longer) == (len(held_out) + len(sources)) // 10 >= 20
    assert not sources & held_out
    assert max(map(len, held_out)) <= max(map(len, sources)) < min(map(len, longer))
    pairs = {" ".join(source): " ".join(target) for source, target in known[0]}
    assert pairs["seven hundred"] == "sept cents"


# --- the network ----------------------------------------------------------------------------------------------------


def made(attention: bool = True) -> Translator:
    words = [f"w{k}" for k in range(2, 8)]  # numbered 2 ... 7
    return Translator([(words, words)] * 2, attention, Namespace(hidden=6, seed=1)).eval()


XS, WORDS = np.random.default_rng(0).integers(2, 8, (2, 5, 3))
LENGTHS = np.full(3, 5)


@pytest.mark.parametrize("attention", [False, True])
def test_a_word_is_written_from_those_before_it_and_from_the_whole_source(attention: bool) -> None:
    model = made(attention)
    before = model(XS, LENGTHS, WORDS).data
    for t in range(5):
        other = WORDS.copy()
        other[t] = 9 - other[t]
        changed = (model(XS, LENGTHS, other).data != before).any(axis=(1, 2))
        assert changed.tolist() == [s >= t for s in range(5)]
        other = XS.copy()
        other[t] = 9 - other[t]
        assert (model(other, LENGTHS, WORDS).data != before).any(axis=(1, 2)).all()


def test_every_key_knows_the_words_on_both_sides() -> None:
    model = made()
    for t in (0, 4):
        other = XS.copy()
        other[t] = 9 - other[t]
        assert (model.read(other, LENGTHS)[1].data != model.read(XS, LENGTHS)[1].data).any(axis=(1, 2)).all()


@pytest.mark.parametrize("attention", [False, True])
def test_a_sentence_means_the_same_beside_longer_ones(attention: bool) -> None:
    model, lengths = made(attention), np.array([5, 2, 3])
    together = model(XS, lengths, WORDS).data
    for b, T in enumerate(lengths):
        alone = model(XS[:T, [b]], np.array([T]), WORDS[:, [b]]).data
        np.testing.assert_allclose(together[:, [b]], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attention", [False, True])
def test_a_beam_of_one_writes_the_most_probable_word_each_time(attention: bool) -> None:
    model = made(attention)
    for source in (["w2", "w5"], ["w3", "w3", "w7", "w4"]):
        found, _ = model.translate(source, 1)
        xs = np.array([model.sources[word] for word in source])[:, None]
        written = np.array([END, *[model.targets[word] for word in found]])[:, None]
        best = model(xs, np.array([len(xs)]), written).data[:, 0].argmax(axis=-1)
        assert [list(model.targets)[n] for n in best[: len(found)]] == found


def test_a_beam_goes_on_from_the_states_of_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    found, search = [], nn.beam_search
    monkeypatch.setattr(nn, "beam_search", lambda *given, **named: found.extend(search(*given, **named)) or found)
    model, xs = made(), np.array([3, 6, 2])[:, None]
    model.translate(["w3", "w6", "w2"], 4)
    assert len(found) == 4
    for words, score in found:
        logits = model(xs, np.array([3]), np.array([END, *words[:-1]])[:, None])
        log_p = mg.log_softmax(logits, axis=-1).data[:, 0]  # (S, V)
        assert log_p[np.arange(len(words)), words].sum() == pytest.approx(score, rel=1e-4)


def test_attention_is_a_distribution_over_the_source_for_each_word_and_the_end() -> None:
    model = made()
    model.output.b.data = 1.5 * (np.arange(8) == END).astype(np.float32)  # so that sentences end
    found, weights = model.translate(["w2", "w3", "w4"], 3)
    assert weights.shape == (3, len(found) + 1, 1)
    np.testing.assert_allclose(weights.data.sum(axis=0), 1, rtol=1e-5)


def test_padding_of_targets_counts_nothing() -> None:
    model = made()
    losses = []
    for rows in (3, 8):
        targets = np.full((rows, 1), RARE)
        targets[:3, 0] = 4, 5, END
        before = np.concatenate([[[END]], targets[:-1]])
        logits = model(XS[:, :1], LENGTHS[:1], before)
        losses.append(nn.cross_entropy(logits, targets, ignore_index=RARE).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_validation_is_the_mean_over_the_words_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made()
    pairs = [([f"w{n}"], [f"w{k}" for k in range(2, 3 + n)]) for n in range(2, 6)]
    losses = [(translation.validate(model, [pair]), len(pair[1]) + 1) for pair in pairs]  # and the end
    monkeypatch.setattr(translation, "BATCH", 2)
    expected = sum(loss * words for loss, words in losses) / sum(words for _, words in losses)
    assert translation.validate(model, pairs) == pytest.approx(expected, rel=1e-5)


def test_training_tells_the_words_before_and_asks_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    told, asked = [], []
    forward, cross_entropy = Translator.forward, nn.cross_entropy

    def tell(model: Translator, xs: Any, lengths: Any, words: Any) -> Any:
        told.append(words)
        return forward(model, xs, lengths, words)

    def ask(logits: Any, targets: Any, **options: Any) -> Any:
        asked.append(targets)
        return cross_entropy(logits, targets, **options)

    monkeypatch.setattr(mg, "compile", lambda function: function)
    monkeypatch.setattr(Translator, "forward", tell)
    monkeypatch.setattr(nn, "cross_entropy", ask)
    pairs, o = [(["a", "b"], ["c", "d", "c"])] * 2, Namespace(hidden=4, seed=0, epochs=1, lr=0.01, clip=1.0, decay=None)
    model = Translator(pairs, True, o)
    c, d = model.targets["c"], model.targets["d"]
    with translation.Progress(quiet=True) as progress:
        translation.train(model, pairs, [], o, progress, "", 0)
    assert told[0].T.tolist() == [[END, c, d, c, END, RARE, RARE]] * 2
    assert asked[0].T.tolist() == [[c, d, c, END, RARE, RARE, RARE]] * 2


def test_long_sentences_are_trained_on_without_a_program_for_each_length(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(mg, "compile", lambda function: compiled.append(function) or function)
    o = Namespace(hidden=4, seed=0, epochs=1, lr=0.01, clip=1.0, decay=None)
    for count in (32, 33):
        pairs = [(["a"], ["b"] * count)] * 2
        with translation.Progress(quiet=True) as progress:
            translation.train(Translator(pairs, True, o), pairs, [], o, progress, "", 0)
        assert bool(compiled) == (count == 32)
        compiled.clear()


# --- options --------------------------------------------------------------------------------------------------------

SMALL = "--numbers 80 --hidden 8 --epochs 2 --beam 1"


def test_there_is_no_option_without_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    step, search = nn.clip_grad_norm, nn.beam_search

    def clip(parameters: Any, *rest: Any) -> Any:
        seen.append([float(np.abs(p.grad).sum()) for p in parameters if p.grad is not None])
        return step(parameters, *rest)

    def beam(*arguments: Any, **options: Any) -> Any:
        seen.append(arguments[2:4])
        return search(*arguments[:2], 2, *arguments[3:], **options)  # two words are enough

    monkeypatch.setattr(mg, "compile", lambda f: f)  # takes longer than so few steps
    monkeypatch.setattr(nn, "clip_grad_norm", clip)
    monkeypatch.setattr(nn, "beam_search", beam)
    monkeypatch.setattr(translation, "NETWORKS", ("attention",))
    monkeypatch.setattr(translation, "draw", lambda *picture: None)
    assert run(*SMALL.split(), "--out", tmp_path) == 0
    before = seen[:]
    changes = ["--seed 1", "--languages es it", "--numbers 90", "--level character", "--hidden 9", "--epochs 3"]
    for change in [*changes, "--lr 0.1", "--beam 2"]:
        seen.clear()
        assert run(*SMALL.split(), *change.split(), "--out", tmp_path) == 0
        assert seen != before, f"{change} changed nothing"
    seen.clear()
    assert run(*SMALL.split(), "--out", tmp_path) == 0
    assert seen == before, "the same seed did not give the same run"


BAD = {
    "an unknown language": ("--languages en xx", "--languages en xx: num2words does not know both"),
    "a language of small numbers": ("--languages en am", "--languages en am: num2words does not know both up to"),
    "names of one word": (
        "--languages de en",
        "de en: most names are one word; choose --level character",
    ),
    "too few numbers": ("--numbers 9", "--numbers: at least ten pairs are needed"),
    "languages of a file": ("--pairs {folder}/good.tsv --languages en fr", "--languages: not allowed with argument"),
    "a missing file": ("--pairs {folder}/none.tsv", "none.tsv: No such file"),
    "another encoding": ("--pairs {folder}/latin.tsv", "latin.tsv: not UTF-8"),
    "a line without a tab": ("--pairs {folder}/bare.tsv", "bare.tsv, line 3: a sentence, a tab and its translation"),
    "an empty translation": ("--pairs {folder}/half.tsv", "half.tsv, line 1: a sentence"),
    "an empty file": ("--pairs {folder}/empty.tsv", "empty.tsv: at least ten pairs are needed, not 0"),
    "a file too short": ("--pairs {folder}/good.tsv", "good.tsv: at least ten pairs are needed, not 2"),
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
