"""Damaged and hostile files: an error that names the path, and nothing in a file is ever executed."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_serialize import each_format, same

import nn
from nn.serialize import _NO_BRACKETS, parsed


@each_format
def test_a_file_cut_short_anywhere_raises_and_names_the_path(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut{suffix}"
    nn.save(path, {"W": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1.5, -2.5])}, {"k": "v"})
    whole = path.read_bytes()
    for n in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=rf"cut\{suffix} is damaged, cut short"):
            nn.load(path)


def test_any_flipped_bit_of_a_npz_raises_or_does_not_matter(tmp_path: Path) -> None:
    path, a = tmp_path / "flipped.npz", {"W": np.arange(3, dtype=np.float32)}
    nn.save(path, a, {"k": "v"})
    whole, raised = path.read_bytes(), 0
    for k in range(len(whole)):
        changed = bytearray(whole)
        changed[k] ^= 1 << (k % 8)
        path.write_bytes(changed)
        try:
            loaded, text = nn.load(path)
        except ValueError as error:
            assert "flipped.npz is damaged" in str(error)  # noqa: PT017
            raised += 1
        else:  # a time stamp, or the like
            assert same(loaded, a)
            assert text == {"k": "v"}
    assert raised > len(whole) / 2


def test_a_flipped_bit_in_the_shape_of_a_long_npz_array_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    nn.save(path, {"W": np.arange(30_000.0)})
    changed = bytearray(path.read_bytes())
    changed[changed.index(b"(30000,)") + 1] ^= 2  # (10000,)
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"a\.npz is damaged"):
        nn.load(path)


@each_format
@given(noise=st.binary(max_size=200))
def test_a_file_of_noise_raises_and_names_the_path(suffix: str, noise: bytes, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / f"noise{suffix}"
    path.write_bytes(noise)
    with pytest.raises(ValueError, match=rf"noise\{suffix} is damaged"):
        nn.load(path)


# --- JSON that nests deep, for which json takes memory by Python's version -----------------------------------


def rewritten(path: Path, text: bytes) -> None:
    """The same numbers, with other text: the header of a .safetensors, the metadata of a .npz."""
    nn.save(path, {"W": np.ones(2)})
    if path.suffix == ".safetensors":
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
        return
    with zipfile.ZipFile(path) as archive:
        member = archive.read("W.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("W.npy", member)
        archive.writestr("__metadata__.json", text)


@each_format
@pytest.mark.parametrize("depth", [4, 500, 50_000])
@pytest.mark.parametrize("level", ["[]", '{"\\"]":}', '[[],"]",]'])
def test_how_deep_the_text_of_a_file_nests_is_told_before_it_is_parsed(
    suffix: str, depth: int, level: str, tmp_path: Path
) -> None:
    path = tmp_path / f"deep{suffix}"
    rewritten(path, ((level[:-1] * depth) + level[-1] * depth).encode())
    deepest = depth + level.startswith("[[")
    with pytest.raises(ValueError, match=rf"deep\{suffix} is damaged.*: its JSON nests {deepest} deep, at most 3 are"):
        nn.load(path)


@each_format
@given(value=st.text(st.sampled_from('[]{}"\\,:aé'), max_size=12))
def test_brackets_in_text_do_not_nest(suffix: str, value: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / f"text{suffix}"
    nn.save(path, {"W": np.ones(2)}, {"k": value, value + "[[[[": "{" * 9})
    assert nn.load(path)[1] == {"k": value, value + "[[[[": "{" * 9}


def test_a_string_that_does_not_end_is_looked_at_once() -> None:
    text = '{"' + '\\"' * 9
    assert _NO_BRACKETS.findall(text) == [text[1:]]  # else each of its quotes would be tried as the first of a string
    with pytest.raises(json.JSONDecodeError, match="Unterminated string"):
        parsed(text.encode())


# --- pickles ---------------------------------------------------------------------------------------------------------

executed: list[str] = []


def spring(trace: str) -> None:
    executed.append(trace)


class Trap:
    """Unpickling one leaves a trace."""

    def __reduce__(self) -> Any:
        return spring, ("unpickled",)


def test_the_trap_works() -> None:
    pickle.loads(pickle.dumps(Trap()))
    assert executed.pop() == "unpickled"


@pytest.mark.parametrize("kind", ["object array", "bare pickle", "pickled member"])
def test_a_pickle_in_a_npz_is_never_executed(kind: str, tmp_path: Path) -> None:
    path, buffer = tmp_path / "a.npz", io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Trap()], object), allow_pickle=True)
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(Trap()))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("W.npy", buffer.getvalue() if kind == "object array" else pickle.dumps(Trap()))
            archive.writestr("__metadata__.json", json.dumps({}))
    with pytest.raises(ValueError, match=r"a\.npz is damaged"):
        nn.load(path)
    assert not executed
