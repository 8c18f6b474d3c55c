"""What NumPy's own functions mean when they are called on Tensors."""

from __future__ import annotations

import functools
import sys
from inspect import Parameter
from typing import Any, Never

import numpy as np

from . import activations, elementwise, linalg, ops, products, rearrange, reductions, shapes
from .callers import user_line
from .derivation import being_differentiated
from .einsum import einsum
from .interpretation import interpreted
from .messages import cut, not_taken, numpy_name
from .primitive import Primitive
from .record import Variable
from .served import by_function, by_ufunc
from .signatures import parameters
from .tree import tree_leaves


def plain(x: Any) -> Any:
    """Arrays in place of Tensors, in lists and tuples too."""
    if isinstance(x, Variable):
        return x._array
    return type(x)(plain(part) for part in x) if type(x) in (list, tuple) else x


def _np_clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None, **unknown: Never
) -> Any:
    if unknown:
        raise not_taken("clip", unknown, ("min", "max"))
    return ops.clip(a, min if a_min is None else a_min, max if a_max is None else a_max)


def _np_pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Any:
    if mode != "constant":
        raise TypeError(f"np.pad with mode={mode!r} has no derivative rule for a Tensor, only mode='constant'")
    return shapes.pad(array, pad_width, constant_values)


by_ufunc[np.power] = ops.power
by_ufunc[np.matmul] = ops.matmul
#: NumPy functions that are no ufuncs, and what they mean for Tensors.
FUNCTIONS = by_function
for _ours in (
    *(ops.sum, ops.mean, ops.var, ops.max, ops.min, ops.cumsum, ops.where, einsum),
    *(shapes.concatenate, shapes.stack, shapes.split, shapes.take, shapes.reshape, shapes.transpose),
    *(shapes.broadcast_to, shapes.squeeze, shapes.tril, shapes.triu),
):
    FUNCTIONS[getattr(np, _ours.__name__)] = _ours
FUNCTIONS.update({np.amax: ops.max, np.amin: ops.min, np.clip: _np_clip, np.pad: _np_pad})

#: What NumPy's functions take by position as well, and ours by name, if at all.
OPTIONS = {
    "dtype", "out", "keepdims", "initial", "where", "ddof", "order", "mode", "subok", "casting", "kind", "copy",
    "correction", "mean", "optimize", "overwrite_input",
}  # fmt: skip
_NOT_GIVEN = getattr(np, "_NoValue", None)  # what NumPy's functions and others' hand on where nothing was given
_BY_POSITION = Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD

_PARTS = (elementwise, rearrange, reductions, products)
#: The names of minigrad's functions of arrays.
OURS = {name for part in (ops, shapes, *_PARTS, activations) for name in part.__all__}

for _part, _numpys in (*[(part, np) for part in _PARTS], (linalg, np.linalg)):
    for _name in _part.__all__:
        _function = getattr(_numpys, _name, None)  # None: newer than this NumPy, or a name of ours alone
        if _function is not None and _function not in by_ufunc:
            FUNCTIONS[_function] = getattr(_part, _name)
by_ufunc.update({np.radians: elementwise.deg2rad, np.degrees: elementwise.rad2deg, np.fabs: ops.absolute})

#: NumPy functions that look at shape and dtype alone.
SHAPES = {np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.result_type}
#: NumPy functions whose results have no derivative: computed on the arrays.
PLAIN = SHAPES | {
    *(np.allclose, np.isclose, np.array_equal, np.all, np.any, np.count_nonzero, np.nonzero, np.unique),
    *(np.round, np.searchsorted, np.shares_memory, np.may_share_memory),
}
#: Those whose results vary with values: of every argument, and of the one that fills.
VALUES = {np.unique: 0, np.full_like: 1}


#: What serves in place of some functions that have another name.
_NEAREST = {
    "add.reduce": "sum", "multiply.reduce": "prod", "maximum.reduce": "max", "minimum.reduce": "min",
    "add.accumulate": "cumsum", "multiply.accumulate": "cumprod", "multiply.outer": "outer", "float_power": "power",
    "fmod": "remainder", "block": "concatenate", "quantile": "sort", "percentile": "sort", "correlate": "convolve",
    "interp": "where", "nanmax": "max", "nanmin": "min", "nanvar": "var", "nanstd": "std", "nanprod": "prod",
    "nanmedian": "median", "cumulative_sum": "cumsum", "cumulative_prod": "cumprod",
    "linalg.pinv": "linalg.solve", "linalg.lstsq": "linalg.qr", "linalg.svd": "linalg.svdvals",
    "linalg.eig": "linalg.eigh", "linalg.eigvals": "linalg.eigvalsh",
}  # fmt: skip


