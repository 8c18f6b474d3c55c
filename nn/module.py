"""Module: an object whose weights are the tensors in its attributes and in those of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

import minigrad as mg

from .arguments import check_constructed
from .words import OF_MODULES, check_keywords, is_ours, missing_of, parameters_of

_NUMBERS = (mg.Tensor, np.ndarray, np.generic, bool, int, float)
_SAVED = (None, "frozen", "buffer")  # the roles of what a module saves; None is that of a parameter


_NONE: Mapping[int, str | None] = MappingProxyType({})
#: The roles of those for which tensors stand in, by the ids of these: see `functional_call`.
stand_ins: ContextVar[Mapping[int, str | None]] = ContextVar("nn.stand_ins", default=_NONE)


if TYPE_CHECKING:
    from .typed import F, Forward


class Module:
    """Base class of layers, cells and models; define `forward`, call the object.

    Its weights are found by walking the attributes, and lists, tuples and dicts in them. A leaf tensor with
    requires_grad=True is a parameter. One whose requires_grad was switched off is frozen: it does not learn, but is
    saved, loaded and counted. `nn.buffer(array)` is saved and loaded and takes no gradient, as a running mean or a
    table. Any other tensor is a constant, or a result that was kept, and is not saved. A tensor that is reachable by
    two ways (tied weights) counts once, under the name found first.

    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         self.w = nn.parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.w
    >>> net = Scale()
    >>> net(3.0), list(net.named_parameters())
    (tensor([6.], from multiply), [('w', tensor([2.], requires_grad=True))])
    """

    _training: bool = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A new module, after a look at the arguments, also for other tools' keywords, if the constructor is ours."""
        made_by: Any = cls.__init__
        if is_ours(made_by):
            check_keywords(cls, kwargs)
            check_constructed(cls, parameters_of(made_by), args, kwargs)
        return super().__new__(cls)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    if TYPE_CHECKING:  # a call takes and returns what the class's own forward does

        @property
        def __call__(self: Forward[F]) -> F: ...

    else:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if not mg.detailed():
                return self.forward(*args, **kwargs)
            with inside(self):
                result = self.forward(*args, **kwargs)
                mg.label(result, "output")
                return result

    # --- parts and parameters ----------------------------------------------------------------------------------------

    def named_parameters(self, frozen: bool = False) -> Iterator[tuple[str, mg.Tensor]]:
        """Each parameter once, with its path: `cells.0.W`; with `frozen` those that are frozen as well.

        Raises:
            ValueError: if two have the same path.
        """
        return self._named((None, "frozen") if frozen else (None,))

    def parameters(self, frozen: bool = False) -> list[mg.Tensor]:
        """The parameters, each once; with `frozen` those that are frozen as well."""
        return [p for _, p in self.named_parameters(frozen)]

    def named_buffers(self) -> Iterator[tuple[str, mg.Tensor]]:
        """Each buffer once, with its path."""
        return self._named(("buffer",))

    def _named(self, roles: tuple[str | None, ...]) -> Iterator[tuple[str, mg.Tensor]]:
        """The tensors of these roles with their paths; None is that of a parameter."""
        paths, standing = set(), stand_ins.get()
        for path, t in _walk(self, "", set()):
            if not isinstance(t, mg.Tensor):
                continue
            if id(t) not in standing and (t.primitive is not None or (not t.requires_grad and t.role is None)):
                continue  # a result, or a constant
            if standing.get(id(t), t.role) not in roles:
                continue
            if path in paths:
                raise ValueError(f"{type(self).__name__}: two parameters have the path {path!r}; rename a dict's key")
            paths.add(path)
            yield path, t

    def freeze(self, mode: bool = True) -> Module:
        """Set requires_grad=False for every parameter, or True again for every frozen one; returns the module."""
        for p in self.parameters(frozen=not mode):
            p.requires_grad = not mode
        return self

    if not TYPE_CHECKING:  # a type checker is not to think that a module has every attribute

        def __getattr__(self, name):
            raise missing_of(self, name, OF_MODULES)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; what replaces a buffer, numbers or a Tensor without a record, is one in turn."""
        before = vars(self).get(name)
        if isinstance(before, mg.Tensor) and before.role == "buffer" and isinstance(value, _NUMBERS):
            if isinstance(value, mg.Tensor) and value.requires_grad:
                raise TypeError(f"{type(self).__name__}: {name} is a buffer, which takes no gradient, and its new "
                                "value requires one; assign it detached: `value.detach()`")  # fmt: skip
            plain = isinstance(value, (bool, int, float))  # a 0 in place of a float32 stays one
            value = buffer(value, np.result_type(before.dtype, value) if plain else None)
        super().__setattr__(name, value)

    def modules(self) -> Iterator[Module]:
        """This module and every module inside it, each once."""
        return (value for _, value in _walk(self, "", set()) if isinstance(value, Module))

    def zero_grad(self) -> None:
        """Forget every parameter's gradient."""
        for p in self.parameters():
            p.grad = None

    @property
    def training(self) -> bool:
        """Whether the module is in training, as `train` and `eval` set it; True at first.

        A compiled function that reads it is traced anew when it changes.
        """
        return bool(mg.watched(self, "_training"))

    @training.setter
    def training(self, mode: bool) -> None:
        self._training = mode

    def train(self, mode: bool = True) -> Module:
        """Switch this module and its parts to training, where dropout drops; returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch this module and its parts to evaluation, where dropout is the identity; returns the module."""
        return self.train(False)

    # --- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of the data of every parameter, frozen weight and buffer, by name."""
        return {name: t.data.copy() for name, t in self._named(_SAVED)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set every parameter, frozen weight and buffer from `state`: the same names, shapes and dtypes.

        Raises:
            TypeError: if `state` is no mapping.
            ValueError: listing every missing, unexpected or mismatched entry; nothing is changed then.
        """
        check_mapping(state)
        own = dict(self._named(_SAVED))
        faults = [f"missing: {name} {p.shape} {p.dtype}" for name, p in own.items() if name not in state]
        for name, value in state.items():
            found = native(np.asarray(value.data if isinstance(value, mg.Tensor) else array(value)))
            if name not in own:
                faults.append(f"unexpected: {name} {found.shape} {found.dtype}")
            elif (found.shape, found.dtype) != (own[name].shape, own[name].dtype):
                wanted = f"{own[name].shape} {own[name].dtype}"
                faults.append(f"mismatched: {name} is {found.shape} {found.dtype}, this model has {wanted}")
        if faults:
            raise ValueError("load_state_dict: nothing was loaded, the state does not fit:\n  " + "\n  ".join(faults))
        for name, p in own.items():
            p.data = state[name]

    # --- display -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands in the parentheses of `repr`: sizes and options."""
        return ""

    def __repr__(self) -> str:
        return "\n".join(_lines(self, set()))


def buffer(data: Any, dtype: npt.DTypeLike | None = None) -> mg.Tensor:
    """A tensor that a module saves and loads, and that takes no gradient: a running mean, a mask, a table of numbers.

    Any real, integer or bool data. It counts as no parameter. To change it assign `t.data = array` (of the same shape
    and dtype), or the module's attribute: `self.mean = 0.9 * self.mean + 0.1 * mean` is a buffer again.

    >>> class Centred(nn.Module):
    ...     def __init__(self):
    ...         self.mean = nn.buffer(np.zeros(2))
    >>> net = Centred()
    >>> net.parameters(), list(net.state_dict())
    ([], ['mean'])
    """
    t = mg.tensor(data, dtype)
    t.role = "buffer"
    return t


def array(x: Any) -> Any:
    """x if it is a Tensor, else as an array; TypeError for a masked array or a list of some: the mask would be lost."""
    if isinstance(x, mg.Tensor) or type(x) is np.ndarray:
        return x
    if isinstance(x, (list, tuple)) and x and type(x[0]) not in (float, int):
        check_no_state(x)
        for part in x:
            array(part)
    if isinstance(x, np.ndarray) and hasattr(x, "mask"):
        raise TypeError(
            f"the mask of a masked array, {x.shape} {x.dtype}, would be lost; pass x.filled(value), and lengths= for "
            "padded sequences, or ignore_index=value for targets that do not count"
        )
    return np.asarray(mg.watched(x))


def check_no_state(x: Any) -> None:
    """Raise TypeError for what a recurrent network or a cell returns, outputs and states, where one array belongs."""
    if isinstance(x, tuple) and len(x) > 1 and isinstance(x[0], mg.Tensor):
        raise TypeError(
            f"got a tuple of a Tensor {x[0].shape} and more, where one array belongs: a recurrent network, or a cell, "
            "returns (outputs, state), so pass on the outputs alone: `outputs, state = net(xs)`, in a module of your "
            "own in place of nn.Sequential; Tensors of one shape are joined by mg.stack"
        )


def native(a: np.ndarray) -> np.ndarray:
    """a in the byte order of the machine, as the data of a Tensor are: files and other tools may have the other one."""
    return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))


