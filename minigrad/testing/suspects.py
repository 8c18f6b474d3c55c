"""What usually differs between two recurrent cells of one name: each suspect is a change of our side that can be run.

A suspect that makes our results theirs is the cause. Weights are found by their names: U (I, m H), W, and for a cell
with a reset W_h, b and b_h; gates by the number of their blocks. What has other weights has no suspects but those of
the call: order of a state's parts, a state or lengths that are not used, directions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..tensor import Tensor

#: The gates side by side, by the number of blocks of U and whether there is a W_h.
GATES = {(4, False): "fiog", (3, False): "fog", (3, True): "zrn", (2, True): "fn", (1, False): "h"}
Run = Callable[[Any, Any, Any], tuple[Any, Any]]  # (xs, state, lengths) -> (outputs, final state), all arrays


class Suspect(NamedTuple):
    """A change: its words, the kind of which one is tried at a time, what it does to a cell, or to a call."""

    text: str
    kind: str
    gates: str = ""
    cell: Callable[[Any], None] | None = None
    call: Callable[[Run], Run] | None = None


def gates_of(cell: Any) -> str | None:
    """The names of a cell's blocks; None if its weights are not known here."""
    H, U, W = (getattr(cell, name, None) for name in ("H", "U", "W"))
    if not isinstance(H, int) or not isinstance(U, Tensor) or not isinstance(W, Tensor):
        return None
    names = GATES.get((U.shape[1] // H, isinstance(getattr(cell, "W_h", None), Tensor)))
    full = _whole(cell, "W") if names else None
    return names if full is not None and names is not None and full.shape[1] == len(names) * H else None


def check_biases(cells: Sequence[Any]) -> None:
    """Raise ValueError if a bias is 0 for a whole gate, and so hides what is wrong with it."""
    for n, cell in enumerate(cells):
        gates = gates_of(cell)
        for name in ("b", "b_h"):
            b = getattr(cell, name, None)
            if gates is None or not isinstance(b, Tensor):
                continue
            blocks = b.data.reshape(-1, cell.H)
            if not blocks.any(axis=1).all():
                gate = "n" if name == "b_h" else gates[int(np.flatnonzero(~blocks.any(axis=1))[0])]
                raise ValueError(f"same: {name} of cell {n} is 0 for the gate {gate}: what is wrong with it would "
                                 "not be seen; convert random weights, or pass allow_zero=True")  # fmt: skip


def check_numbers(ours: Any, T: int, B: int, min_length: int, tolerance: float) -> None:
    """Raise ValueError for what would compare nothing, or nothing that can differ."""
    for name, value, smallest in (("T", T, 1), ("B", B, 1), ("min_length", min_length, 0)):
        if not isinstance(value, (int, np.integer)) or value < smallest:
            raise ValueError(f"same: {name} must be an integer of at least {smallest}, got {value!r}")
    if min_length >= T:
        raise ValueError(f"same: min_length must be below T = {T}, got {min_length}: no sequence would be padded")
    if not 0 <= tolerance < 1:
        raise ValueError(f"same: tolerance must be at least 0 and below 1, got {tolerance!r}: any outputs would do")
    for name, p in ours.named_parameters() if hasattr(ours, "named_parameters") else ():
        if np.isnan(p.data).any():
            raise ValueError(f"same: {name} of ours has NaN, and so would all that is compared")


def suspects(cell: Any, directions: int, takes: Sequence[str], parts: int) -> list[Suspect]:
    """All of them for a cell; `takes` is what they are called with, `parts` the number of a state's parts."""
    gates = gates_of(cell)
    found = [] if gates is None else [*_options(cell), *_biases(cell, gates), *_orders(cell, gates), *_turned(gates)]
    return [*found, *_calls(directions, takes, parts)]


def combinations(single: list[Suspect]) -> Iterator[tuple[Suspect, ...]]:
    """One suspect, then two of different kinds, then three of those that go together in practice."""
    yield from ((suspect,) for suspect in single)
    for n, left_out in ((2, ("some",)), (3, ("some", "turned", "bias", "state", "lengths", "direction"))):
        for group in itertools.combinations([s for s in single if s.kind not in left_out], n):
            if len({s.kind for s in group}) == n:
                yield group


# --- weights ---------------------------------------------------------------------------------------------------------


def _whole(cell: Any, name: str) -> np.ndarray | None:
    """An array with the blocks of all gates: of W with that of W_h behind it."""
    t = getattr(cell, name, None)
    if t is None:
        return None
    behind = getattr(cell, "W_h", None) if name == "W" else None
    return np.array(t.data) if behind is None else np.concatenate([t.data, behind.data], axis=-1)


def _set(cell: Any, name: str, a: np.ndarray) -> None:
    width = getattr(cell, name).shape[-1]
    getattr(cell, name).data = np.ascontiguousarray(a[..., :width])
    if a.shape[-1] > width:
        cell.W_h.data = np.ascontiguousarray(a[..., width:])


def _reordered(names: Sequence[str], order: tuple[int, ...]) -> Callable[[Any], None]:
    def change(cell: Any) -> None:
        for name in names:
            a = _whole(cell, name)
            if a is not None:
                blocks = np.split(a, len(order), axis=-1)
                _set(cell, name, np.concatenate([blocks[k] for k in order], axis=-1))

    return change


def _orders(cell: Any, gates: str) -> Iterator[Suspect]:
    """Gates in another order, in all arrays and in some."""
    arrays = [name for name in ("U", "W", "b") if _whole(cell, name) is not None]
    for n in range(len(arrays), 0, -1):
        for names in itertools.combinations(arrays, n):
            for order in itertools.permutations(range(len(gates))):
                if list(order) == sorted(order):
                    continue
                read = " ".join(gates[order.index(k)] for k in range(len(gates)))
                where = "" if n == len(arrays) else f" in {' and '.join(names)} alone"
                text = f"the gates are in another order{where}: our blocks {' '.join(gates)} are read as {read} there"
                moved = "".join(gate for k, gate in enumerate(gates) if order[k] != k)
                yield Suspect(text, "some" if where else "order", moved, _reordered(names, order))


def _turned(gates: str) -> Iterator[Suspect]:
    def change(cell: Any) -> None:
        whole = _whole(cell, "W")
        assert whole is not None
        _set(cell, "W", np.concatenate([block.T for block in np.split(whole, len(gates), axis=-1)], axis=-1))

    yield Suspect("W is transposed there, gate by gate", "turned", gates, change)


def _options(cell: Any) -> Iterator[Suspect]:
    """The forms of a GRU and an MGU, and the nonlinearity of a simple cell."""
    for name in ("z", "f"):
        if getattr(cell, name, None) in ("new", "old"):
            other = {"new": "old", "old": "new"}[getattr(cell, name)]
            text = f'{name} is the other way round there: 1 - {name} for {name}, {name}="{other}" here'
            yield Suspect(text, "interpolation", name, _option(name, other))
    if getattr(cell, "reset", None) == "before":
        yield Suspect('the reset is after the product there, reset="after" here', "reset", "n", _reset_after)
    if getattr(cell, "reset", None) == "after":
        text = 'the reset is before the product there, reset="before" here'
        yield Suspect(text, "reset", "n", lambda c: _reset_before(c, 1))
        yield Suspect(f"{text}, and b_h is left out", "reset", "n", lambda c: _reset_before(c, 0))
    if getattr(cell, "nonlinearity", None) in ("tanh", "relu"):
        other = {"tanh": "relu", "relu": "tanh"}[cell.nonlinearity]
        yield Suspect(f"the nonlinearity is {other} there", "nonlinearity", "h", _option("nonlinearity", other))


def _option(name: str, value: Any) -> Callable[[Any], None]:
    return lambda cell: setattr(cell, name, value)


def _reset_after(cell: Any) -> None:
    cell.reset = "after"
    if cell.b is not None and cell.b_h is None:
        cell.b_h = Tensor(np.zeros(cell.H, cell.b.dtype))


def _reset_before(cell: Any, share: int) -> None:
    cell.reset = "before"
    if cell.b_h is not None:
        _add(cell, cell.H * (cell.b.shape[0] // cell.H - 1), share * cell.b_h.data)


def _add(cell: Any, start: int, more: Any) -> None:
    b = np.array(cell.b.data)
    b[start : start + cell.H] += more
    cell.b.data = b


def _scaled(name: str, factor: float, gate: int | None = None) -> Callable[[Any], None]:
    """A change that multiplies a bias, or its part of one gate."""

    def change(cell: Any) -> None:
        t = getattr(cell, name)
        b = np.array(t.data)
        b[slice(None) if gate is None else slice(gate * cell.H, (gate + 1) * cell.H)] *= factor
        t.data = b

    return change


def _biases(cell: Any, gates: str) -> Iterator[Suspect]:
    if getattr(cell, "b", None) is None:
        return
    yield Suspect("the bias is left out there", "bias", gates, _scaled("b", 0))
    yield Suspect("the bias counts twice there, as if each half were the whole", "bias", gates, _scaled("b", 2))
    if gates[0] == "f" and len(gates) > 2:
        yield Suspect("the forget gate has 1 more inside of it there", "forget", "f", lambda c: _add(c, 0, 1))
        yield Suspect("the forget gate has 1 less inside of it there", "forget", "f", lambda c: _add(c, 0, -1))
    for k, gate in enumerate(gates if len(gates) > 1 else ""):
        yield Suspect(f"the bias of {gate} is left out there", "bias", gate, _scaled("b", 0, k))
    if getattr(cell, "b_h", None) is not None:
        yield Suspect("b_h is left out there", "bias", "n", _scaled("b_h", 0))
        yield Suspect("b_h is outside of the reset there, added to b", "bias", "n", lambda c: _halves_to(c, 1, 0))
        yield Suspect("b_h and the candidate's part of b are swapped there", "bias", "n", lambda c: _halves_to(c, 0, 1))


def _halves_to(cell: Any, added: int, swapped: int) -> None:
    """The candidate's part of b and b_h: their sum and 0, or one for the other."""
    inner, b = np.array(cell.b_h.data), np.array(cell.b.data)
    outer = b[-cell.H :].copy()
    b[-cell.H :] = inner + added * outer
    cell.b.data, cell.b_h.data = b, swapped * outer


# --- calls -----------------------------------------------------------------------------------------------------------


def _calls(directions: int, takes: Sequence[str], parts: int) -> Iterator[Suspect]:
    """What differs in what goes in and out, not in weights."""
    if parts == 2:
        yield Suspect("a state's parts are in the other order there: (C, h) for (h, C)", "carry",
                      call=lambda run: lambda xs, s, n: _last(swap, run(xs, swap(s), n)))  # fmt: skip
        yield Suspect("the parts of the state that is given are in the other order there", "carry",
                      call=lambda run: lambda xs, s, n: run(xs, swap(s), n))  # fmt: skip
        yield Suspect("the parts of the final state are in the other order there", "carry",
                      call=lambda run: lambda xs, s, n: _last(swap, run(xs, s, n)))  # fmt: skip
    if "state" in takes:
        yield Suspect("the state that is given is not used there: it starts from zeros", "state",
                      call=lambda run: lambda xs, s, n: run(xs, None, n))  # fmt: skip
    if "lengths" in takes:
        yield Suspect("lengths are not used there: it runs over the padding", "lengths",
                      call=lambda run: lambda xs, s, n: run(xs, s, None))  # fmt: skip
    if directions == 1:
        yield Suspect("it runs from the end to the start there", "direction",
                      call=lambda run: lambda xs, s, n: _first(turned, run(turned(xs), s, n)))  # fmt: skip
    else:
        yield Suspect("forwards and backwards are swapped there in the outputs", "direction",
                      call=lambda run: lambda xs, s, n: _first(halves, run(xs, s, n)))  # fmt: skip


def _first(f: Callable[[Any], Any], results: tuple[Any, Any]) -> tuple[Any, Any]:
    return f(results[0]), results[1]


def _last(f: Callable[[Any], Any], results: tuple[Any, Any]) -> tuple[Any, Any]:
    return results[0], f(results[1])


def swap(state: Any) -> Any:
    """(h, C) for (C, h), of a state or of each in a tuple of them."""
    if state is None:
        return None
    if isinstance(state[0], tuple):
        return tuple(swap(s) for s in state)
    return state[::-1]


def turned(xs: Any) -> Any:
    return xs[::-1]


def halves(ys: Any) -> Any:
    n = ys.shape[-1] // 2
    return np.concatenate([ys[..., n:], ys[..., :n]], axis=-1)
