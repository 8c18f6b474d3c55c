"""Arrays and a little text in one file: `.npz`, or `.safetensors` (extra `examples`). Atomic, and never a pickle."""

from __future__ import annotations

import io
import json
import os
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .module import Module

_METADATA = "__metadata__.json"


def save(
    path: str | os.PathLike[str], arrays: Module | Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays by name, or a module's parameters, and text by name, to `path`.

    The file is written beside its place, flushed to the disk, and then renamed: whoever reads `path` finds the old
    file or the new one, whole.

    Raises:
        ValueError: if the path does not end in .npz or .safetensors, or an array's dtype cannot be stored there.
        TypeError: if metadata are not text.
        ModuleNotFoundError: if .safetensors is asked for and the package is not installed.
    """
    path = Path(path)
    state = arrays.state_dict() if isinstance(arrays, Module) else arrays
    plain = {name: np.array(a, order="C") for name, a in state.items()}
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
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(aside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and the text that `save` wrote.

    A .npz has a checksum of each array; a .safetensors has none, so that a changed bit in its numbers goes unnoticed.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, cut short, or not of the format that its name says.
        ModuleNotFoundError: if it is .safetensors and the package is not installed.
    """
    path = Path(path)
    if _suffix(path) == ".safetensors":
        _safetensors()
    data = path.read_bytes()
    try:
        return (_from_safetensors if path.suffix == ".safetensors" else _from_npz)(data)
    except Exception as error:
        raise ValueError(f"load: {path} is damaged, cut short, or was not written by save: {error}") from error


def _suffix(path: Path) -> str:
    if path.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"the name must end in .npz or .safetensors, got {path.name!r}")
    return path.suffix


def _to_npz(arrays: dict[str, np.ndarray], text: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, a in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, a, allow_pickle=False)
        archive.writestr(_METADATA, json.dumps(text))
    return buffer.getvalue()


def _from_npz(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    arrays, text = {}, None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            raw = archive.read(name)  # the whole member, which verifies its checksum
            if name == _METADATA:
                text = json.loads(raw)
            else:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    if text is None:
        raise ValueError(f"it has no {_METADATA}")
    return arrays, text


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            ".safetensors files need the package safetensors: pip install 'minigrad[examples]'; or use .npz"
        ) from error
    return safetensors


def _to_safetensors(arrays: dict[str, np.ndarray], text: dict[str, str]) -> bytes:
    package = _safetensors()
    if "__metadata__" in arrays:
        raise ValueError("save: '__metadata__' is a reserved name in .safetensors; rename the array or use .npz")
    try:
        data: bytes = package.numpy.save(arrays, text or None)  # an empty dict spoils a header without arrays
    except (package.SafetensorError, KeyError) as error:
        dtypes = ", ".join(sorted({str(a.dtype) for a in arrays.values()}))
        raise ValueError(f"save: .safetensors cannot hold one of the dtypes {dtypes}; use .npz") from error
    return data


def _from_safetensors(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    # the package leaves the text out, and does not read a file without arrays, which it wrote itself
    text = header.pop("__metadata__", {})
    return _safetensors().numpy.load(data) if header else {}, text
