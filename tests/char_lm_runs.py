"""Small runs of the language model for its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
from examples import char_lm

PERIOD = "the quick brown fox jumps over the lazy dog. "
TINY = ["--hidden", "16", "--batch-size", "4", "--seq-length", "10", "--sample-every", "0", "--validate-every", "7"]


@pytest.fixture
def text(tmp_path: Path) -> str:
    """The path of a text of 2 250 characters, with 54 batches of TINY in an epoch."""
    path = tmp_path / "text.txt"
    path.write_text(PERIOD * 50)
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has learnt PERIOD."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(PERIOD * 50)
    options = ["--steps", "250", "--lr", "0.02", "--validate-every", "100"]
    assert char_lm.main([str(folder / "text.txt"), *TINY, *options, "--hidden", "32", "--out", str(folder)]) == 0
    return folder / "checkpoint.safetensors"


def train(*arguments: Any) -> int:
    return char_lm.main([*TINY, *map(str, arguments)])


def contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    return nn.load(path / "checkpoint.safetensors")


def assert_same_run(one: Path, two: Path) -> None:
    (a, meta_a), (b, meta_b) = contents(one), contents(two)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert meta_a["random"] == meta_b["random"]
