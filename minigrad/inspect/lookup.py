"""What belongs to each entry of a tape, found by number, Entry, Tensor, name, and module path and time step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..details import Label
from ..record import Variable


class ByEntry(Mapping[int, Any]):
    """Of each entry an array (its gradient) or a number (the size of that).

    `found[7]`, `found[entry]`, `found[tensor]` are those of one entry. `found["cells.0.W"]` is that of what has this
    name: a parameter, an argument of the function, what `label` named. A module's path stands for the state of a cell,
    else for the module's output: `found["cells.0", 3]` is that at time step 3, `found["cells.0"]` that of all time
    steps along a new first axis, where such a path was run over time. A state of several parts, (h, C), gives as many;
    what holds no floating-point numbers has None.

    >>> e = mg.explain(lambda x: x * mg.tanh(x), 0.5)
    >>> round(float(e.gradients[1]), 4), round(float(e.gradients["x"]), 4)
    (0.5, 0.8553)
    """

    def __init__(self, tape: Any, value: Callable[[int], Any], nothing: Callable[[Any, Any], Any]) -> None:
        self._tape, self._value, self._nothing = tape, value, nothing

    def __len__(self) -> int:
        return len(self._tape)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._tape)))

    def __getitem__(self, key: Any) -> Any:
        """What belongs to one entry, or to all that has a name.

        Raises:
            KeyError: if nothing is found, or more than one.
        """
        if isinstance(key, str):
            return self._named(key)
        if isinstance(key, tuple):
            if len(key) != 2 or not isinstance(key[0], str):
                raise KeyError(f"expected a number, an Entry, a Tensor, a name, or (name, time step), got {key!r}")
            return self._named(*key)
        if isinstance(key, Variable):  # another tensor may have its gradient: as of the states that a network returns
            key = getattr(key.node, "collector", None) or key
        return self._value(self._tape.number_of(key))

    def _named(self, name: str, step: int | None = None) -> Any:
        labelled = self._tape.labelled
        whole = next((n for n in (name, f"{name}.state", f"{name}.output") if n in labelled), None)
        if whole is None:
            raise KeyError(self._unknown(name))
        turns: dict[int | None, dict[int, int]] = {}
        label = labelled[whole][0][0]
        for other, number in labelled[whole]:
            leaves = turns.setdefault(other.scope.step, {})
            if leaves.setdefault(other.leaf, number) != number:
                when = "" if other.scope.step is None else f" at step {other.scope.step}"
                raise KeyError(f"several tensors are called {whole!r}{when}: compute each in `with mg.scope(name):` of "
                               "its own, or take the entries one by one from tape.find()")  # fmt: skip
        if None in turns:
            if step is not None:
                raise KeyError(f"{whole!r} has no time steps")
            return self._built(label, turns[None])
        T = max(max(turns) + 1, *[other.scope.of for other, _ in labelled[whole]])  # type: ignore[type-var, operator]
        if step is not None:
            if not -T <= step < T:
                raise KeyError(f"{whole!r} has the time steps 0 ... {T - 1}, not {step}")
            return self._built(label, turns.get(step % T, {}))
        every = [self._parts(label, turns.get(t, {})) for t in range(T)]
        return label.group.rebuild([None if p[0] is None else np.stack(p) for p in zip(*every)])

    def _parts(self, label: Label, numbers: dict[int, int]) -> list[Any]:
        """The leaves of a labelled tree; what does not lead to the result has a gradient of 0."""
        return [
            self._value(numbers[k]) if k in numbers else self._nothing(*like) if like and like[1].kind == "f" else None
            for k, like in enumerate(label.group.shapes)
        ]

    def _built(self, label: Label, numbers: dict[int, int]) -> Any:
        return label.group.rebuild(self._parts(label, numbers))

    def _unknown(self, name: str) -> str:
        known = sorted(self._tape.labelled)
        if not known:
            return f"nothing on this tape has a name, {name!r} neither: compute it in `with mg.record_details():`, " \
                   "or give mg.explain the function and its arguments"  # fmt: skip
        shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        return f"nothing on this tape is called {name!r}; what has a name: {shown}"

    def __repr__(self) -> str:
        return f"<of {len(self)} entries, by number, Entry, Tensor, name, or (name, time step)>"
