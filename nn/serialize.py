"""Arrays and a little text in one file: `.npz`, or `.safetensors` (extra `examples`). Atomic, and never a pickle."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg

from .module import Module, array, native

METADATA = "__metadata__.json"
_CHECKSUM = "__crc32__"
# of JSON: strings, which may hold brackets, also one that does not end; and all else but brackets
_NO_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[^][{}"]+', re.DOTALL)
_BRANCHES = (np.ndarray, mg.Tensor, Module, Mapping)


def save(path: str | os.PathLike[str], arrays: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Write a module's weights and buffers, or the arrays of a tree, and text by name, to `path`.

    The file is written beside its place, flushed to the disk, and then renamed: whoever reads `path` finds the old
    file or the new one, whole.

    Args:
        arrays: a `Module`, or arrays or Tensors in a dict by name, or a tree of these (dicts, lists, tuples, Modules),
            in which names are paths: `{"net": module, "losses": [a, b]}` gives `net.cells.0.W`, ..., `losses.0`,
            `losses.1`.
        metadata: text by name.

    Raises:
        ValueError: if the path does not end in .npz or .safetensors, an array's dtype cannot be stored there, or two
            arrays have the same name.
        TypeError: if metadata are not text.
        ModuleNotFoundError: if .safetensors is asked for and the package is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save(f"{folder}/net.npz", nn.Linear(3, 2, rng=0), {"steps": "100"})
    ...     weights, metadata = nn.load(f"{folder}/net.npz")
    >>> list(weights), metadata
    (['W', 'b'], {'steps': '100'})
    """
    path = Path(path)
    plain: dict[str, np.ndarray] = {}
    for name, value in _named(arrays, ""):
        if name in plain:
            raise ValueError(f"save: two arrays have the name {name!r}")
        value = value.data if isinstance(value, mg.Tensor) else array(value)
        plain[name] = native(np.array(value, order="C"))
    for name, a in plain.items():
        if a.dtype.hasobject:
            raise ValueError(
                f"save: {name!r} holds Python objects (dtype {a.dtype}); only numbers and text can be saved"
            )
    text = dict(metadata or {})
    for name, value in text.items():
        if not isinstance(value, str):
            raise TypeError(f"save: metadata[{name!r}] must be text, got {type(value).__name__}; use json.dumps")
    data = (_to_safetensors if _suffix(path) == ".safetensors" else _to_npz)(plain, text)
    write_aside(path, data)


def write_aside(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that whoever reads `path` finds the old one or the new one, whole."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(aside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:  # which names the file aside
        missing = not path.parent.is_dir()
        reason = f"there is no folder {path.parent}" if missing else error.strerror
        raise OSError(error.errno, reason, str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and the text that `save` wrote.

    Nothing in the file is executed, and no more memory is taken than the file is long. A .npz has a checksum of each
    array; a .safetensors that `save` wrote has one of all, in its text; one from elsewhere has none (and one whose
    checksum lost its name to damage counts as such).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, cut short, or not of the format that its name says.
        ModuleNotFoundError: if it is .safetensors and the package is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save(f"{folder}/net.npz", nn.Linear(3, 2, rng=0))
    ...     weights, metadata = nn.load(f"{folder}/net.npz")
    >>> nn.Linear(3, 2).load_state_dict(weights)
    """
    path = Path(path)
    if _suffix(path) == ".safetensors":
        _safetensors()
    data = path.read_bytes()
    try:
        arrays, text = (_from_safetensors if path.suffix == ".safetensors" else _from_npz)(data)
        if not isinstance(text, dict) or not all(isinstance(v, str) for v in text.values()):
            raise ValueError("its metadata are not text by name")
        return arrays, text
    except Exception as error:
        raise ValueError(f"load: {path} is damaged, cut short, or was not written by save: {error}") from error


def _named(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The arrays of a tree with their paths; a list of plain numbers is an array."""
    value = value.state_dict() if isinstance(value, Module) else value
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(v, _BRANCHES) for v in value):
        items = enumerate(value)
    else:
        yield path, value
        return
    for key, part in items:
        yield from _named(part, f"{path}.{key}" if path else str(key))


def _suffix(path: Path) -> str:
    if path.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"the name must end in .npz or .safetensors, got {path.name!r}")
    return path.suffix


