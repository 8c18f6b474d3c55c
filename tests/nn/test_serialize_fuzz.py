"""Thousands of damaged files: each ends in an error that names it, runs nothing, and takes no more memory than it may.

80 of each format are drawn by default, 5 000 with `--hypothesis-profile=long`.
"""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_serialize import each_format, same
from test_serialize_damage import Trap, executed

import nn

many = settings(max_examples=10 * settings.default.max_examples)
MODEL = nn.GRU(2, 3, rng=0)
HUGE = [2**31, 2**40, 2**62, 10**30]


def valid(suffix: str, folder: Path) -> bytes:
    path = folder / f"valid{suffix}"
    nn.save(path, MODEL, {"kind": "GRU"})
    return path.read_bytes()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: Any, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, raw in parts:
            archive.writestr(name, raw)
    return buffer.getvalue()


def with_header(data: bytes, header: Any) -> bytes:
    """A .safetensors with another header before its numbers."""
    size = int.from_bytes(data[:8], "little")
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def header_of(data: bytes) -> Any:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def without_lost_checksum(text: dict[str, str]) -> dict[str, str]:
    """The text without a checksum under a changed name: such a file counts as one from elsewhere, which has none."""
    return {name: value for name, value in text.items() if len(value) != 8}


# --- kinds of damage: (whole file, source of randomness) -> another file ---------------------------------------------


