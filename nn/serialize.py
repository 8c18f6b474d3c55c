"""Arrays and a little text in one file: `.npz`, or `.safetensors` (extra `examples`). Atomic, and never a pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .module import Module

_METADATA = "__metadata__"


def save(
    path: str | os.PathLike[str], arrays: Module | Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays by name, or a module's parameters, and text by name, to `path`.

    The file is written beside its place, flushed to the disk, and then renamed: whoever reads `path` finds the old
    file or the new one, whole.

    Raises:
        ValueError: if the path does not end in .npz or .safetensors, or an array holds Python objects.
        ModuleNotFoundError: if .safetensors is asked for and the package is not installed.
    """
    path = Path(path)
    state = arrays.state_dict() if isinstance(arrays, Module) else arrays
    plain = {name: np.ascontiguousarray(a).reshape(np.shape(a)) for name, a in state.items()}
    for name, a in plain.items():
        if a.dtype.hasobject:
            raise ValueError(
                f"save: {name!r} holds Python objects (dtype {a.dtype}); only numbers and text can be saved"
            )
    text = dict(metadata or {})
    write = _writer(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file, plain, text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and the text that `save` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, cut short, or not of the format that its name says.
        ModuleNotFoundError: if it is .safetensors and the package is not installed.
    """
    path = Path(path)
    read = _load_safetensors if _suffix(path) == ".safetensors" else _load_npz
    if not path.exists():
        raise FileNotFoundError(f"load: there is no file {path}")
    return read(path)


def _suffix(path: Path) -> str:
    if path.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"the name must end in .npz or .safetensors, got {path.name!r}")
    return path.suffix


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            ".safetensors files need the package safetensors: pip install 'minigrad[examples]'; or use .npz"
        ) from error
    return safetensors


def _writer(path: Path) -> Any:
    if _suffix(path) == ".safetensors":
        package = _safetensors()
        return lambda file, arrays, text: file.write(package.numpy.save(arrays, text))
    return lambda file, arrays, text: np.savez(file, **{**arrays, _METADATA: np.array(json.dumps(text))})


def _load_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        text = json.loads(str(arrays.pop(_METADATA)))
    except (
        ValueError,
        KeyError,
        OSError,
        EOFError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"load: {path} is damaged, cut short, or was not written by save: {error}") from error
    return arrays, text


def _load_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    package = _safetensors()
    try:
        with package.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (package.SafetensorError, OSError, ValueError, TypeError) as error:
        raise ValueError(f"load: {path} is damaged, cut short, or was not written by save: {error}") from error
