"""What errors say: operands, names, and the user's line."""

from __future__ import annotations

import functools
import itertools
import linecache
import re
import reprlib
from collections.abc import Collection, Iterable
from types import FrameType
from typing import Any

import numpy as np

from .callers import caller, user_line
from .record import Variable


def describe(x: Any) -> str:
    """Shape and dtype of an operand, for messages: `(3, 4) float32`."""
    if isinstance(x, (np.ndarray, np.generic, Variable)):
        x = x._array if isinstance(x, Variable) else x
        return f"{x.shape} {x.dtype}"
    return f"{type(x).__name__} {reprlib.repr(x)}"


def explained(name: str, error: Exception, operands: list[Any], static: dict[str, Any]) -> Exception:
    """An error of the same kind that names the primitive, its operands and its options."""
    kinds = (np.exceptions.AxisError, np.linalg.LinAlgError, IndexError, TypeError, ValueError, OverflowError)
    kind: type[Exception] = next(k for k in kinds if isinstance(error, k))
    options = "".join(f", {key}={reprlib.repr(x)}" for key, x in static.items())
    called = " and ".join(describe(x) for x in operands) or "no inputs"
    return kind(
        f"{name}: {called}{options}: {str(error).rstrip()}{_clash(operands) if 'be broadcast' in str(error) else ''}"
    )


def _clash(operands: list[Any]) -> str:
    """The first sizes from the right that broadcasting cannot bring together."""
    shapes = [tuple(getattr(x, "shape", ()))[::-1] for x in operands]
    for sizes in itertools.zip_longest(*shapes, fillvalue=1):
        apart = [str(n) for n in dict.fromkeys(sizes) if n != 1]
        if len(apart) > 1:
            return f"; shapes are aligned from the right, where {' and '.join(apart)} differ; x[:, None] adds an axis"
    return ""


def of_rule(name: str, which: str, error: Exception, line: str | None) -> Exception:
    """An error for what a derivative rule raised: of the same kind, RuntimeError if that is not one of Python's.

    An error that says itself what raised it, as of a rule within a checkpoint, is returned as it is.
    """
    if hasattr(error, "told"):
        return error
    place = line or "unknown: run the forward pass under mg.detect_anomaly() to see its line"
    text = f"{name}: {which} raised {type(error).__name__}: {error}; forward call: {place}"
    return told(same_kind(error, text), error)


def same_kind(error: Exception, text: str) -> Exception:
    """An error of the same kind with another text; RuntimeError if that is not one of Python's or NumPy's."""
    kind = next(k for k in type(error).__mro__ if k.__module__ in ("builtins", "numpy.exceptions", "numpy.linalg"))
    try:
        return RuntimeError(text) if kind is Exception else kind(text)
    except TypeError:  # a kind that wants more than a text
        return RuntimeError(text)


def told(error: Exception, cause: BaseException | None = None) -> Exception:
    """The error, marked as one that says what raised it."""
    error.__cause__, error.told = cause, True  # type: ignore[attr-defined]
    return error


def check_finite(what: str, value: Any, sources: list[Any], line: str | None) -> None:
    """Raise if `value` has a NaN, or an infinity where no source has one (a mask's -inf may pass through)."""
    if not isinstance(value, (np.ndarray, np.generic)) or np.isfinite(value).all():
        return
    arrays = [x for x in sources if isinstance(x, (np.ndarray, np.generic, float))]
    if not np.isnan(value).any() and any(np.isinf(x).any() for x in arrays):
        return
    bad = int(np.size(value) - np.isfinite(value).sum())
    raise FloatingPointError(
        f"{what} has {bad} non-finite of {np.size(value)} entries; "
        f"shapes: {' and '.join(describe(x) for x in arrays)} -> {describe(value)}; "
        f"forward call: {line or 'unknown: run the forward pass under detect_anomaly too'}"
    )


def check_real(what: str, x: Any) -> None:
    """Raise TypeError for what is no real number, or no number, though NumPy may make one of it without a word.

    It would drop an imaginary part, or a mask, read None as NaN and "2" as 2.
    """
    if isinstance(x, complex) or (isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "c"):
        raise TypeError(f"{what} must be real numbers or booleans, got complex ones: {describe(x)}")
    if type(x) in (float, int) or isinstance(x, Variable):
        return
    check_unmasked(what, x)
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{what}: {error} (nn.pad_sequences joins sequences of different lengths)") from error
    numbers = array.dtype.kind in "fiub" or (
        array.dtype == object and all([hasattr(entry, "__float__") for entry in array.flat])
    )
    if not numbers:
        raise TypeError(f"{what} must be real numbers or booleans, got dtype {array.dtype}: {reprlib.repr(x)}")


def as_dtype(name: str, dtype: Any) -> Any:
    """A dtype, or None; TypeError, with the function's name, for what is none, as a flag given in its place."""
    if dtype is None:
        return None
    try:
        return np.dtype(dtype)
    except TypeError:
        found = describe(dtype)
    raise TypeError(
        f"{name}: dtype must be one, as np.float32, got {found}; a flag is given by name: requires_grad=True"
    )


#: what may be a masked array, or hold some
MASKABLE = np.ndarray, list, tuple