def examined(look: Any, *inputs: Any) -> Any:
    """`look(*inputs)`, a primitive that refuses wrong values; its error without the name of the primitive."""
    try:
        return look(*inputs)
    except ValueError as error:
        raise ValueError(str(error.__cause__ or error)) from None


def check_mapping(state: Any) -> None:
    """Raise TypeError, with what to write, unless `state` holds arrays by name."""
    if not isinstance(state, Mapping):
        hint = "; nn.load returns a pair: `weights, metadata = nn.load(path)`" if isinstance(state, tuple) else ""
        raise TypeError(f"load_state_dict: the state must be arrays by name, got a {type(state).__name__}{hint}")


_PARTS = (Module, mg.Tensor, dict, list, tuple)


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Module):
        return vars(value).items()
    if isinstance(value, dict):
        return ((str(key), part) for key, part in value.items())
    return ((str(k), part) for k, part in enumerate(value)) if isinstance(value, (list, tuple)) else ()


def _walk(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(value) in seen:
        return
    seen.add(id(value))
    yield path, value
    for name, part in _items(value):
        if isinstance(part, _PARTS):  # most attributes are numbers and words
            yield from _walk(part, f"{path}.{name}" if path else name, seen)


#: The paths of all modules in the outermost one that is being called, by id, and the path of the innermost one.
_calls: ContextVar[tuple[dict[int, str], str]] = ContextVar("nn.calls", default=({}, ""))


def inside(module: Module) -> AbstractContextManager[None]:
    """A block for what a module computes; the record then knows the module's path, for who looks at it."""
    return _inside(module) if mg.detailed() else nullcontext()


@contextmanager
def _inside(module: Module) -> Iterator[None]:
    paths, parent = outer = _calls.get()
    if id(module) not in paths:  # the outermost: paths begin here
        paths, parent = {id(part): path for path, part in _walk(module, "", set()) if isinstance(part, Module)}, ""
        for name, p in module.named_parameters():
            mg.label(p, name)
    path = paths[id(module)]
    _calls.set((paths, path))
    try:
        with mg.scope(path.removeprefix(f"{parent}.") if parent else path):
            yield
    finally:
        _calls.set(outer)


def weights_dtype(module: Module) -> np.dtype:
    """The dtype of a module's weights: the first floating-point tensor inside, buffers last; float32 without any."""
    of_buffers: np.dtype | None = None
    for _, t in _walk(module, "", set()):
        if isinstance(t, mg.Tensor) and t.dtype.kind == "f":
            if t.role != "buffer":
                return t.dtype
            of_buffers = of_buffers or t.dtype
    return of_buffers or np.dtype(np.float32)


def _lines(module: Module, above: set[int]) -> list[str]:
    """The lines of `repr`: the module with its parameter count, and its parts indented; none inside itself."""
    count, learning = (sum(p.size for p in module.parameters(frozen)) for frozen in (True, False))
    frozen = f", {count - learning:,} frozen" if count > learning else ""
    lines = [f"{type(module).__name__}({module.extra_repr()})  # {count:,} parameters{frozen}"]
    above = above | {id(module)}
    for path, part in _children(module):
        if id(part) in above:
            lines.append(f"  {path}: {type(part).__name__}, see above")
            continue
        first, *rest = _lines(part, above)
        lines += [f"  {path}: {first}", *(f"  {line}" for line in rest)]
    return lines


def _children(module: Module) -> Iterator[tuple[str, Module]]:
    """The modules directly inside, through lists and dicts but not through other modules."""
    stack = list(_items(module))[::-1]
    while stack:
        path, value = stack.pop()
        if isinstance(value, Module):
            yield path, value
        else:
            stack.extend([(f"{path}.{name}", part) for name, part in _items(value)][::-1])
