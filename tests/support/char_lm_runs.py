"""Small runs of the language model for its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import blank

import nn
from examples import char_lm

PERIOD = "the quick brown fox jumps over the lazy dog. "
TINY = ["--hidden", "16", "--batch-size", "4", "--seq-length", "10", "--sample-every", "0", "--validate-every", "7"]


@pytest.fixture
def text(tmp_path: Path) -> str:
    """The path of a text of 900 characters, with 21 batches of TINY in an epoch."""
    path = tmp_path / "text.txt"
    path.write_text(PERIOD * 20)
    return str(path)


def checkpoint(folder: Path, text: str, *options: str) -> Path:
    """What training on a text leaves in a folder, whose curves are not drawn."""
    (folder / "text.txt").write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(char_lm, "draw", blank)
        assert char_lm.main([str(folder / "text.txt"), *TINY, *options, "--out", str(folder)]) == 0
    return folder / "checkpoint.safetensors"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has learnt PERIOD."""
    options = ["--steps", "250", "--lr", "0.02", "--validate-every", "100", "--hidden", "32"]
    return checkpoint(tmp_path_factory.mktemp("trained"), PERIOD * 50, *options)


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


#: Text that would break out of a page, upset its layout, or not be seen in it.
HOSTILE = (
    '</script><script>document.title = "broken"</script>\n'
    "<!-- <img src=x onerror=alert(1)> --> &lt;&amp; 'single' \"double\" `${1}` \\n \\u003c {{DATA}}\n"
    "\tTab \x00\x01\x1b\x7f\x85 \u2028\u2029 \u202eright to left\u202c \u200b\ufeff \u0301 שלום 🙂👩\u200d👧 𝒳 \ue000\n"
    "\n"
) * 12


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of an LSTM with two layers that has read HOSTILE for a while."""
    options = ["--steps", "75", "--lr", "0.02", "--layers", "2", "--validate-every", "75", "--quiet"]
    return checkpoint(tmp_path_factory.mktemp("hostile"), HOSTILE, *options)


@pytest.fixture(scope="session")
def explored(hostile: Path) -> Path:
    """The page of `explore` with the last 200 characters of HOSTILE, and short samples."""
    assert char_lm.main(["explore", str(hostile), "--length", "200", "--quick"]) == 0
    return hostile.with_name("explore.html")
