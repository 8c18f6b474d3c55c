"""The base of all optimisers: groups of parameters, the arrays of their states, and the step.

A learning rate is a number, or a function of the number of steps taken so far (a schedule, see `schedules`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg

from .module import check_mapping, native
from .options import Entry, Group, flag, options_of, rate_or_schedule, read_groups, schedules_in, within
from .schedules import Schedule
from .words import OF_OPTIMIZERS, check_keywords, is_ours, missing_of

Rate = float | Callable[[int], float]
#: Tensors, or groups: dicts of "params" and options
Params = Iterable[mg.Tensor] | Iterable[Mapping[str, Any]]
#: (name, tensor) pairs, as `module.named_parameters()`
Names = Iterable[tuple[str, mg.Tensor]] | None
INFINITE = float("inf")
BLOCK = 1 << 17  # up to so many entries of small parameters are updated at once: few calls, and little memory


class Optimizer:
    """Base class: `step()` changes every parameter that has a gradient, once, however often it was listed.

    Args:
        params: leaf tensors with requires_grad=True, for instance `module.parameters()`. One that is frozen has no
            gradient, and so stays as it is until it is set free: `module.parameters(frozen=True)` has these as well.
            Or groups: dicts of "params" and options for these alone, `[{"params": a}, {"params": b, "lr": 1e-4}]`.
        lr: the learning rate η, or a schedule. A group's own number is followed by a schedule of `nn` in its place:
            `nn.cosine_decay(1e-3, ...)` and a group with 1e-4 decay side by side.
        weight_decay: λ; adds λ w to the gradient (L2 regularisation; AdamW decouples it).
        maximize: go up the gradient, not down.

    `optimizer.groups` hands out the groups, of which options can be read and set; assigning a list to it makes groups
    anew, and every parameter keeps its state.

    Raises:
        TypeError: if a parameter is not such a tensor, or an option is not there or no number.
        ValueError: if there are no parameters, one is in two groups, or a number is out of its range.

    >>> a, b = nn.parameter([1.0]), nn.parameter([2.0])
    >>> optimizer = nn.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=nn.exponential_decay(0.1, 0.5))
    >>> (a * b).sum().backward()
    >>> optimizer.step()
    >>> (a.data, b.data, [group.rate for group in optimizer.groups])
    (array([0.8]), array([1.5]), [0.05, 0.25])
    """

    slots: tuple[str, ...] = ()
    lr: Rate = rate_or_schedule()
    weight_decay: float = within(0, INFINITE)
    maximize: bool = flag()

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            raise missing_of(self, name, OF_OPTIMIZERS)

        def __new__(cls, *args, **kwargs):
            if is_ours(cls.__init__):
                check_keywords(cls, kwargs)
            return super().__new__(cls)

    def __init__(self, params: Params, lr: Rate, weight_decay: float = 0.0, maximize: bool = False) -> None:
        self.lr, self.weight_decay, self.maximize = lr, weight_decay, maximize
        self.steps = 0
        self._groups: list[Entry] = []
        self._laid: list[tuple[str, ...]] = []  # the slots of each group
        self.groups = params

    # --- groups and their memory -------------------------------------------------------------------------------------

    @property
    def groups(self) -> list[Group]:
        """The groups; a plain list of parameters is one. Assigned: groups anew, in which parameters keep their state.

            optimizer.groups = [*optimizer.groups, {"params": head.parameters(), "lr": 1e-4}]

        A parameter that is in none of the new groups loses its state.
        """
        return [Group(self, k) for k in range(len(self._groups))]

    @groups.setter
    def groups(self, params: Params) -> None:
        self._arrange(read_groups(type(self), params))

    def _arrange(self, groups: list[Entry]) -> None:
        """Check each group's options, and lay out the memory if parameters or slots are others than before."""
        options = [self._with(own) for _, own in groups]
        for (_, own), o in zip(groups, options):
            self._check_options(o)
            if "lr" in own and not callable(own["lr"]) and callable(self.lr) and not isinstance(self.lr, Schedule):
                raise ValueError(f"lr: a group has {own['lr']} of its own, and the optimiser a function that knows no "
                                 "other; use a schedule of nn, as nn.lambda_decay(lr, factor), or give the group a "
                                 "function too")  # fmt: skip
        slots, before = [self._slots(o) for o in options], self._groups
        same = len(groups) == len(before) and all(new is old for (new, _), (old, _) in zip(groups, before))
        if not same or slots != self._laid:
            self._lay_out([params for params, _ in groups], slots)
        self._groups, self._laid = groups, slots
        self._plain = not any(own for _, own in groups)  # one set of options for all

    def _lay_out(self, groups: list[list[mg.Tensor]], slots: list[tuple[str, ...]]) -> None:
        """Arrays for the states of all parameters; what a parameter had is copied."""
        before: dict[int, Any] = {}
        if "params" in vars(self):
            before = {id(p): (n, part) for p, n, part in zip(self.params, self._updates, self._parts)}
        self.params: list[mg.Tensor] = [p for params in groups for p in params]
        # a parameter without a gradient is not updated in a step
        self._updates: list[int] = [before[id(p)][0] if id(p) in before else 0 for p in self.params]
        # The arrays of some parameters lie end to end in a block; g and change are the same memory for all blocks.
        self._spans: list[tuple[int, int, int]] = []  # block, start, stop
        blocks: list[Any] = []  # group, dtype, size
        for k, params in enumerate(groups):
            for p in params:
                if not blocks or blocks[-1][:2] != [k, p.dtype] or blocks[-1][2] + p.size > BLOCK:
                    blocks.append([k, p.dtype, 0])
                self._spans.append((len(blocks) - 1, blocks[-1][2], blocks[-1][2] + p.size))
                blocks[-1][2] += p.size
        self._group_of = [k for k, _, _ in blocks]
        self._blocks = [[k for k, span in enumerate(self._spans) if span[0] == n] for n in range(len(blocks))]
        shared = {dtype: np.empty((2, max([size for _, _, size in blocks])), dtype) for _, dtype, _ in blocks}
        self._flat = [
            dict(zip(("g", "change"), shared[dtype][:, :size])) | {slot: np.zeros(size, dtype) for slot in slots[k]}
            for k, dtype, size in blocks
        ]
        self._cut()
        for p, part in zip(self.params, self._parts):
            for slot in _slots_in(part):
                if id(p) in before and slot in before[id(p)][1]:
                    part[slot][...] = before[id(p)][1][slot]

    def _cut(self) -> None:
        """The part of each parameter in the arrays of its block: views, which a copy has to be cut anew for."""
        self._parts: list[dict[str, np.ndarray]] = [
            {name: whole[start:stop].reshape(p.shape) for name, whole in self._flat[n].items()}
            for p, (n, start, stop) in zip(self.params, self._spans)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_parts"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._cut()

    def _with(self, own: dict[str, Any]) -> Any:
        """The options of a group as attributes."""
        return SimpleNamespace(**{name: vars(self)[name] for name in options_of(type(self))} | own) if own else self

    def _check_options(self, o: Any) -> None:
        """Raise ValueError if two options do not go together."""

    def _slots(self, o: Any) -> tuple[str, ...]:
        """The names of what is remembered for each entry of a parameter with these options."""
        return self.slots

    # --- the step ----------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> float:
        """The learning rate of the next step, for groups without one of their own."""
        return self.lr(self.steps) if callable(self.lr) else self.lr

    def _rate(self, own: dict[str, Any]) -> float:
        if "lr" not in own:
            return self.rate
        lr = own["lr"]
        if callable(lr):
            return float(lr(self.steps))
        return self.lr(self.steps, lr) if isinstance(self.lr, Schedule) else float(lr)

    def step(self) -> None:
        """Update the parameters from their gradients.

        Raises:
            ValueError: if a gradient has another shape than its parameter, or a schedule gives no rate of at least 0.
        """
        grads = {}
        for k, p in enumerate(self.params):
            if (g := p.grad) is not None:
                if g.shape != p.shape:
                    raise ValueError(f"step: parameter {k} has shape {p.shape}, its gradient {g.shape}")
                grads[k] = g
        used: list[tuple[Any, float]] = [(self, self.rate)]  # of each group
        if not self._plain:
            used = [(self._with(own), self._rate(own)) for _, own in self._groups]
        for _, rate in used:
            if not 0 <= rate < INFINITE:
                raise ValueError(f"lr must lie within [0, inf), the schedule gives {rate} for step {self.steps}")
        o, rate = used[0]
        self.steps += 1
        for run in self._runs(grads):
            (n, start, _), (_, _, stop) = self._spans[run[0]], self._spans[run[-1]]
            if not self._plain:
                o, rate = used[self._group_of[n]]
            weights = [self.params[k].writable() for k in run]
            for k, w in zip(run, weights):
                self._updates[k] += 1
                g = -grads[k] if o.maximize else grads[k]
                self._parts[k]["g"][...] = self._decayed(o, w, g, rate) if o.weight_decay else g
            arrays = self._flat[n]
            if len(run) < len(self._blocks[n]):
                arrays = {name: whole[start:stop] for name, whole in arrays.items()}
            self._change(o, rate, self._updates[run[0]], **arrays)
            for k, w in zip(run, weights):
                w -= self._parts[k]["change"]

    def _runs(self, numbers: Collection[int]) -> list[list[int]]:
        """These parameters in runs that lie end to end and were updated equally often: in general a block."""
        if len(numbers) == len(self.params) and self._updates.count(self._updates[0]) == len(self.params):
            return self._blocks
        kinds = [(n, updates) for (n, _, _), updates in zip(self._spans, self._updates)]
        runs: list[list[int]] = []
        for k in numbers:
            if runs and runs[-1][-1] == k - 1 and kinds[k - 1] == kinds[k]:
                runs[-1].append(k)
            else:
                runs.append([k])
        return runs

    def zero_grad(self) -> None:
        """Forget every parameter's gradient."""
        for p in self.params:
            p.grad = None

    def _decayed(self, o: Any, w: np.ndarray, g: np.ndarray, rate: float) -> np.ndarray:
        return np.asarray(g + o.weight_decay * w)

    def _change(self, o: Any, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        """Write into `change` what to subtract from parameters at their t-th update, and bring `kept` up to date.

        The options are attributes of `o`. The arrays are flat; g may be overwritten.
        """
        raise NotImplementedError

    # --- state -------------------------------------------------------------------------------------------------------

    def state_dict(self, names: Names = None) -> dict[str, np.ndarray]:
        """A copy of all that later steps depend on, beside the options: `steps`, `updates`, `slot.k` of parameter k.

        k is the position in all groups, one after the other. With `names`, as `net.named_parameters(frozen=True)`, a
        parameter's name stands in its place, so that the state fits whatever groups there are when it is loaded with
        names: `slot.NAME`, `updates.NAME`. What a schedule remembers is there as `lr.best` and the like.

        Raises:
            ValueError: if a parameter has no name, or two have the same.
        """
        keys = self._keys(names)
        state = {"steps": np.array(self.steps), "updates": np.array(self._updates)}
        if names is not None:
            del state["updates"]
            state |= {f"updates.{key}": np.array(n) for key, n in zip(keys, self._updates)}
        for key, part in zip(keys, self._parts):
            state |= {f"{slot}.{key}": part[slot].copy() for slot in _slots_in(part)}
        for prefix, lr in schedules_in(self):
            state |= {prefix + name: value for name, value in lr.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any], names: Names = None) -> None:
        """Go on from `state`; with `names` if it was taken with names.

        Raises:
            ValueError: if it is not of this optimiser and model; nothing is changed then.
        """
        check_mapping(state)
        names = None if names is None else list(names)
        own, keys = self.state_dict(names), self._keys(names)
        faults = [f"missing: {name}" for name in own if name not in state]
        faults += [f"unexpected: {name}" for name in state if name not in own]
        for name in own.keys() & state.keys():
            found, wanted = native(np.asarray(state[name])), own[name]
            if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
                faults.append(
                    f"mismatched: {name} is {found.shape} {found.dtype}, "
                    f"this optimiser has {wanted.shape} {wanted.dtype}"
                )
        if faults:
            raise ValueError("load_state_dict: nothing was loaded, the state does not fit:\n  " + "\n  ".join(faults))
        self.steps = int(state["steps"])
        self._updates = (
            np.asarray(state["updates"]).tolist() if names is None else [int(state[f"updates.{key}"]) for key in keys]
        )
        for key, part in zip(keys, self._parts):
            for slot in _slots_in(part):
                part[slot][...] = state[f"{slot}.{key}"]
        for prefix, lr in schedules_in(self):
            lr.load_state_dict({name: state[prefix + name] for name in lr.state_dict()})

    def _keys(self, names: Names) -> list[str]:
        """What the parameters are called in a state."""
        if names is None:
            return [str(k) for k in range(len(self.params))]
        found = {id(p): name for name, p in names}
        for k, p in enumerate(self.params):
            if id(p) not in found:
                raise ValueError(f"names: parameter {k} of shape {p.shape} has none; pass those of all modules, with "
                                 "the frozen ones: `net.named_parameters(frozen=True)`")  # fmt: skip
        keys = [found[id(p)] for p in self.params]
        if len(set(keys)) < len(keys):
            twice = next(key for k, key in enumerate(keys) if key in keys[:k])
            raise ValueError(f"names: two parameters are called {twice!r}; put a prefix before the names of one module")
        return keys


def _slots_in(part: dict[str, np.ndarray]) -> list[str]:
    return [name for name in part if name not in ("g", "change")]
