"""Weights from file to file: what is read, what is refused, and what the command prints and leaves."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_serialize_damage import Trap

import nn
from nn.convert import files, from_tool, to_tool
from nn.convert.__main__ import main

pytest.importorskip("rich", reason="the command prints a table with rich")


def cell_file(folder: Path, name: str = "haiku.GRU", suffix: str = ".npz") -> tuple[Path, Any]:
    cell = nn.GRUCell(2, 3, rng=0)
    path = folder / f"theirs{suffix}"
    nn.save(path, to_tool(cell, name, "gru/"))
    return path, cell


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_of_a_tool_becomes_ours_and_goes_to_another_tool(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, cell = cell_file(tmp_path, suffix=suffix)
    ours = tmp_path / f"ours{suffix}"
    code, out, _ = run(capsys, path, ours, "--from", "haiku.GRU", "--prefix", "gru/")
    assert code == 0
    assert [word for word in ("gru/w_h", "W [z r n]", "W, W_h", "(3, 9)", "GRUCell(2, 3)") if word not in out] == []
    state = nn.load(ours)[0]
    assert all(np.array_equal(state[name], a) for name, a in cell.state_dict().items())
    back = tmp_path / f"back{suffix}"
    assert run(capsys, ours, back, "--from", "nn.GRUCell", "--to", "haiku.GRU", "--to-prefix", "gru/")[0] == 0
    first, second = nn.load(path)[0], nn.load(back)[0]
    assert set(first) == set(second)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_arrays_that_numpy_wrote_are_read_compressed_or_not(tmp_path: Path) -> None:
    arrays = {"a/W": np.asfortranarray(np.random.default_rng(0).standard_normal((3, 4))), "b": np.float32(2)}
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "plain.npz", **arrays)
        found = files.read(tmp_path / "plain.npz")
        assert all(np.array_equal(found[name], a) for name, a in arrays.items())


def test_several_prefixes_are_layers_and_directions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.GRU(2, 3, num_layers=2, bidirectional=True, rng=0)
    starts = ("f0/", "b0/", "f1/", "b1/")
    nn.save(tmp_path / "theirs.npz", to_tool(net, "haiku.GRU", starts))
    words = [word for start in starts for word in ("--prefix", start)]
    code, _, err = run(capsys, tmp_path / "theirs.npz", tmp_path / "ours.npz", "--from", "haiku.GRU", *words,
                       "--bidirectional")  # fmt: skip
    assert code == 0, err
    state = nn.load(tmp_path / "ours.npz")[0]
    assert all(np.array_equal(state[name], a) for name, a in net.state_dict().items())
    assert from_tool(state, "nn.GRU(bidirectional=True)").directions == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--from"),
        (["--from", "haiku.LSTM", "--prefix", "gru/"], "linear/w"),
        (["--from", "haiku.GRU"], "there is: gru/w_i (2, 9)"),
        (["--from", "haiku.GRU", "--prefix", "gru/w"], "gru/b (9,)"),
        (["--from", "haiku.GRU", "--prefix", "gru/", "--to", "keras.layers.GRU(reset_after=False)"], "exact=False"),
        (["--from", "haiku.GRU", "--prefix", "gru/", "--to", "flax.nnx.GRUCell"], "reset='after'"),
        (["--from", "haiku.gru", "--prefix", "gru/"], "haiku.VanillaRNN"),
    ],
)
def test_what_does_not_fit_is_listed_and_nothing_is_written(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = cell_file(tmp_path)
    target = tmp_path / "ours.npz"
    target.write_bytes(b"as it was")
    code, out, err = run(capsys, path, target, *words)
    assert (code, out) == (1, "")
    assert said in err
    assert "was not written" in err
    assert target.read_bytes() == b"as it was"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours.npz", "theirs.npz"]


@pytest.mark.parametrize(
    ("source", "target", "words", "said"),
    [
        (
            "a.onnx",
            "b.npz",
            ["--to", "paddle.nn.GRU", "--to-prefix", "a/"],
            "a whole model.*leave out --to, --to-prefix",
        ),
        ("a.keras", "b.npz", ["--bidirectional", "--inexact"], "a whole model.*leave out --bidirectional, --inexact"),
        ("a.keras", "b.npz", ["--prefix", "a/", "--leave-rest"], "a whole model.*leave out --prefix, --leave-rest"),
        ("a.npz", "b.onnx", ["--from", "nn.GRU", "--to", "nn.GRU"], "names of its own; leave out --to$"),
    ],
)
def test_an_option_that_would_be_of_no_effect_is_refused(
    source: str, target: str, words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, tmp_path / source, tmp_path / target, *words)
    assert code == 1
    assert re.search(said, err, re.MULTILINE)


def test_left_over_arrays_are_all_listed_unless_they_are_left_on_purpose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, cell = cell_file(tmp_path)
    nn.save(path, files.read(path) | {"head/w": np.ones((3, 2), "f"), "head/b": np.ones(2, "f")})
    words = [path, tmp_path / "ours.npz", "--from", "haiku.GRU", "--prefix", "gru/"]
    code, _, err = run(capsys, *words)
    assert code == 1
    assert "head/w (3, 2)" in err
    assert "head/b (2,)" in err
    assert run(capsys, *words, "--leave-rest")[0] == 0
    assert set(nn.load(tmp_path / "ours.npz")[0]) == set(cell.state_dict())


def test_a_tools_layers_become_an_onnx_file_and_its_weights_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed, with which ONNX files are written and run")
    net = nn.GRU(2, 3, num_layers=2, reset="after", z="old", rng=0)
    nn.save(tmp_path / "paddle.npz", to_tool(net, "paddle.nn.GRU"))
    words = [tmp_path / "paddle.npz", tmp_path / "net.onnx", "--from", "paddle.nn.GRU"]
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert "0.cell.weight_ih" in out
    xs = np.random.default_rng(0).standard_normal((3, 2, 2)).astype(np.float32)
    np.testing.assert_allclose(nn.from_onnx(tmp_path / "net.onnx")(xs)[0].data, net(xs)[0].data, rtol=0, atol=1e-6)
    code, out, err = run(capsys, tmp_path / "net.onnx", tmp_path / "back.npz")
    assert code == 0, err
    assert sorted(a.size for a in nn.load(tmp_path / "back.npz")[0].values()) == sorted(
        p.size for p in net.parameters()
    )


def test_the_names_of_all_cells_are_printed_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--list"])
    assert capsys.readouterr().out.split("\n")[:-1] == list(nn.convert.tools())


# --- what is not read ------------------------------------------------------------------------------------------------


def test_a_pickle_in_a_file_of_arrays_is_not_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "trap.npz", a=np.array([Trap()], object))
    with pytest.raises(ValueError, match="Python objects"):
        files.read(tmp_path / "trap.npz")


def test_what_would_unpack_to_far_more_than_the_file_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "large.npz", a=np.zeros(10**6))
    with pytest.raises(ValueError, match="declares 8000128 bytes"):
        files.read(tmp_path / "large.npz")


def test_a_header_that_declares_other_sizes_than_there_are_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((2, 3)))
    raw = buffer.getvalue().replace(b"(2, 3)", b"(9, 3)")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", raw)
    with pytest.raises(ValueError, match=r"declared as \(9, 3\) float64, but has 48 bytes"):
        files.read(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_in_a_file_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(2))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", buffer.getvalue())
    with pytest.raises(ValueError, match="two of its members have the same name"):
        files.read(tmp_path / "a.npz")


def test_members_of_a_file_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.ones(2))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("b", b"1234")
    with pytest.raises(ValueError, match="its members b are no arrays"):
        files.read(tmp_path / "a.npz")


def test_a_file_of_another_name_or_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must end in one of"):
        files.read(tmp_path / "weights.pkl")
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(ValueError, match="damaged, cut short, or not what its name says"):
        files.read(tmp_path / "text.npz")


def h5py_or_skip() -> Any:
    return pytest.importorskip("h5py", reason="h5py is not installed, which reads .h5 and .keras")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("compressed", "compressed or filtered"),
        ("external", "data in other files"),
        ("virtual", "data in other files"),
        ("soft", "link to elsewhere"),
        ("elsewhere", "link to elsewhere"),
        ("cycle", "a second time"),
        ("text", "has no numbers"),
        ("type", "neither a group nor an array"),
        ("late", "has 0 bytes"),
    ],
)
def test_what_is_no_plain_array_of_an_h5_file_is_refused_by_name(kind: str, said: str, tmp_path: Path) -> None:
    h5py, path, a = h5py_or_skip(), tmp_path / "a.h5", np.ones((4, 3), "f")
    with h5py.File(path, "w") as file:
        group = file.create_group("g")
        group["W"] = a
        if kind == "compressed":
            group.create_dataset("b", data=a, compression="gzip")
        elif kind == "external":
            group.create_dataset("b", (4, 3), "f", external=[("other.bin", 0, 48)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4, 3), "f")
            layout[:] = h5py.VirtualSource("other.h5", "W", (4, 3))
            group.create_virtual_dataset("b", layout)
        elif kind == "soft":
            group["b"] = h5py.SoftLink("/g/W")
        elif kind == "elsewhere":
            group["b"] = h5py.ExternalLink("other.h5", "/W")
        elif kind == "cycle":
            group["b"] = file["/"]
        elif kind == "text":
            group["b"] = "a name"
        elif kind == "type":
            group["b"] = np.dtype("f8")
        else:
            group.create_dataset("b", (10**6, 10**3), "f8")  # 8 GB that no file has
    with pytest.raises(ValueError, match=said):
        files.read(path)