def truncated(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    return data[: rng.integers(len(data))]


def flipped(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    changed = bytearray(data)
    for k in rng.integers(len(data), size=rng.integers(1, 4)):
        changed[k] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwritten(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    start = int(rng.integers(len(data)))
    noise = rng.bytes(int(rng.integers(1, 40)))
    return data[:start] + noise + data[start + len(noise) :]


def extended(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    start = int(rng.integers(len(data)))
    return data[:start] + rng.bytes(int(rng.integers(1, 40))) + data[start:]


def renamed(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    new = "".join(rng.choice(list("abcUW.é/0"), rng.integers(1, 9)))
    if suffix == ".npz":
        parts = list(members(data).items())
        k = int(rng.integers(len(parts)))
        parts[k] = (f"{new}.npy", parts[k][1])
        return zipped(parts)
    header = header_of(data)
    old = rng.choice(sorted(header))
    return with_header(data, {new if name == old else name: entry for name, entry in header.items()})


def huge(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    n = HUGE[rng.integers(len(HUGE))]
    shape = [(n,), (n, n), (3, n), (0, -n), (-1,)][rng.integers(5)]
    if suffix == ".npz":
        parts = dict(members(data))
        name = sorted(parts)[int(rng.integers(len(parts)))]
        text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode() + b"\n"
        parts[name] = b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + bytes(24)
        return zipped(parts.items())
    header = header_of(data)
    name = rng.choice([name for name in header if name != "__metadata__"])
    header[name]["shape"] = shape
    if rng.random() < 0.5:
        header[name]["data_offsets"] = [0, 4 * n]
    if rng.random() < 0.2:
        return n.to_bytes(16, "little")[:8] + data[8:]
    return with_header(data, header)


def compressed(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    """A small file that unpacks to a large one, or for the other format a header of deeply nested lists."""
    if suffix == ".npz":
        parts = list(members(data).items())
        name = parts[int(rng.integers(len(parts)))][0]
        return zipped([(n, bytes(2 * 10**6) if n == name else raw) for n, raw in parts], zipfile.ZIP_DEFLATED)
    depth = int(rng.integers(10, 100_000))
    return with_header(data, b"[" * depth + b"]" * depth)


def pickled(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    trap = pickle.dumps(Trap())
    if suffix != ".npz" or rng.random() < 0.3:
        return trap if rng.random() < 0.5 else with_header(data, trap)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Trap()], object), allow_pickle=True)
    parts = list(members(data).items())
    k = int(rng.integers(len(parts)))
    parts[k] = (parts[k][0], buffer.getvalue() if rng.random() < 0.5 else trap)
    return zipped(parts)


def repeated(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    """Metadata that are no text by name, or that stand twice."""
    value = [{"k": 1}, ["k"], {"k": {"a": "b"}}, 3, "text"][rng.integers(5)]
    if suffix == ".npz":
        parts = members(data)
        if rng.random() < 0.3:
            return zipped([*parts.items(), ("extra.json", b"{}")])
        return zipped([(n, json.dumps(value) if n.startswith("__") else raw) for n, raw in parts.items()])
    return with_header(data, header_of(data) | {"__metadata__": value})


KINDS = [truncated, flipped, overwritten, extended, renamed, huge, compressed, pickled, repeated]


@each_format
@many
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_a_damaged_file_ends_in_an_error_that_names_it(
    suffix: str, kind: Any, seed: int, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = valid(suffix, folder)
    path = folder / f"damaged{suffix}"
    path.write_bytes(kind(whole, np.random.default_rng(seed), suffix))
    model = nn.GRU(2, 3, rng=1)
    before = model.state_dict()
    tracemalloc.start()
    try:
        arrays, text = nn.load(path)
    except ValueError as error:
        assert f"damaged{suffix} is damaged" in str(error)  # noqa: PT017
        arrays = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 200_000 + 40 * path.stat().st_size
    assert not executed
    if arrays is None:
        return
    try:
        model.load_state_dict(arrays)
    except ValueError as error:
        assert "nothing was loaded" in str(error)  # noqa: PT017
        assert same(model.state_dict(), before)
    else:  # a time stamp changed, or the like; or the one thing that hides the rest, the name of the checksum
        assert same(arrays, MODEL.state_dict()) or text != without_lost_checksum(text)
        assert without_lost_checksum(text) == {"kind": "GRU"} or text != without_lost_checksum(text)


@each_format
@pytest.mark.parametrize("kind", KINDS[4:], ids=lambda kind: kind.__name__)
def test_each_kind_of_damage_that_matters_is_refused(suffix: str, kind: Any, tmp_path: Path) -> None:
    whole, path = valid(suffix, tmp_path), tmp_path / f"damaged{suffix}"
    refused = 0
    for seed in range(20):
        path.write_bytes(kind(whole, np.random.default_rng(seed), suffix))
        try:
            MODEL.load_state_dict(nn.load(path)[0])
        except ValueError:
            refused += 1
    assert refused >= (20 if kind is not repeated else 10)


@each_format
@pytest.mark.parametrize("all_bits", [False, pytest.param(True, marks=pytest.mark.campaign)], ids=["some", "all"])
def test_every_flipped_bit_is_refused_or_changes_nothing(suffix: str, all_bits: bool, tmp_path: Path) -> None:
    path, a = tmp_path / f"flipped{suffix}", {"W": np.arange(3, dtype=np.float32)}
    nn.save(path, a, {"k": "v"})
    whole = path.read_bytes()
    for k in range(0, 8 * len(whole), 1 if all_bits else 7):
        changed = bytearray(whole)
        changed[k // 8] ^= 1 << (k % 8)
        path.write_bytes(changed)
        try:
            loaded, text = nn.load(path)
        except ValueError as error:
            assert f"flipped{suffix} is damaged" in str(error)  # noqa: PT017
        else:
            assert same(loaded, a)
            assert without_lost_checksum(text) == {"k": "v"}


def test_strict_loading_lists_every_fault_at_once_and_changes_nothing() -> None:
    model = nn.GRU(2, 3, rng=1)
    before = model.state_dict()
    state = MODEL.state_dict() | {"other": np.ones(2), "cells.0.b": np.ones(9), "cells.0.W": np.ones((1, 6))}
    del state["cells.0.U"]
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        model.load_state_dict(state)
    assert str(caught.value).splitlines()[1:] == [
        "  missing: cells.0.U (2, 9) float32",
        "  mismatched: cells.0.W is (1, 6) float64, this model has (3, 6) float32",
        "  mismatched: cells.0.b is (9,) float64, this model has (9,) float32",
        "  unexpected: other (2,) float64",
    ]
    assert same(model.state_dict(), before)


# --- trees -----------------------------------------------------------------------------------------------------------


@each_format
def test_the_arrays_of_a_tree_are_named_by_their_paths(suffix: str, tmp_path: Path) -> None:
    tree = {"net": nn.Linear(2, 3, rng=0), "state": (np.ones(2), {"C": np.zeros(3)}), "losses": [0.5, 0.25], "n": 3}
    nn.save(tmp_path / f"tree{suffix}", tree, {"kind": "tree"})
    arrays, text = nn.load(tmp_path / f"tree{suffix}")
    assert sorted(arrays) == ["losses", "n", "net.W", "net.b", "state.0", "state.1.C"]
    np.testing.assert_array_equal(arrays["losses"], [0.5, 0.25])
    np.testing.assert_array_equal(arrays["net.W"], tree["net"].W.data)
    assert text == {"kind": "tree"}


@each_format
def test_two_arrays_of_one_name_raise_and_leave_no_file(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"two arrays have the name 'a\.b'"):
        nn.save(tmp_path / f"a{suffix}", {"a.b": np.ones(1), "a": {"b": np.ones(1)}})
    assert not list(tmp_path.iterdir())
