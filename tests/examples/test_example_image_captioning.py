"""The example of captioned scenes: its scenes, the words told and asked for, its measures, and what it learns."""

from __future__ import annotations

import functools
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_figures import figures
from hypothesis import given
from hypothesis import strategies as st
from profiles import long_profile
from refusals import lacking, refusal

from examples import image_captioning as example


def run(*arguments: Any) -> int:
    return example.main([str(argument) for argument in arguments])


# --- data -----------------------------------------------------------------------------------------------------------

PLACES = re.compile(r" (left of|right of|above) ")
PLAIN = np.stack([np.full((8, 8), (k + 1) / 10) for k in range(10)])  # digit k is a square of brightness (k + 1) / 10


def described(image: np.ndarray) -> str:
    """The caption, found from the squares in the image: each one's brightness, side and cell."""
    found = {}
    for r in range(3):
        for c in range(3):
            cell = image[9 * r : 9 * r + 9, 9 * c : 9 * c + 9]
            if cell.any():
                (brightness,) = np.unique(cell[cell > 0].round(4))
                name = example.NAMES[round(10 * float(brightness)) - 1]
                size = {8: "", 5: "small "}[math.isqrt(np.count_nonzero(cell))]
                found[r, c] = f"{'an' if (size + name)[0] == 'e' else 'a'} {size}{name}"
    for here in sorted(found):  # the digit that nothing leads to: it starts
        words, left = found[here], {place: of for place, of in found.items() if place != here}
        while left:
            r, c = here
            ways = [((r, c + 1), "left of"), ((r, c - 1), "right of"), ((r + 1, c), "above")]
            onward = [(place, way) for place, way in ways if place in left]
            if len(onward) != 1:
                break
            here, way = onward[0]
            words += f" {way} {left.pop(here)}"
        if not left:
            return words
    raise AssertionError("no path leads through all digits")


@given(st.integers(0, 2**32 - 1))
def test_scenes_show_what_their_captions_say(seed: int) -> None:
    images, captions = example.scenes(example.LAYOUTS, PLAIN, np.arange(10), 20, np.random.default_rng(seed))
    for image, caption in zip(images, captions):
        assert described(image) == caption


def test_a_hand_placed_scene_is_described_as_the_test_reads_it() -> None:
    image = np.zeros((27, 27))
    image[1:9, 0:8] = 0.9  # an eight, top left
    image[4:9, 12:17] = 0.4  # a small three, right of it
    image[9:17, 10:18] = 0.1  # a zero, under that
    assert described(image) == "an eight left of a small three above a zero"
    assert "right of" in described(image[:, ::-1])


def test_layouts_are_all_ways_down_and_sideways_with_all_sizes() -> None:
    assert len(set(example.LAYOUTS)) == len(example.LAYOUTS) == 2 * 4 + 6 * 8
    assert all(relations != ("right of", "left of") for relations, _ in example.LAYOUTS)


def test_only_the_layouts_asked_for_are_drawn() -> None:
    layouts = [(("above", "right of"), ("", "small ", ""))]
    _, captions = example.scenes(layouts, PLAIN, np.arange(10), 50, np.random.default_rng(0))
    wanted = re.compile(r"an? (\w+) above a small (\w+) right of an? (\w+)")
    assert all(wanted.fullmatch(caption) for caption in captions)


@given(st.integers(1, 20))
def test_resizing_keeps_the_mean_and_the_orientation(size: int) -> None:
    images = np.random.default_rng(size).random((2, 8, 8))
    small = example.resized(images, size)
    assert small.shape == (2, size, size)
    np.testing.assert_allclose(small.mean(axis=(1, 2)), images.mean(axis=(1, 2)))
    np.testing.assert_allclose(example.resized(images[:, ::-1], size), small[:, ::-1])
    np.testing.assert_allclose(example.resized(images.swapaxes(1, 2), size), small.swapaxes(1, 2))


def test_each_word_is_asked_for_after_those_before_it() -> None:
    read, guess = example.numbered(["b a", "a b b"], ["", "a", "b"])
    assert read.T.tolist() == [[0, 2, 1, 0], [0, 1, 2, 2]]
    assert guess.T.tolist() == [[2, 1, 0, -1], [1, 2, 2, 0]]


# --- measures -------------------------------------------------------------------------------------------------------