def nearest(name: str) -> str:
    """minigrad's function nearest to a name of NumPy's in meaning, where that is known, or in spelling; or ""."""
    import difflib  # for an error alone: it takes longer to import than a page of the table

    if name in _NEAREST:
        return f"mg.{_NEAREST[name]}"
    room, names = ("linalg.", linalg.__all__) if name.startswith("linalg.") else ("", OURS)
    close = difflib.get_close_matches(name.removeprefix(room), names, n=1, cutoff=0.76)
    return f"mg.{room}{close[0]}" if close else ""


def _no_rule(name: str) -> TypeError:
    """The error for a NumPy function that has no meaning for Tensors yet."""
    near = nearest(name.removeprefix("np."))
    remedy = f"the nearest here is {near}; use that" if near else "use functions of minigrad"
    return TypeError(
        f"{name} has no derivative rule for a Tensor, at {user_line()}; {remedy}, declare one with mg.primitive, or "
        "call it on np.asarray(t.detach()) for a value that hands on no gradient"
    )


@interpreted
def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **static: Any) -> Any:
    """What NumPy calls for `np.tanh(t)` and `array @ t`: the primitive that stands for the ufunc."""
    if method == "__call__" and ufunc not in by_ufunc and ufunc in FUNCTIONS:
        _check_taken(ufunc.__name__, FUNCTIONS[ufunc], static)
        return FUNCTIONS[ufunc](*inputs, **static)
    name = numpy_name(ufunc) + ("" if method == "__call__" else f".{method}")
    if method == "__call__" and static:
        raise TypeError(f"{name} with {', '.join(static)}= on a Tensor: {not_taken(ufunc.__name__, static, ())}")
    if method != "__call__" or ufunc not in by_ufunc:
        raise _no_rule(name)
    return by_ufunc[ufunc](*inputs)


def array_function(self: Any, function: Any, types: Any, args: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """What NumPy calls for `np.sum(t, axis=1)` and its like."""
    if function in FUNCTIONS:
        served = FUNCTIONS[function]
        if isinstance(served, Primitive) and not any(isinstance(x, Variable) for x in args):
            raise TypeError(f"{numpy_name(function)}: give a Tensor by position, not by name or inside of a list")
        static = {name: x for name, x in static.items() if x is not _NOT_GIVEN}
        inputs, options = _by_name(function, *_by_position(function, served, args, static))
        _check_taken(function.__name__, served, options)
        return served(*inputs, **options)
    if function in PLAIN:
        what = f"{numpy_name(function)}(t)"
        if function not in SHAPES:
            self._value(what)
        if function in VALUES:
            for x in tree_leaves((args[VALUES[function] :], static)):
                if isinstance(x, Variable) and being_differentiated(x):
                    raise cut(what, ())
        return function(*[plain(x) for x in args], **{key: plain(x) for key, x in static.items()})
    raise _no_rule(numpy_name(function))


def _check_taken(name: str, served: Any, given: dict[str, Any]) -> None:
    """Raise TypeError for a keyword that a composed function does not take; a primitive says so itself."""
    taken = [] if isinstance(served, Primitive) else parameters(served) or []
    names = [p.name for p in taken if p.kind in (*_BY_POSITION, Parameter.KEYWORD_ONLY)]
    if len(names) == len(taken) > 0 and not given.keys() <= set(names):
        raise not_taken(name, given, names)


def _by_position(
    function: Any, served: Any, args: tuple[Any, ...], static: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A call in which arguments that NumPy knows by another name than we do are given by position."""
    if static:
        ours = _places(served)
        for name in _places(function)[len(args) :]:
            if name not in static or name in ours:
                break
            args, static = (*args, static[name]), {key: x for key, x in static.items() if key != name}
    return args, static


@functools.cache
def _places(function: Any) -> list[str]:
    """The names of what a function takes by position, of some by position alone."""
    return [p.name for p in parameters(function) or () if p.kind in _BY_POSITION]


def _by_name(function: Any, args: tuple[Any, ...], static: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """A call in which NumPy's options, which stand elsewhere in ours, are given by name, and not if as they are."""
    options = _options(function)
    static = static | {name: args[k] for k, name, _ in options if k < len(args)}
    for _, name, default in options:
        if name in static and (static[name] is default or (isinstance(default, str) and static[name] == default)):
            del static[name]
    places = {k for k, *_ in options}
    return [x for k, x in enumerate(args) if k not in places], static


@functools.cache
def _options(function: Any) -> list[tuple[int, str, Any]]:
    """The place, name and default of the options that a function of NumPy takes; no place for one by name alone."""
    found = [(k, p) for k, p in enumerate(parameters(function) or ()) if p.name in OPTIONS]
    return [(k if p.kind is Parameter.POSITIONAL_OR_KEYWORD else sys.maxsize, p.name, p.default) for k, p in found]
