"""What a model calls, traced at several sizes of its free axes: a number that differs follows from these."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

import minigrad as mg

#: What is added to the sizes of the example: at four of them the model is traced, so that what it computes with sizes
#: is told from constants. Each further free axis takes the next row.
ADDED = ((1, 2, 5, 9), (2, 5, 1, 4), (5, 1, 4, 2), (3, 9, 2, 7))


@dataclass(frozen=True)
class Size:
    """An integer that differs from trace to trace."""

    values: tuple[int, ...]

    def __index__(self) -> int:
        raise TypeError(
            f"to_onnx: a number that follows from the size of a free axis, here one of {self.values}, stands where the "
            'file has to hold a constant; fix the axis, as axes={"xs": (None, "B")} does'
        )


@dataclass(frozen=True, eq=False)
class Varying:
    """An array made by Python, such as zeros for a first state, that differs from trace to trace."""

    arrays: tuple[np.ndarray, ...]


class Ref:
    """An array of the model; `shape` has a `Size` for each size that is free, `source` is that of the `mg.Value`."""

    __slots__ = ("shape", "dtype", "source")

    def __init__(self, shape: tuple[Any, ...], dtype: Any, source: Any = None) -> None:
        self.shape, self.dtype, self.source = shape, np.dtype(dtype), source

    ndim = property(lambda self: len(self.shape))


class Call(NamedTuple):
    """out = primitive(*inputs, **static), with Refs for arrays and Sizes for numbers that follow from sizes."""

    primitive: mg.Primitive
    inputs: tuple[Any, ...]
    static: dict[str, Any]
    out: Ref


class Calls(NamedTuple):
    """The traces as one."""

    arguments: list[Ref]
    calls: list[Call]
    results: Any


class DiffersError(ValueError):
    """The calls themselves differ from trace to trace."""


class Merge:
    """Puts traces at several sizes together; `where` names these in messages, `primitive` what is being merged."""

    def __init__(self, where: Sequence[str]) -> None:
        self.where = where
        self.refs: dict[tuple[mg.Value, ...], Ref] = {}
        self.partner: dict[mg.Value, tuple[mg.Value, ...]] = {}
        self.primitive = "the model"

    def __call__(self, traces: Sequence[mg.Traced]) -> Calls:
        arguments = [self.ref(values) for values in zip(*[t.arguments for t in traces])]
        calls = []
        for place, row in enumerate(itertools.zip_longest(*[t.calls for t in traces])):
            instructions: tuple[Any, ...] = row
            kinds = [i and i.primitive for i in instructions]
            if len(set(kinds)) > 1:
                self.differs(f"call {place}", [k.name if k else "nothing" for k in kinds])
            self.primitive = instructions[0].primitive.name
            inputs = self.merged(*[i.inputs for i in instructions])
            static = self.merged(*[i.static for i in instructions])
            calls.append(Call(instructions[0].primitive, inputs, static, self.ref([i.out for i in instructions])))
        self.primitive = "the model's results"
        return Calls(arguments, calls, self.merged(*[t.results for t in traces]))

    def differs(self, what: str, found: Sequence[Any]) -> NoReturn:
        listed = ", ".join(f"{x} at {where}" for x, where in zip(found, self.where))
        raise DiffersError(
            f"to_onnx: {self.primitive}: {what} depends on the size of a free axis: {listed}; put a loop over time "
            "into nn.Recurrent, compute with arrays what Python computes from sizes, or fix that axis, as "
            'axes={"xs": (None, "B")} does'
        )

    def ref(self, values: Sequence[mg.Value]) -> Ref:
        """The Ref of the Values that correspond to each other."""
        key = tuple(values)
        if self.partner.setdefault(key[0], key) != key:
            self.differs("which array is read", values)
        if key not in self.refs:
            first = key[0]
            if len({len(v.shape) for v in key}) > 1 or len({v.dtype for v in key}) > 1:
                self.differs("the number of axes or the dtype of a result", values)
            shape = tuple([self.merged(*sizes) for sizes in zip(*[v.shape for v in key])])
            source = first.source
            if isinstance(source, mg.Tensor) and any([v.source is not source for v in key]):
                source = self.merged(*[v.source.data for v in key])
            self.refs[key] = Ref(shape, first.dtype, source)
        return self.refs[key]

    def merged(self, *parts: Any) -> Any:
        """What stands for these: one part of each trace, at the same place."""
        first, kind = parts[0], type(parts[0])
        if kind is mg.Value:
            if any([type(part) is not mg.Value for part in parts]):
                self.differs("which array is read", parts)
            return self.ref(parts)
        if isinstance(first, (int, np.integer)) and not isinstance(first, bool):
            numbers = tuple([int(part) for part in parts])
            return numbers[0] if len(set(numbers)) == 1 else Size(numbers)
        if any([type(part) is not kind for part in parts]):
            self.differs("an argument", parts)
        if kind is slice:
            return slice(*[self.merged(*ends) for ends in zip(*[(p.start, p.stop, p.step) for p in parts])])
        if kind is dict:
            if any([part.keys() != first.keys() for part in parts]):
                self.differs("an argument", parts)
            return {key: self.merged(*[part[key] for part in parts]) for key in first}
        if isinstance(first, (tuple, list)):
            if len({len(part) for part in parts}) > 1:
                self.differs("an argument", parts)
            return (list if kind is list else tuple)([self.merged(*group) for group in zip(*parts)])
        if kind is np.ndarray:
            equal = all([part.shape == first.shape and np.array_equal(part, first, equal_nan=True) for part in parts])
            return first if equal else Varying(parts)
        if hasattr(first, "merged_with"):
            return first.merged_with(parts[1:], self)
        if any([part is not first and part != first for part in parts]):
            self.differs("an argument", parts)
        return first


def trace_at(
    net: Callable[[dict[str, Any]], Any],
    examples: Sequence[dict[str, Any]],
    where: Sequence[str],
    take: Any,
    check: Any,
) -> Calls:
    """The calls of `net` with these examples of its arguments, which differ in their free sizes only.

    Each primitive that is called is given to `check`, which may refuse it.
    """
    from ..scan import taking

    traces = []
    for example in examples:
        token = taking.set(take)
        try:
            with mg.no_grad(), np.errstate(all="ignore"):
                traces.append(mg.traced(net, example))
        except (TypeError, ValueError) as error:
            text = str(error).removeprefix("compile: ")
            raise type(error)(f"to_onnx: the model cannot be traced: {text}") from error
        finally:
            taking.reset(token)
        for call in traces[-1].calls:
            check(call.primitive)
    return Merge(where)(traces)