def _to_npz(arrays: dict[str, np.ndarray], text: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, a in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, a, (2, 0), allow_pickle=False)
        archive.writestr(METADATA, json.dumps(text))
    return buffer.getvalue()


def _from_npz(data: bytes) -> tuple[dict[str, np.ndarray], Any]:
    arrays, text = {}, None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len({m.filename for m in members}) < len(members):
            raise ValueError("two of its arrays have the same name")
        if any(m.compress_type != zipfile.ZIP_STORED for m in members) or sum(m.file_size for m in members) > len(data):
            raise ValueError("it declares more data than it holds, or compressed data")
        for member in members:
            raw = archive.read(member)  # the whole member, which verifies its checksum
            if member.filename == METADATA:
                text = parsed(raw)
            else:
                arrays[member.filename.removesuffix(".npy")] = _from_npy(raw)
    if text is None:
        raise ValueError(f"it has no {METADATA}")
    return arrays, text


def _from_npy(raw: bytes) -> np.ndarray:
    """The array, after a look whether there are as many bytes as its header declares."""
    stream = io.BytesIO(raw)
    versions = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = versions[np.lib.format.read_magic(stream)](stream)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(raw) - stream.tell():
        raise ValueError(f"an array is declared as {shape} {dtype}, but has {len(raw) - stream.tell()} bytes")
    stream.seek(0)
    return native(np.lib.format.read_array(stream, allow_pickle=False))


def _checksum(arrays: dict[str, np.ndarray], text: dict[str, str]) -> str:
    """One number for names, dtypes, shapes, entries and text, in any order."""
    crc = zlib.crc32(json.dumps(text, sort_keys=True).encode())
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        crc = zlib.crc32(json.dumps([name, a.dtype.str, arrays[name].shape]).encode(), crc)
        crc = zlib.crc32(a.reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            ".safetensors files need the package safetensors: pip install safetensors; or use .npz"
        ) from error
    return safetensors


def parsed(raw: bytes, depth: int = 3) -> Any:
    """What JSON in a file says, which may nest so deep: a header of .safetensors three, `{name: {"shape": [2]}}`.

    json's own limit differs with Python's version, and up to it each level takes 45 times the memory of its text.
    """
    text = raw.decode()
    brackets = _NO_BRACKETS.sub("", text)
    deepest = max(itertools.accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)
    if deepest > depth:
        raise ValueError(f"its JSON nests {deepest} deep, at most {depth} are read")
    return json.loads(text)


def _to_safetensors(arrays: dict[str, np.ndarray], text: dict[str, str]) -> bytes:
    package = _safetensors()
    if _CHECKSUM in text:
        raise ValueError(f"save: {_CHECKSUM!r} is a reserved name in metadata; rename it")
    if "__metadata__" in arrays:
        raise ValueError("save: '__metadata__' is a reserved name in .safetensors; rename the array or use .npz")
    try:
        data: bytes = package.numpy.save(arrays, text | {_CHECKSUM: _checksum(arrays, text)})
    except (package.SafetensorError, KeyError) as error:
        dtypes = ", ".join(sorted({str(a.dtype) for a in arrays.values()}))
        raise ValueError(f"save: .safetensors cannot hold one of the dtypes {dtypes}; use .npz") from error
    return data


def _from_safetensors(data: bytes) -> tuple[dict[str, np.ndarray], Any]:
    size = int.from_bytes(data[:8], "little")
    header = parsed(data[8 : 8 + size])
    # the package leaves the text out, and does not read a file without arrays, which it wrote itself
    text = header.pop("__metadata__", {})
    arrays = _safetensors().numpy.load(data) if header else {}
    found = text.pop(_CHECKSUM, None)
    if found is not None and found != _checksum(arrays, text):
        raise ValueError("its checksum is that of other data")
    return arrays, text