def check_unmasked(what: str, x: Any) -> None:
    """Raise TypeError for a masked array, or one in a list or tuple, of which NumPy makes an array without its mask."""
    if isinstance(x, (list, tuple)):
        if x and type(x[0]) not in (float, int):
            for part in x:
                check_unmasked(what, part)
    elif isinstance(x, np.ndarray) and type(x) is not np.ndarray and hasattr(x, "mask"):
        raise TypeError(
            f"{what}: the mask of the masked array, {describe(x)}, would be lost; pass x.filled(0), and choose with "
            "mg.where(np.ma.getmaskarray(x), ..., ...); losses take lengths= and ignore_index="
        )


def check_operand(what: str, x: Any) -> None:
    """Raise TypeError for an array with operators of its own, which mean something else than those of Tensors."""
    check_unmasked(what, x)
    if isinstance(x, np.matrix):
        raise TypeError(f"{what}: the * of an np.matrix, {describe(x)}, is @; pass np.asarray(x), and write @ for it")


def numpy_name(function: Any) -> str:
    """The name that a user writes: `np.linalg.norm`, `np.tanh`; for what is not NumPy's, its own name."""
    name = str(getattr(function, "__name__", function))
    module = getattr(function, "__module__", None) or ""
    if getattr(np, name, None) is function:
        return f"np.{name}"
    return f"np{module.removeprefix('numpy')}.{name}" if module.split(".")[0] == "numpy" else name


# --- where -----------------------------------------------------------------------------------------------------------


def defined(function: Any) -> str:
    """`name (file:line)` of a function, as far as these are known; of another object the name of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    code = getattr(function, "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code is not None else name


def running(frame: FrameType) -> str:
    """The source text of the expression that a frame is evaluating, "" if that is not known."""
    line, last, start, end = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    if line is None or line != last:
        return ""
    return linecache.getline(frame.f_code.co_filename, line).encode()[start:end].decode(errors="replace")


# --- a record that is cut --------------------------------------------------------------------------------------------

_ALIKE = {
    "fabs": "abs", "pow": "power", "fsum": "sum", "dist": "norm", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh", "radians": "deg2rad",
    "degrees": "rad2deg",
}  # fmt: skip


class CutError(TypeError):
    """A value was taken out of a tensor that is being differentiated, so that the gradient would end there."""


def cut(what: str, ours: Collection[str]) -> CutError:
    """The error for `what`, which takes values out of a tensor; `ours` are the names of minigrad's functions."""
    written = running(caller())
    called = re.match(r"((?:\w+\.)*(\w+))\(", written)
    name = _ALIKE.get(called[2], called[2]) if called else ""
    if called and name in ours and called[1] not in ("float", "int"):
        remedy = f"write mg.{name} instead of {called[1]}"
    else:
        remedy = "write mg.sin instead of math.sin, and mg.stack of a list instead of filling an array"
    return CutError(
        f"{what} at {user_line()} takes numbers out of a tensor that requires a gradient, which would end there: "
        f"{remedy}; to print or to look at a value, t.item() or t.data; for a constant, t.detach()"
    )


# --- keywords --------------------------------------------------------------------------------------------------------

_OTHER_WORDS = {
    "dim": "axis", "dims": "axis", "axes": "axis", "keepdim": "keepdims", "keep_dims": "keepdims",
    "min": "low", "max": "high", "a_min": "low", "a_max": "high",
}  # fmt: skip
_INSTEAD = {
    "where": "choose with mg.where",
    "out": "results are new tensors",
    "dtype": "convert with x.astype(dtype)",
    "casting": "convert with x.astype(dtype)",
    "initial": "add or compare it afterwards",
    "order": 'for order="F" transpose before and afterwards',
    "copy": "results are new tensors",
}


def not_taken(name: str, given: Iterable[str], taken: Collection[str]) -> TypeError:
    """The error for the first keyword of `given` that is not among those `taken`."""
    word = next(key for key in given if key not in taken)
    meant = _OTHER_WORDS.get(word)
    if meant in taken:
        remedy = f"it is called {meant}="
    elif word in _INSTEAD:
        remedy = _INSTEAD[word]
    else:
        words = ", ".join(f"{key}=" for key in sorted(taken)) or "no keywords"
        remedy = f"it takes {words} (what its function and its derivative rules both name)"
    return TypeError(f"{name}: does not take {word}=; {remedy}")


def lost(name: str) -> TypeError:
    """The error for a Tensor where no rule reaches it."""
    return TypeError(
        f"{name}: a Tensor that requires a gradient is given by keyword or inside of a list, where no derivative rule "
        "reaches it; pass it by position, or detached: `x.detach()`"
    )


def check_callable(name: str, f: Any, otherwise: str = "") -> Any:
    """f, if it can be called.

    Raises:
        TypeError: if not; `otherwise` says what is meant if it is a Tensor.
    """
    if not callable(f):
        remedy = otherwise if isinstance(f, Variable) and otherwise else f"write mg.{name}(f), with what computes it"
        raise TypeError(f"{name}: the first argument must be a function, got {type(f).__name__}; {remedy}")
    return f
