"""Arrays by name from files of other tools: `.npz`, `.safetensors`, `.h5` and `.keras`, and back into the first three.

Nothing in a file is executed, no other file is opened for it, and what it declares is compared with the bytes that are
there before memory is taken. Keras numbers the weights in its files; a cell's are called here as Keras calls them.
"""

from __future__ import annotations

import importlib
import io
import math
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..serialize import METADATA, load, parsed, save, write_aside
from .layout import Arrays

SUFFIXES = (".npz", ".safetensors", ".h5", ".keras")
#: How many times longer than a file its unpacked contents may be: numbers that were learnt hardly shrink at all.
UNPACKED = 20
#: How deep a configuration of Keras may nest: a model within a model is three levels deeper, `{"config": {"layers": [`.
NESTED = 200
_CELL = re.compile(r"(.*\bcell(?:s/\w+)?)/vars/([012])")
_NAMES = ("kernel", "recurrent_kernel", "bias")


def read(path: str | os.PathLike[str]) -> Arrays:
    """The arrays of a file by name: of a `.keras` its weights; in `.h5` names are paths, joined with "/".

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its name ends otherwise, or it is damaged, cut short, not what its name says, or of a kind that
            is not read: compressed, virtual or external data in `.h5`, Python objects.
        ModuleNotFoundError: if the package for its format is not installed.
    """
    found: Arrays = _read(Path(path), lambda data: _ARRAYS[Path(path).suffix](data))
    return found


def read_keras(path: str | os.PathLike[str]) -> tuple[Any, Arrays]:
    """The configuration and the weights of a `.keras` file; see `read`."""
    found: tuple[Any, Arrays] = _read(Path(path), _keras)
    return found


def write(path: str | os.PathLike[str], arrays: Arrays) -> None:
    """Write arrays to a `.npz`, `.safetensors` or, numbered as Keras does, `.h5`: the whole file or none.

    Raises:
        ValueError: if the path ends otherwise, or an array cannot be stored there.
        ModuleNotFoundError: if the package for its format is not installed.
    """
    if Path(path).suffix != ".h5":
        save(path, arrays)
        return
    buffer = io.BytesIO()
    with _h5py().File(buffer, "w") as file:
        for name, a in arrays.items():
            folder, _, own = name.rpartition("/")
            numbered = re.search(r"(^|/)cell(s/\w+)?$", folder) and own in _NAMES
            file[f"{folder}/vars/{_NAMES.index(own)}" if numbered else name] = a
    write_aside(path, buffer.getvalue())


def _read(path: Path, parse: Any) -> Any:
    if path.suffix not in SUFFIXES:
        raise ValueError(f"nn.convert: the name must end in one of {', '.join(SUFFIXES)}, got {path.name!r}")
    if path.suffix == ".safetensors":
        return load(path)[0]
    if path.suffix != ".npz":
        _h5py()
    data = path.read_bytes()
    try:
        return parse(data)
    except Exception as error:
        raise ValueError(f"nn.convert: {path} is damaged, cut short, or not what its name says: {error}") from error


# --- zip -------------------------------------------------------------------------------------------------------------


def _members(data: bytes) -> dict[str, bytes]:
    """The members of a zip file, each verified by its checksum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError("two of its members have the same name")
        unpacked = sum(member.file_size for member in members)
        if unpacked > UNPACKED * len(data):
            raise ValueError(f"it declares {unpacked} bytes, {UNPACKED} times more than it has; store it uncompressed")
        return {member.filename: archive.read(member) for member in members}


def _npz(data: bytes) -> Arrays:
    members = _members(data)
    if others := [name for name in members if not name.endswith((".npy", "/")) and name != METADATA]:
        raise ValueError(f"its members {', '.join(others)} are no arrays")
    return {name.removesuffix(".npy"): _npy(raw) for name, raw in members.items() if name.endswith(".npy")}


def _npy(raw: bytes) -> np.ndarray:
    """The array, after a look whether there are as many bytes as its header declares."""
    stream = io.BytesIO(raw)
    versions = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = versions[np.lib.format.read_magic(stream)](stream)
    _compare(shape, dtype, len(raw) - stream.tell())
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _compare(shape: tuple[int, ...], dtype: np.dtype, found: int) -> None:
    if dtype.hasobject:
        raise ValueError("an array holds Python objects, which are not read")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != found:
        raise ValueError(f"an array is declared as {shape} {dtype}, but has {found} bytes")


# --- HDF5 ------------------------------------------------------------------------------------------------------------


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(".h5 and .keras files need the package h5py: pip install h5py") from error


def _keras(data: bytes) -> tuple[Any, Arrays]:
    members = _members(data)
    missing = [name for name in ("config.json", "model.weights.h5") if name not in members]
    if missing:
        raise ValueError(f"it has no {' and no '.join(missing)}")
    return parsed(members["config.json"], NESTED), _h5(members["model.weights.h5"])


def _h5(data: bytes) -> Arrays:
    """All plain arrays; what is not of numbers stored in this very file is refused."""
    h5py, arrays, seen = _h5py(), {}, set()

    def walk(group: Any, path: str) -> None:
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            raise ValueError(f"the group {path or '/'!r} is there a second time")
        seen.add(address)
        for name in group:
            own = f"{path}/{name}" if path else name
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{own!r} is a link to elsewhere")
            part = group[name]
            if isinstance(part, h5py.Group):
                walk(part, own)
            elif isinstance(part, h5py.Dataset):
                arrays[own] = _dataset(part, own)
            else:
                raise ValueError(f"{own!r} is neither a group nor an array")

    def _dataset(a: Any, path: str) -> np.ndarray:
        plist = a.id.get_create_plist()
        if a.is_virtual or plist.get_external_count():
            raise ValueError(f"{path!r} has its data in other files")
        if plist.get_nfilters():
            raise ValueError(f"{path!r} is compressed or filtered; store it as it is")
        shape, dtype = a.shape, a.dtype
        if shape is None or dtype.kind not in "fiub" or dtype.subdtype is not None:
            raise ValueError(f"{path!r} has no numbers, but {dtype}")
        _compare(shape, dtype, a.id.get_storage_size())
        taken.append(math.prod(shape) * dtype.itemsize)
        if sum(taken) > len(data):
            raise ValueError(f"its arrays up to {path!r} have more bytes than the file")
        return np.asarray(a[()])

    taken: list[int] = []
    with h5py.File(io.BytesIO(data), "r") as file:
        walk(file, "")
    return {_named(path): a for path, a in arrays.items()}


def _named(path: str) -> str:
    """Keras' path of an array in a file, with the name of a cell's weight in place of its number."""
    found = _CELL.fullmatch(path)
    return path if found is None else f"{found[1]}/{_NAMES[int(found[2])]}"


_ARRAYS: Mapping[str, Any] = {".npz": _npz, ".h5": _h5, ".keras": lambda data: _keras(data)[1]}
