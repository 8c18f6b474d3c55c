"""What errors say: operands, names, the user's line, and minigrad's word for what was written."""

from __future__ import annotations

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
    kinds = (np.exceptions.AxisError, np.linalg.LinAlgError, IndexError, TypeError, ValueError)
    kind: type[Exception] = next(k for k in kinds if isinstance(error, k))
    options = "".join(f", {key}={reprlib.repr(x)}" for key, x in static.items())
    return kind(f"{name}: {' and '.join(describe(x) for x in operands)}{options}: {error}")


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
    """`name (file:line)` of a function, as far as these are known."""
    name = getattr(function, "__name__", None) or repr(function)
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

_OTHER_WORDS = {"dim": "axis", "dims": "axis", "axes": "axis", "keepdim": "keepdims", "keep_dims": "keepdims"}
_INSTEAD = {
    "where": "choose with mg.where",
    "out": "results are new tensors",
    "dtype": "convert with x.astype(dtype)",
    "casting": "convert with x.astype(dtype)",
    "initial": "add or compare it afterwards",
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


# --- words of others -------------------------------------------------------------------------------------------------

#: What users of PyTorch and NumPy look for on a Tensor or in the package, and what it is here.
WORDS = {
    "view": "x.reshape(shape)",
    "size": "x.shape",
    "permute": "x.transpose(axes)",
    "t": "x.T",
    "unsqueeze": "mg.expand_dims(x, axis)",
    "expand": "mg.broadcast_to(x, shape)",
    "numpy": "x.data",
    "tolist": "x.data.tolist()",
    "copy": "mg.positive(x), or x.detach() without the record",
    "clone": "mg.positive(x), or x.detach() without the record",
    "cpu": "x itself: arrays live in NumPy's memory",
    "cuda": "x itself: arrays live in NumPy's memory",
    "to": "x.astype(dtype)",
    "type": "x.astype(dtype)",
    "float": "x.astype(np.float32)",
    "double": "x.astype(np.float64)",
    "long": "x.astype(np.int64)",
    "int": "x.astype(np.int64)",
    "dim": "x.ndim",
    "numel": "x.size",
    "requires_grad_": "x.requires_grad = True",
    "zero_grad": "x.grad = None",
    "detach_": "x = x.detach()",
    "cat": "mg.concatenate(tensors, axis)",
    "chunk": "mg.split(x, sections, axis)",
    "gather": "mg.take_along_axis(x, indices, axis)",
    "index_select": "mg.take(x, indices, axis)",
    "mm": "x @ y",
    "bmm": "x @ y",
    "mul": "x * y",
    "div": "x / y",
    "sub": "x - y",
    "neg": "-x",
    "pow": "x ** y",
    "clamp": "mg.clip(x, low, high)",
    "concat": "mg.concatenate(tensors, axis)",
    "from_numpy": "mg.tensor(array)",
    "as_array": "x.data",
    "array": "mg.tensor(data)",
    "zeros": "mg.tensor(np.zeros(shape))",
    "ones": "mg.tensor(np.ones(shape))",
    "randn": "mg.tensor(np.random.default_rng(0).standard_normal(shape))",
    "rand": "mg.tensor(np.random.default_rng(0).random(shape))",
    "arange": "mg.tensor(np.arange(n))",
    "jit": "mg.compile(f)",
    "elementwise_grad": "mg.grad(lambda x: f(x).sum())",
    "half": "x.astype(np.float16)",
    "bool": "x.astype(bool)",
    "type_as": "x.astype(y.dtype)",
    "view_as": "x.reshape(y.shape)",
    "reshape_as": "x.reshape(y.shape)",
    "expand_as": "mg.broadcast_to(x, y.shape)",
    "ndimension": "x.ndim",
    "nelement": "x.size",
    "movedim": "mg.moveaxis(x, source, destination)",
    "narrow": "x[start:stop]",
    "select": "x[index]",
    "unbind": "list(x)",
    "masked_fill": "mg.where(mask, value, x)",
    "masked_select": "x[mask]",
    "scatter_add": "mg.place(g, indices=(index,), shape=shape, dtype=dtype)",
    "add": "x + y",
    "matmul": "x @ y",
    "rsqrt": "x ** -0.5",
    "reciprocal": "1 / x",
    "eq": "x == y",
    "ne": "x != y",
    "lt": "x < y",
    "gt": "x > y",
    "le": "x <= y",
    "ge": "x >= y",
    "isnan": "mg.isnan(x)",
    "contiguous": "x itself: strides are NumPy's affair",
    "is_leaf": "x.primitive is None",
    "grad_fn": "x.primitive",
    "register_hook": "mg.tap(x, e), which collects its gradient in e",
    "device": "x itself: arrays live in NumPy's memory",
    "asarray": "mg.as_tensor(data)",
    "zeros_like": "mg.tensor(np.zeros_like(x.data))",
    "ones_like": "mg.tensor(np.ones_like(x.data))",
    "full": "mg.tensor(np.full(shape, value))",
    "eye": "mg.tensor(np.eye(n))",
    "linspace": "mg.tensor(np.linspace(start, stop, n))",
    "randint": "mg.tensor(np.random.default_rng(0).integers(low, high, shape))",
    "manual_seed": "np.random.default_rng(seed), which is given to what draws numbers",
    "set_grad_enabled": "mg.no_grad() or mg.enable_grad()",
    "inference_mode": "mg.no_grad()",
    "is_grad_enabled": "mg.no_grad() or mg.enable_grad(), as blocks",
    "stop_gradient": "x.detach()",
    "jacrev": "mg.jacobian(f)",
    "jacfwd": "mg.jacobian(f), or mg.jvp for one direction",
    "vmap": "a function of arrays with one axis more",
    "custom_vjp": "mg.primitive(function, rule)",
    "custom_gradient": "mg.primitive(function, rule)",
    "defvjp": "mg.primitive(function, rule)",
    "make_vjp": "mg.vjp(f, x)",
    "make_jvp": "mg.jvp(f, (x,), (v,))",
    "GradientTape": "mg.grad(f), or loss.backward()",
    "Variable": "mg.tensor(data, requires_grad=True)",
    "Parameter": "mg.tensor(data, requires_grad=True)",
    "nn": "a package of its own: import nn",
    "optim": "the package nn, as nn.Adam(parameters, lr)",
    "Module": "nn.Module, of the package nn",
    "Linear": "nn.Linear, of the package nn",
    "save": "nn.save(path, module), of the package nn",
    "load": "nn.load(path), of the package nn",
    "cross_entropy": "nn.cross_entropy, of the package nn",
    "check_grad": "minigrad.testing.check_grad",
    "check_grads": "minigrad.testing.check_grad",
    "gradcheck": "minigrad.testing.check_grad",
}


def unknown(owner: str, name: str) -> AttributeError:
    """The error for an attribute that `owner` has not, with minigrad's word for it if it is known."""
    word = f"; here it is {WORDS[name]}" if name in WORDS else ""
    return AttributeError(f"{owner} has no attribute {name!r}{word}", name=name)


def check_callable(name: str, f: Any, otherwise: str = "") -> Any:
    """f, if it can be called.

    Raises:
        TypeError: if not; `otherwise` says what is meant if it is a Tensor.
    """
    if not callable(f):
        remedy = otherwise if isinstance(f, Variable) and otherwise else f"write mg.{name}(f), with what computes it"
        raise TypeError(f"{name}: the first argument must be a function, got {type(f).__name__}; {remedy}")
    return f
