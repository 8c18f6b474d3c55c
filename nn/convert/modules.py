"""`from_tool` and `to_tool`: a tool's arrays as our cell or `Recurrent`, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import minigrad as mg

from ..module import Module, native
from ..protocol import Cell
from ..recurrent import Recurrent
from . import table
from .layout import BIASES, Arrays, Entry, Layout, Parts, same_bits


def from_tool(
    arrays: Mapping[str, Any], name: str, prefix: str | Sequence[str] = "", *, bidirectional: bool = False
) -> Any:
    """Our cell or `Recurrent` with the weights of another tool's cell or layers: it computes the same.

    A tool's class that has layers and directions of its own becomes a `Recurrent`, as a tuple of prefixes does; another
    one becomes a cell. The dtype stays. What a cell's arrays do not say is taken to be the tool's default: activations,
    and whether it runs from the end. A state is (h, C) here, whatever the tool's order is.

    Args:
        arrays: by name, or dicts of them in dicts, whose names are joined with "/": NumPy's arrays or what
            `np.asarray` makes one of.
        name: the tool's class, as "flax.linen.GRUCell"; one of `nn.convert.tools()`; see docs/interop.md.
        prefix: take the arrays whose names begin with it, as "encoder/". A tuple has one for each cell, the lowest
            layer first, forwards before backwards.
        bidirectional: whether a tuple of prefixes has two for each layer.

    Raises:
        ValueError: if the name is unknown; listing every missing, unexpected or mis-shaped array; or if the arrays are
            not all of one floating-point dtype.

    >>> arrays = {"w_i": np.ones((2, 9)), "w_h": np.ones((3, 9)), "b": np.ones(9)}
    >>> nn.convert.from_tool({f"gru/{name}": a for name, a in arrays.items()}, "haiku.GRU", "gru/")
    GRUCell(2, 3)  # 54 parameters
    """
    starts = (prefix,) if isinstance(prefix, str) else tuple(prefix)
    layout = table.find(name)
    found = {path: _array(path, a) for path, a in _flat(arrays) if path.startswith(starts)}
    return read(layout, found, prefix, bidirectional=bidirectional)


def read(layout: Layout, arrays: Arrays, prefix: str | Sequence[str] = "", *, bidirectional: bool = False) -> Any:
    """The same for any layout."""
    starts = (prefix,) if isinstance(prefix, str) else tuple(prefix)
    chosen = {path: a for path, a in arrays.items() if path.startswith(starts)}
    many = not isinstance(prefix, str)
    if many or not layout.places:
        places = [{e: start + e.name for e in layout.entries} for start in starts]
    else:
        places, bidirectional = _places(layout, chosen, starts[0])
    if not places:
        raise ValueError(f"{layout.name}: none of its cells' arrays are there, only {sorted(chosen)[:20]}; "
                         "is a prefix= missing?")  # fmt: skip
    cells = [{e.name: chosen[path] for e, path in place.items() if path in chosen} for place in places]
    _check(layout, chosen, places, 2 if bidirectional else 1)
    made = [_cell(layout, cell) for cell in cells]
    return Recurrent(*made, bidirectional=bidirectional) if many or layout.places else made[0]


def to_tool(module: Module, name: str, prefix: str | Sequence[str] = "", *, exact: bool = True) -> Arrays:
    """The arrays of another tool's cell or layers that compute what `module` does: the reverse of `from_tool`.

    Where the tool has two biases and ours is their sum, the first has it and the second is 0.

    Args:
        module: a cell, or a `Recurrent` of cells of one kind.
        name: the tool's class, as "flax.linen.GRUCell".
        prefix: put before all names; a tuple has one for each cell of a `Recurrent`, if the tool has single cells only.
        exact: whether `from_tool` must give the same bits back. Else weights may be rounded where the tool adds a
            number to them, and a GRU whose z is the other way round gets its z negated, as σ(-a) = 1 - σ(a).

    Raises:
        TypeError: if the tool has no such module.
        ValueError: if a weight has no place in the tool's cell, or the way back would change a bit.

    >>> arrays = nn.convert.to_tool(nn.LSTM(2, 3, rng=0), "paddle.nn.LSTM")
    >>> {name: a.shape for name, a in arrays.items() if "weight" in name}
    {'0.cell.weight_ih': (12, 2), '0.cell.weight_hh': (12, 3)}
    """
    layout = table.find(name)
    if isinstance(module, Recurrent):
        if module.reverse or module.residual:
            raise TypeError(f"{name}: has neither reverse= nor residual=; give it a Recurrent without them")
        cells, directions = module.cells, module.directions
    elif isinstance(module, Cell):
        cells, directions = [module], 1
    else:
        raise TypeError(f"{name}: a cell or a Recurrent can be laid out so, not a {type(module).__name__}")
    if layout.places and directions not in layout.places:
        raise TypeError(f"{name}: has {'one direction' if directions == 2 else 'two directions'}, this module has not")
    arrays: Arrays = {}
    for cell, pattern in zip(cells, _named(layout, len(cells), directions, prefix)):
        arrays |= {pattern.replace("{name}", e): a for e, a in _arrays_of(layout, cell, exact).items()}
    return arrays


def own_name(module: Cell | Recurrent) -> str:
    """The name of the layout in which `nn.save` writes a module.

    Raises:
        TypeError: if there is none: of cells of several kinds, or of one that no tool here has.
    """
    cells = module.cells if isinstance(module, Recurrent) else [module]
    found = [table.layout_of(cell) for cell in cells]
    if any((layout.kind, layout.options) != (found[0].kind, found[0].options) for layout in found):
        raise TypeError("nn.convert: the cells are of several kinds; convert each by itself")
    return table.own_name(found[0], module.directions if isinstance(module, Recurrent) else 0)


def where(module: Cell | Recurrent, source: str, target: str, prefix: Any = "", to_prefix: Any = "") -> list[list[str]]:
    """What went where: for each array of `source` its path, its shape, what it holds, and where `target` has that."""
    cells, directions = (module.cells, module.directions) if isinstance(module, Recurrent) else ([module], 1)
    theirs, others = table.find(source), table.find(target)
    rows = []
    named = zip(
        cells, _named(theirs, len(cells), directions, prefix), _named(others, len(cells), directions, to_prefix)
    )
    for cell, own, other in named:
        written = {e: other.replace("{name}", e.name) for e in others.chosen(_arrays_of(others, cell, False))}
        for entry in theirs.chosen(_arrays_of(theirs, cell, False)):
            goals = [path for e, path in written.items() if _shares(entry, e, theirs.inside)]
            shape = entry.shape(*_sizes(cell))
            rows.append([own.replace("{name}", entry.name), str(shape), entry.described(), ", ".join(goals)])
    return rows


def _shares(a: Entry, b: Entry, inside: str) -> bool:
    """Whether something that `a` holds went into `b`; biases of a gate add up, unless one is `inside` of the reset."""
    held = {(part if part not in BIASES or gate in inside else "b", gate) for part in a.parts for gate in a.gates}
    gets = {(part if part not in BIASES or gate in inside else "b", gate) for part in b.parts for gate in b.gates}
    return bool(held & gets) or a.parts == b.parts == "P"


def _sizes(cell: Any) -> tuple[int, int, int]:
    return cell.I, cell.H, cell.W.shape[0]


# --- names -----------------------------------------------------------------------------------------------------------


def _flat(arrays: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(arrays, Mapping):
        raise TypeError(f"nn.convert: the arrays must be in a dict by name, got a {type(arrays).__name__}")
    for name, value in arrays.items():
        own = f"{path}/{name}" if path else str(name)
        if isinstance(value, Mapping):
            yield from _flat(value, own)
        else:
            yield own, value


def _array(name: str, value: Any) -> np.ndarray:
    if isinstance(value, mg.Tensor):
        return value.data
    for method in ("detach", "cpu", "numpy", "asnumpy"):
        if not isinstance(value, np.ndarray) and hasattr(value, method):
            value = getattr(value, method)()
    a = native(np.asarray(value))
    if a.dtype.kind != "f":
        raise ValueError(f"nn.convert: {name!r} is {a.dtype}, weights must be of a floating-point dtype of NumPy's")
    return a


def _named(layout: Layout, cells: int, directions: int, prefix: str | Sequence[str]) -> list[str]:
    """The path of each cell's arrays, with {name} left in it."""
    if layout.places and isinstance(prefix, str):
        layers = range(cells // directions)
        return [prefix + pattern for layer in layers for pattern in _patterns(layout.places[directions], layer)]
    starts = [prefix] if isinstance(prefix, str) else list(prefix)
    if len(starts) != cells:
        raise ValueError(f"{layout.name}: give one prefix for each of {cells} cells, got {prefix!r}")
    return [start + "{name}" for start in starts]


def _patterns(patterns: Sequence[str], layer: int) -> list[str]:
    """The paths of a layer's cells, with {name} left in them."""
    return [p.format(name="{name}", layer=layer, even=2 * layer, odd=2 * layer + 1) for p in patterns]


def _places(layout: Layout, arrays: Arrays, start: str) -> tuple[list[dict[Entry, str]], bool]:
    """For each cell of a tool that has layers the path of each entry, and whether there are two directions."""
    for places in (layout.places, *layout.aliases):
        for directions in sorted(places, reverse=True):
            found: list[dict[Entry, str]] = []
            while len(found) <= len(arrays):
                patterns = _patterns(places[directions], len(found) // directions)
                paths = [{e: start + pattern.replace("{name}", e.name) for e in layout.entries} for pattern in patterns]
                if not all(any(path in arrays for path in place.values()) for place in paths):
                    break
                found += paths
            if found:
                return found, directions == 2
    return [], False


# --- checks ----------------------------------------------------------------------------------------------------------


def _check(layout: Layout, arrays: Arrays, places: list[dict[Entry, str]], directions: int) -> None:
    """Raise ValueError with all that is missing, unexpected or mis-shaped, or if there are several dtypes."""
    wanted: dict[str, tuple[int, ...]] = {}
    first = {e.name: arrays[path] for e, path in places[0].items() if path in arrays}
    biased = any(path in arrays for place in places for e, path in place.items() if e.biases)
    projected = any(path in arrays for place in places for e, path in place.items() if e.parts == "P")
    try:
        I, H, O = layout.sizes(first)
    except ValueError as error:
        there = "\n  ".join(f"there is: {path} {a.shape}" for path, a in arrays.items())
        raise ValueError(f"{error}\n  {there}") from None
    O = O if projected else H
    for k, place in enumerate(places):
        width = I if k < directions else directions * O
        for e, path in place.items():
            if projected if e.parts == "P" else biased or not layout.unbiased or not e.biases:
                wanted[path] = e.shape(width, H, O)
    faults = [f"missing: {path} {shape}" for path, shape in wanted.items() if path not in arrays]
    for path, a in arrays.items():
        if path in wanted and a.shape != wanted[path]:
            faults.append(f"mismatched: {path} is {a.shape}, not {wanted[path]}")
        elif path not in wanted and not (layout.doubles and _double(path, layout, arrays, wanted)):
            faults.append(f"unexpected: {path} {a.shape}")
    dtypes = sorted({str(arrays[path].dtype) for path in wanted if path in arrays})
    if len(dtypes) > 1:
        faults.append(f"different dtypes: {', '.join(dtypes)}")
    if faults:
        raise ValueError(f"{layout.name}: the arrays do not fit together:\n  " + "\n  ".join(faults))


def _double(path: str, layout: Layout, arrays: Arrays, wanted: Mapping[str, Any]) -> bool:
    """Whether an array has the name of an entry in its path, and is one of those that are wanted."""
    named = any(e.name in path for e in layout.entries)
    return named and any(same_bits(arrays[path], arrays[other]) for other in wanted if other in arrays)


# --- cells -----------------------------------------------------------------------------------------------------------


def _cell(layout: Layout, arrays: Arrays) -> Cell:
    parts = layout.split(arrays)
    I, H, O = layout.sizes(arrays)
    biased = any(part == "b" for part, _ in parts) or any(part == "c" for part, _ in parts)
    width, dtype = (O if ("P", "") in parts else None), next(iter(arrays.values())).dtype
    cell = table.make(layout.kind, layout.options, I, H, width, biased, dtype)
    cell.load_state_dict(table.ours(layout.kind, layout.options).join(parts))
    return cell


def _arrays_of(layout: Layout, cell: Cell, exact: bool) -> Arrays:
    own, state = table.layout_of(cell), cell.state_dict()
    if {own.kind, layout.kind} == {"rnn", "rnn_relu"}:
        raise TypeError(
            f"{layout.name}: has the nonlinearity {'tanh' if layout.kind == 'rnn' else 'relu'}, not {cell!r}"
        )
    if own.kind != layout.kind:
        raise TypeError(f"{layout.name}: is a {table.ours(layout.kind, layout.options).name} here, not {cell!r}")
    differing = {name: value for name, value in own.options.items() if layout.options[name] != value}
    if "reset" in differing:
        raise TypeError(f"{layout.name}: has reset={layout.options['reset']!r}, not {own.options['reset']!r}")
    if differing and exact:
        name, value = next(iter(differing.items()))
        raise ValueError(f"{layout.name}: has {name}={layout.options[name]!r}, not {value!r}; exact=False negates the "
                         "weights of that gate, which computes the same")  # fmt: skip
    parts = own.split(state)
    arrays = layout.join(_negated(parts, {name[0] for name in differing}))
    if not exact:
        return arrays
    back = own.join(layout.split(arrays))
    changed = [name for name in state if name in back and not same_bits(back[name], state[name])]
    if changed:
        more = ", ".join(f"{value:g} inside of gate {gate}" for gate, value in layout.plus.items())
        raise ValueError(f"{layout.name}: adds {more}, and {state['b'].dtype} has no number that gives the bits of "
                         f"{', '.join(changed)} back; exact=False rounds to the nearest")  # fmt: skip
    return arrays


def _negated(parts: Parts, gates: set[str]) -> Parts:
    return {(part, gate): -a if gate in gates else a for (part, gate), a in parts.items()}
