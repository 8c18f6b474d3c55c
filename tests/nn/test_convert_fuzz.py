"""Damaged files of other tools end in an error that names them, or in arrays no larger than the file; nothing is run.

Each format gets as many files as the profile says: 25, or 500 with `--hypothesis-profile=long`. A number that was
changed in place can be seen where the format has checksums: .npz and .keras, not .h5 or another tool's .safetensors.
"""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interop.cases import read as read_cases
from interop.ours import RECORDED, all_cases, below
from test_serialize_damage import executed
from test_serialize_fuzz import compressed, extended, flipped, huge, overwritten, pickled, renamed, truncated

from nn.convert import files, from_keras

WEIGHTS = below(all_cases()["flax.linen.GRUCell"][1], "weights/")
MODEL = read_cases(RECORDED / "keras_models.npz")[1]["masked"]


def whole(suffix: str) -> bytes:
    """A file of each format as its tool writes it."""
    if suffix in MODEL:
        return MODEL[suffix].tobytes()
    if suffix == ".safetensors":
        numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
        return bytes(numpy.save(WEIGHTS))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **WEIGHTS)
    return buffer.getvalue()


def changed_byte(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    """Another value for a byte that is not 0: among them are sizes and kinds of things."""
    places = np.flatnonzero(np.frombuffer(data, np.uint8))
    k = int(rng.choice(places))
    return data[:k] + rng.bytes(1) + data[k + 1 :]


def damaged_inside(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    """A .keras with valid checksums around a member that is damaged."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(members)[int(rng.integers(len(members)))]
    members[name] = KINDS[int(rng.integers(len(KINDS)))](members[name], rng, suffix)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return buffer.getvalue()


KINDS = [truncated, flipped, overwritten, extended, changed_byte]
OWN: dict[str, list[Any]] = {
    ".npz": [renamed, huge, compressed, pickled],
    ".safetensors": [renamed, huge, pickled],
    ".weights.h5": [],
    ".keras": [damaged_inside, damaged_inside],
}


@pytest.mark.parametrize("suffix", OWN)
@given(which=st.integers(0, 99), seed=st.integers(0, 2**32 - 1))
def test_a_damaged_file_ends_in_an_error_that_names_it(
    suffix: str, which: int, seed: int, tmp_path_factory: Any
) -> None:
    if suffix in MODEL:
        pytest.importorskip("h5py", reason="h5py is not installed, which reads .h5 and .keras")
    kinds = [*KINDS, *OWN[suffix]]
    data, path = whole(suffix), tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(kinds[which % len(kinds)](data, np.random.default_rng(seed), suffix))
    tracemalloc.start()
    try:
        if suffix == ".keras":
            arrays = from_keras(path).state_dict()
        else:
            arrays = files.read(path)
    except ValueError as error:
        assert "damaged" in str(error)  # noqa: PT017
        arrays = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 3_000_000 + 2 * files.UNPACKED * path.stat().st_size
    assert not executed
    if arrays is not None:
        assert sum(a.nbytes for a in arrays.values()) <= files.UNPACKED * path.stat().st_size
        assert all(a.dtype.kind in "fiub" for a in arrays.values())


@pytest.mark.parametrize("suffix", [".npz", ".keras"])
@given(seed=st.integers(0, 2**32 - 1))
def test_a_flipped_bit_is_refused_or_changes_nothing(suffix: str, seed: int, tmp_path_factory: Any) -> None:
    if suffix == ".keras":
        pytest.importorskip("h5py", reason="h5py is not installed, which reads .h5 and .keras")
    path = Path(tmp_path_factory.getbasetemp() / f"flipped{suffix}")
    path.write_bytes(whole(suffix))
    first = files.read(path)
    path.write_bytes(flipped(whole(suffix), np.random.default_rng(seed), suffix))
    try:
        found = files.read(path)
    except ValueError as error:
        assert "damaged" in str(error)  # noqa: PT017
        return
    assert [(name, a.tobytes()) for name, a in found.items() if name in first] == [
        (name, a.tobytes()) for name, a in first.items() if name in found
    ]
