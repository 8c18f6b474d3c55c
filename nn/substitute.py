"""functional_call: a module as a function of its parameters, for the transforms of minigrad."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import minigrad as mg

from .module import _SAVED, Module, _items, stand_ins


def functional_call(module: Module, parameters: Mapping[str, Any], /, *inputs: Any, **keywords: Any) -> Any:
    """`module(*inputs, **keywords)`, computed with these parameters in place of the module's own.

    So a whole network is a function that `mg.grad`, `mg.hvp`, `mg.jacobian` and `mg.compile` take. The product of the
    Hessian of an LSTM's loss with a direction v is two lines:

    >>> net, xs = nn.LSTM(2, 3, rng=0, dtype=float), np.ones((4, 1, 2))
    >>> parameters = dict(net.named_parameters())
    >>> v = {name: np.ones(p.shape) for name, p in parameters.items()}
    >>> loss = lambda parameters: mg.mean(nn.functional_call(net, parameters, xs)[0] ** 2)
    >>> (Hv,) = mg.hvp(loss, (parameters,), (v,))
    >>> Hv["cells.0.W"].shape
    (3, 12)

    Args:
        parameters: arrays or Tensors by name, all of `module.named_parameters()`, as `dict(...)` of these gives them;
            frozen weights and buffers may be among them. To replace a few, `{**dict(net.named_parameters()), **few}`.
            Shapes must be those of the module, dtypes need not: float64 parameters make a float32 network compute in
            float64. A tied weight has one name, the first, and is replaced in all its places.

    The module's own tensors, and their `.grad`, stay as they are. While it computes, the module holds these in their
    place: no other thread may use the module meanwhile, and a second `functional_call` of it, from another thread, is
    refused. What `forward` assigns in place of one of these is forgotten; other attributes, such as a buffer that is
    not given, and the generators of dropout, change as in any call. A function that closes over a parameter itself,
    not over the module, does not see the others. Compiled functions in the module run as plain Python.

    Raises:
        TypeError: if `module` is no Module, or `parameters` no dict, or `forward` returns a generator or the like.
        ValueError: listing every missing, unexpected or mismatched name.
        RuntimeError: if another thread is inside a functional_call of the module, or of a part of it.
    """
    if not isinstance(module, Module):
        raise TypeError(f"functional_call: the first argument must be an nn.Module, got a {type(module).__name__}")
    if not isinstance(parameters, Mapping):
        raise TypeError("functional_call: parameters must be arrays by name, as dict(module.named_parameters()), "
                        f"got a {type(parameters).__name__}")  # fmt: skip
    with _alone(module), _replaced(_NOTHING):
        own = dict(module._named(_SAVED))
        tensors = {name: mg.as_tensor(value) for name, value in parameters.items()}
        _check(module, own, tensors)
        given = _Replacement(
            (module,),
            {id(own[name]): t for name, t in tensors.items()},
            {id(t): own[name].role for name, t in tensors.items()},
        )
    if mg.detailed():
        for name, t in tensors.items():
            mg.label(t, name)
    with _alone(module), mg.no_compile(), _replaced(_current.get().and_then(given)):
        result = module(*inputs, **keywords)
    for part in mg.tree_leaves(result):
        if isinstance(part, (Iterator, Awaitable, AsyncIterator)):
            raise TypeError(
                f"functional_call: {type(module).__name__} returned a {type(part).__name__}, which would run after the "
                "call, with the module's own parameters; have it return a list or a tuple"
            )
    return result


def _check(module: Module, own: dict[str, mg.Tensor], tensors: dict[str, mg.Tensor]) -> None:
    faults = [f"missing: {name} {p.shape}" for name, p in own.items() if p.requires_grad and name not in tensors]
    partly = bool(faults)
    for name, t in tensors.items():
        if name not in own:
            tied = next((known for known, p in own.items() if p is _at(module, name)), None)
            faults.append(f"unexpected: {name} {t.shape}" + (f", which is tied to {tied}: give that" if tied else ""))
        elif t.shape != own[name].shape or t.dtype.kind != own[name].dtype.kind:
            faults.append(f"mismatched: {name} is {t.shape} {t.dtype}, this module has {own[name].shape} "
                          f"{own[name].dtype}")  # fmt: skip
    if partly:
        faults.append("to keep the module's own: {**dict(module.named_parameters()), **parameters}")
    if faults:
        raise ValueError(f"functional_call: the parameters do not fit {type(module).__name__}:\n  "
                         + "\n  ".join(faults))  # fmt: skip


def _at(module: Module, path: str) -> Any:
    """What stands at this path; None if there is nothing."""
    found: Any = module
    for name in path.split("."):
        found = dict(_items(found)).get(name)
    return found


# --- replacing, and restoring -----------------------------------------------------------------------------------------


class _Replacement(NamedTuple):
    """Tensors that stand in `modules` in place of others, by the ids of these, and the roles of these by their own."""

    modules: tuple[Module, ...]
    tensors: dict[int, mg.Tensor]
    roles: dict[int, str | None]

    def and_then(self, other: _Replacement) -> _Replacement:
        """Both; where they differ the other one holds."""
        return _Replacement((*self.modules, *other.modules), self.tensors | other.tensors, self.roles | other.roles)


_NOTHING = _Replacement((), {}, {})
_current: ContextVar[_Replacement] = ContextVar("nn.replacement", default=_NOTHING)
_undo: ContextVar[tuple[tuple[Any, Any, Any], ...]] = ContextVar("nn.undo", default=())


@contextmanager
def _replaced(replacement: _Replacement) -> Iterator[None]:
    """A block in which this replacement holds, instead of the one around it, which holds again after it."""
    outer = _current.get()
    _restore()
    try:
        _replace(replacement)
        yield
    finally:
        _restore()
        _replace(outer)


def _replace(replacement: _Replacement) -> None:
    undo: list[tuple[Any, Any, Any]] = []
    _current.set(replacement)
    stand_ins.set(replacement.roles)
    try:
        seen: set[int] = set()
        for module in replacement.modules:
            _exchanged(module, replacement.tensors, seen, undo)
    finally:
        _undo.set(tuple(undo))


def _restore() -> None:
    for holder, key, value in reversed(_undo.get()):
        holder[key] = value
    _undo.set(())
    _current.set(_NOTHING)
    stand_ins.set({})


def _exchanged(value: Any, tensors: dict[int, mg.Tensor], seen: set[int], undo: list[tuple[Any, Any, Any]]) -> Any:
    """`value` with tensors exchanged: modules, lists and dicts in place, noted in `undo`; a tuple is made anew."""
    if isinstance(value, mg.Tensor):
        return tensors.get(id(value), value)
    if isinstance(value, tuple):
        parts = [_exchanged(part, tensors, seen, undo) for part in value]
        if all([new is old for new, old in zip(parts, value)]):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, (Module, dict, list)) and id(value) not in seen:
        seen.add(id(value))
        holder: Any = vars(value) if isinstance(value, Module) else value
        for key, part in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            new = _exchanged(part, tensors, seen, undo)
            if new is not part:
                undo.append((holder, key, part))
                holder[key] = new
    return value


def held(f: Callable[..., Any]) -> Callable[..., Any]:
    """f as it computes now, in the functional_calls around it, for calls after their end: f itself outside of any."""
    replacement = _current.get()
    if not replacement.modules:
        return f

    @functools.wraps(f)
    def as_now(*arguments: Any) -> Any:
        outer = _current.get()
        if outer is replacement:
            return f(*arguments)
        with _alone(*replacement.modules), mg.no_compile(), _replaced(outer.and_then(replacement)):
            return f(*arguments)

    return as_now


# --- threads ----------------------------------------------------------------------------------------------------------

_lock = threading.Lock()
_users: dict[int, int] = {}  # which thread is inside a functional_call of a module, by the module's id


@contextmanager
def _alone(*modules: Module) -> Iterator[None]:
    """A block in which no other thread can replace anything in these modules."""
    me, parts = threading.get_ident(), {id(part) for module in modules for part in module.modules()}
    with _lock:
        for module in modules:
            if any([_users.get(part, me) != me for part in parts]):
                raise RuntimeError(f"functional_call: another thread is inside a functional_call of this "
                                   f"{type(module).__name__}, or of a part of it; give each thread a module of its "
                                   "own, copy.deepcopy(module)")  # fmt: skip
        taken = parts - _users.keys()
        _users.update(dict.fromkeys(taken, me))
    try:
        yield
    finally:
        with _lock:
            for part in taken:
                del _users[part]