def test_scores_of_hand_counted_captions() -> None:
    said, captions = ["a b c", "a b", "a b c d", ""], ["a b c", "a c", "a b c", "a"]
    # right: a b c end, 4 of 4; a end, 2 of 3; a b c, 3 of 4; nothing of 2
    assert example.scores(said, captions) == {"exact": 1 / 4, "words": 9 / 13}


def test_the_nearest_scene_is_itself_in_spite_of_noise() -> None:
    images, captions = example.scenes(example.LAYOUTS, PLAIN, np.arange(10), 40, np.random.default_rng(0))
    noisy = images + 0.01 * np.random.default_rng(1).random(images.shape, np.float32)
    assert example.nearest(images, captions, noisy) == captions


# --- model ----------------------------------------------------------------------------------------------------------


def captioner() -> Any:
    return example.Captioner(27, 18, 5, 12, 0.5, np.random.default_rng(0)).eval()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_word_by_word_the_decoder_says_what_it_says_at_once(words: list[int]) -> None:
    model, image = captioner(), np.random.default_rng(1).random((1, 27, 18), np.float32)
    state, logits = model.look(image), []
    for word in words:
        step, state = model.step(np.array([word]), state)
        logits.append(step.data)
    np.testing.assert_allclose(np.array(logits), model(image, np.array(words)[:, None]).data, rtol=1e-4, atol=1e-6)


def test_what_is_said_depends_on_the_image_and_ends_at_the_end() -> None:
    model, images = captioner(), np.random.default_rng(1).random((2, 27, 18), np.float32)
    first, second = (model(image[None], np.zeros((1, 1), int)).data for image in images)
    assert np.abs(first - second).max() > 1e-4
    said = model.say(images[0], 7)
    assert 1 <= len(said) <= 7
    assert 0 not in said[:-1]


# --- the program ----------------------------------------------------------------------------------------------------


def fewer_scenes(layouts: Any, digits: Any, labels: Any, count: int, rng: Any, scenes: Any = example.scenes) -> Any:
    return scenes(layouts, digits, labels, count * 3 // 20, rng)


@pytest.mark.pictures
def test_network_says_more_than_its_baselines_also_of_new_layouts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_digits

    options: list[Any] = []
    if not long_profile():  # the digits from 0 to 3 in fewer scenes
        monkeypatch.setattr("sklearn.datasets.load_digits", functools.partial(load_digits, n_class=4))
        monkeypatch.setattr(example, "scenes", fewer_scenes)
        options = ["--steps", 300, "--lr", 0.01, "--hidden", 64]
    assert run("--quick", *options, "--out", tmp_path) == 0
    found = figures(tmp_path)
    for test, exact in {"new digits": 0.5, "new layouts": 0.15}.items():
        network, baseline = found[test].values()
        assert baseline["exact"] < exact / 2
        if test == "new digits" or long_profile():
            assert network["exact"] > exact
            assert network["words"] > 0.1 + baseline["words"]
        else:
            assert network["words"] > max(0.33, baseline["words"])  # 0.22 without a look at the image
    assert {path.name for path in tmp_path.iterdir()} == {"captions.png", "result.json"}
    assert (tmp_path / "captions.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert re.search(r"^result: new digits: .*network 0\.\d+ \(0\.\d+\), nearest scene 0", out, re.MULTILINE)


@pytest.mark.parametrize("options", [["--quick"], []])
def test_no_digit_and_no_new_layout_of_the_tests_is_trained_on(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def scenes(layouts: Any, digits: Any, labels: Any, count: int, rng: Any, scenes: Any = example.scenes) -> Any:
        made.append((set(layouts), {image.tobytes() for image in digits}))
        return scenes(layouts, digits, labels, 9, rng)

    def stop(*given: Any) -> None:
        raise example.UserError("enough")

    monkeypatch.setattr(example, "scenes", scenes)
    monkeypatch.setattr(example, "train", stop)
    assert run(*options, "--out", tmp_path) == 2
    (known, seen), (same, new), (kept, also_new) = made
    assert same == known
    assert kept
    assert not kept & known
    assert new == also_new
    assert len(new) > 300
    assert not new & seen


SMALL = ["--steps", 100, "--hidden", 32, "--lr", 0.01]


def shapes(folder: Path, count: int) -> Path:
    """Images of 18 x 9: a bright patch up or down or both, and what it is called."""
    rng = np.random.default_rng(0)
    images, captions = (5 * rng.random((count, 18, 9))).astype(np.uint8), []
    for image, where in zip(images, rng.integers(0, 3, count)):
        if where != 1:
            image[2:6, 2:6] = 200
        if where != 0:
            image[11:15, 3:7] = 200
        captions.append(["light above", "light below", "two lights"][where])
    np.savez(folder / "own.npz", images=images, captions=captions)
    return folder / "own.npz"


def test_own_images_are_captioned(tmp_path: Path) -> None:
    assert run("--data", shapes(tmp_path, 200), *SMALL, "--out", tmp_path / "out") == 0
    found = figures(tmp_path / "out")["held-out images"]
    assert found["network"]["exact"] > 0.9  # of three captions


def test_own_images_fill_whole_cells_with_zeros_and_are_scaled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.full((5, 10, 3), 50), captions=[" a  b"] * 5)
    images, captions = example.read(str(tmp_path / "a.npz"))
    assert images.shape == (5, 18, 9)
    assert images.sum() == images[:, :10, :3].sum() == 150
    assert captions == ["a b"] * 5


def test_nothing_is_known_of_images_held_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", images=rng.random((300, 9, 9)), captions=[f"x{k}" for k in rng.integers(0, 2, 300)])
    assert run("--data", tmp_path / "a.npz", *SMALL, "--out", tmp_path / "out") == 0
    for of in figures(tmp_path / "out")["held-out images"].values():
        assert 0.25 < of["exact"] < 0.75


def test_there_is_no_option_without_effect_and_a_seed_makes_a_run_reproducible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(example, "draw", lambda *picture: None)
    monkeypatch.setattr(example.mg, "compile", lambda f: f)  # takes longer than so few steps
    monkeypatch.setattr(example, "train", lambda *given, train=example.train: seen.append(train(*given)) or seen[-1])
    options = ["--data", shapes(tmp_path, 40), *SMALL, "--steps", 3, "--out", tmp_path]

    def weights(*change: str) -> list[Any]:
        assert run(*options, *change) == 0
        return [parameter.data.copy() for parameter in seen[-1].parameters()]

    before = weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, weights()))
    for change in (
        "--seed 1",
        "--hidden 33",
        "--steps 2",
        "--lr 1e-4",
        "--dropout 0.4",
    ):
        after = weights(*change.split())
        assert any(a.shape != b.shape or not np.array_equal(a, b) for a, b in zip(before, after)), change


