"""Files of weights: what goes in comes out, whole or not at all, and nothing in a file is ever executed."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn

needs_safetensors = pytest.mark.skipif(
    importlib.util.find_spec("safetensors") is None,
    reason="the package safetensors, of the extra `examples`, is not installed",
)
FORMATS = [".npz", pytest.param(".safetensors", marks=needs_safetensors)]
each_format = pytest.mark.parametrize("suffix", FORMATS)

NUMBERS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float16", "float32", "float64", "complex64"]
SHAPES = [(), (0,), (1,), (3,), (2, 0, 3), (2, 3), (1, 2, 3)]


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        (a[k].dtype, a[k].shape, a[k].tobytes()) == (b[k].dtype, b[k].shape, b[k].tobytes()) for k in a
    )


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    return {"W": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1.5, -2.5])}


# --- round trips -----------------------------------------------------------------------------------------------------


@each_format
@pytest.mark.parametrize("dtype", NUMBERS + FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_dtype_and_shape_comes_back_bit_for_bit(suffix: str, dtype: str, shape: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = np.frombuffer(rng.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), np.uint8)
    a = (a % 2 if dtype == "bool" else a).view(dtype).reshape(shape)  # NaN payloads too
    nn.save(tmp_path / f"a{suffix}", {"a": a})
    loaded, text = nn.load(tmp_path / f"a{suffix}")
    assert same(loaded, {"a": a})
    assert text == {}
    loaded["a"][...] = 0  # and is the caller's own


@each_format
@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::-1], lambda a: a[:, ::2]], ids=["T", "::-1", "::2"])
def test_views_are_saved_as_they_look(suffix: str, view: Any, tmp_path: Path) -> None:
    a = view(np.arange(12.0).reshape(3, 4))
    nn.save(tmp_path / f"a{suffix}", {"a": a})
    np.testing.assert_array_equal(nn.load(tmp_path / f"a{suffix}")[0]["a"], a)


@each_format
def test_numbers_lists_and_constant_tensors_are_saved_as_arrays(suffix: str, tmp_path: Path) -> None:
    nn.save(tmp_path / f"a{suffix}", {"number": 3, "list": [1.0, 2.0], "tensor": mg.tensor([True, False])})
    loaded, _ = nn.load(tmp_path / f"a{suffix}")
    assert same(loaded, {"number": np.array(3), "list": np.array([1.0, 2.0]), "tensor": np.array([True, False])})


@each_format
def test_tensors_that_require_gradients_are_saved_wherever_they_stand_in_a_tree(suffix: str, tmp_path: Path) -> None:
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    nn.save(tmp_path / f"a{suffix}", {"w": w, "more": [w * 2, {"sum": w.sum()}]})
    arrays, _ = nn.load(tmp_path / f"a{suffix}")
    expected = {"w": np.array([1.0, 2.0]), "more.0": np.array([2.0, 4.0]), "more.1.sum": np.array(3.0)}
    assert same(dict(sorted(arrays.items())), dict(sorted(expected.items())))


@each_format
@given(text=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4))
def test_metadata_come_back(suffix: str, text: dict[str, str], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / f"text{suffix}"
    nn.save(path, {"a": np.ones(2)}, text)
    assert nn.load(path)[1] == text


@each_format
@pytest.mark.parametrize(
    "name", ["file", "allow_pickle", "__metadata__.npy", "x.npy", "a/b", "", "é ∂", "arr_0", "a.b"]
)
def test_an_array_may_have_any_name(suffix: str, name: str, tmp_path: Path) -> None:
    arrays = {name: np.arange(3), "x": np.zeros(2)}
    nn.save(tmp_path / f"a{suffix}", arrays, {"k": "v"})
    loaded, text = nn.load(tmp_path / f"a{suffix}")
    assert same({k: loaded[k] for k in arrays}, arrays)
    assert (len(loaded), text) == (2, {"k": "v"})


@each_format
def test_the_name_of_the_text_itself_is_kept_or_refused_but_not_lost(suffix: str, tmp_path: Path) -> None:
    try:
        nn.save(tmp_path / f"a{suffix}", {"__metadata__": np.arange(3)}, {"k": "v"})
    except ValueError:
        assert not list(tmp_path.iterdir())
    else:
        loaded, text = nn.load(tmp_path / f"a{suffix}")
        assert same(loaded, {"__metadata__": np.arange(3)})
        assert text == {"k": "v"}


@each_format
def test_nothing_at_all_comes_back_as_nothing(suffix: str, tmp_path: Path) -> None:
    nn.save(tmp_path / f"a{suffix}", {})
    assert nn.load(tmp_path / f"a{suffix}") == ({}, {})


@each_format
def test_a_modules_parameters_come_back(suffix: str, tmp_path: Path) -> None:
    a, b = nn.LSTM(2, 3, 2, rng=0), nn.LSTM(2, 3, 2, rng=1)
    nn.save(tmp_path / f"a{suffix}", a, {"kind": "LSTM"})
    state, text = nn.load(tmp_path / f"a{suffix}")
    b.load_state_dict(state)
    xs = np.ones((3, 2, 2))
    np.testing.assert_array_equal(a(xs)[0].data, b(xs)[0].data)
    assert text == {"kind": "LSTM"}


def test_a_file_of_safetensors_is_read_by_that_package_and_back(weights: Any, tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.numpy", reason="the package safetensors is not installed")
    nn.save(tmp_path / "ours.safetensors", weights)
    assert same(package.load_file(tmp_path / "ours.safetensors"), weights)
    package.save_file(weights, tmp_path / "theirs.safetensors")
    assert same(nn.load(tmp_path / "theirs.safetensors")[0], weights)


def test_a_npz_is_read_by_numpy(weights: Any, tmp_path: Path) -> None:
    nn.save(tmp_path / "a.npz", weights)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert same({name: archive[name] for name in weights}, weights)


def test_text_arrays_go_into_npz(tmp_path: Path) -> None:
    nn.save(tmp_path / "a.npz", {"words": np.array(["a", "né"])})
    np.testing.assert_array_equal(nn.load(tmp_path / "a.npz")[0]["words"], np.array(["a", "né"]), strict=True)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "a.npy", "a.pt", "a.npz.bak", ".npz", "a.NPZ"])
@pytest.mark.parametrize("call", [lambda path: nn.save(path, {}), nn.load], ids=["save", "load"])
def test_another_suffix_raises_and_names_the_two(call: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.npz or \.safetensors, got"):
        call(tmp_path / name)
    assert not list(tmp_path.iterdir())


@each_format
def test_arrays_of_objects_are_refused_by_name_and_leave_no_file(suffix: str, tmp_path: Path) -> None:
    for a in (np.array([{}, None]), np.zeros(2, [("x", "f4"), ("y", "O")])):
        with pytest.raises(ValueError, match="'bad' holds Python objects"):
            nn.save(tmp_path / f"a{suffix}", {"good": np.ones(1), "bad": a})
    assert not list(tmp_path.iterdir())


@needs_safetensors
@pytest.mark.parametrize("a", [np.array(["text"]), np.ones(2, complex)], ids=["text", "complex128"])
def test_a_dtype_that_safetensors_does_not_have_raises_and_leaves_no_file(a: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{a.dtype}.*use \.npz"):
        nn.save(tmp_path / "a.safetensors", {"a": a})
    assert not list(tmp_path.iterdir())


@each_format
def test_metadata_that_are_no_text_raise_and_leave_no_file(suffix: str, tmp_path: Path) -> None:
    for value in (1, None, b"x", ["x"]):
        with pytest.raises(TypeError, match=r"metadata\['k'\] must be text"):
            nn.save(tmp_path / f"a{suffix}", {}, {"k": value})  # type: ignore[dict-item]
    assert not list(tmp_path.iterdir())


@each_format
def test_a_missing_file_or_folder_raises_and_names_it(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        nn.load(tmp_path / f"nowhere{suffix}")
    path = tmp_path / "nowhere" / f"a{suffix}"
    with pytest.raises(FileNotFoundError, match=rf"there is no folder {path.parent}: '{path}'$"):
        nn.save(path, {})
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=rf"Is a directory: '{path}'$"):
        nn.save(path, {})
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("call", [lambda path: nn.save(path, {}), nn.load], ids=["save", "load"])
def test_without_the_package_safetensors_the_error_names_it(call: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install safetensors"):
        call(tmp_path / "a.safetensors")


# --- whole or not at all ---------------------------------------------------------------------------------------------


@each_format
@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["OSError", "KeyboardInterrupt"])
def test_a_failure_while_writing_leaves_the_old_file_whole_and_no_other(
    suffix: str, broken: str, error: BaseException, weights: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / f"a{suffix}"
    nn.save(path, weights, {"v": "1"})
    before = path.read_bytes()

    def fails(*args: Any) -> None:
        raise error

    monkeypatch.setattr(os, broken, fails)
    with pytest.raises(type(error)):
        nn.save(path, {"W": np.zeros(1000)}, {"v": "2"})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert nn.load(path)[1] == {"v": "1"}


@each_format
def test_the_new_file_is_flushed_to_the_disk_before_it_takes_the_old_ones_place(
    suffix: str, weights: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    path, events = tmp_path / f"a{suffix}", []
    fsync, replace = os.fsync, os.replace

    def flushed(fd: int) -> None:
        events.append(("fsync", os.fstat(fd).st_size))
        fsync(fd)

    def renamed(a: Any, b: Any) -> None:
        events.append(("replace", os.stat(a).st_size))
        assert Path(a).parent == tmp_path  # a rename across file systems would not be atomic
        replace(a, b)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    nn.save(path, weights)
    assert events == [("fsync", path.stat().st_size), ("replace", path.stat().st_size)]


@each_format
def test_two_saves_of_one_path_at_a_time_leave_the_last_one_whole(
    suffix: str, weights: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    path, fsync = tmp_path / f"a{suffix}", os.fsync

    def save_another(fd: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        nn.save(path, {"other": np.zeros(1000)})  # as another thread would, in the middle of this save
        fsync(fd)

    monkeypatch.setattr(os, "fsync", save_another)
    nn.save(path, weights)
    assert same(nn.load(path)[0], weights)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has a umask")
@each_format
def test_a_saved_file_has_the_permissions_of_any_new_file(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    nn.save(tmp_path / f"a{suffix}", {})
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", f"a{suffix}")]
    assert modes[0] == modes[1]


@each_format
def test_numbers_of_the_other_byte_order_are_saved_and_loaded_as_the_machines_own(tmp_path: Path, suffix: str) -> None:
    arrays = {"W": np.array([1.5, 2.0], ">f4"), "k": np.array([[1, 2]], ">i8"), "s": np.array(3.0, "<f8")}
    nn.save(tmp_path / f"a{suffix}", arrays)
    found, _ = nn.load(tmp_path / f"a{suffix}")
    assert {name: (a.dtype, a.tolist()) for name, a in found.items()} == {
        "W": (np.dtype(np.float32), [1.5, 2.0]),
        "k": (np.dtype(np.int64), [[1, 2]]),
        "s": (np.dtype(np.float64), 3.0),
    }


def test_weights_and_states_of_the_other_byte_order_are_taken() -> None:
    def swapped(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: a.astype(a.dtype.newbyteorder()) for name, a in state.items()}

    net, other = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=1)
    other.load_state_dict(swapped(net.state_dict()))
    assert np.array_equal(other.W.data, net.W.data)
    assert nn.from_torch(swapped(nn.to_torch(net))).W.dtype == np.float32
    net(np.ones((1, 3), "f")).sum().backward()
    optimizer = nn.Adam(net.parameters())
    optimizer.step()
    resumed = nn.Adam(other.parameters())
    resumed.load_state_dict(swapped(optimizer.state_dict()))
    assert same(resumed.state_dict(), optimizer.state_dict())