# --- what it refuses ------------------------------------------------------------------------------------------------

BAD = {
    "an unknown option": ("--dta x", "--dta"),
    "no units": ("--hidden 0", "--hidden: must be a whole number of at least 1, got '0'"),
    "a missing file": ("--data {folder}/none.npz", "--data: cannot read {folder}/none.npz: No such file"),
    "no npz": ("--data {folder}/text.npz", "it must be an npz file with the arrays images and captions"),
    "an array missing": ("--data {folder}/lacking.npz", "it must be an npz file with the arrays images and captions"),
    "colours": ("--data {folder}/colours.npz", "images must be finite numbers (N, height, width), got (6, 9, 9, 3)"),
    "not a number": ("--data {folder}/nan.npz", "images must be finite numbers"),
    "too few captions": ("--data {folder}/few.npz", "one caption for each image is needed, of at least 5"),
    "numbers for captions": ("--data {folder}/numbers.npz", "one caption for each image is needed"),
    "empty captions": ("--data {folder}/empty.npz", "one caption for each image is needed"),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_code_2_and_nothing_is_written(
    arguments: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, words = np.zeros((6, 9, 9)), ["a b"] * 6
    (tmp_path / "text.npz").write_text("a b")
    np.savez(tmp_path / "lacking.npz", images=good)
    np.savez(tmp_path / "colours.npz", images=np.zeros((6, 9, 9, 3)), captions=words)
    np.savez(tmp_path / "nan.npz", images=good * np.nan, captions=words)
    np.savez(tmp_path / "few.npz", images=good, captions=words[:5])
    np.savez(tmp_path / "numbers.npz", images=good, captions=np.arange(6))
    np.savez(tmp_path / "empty.npz", images=good, captions=["a", "", "b", "c", "d", "e"])
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
    assert "usage: python -m examples.image_captioning" in out
    assert "What is in the picture?" in out
