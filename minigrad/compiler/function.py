"""`compile`: a function is traced at its first call, and from then on its program is replayed."""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from inspect import Parameter
from types import MethodType
from typing import Any, Generic

import numpy as np

from ..composed import P, R
from ..details import detailed, remark
from ..interpretation import interpreting
from ..memory import return_freed_memory, without_garbage_collection
from ..messages import check_callable, defined
from ..modes import anomaly, as_written, innermost, recording
from ..naming import held_as
from ..record import Variable
from ..signatures import parameters
from .arguments import matcher, never, read
from .instruction import Kinds
from .program import Program
from .stages import Stages

#: Programs kept for one function; the one that was made first goes first.
KEPT = 64
#: What has a longer key is read at each call: to compile a matcher takes 0.02 ms a leaf, and saves 0.1 us at a call.
SHORT = 400


class Compiled(Generic[P, R]):
    """A function that is replayed; see `compile`."""

    def __init__(self, function: Callable[P, R], stages: Stages) -> None:
        functools.update_wrapper(self, function)
        self.function, self.stages = function, stages
        self.programs: dict[Any, list[Program]] = defaultdict(list)
        self.moving: set[Variable] = set()  # leaves whose array was once replaced
        self._program: Program | None = None
        self.block = np.empty(0, np.uint8)  # the memory that programs use in turn
        self.kinds = Kinds()  # of all programs
        self.lock, self.busy = threading.RLock(), False
        taken = parameters(function, follow_wrapped=False)  # what takes any keywords may look at their order
        self.sorts = taken is not None and all([p.kind is not Parameter.VAR_KEYWORD for p in taken])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        records = True
        if innermost.get() is not None:  # else every switch has its default
            if interpreting() is not None or anomaly() or as_written():
                return self.function(*args, **kwargs)
            if detailed():
                name = getattr(self.function, "__name__", "")
                with remark(f"the compiled function {name} ran as plain Python, for looking"):
                    return self.function(*args, **kwargs)
            records = bool(recording())  # which is an object in a `checkpoint`
        with self.lock:
            if self.busy:  # by a call that calls this one in turn, and whose memory is in use
                self._read(records, args, kwargs)
                return self.function(*args, **kwargs)
            self.busy = True
            try:
                program = self._program
                leaves = program.leaves_of(records, args, kwargs) if program else None
                if program is None or leaves is None or not program.current():
                    program, leaves = self._look_up(records, args, kwargs)
                return program.replay(leaves)  # type: ignore[no-any-return]
            finally:
                self.busy = False

    def _read(self, records: bool, args: Any, kwargs: Any) -> tuple[list[Any], list[Any], Any]:
        """The leaves of arguments, what they must have in common with others, and the keywords in their order."""
        leaves: list[Any] = []
        key: list[Any] = [records]
        read(args, leaves, key)
        if kwargs:
            kwargs = dict(sorted(kwargs.items())) if self.sorts else kwargs
            key += len(kwargs), *kwargs
            read(kwargs.values(), leaves, key)
        return leaves, key, kwargs

    def _look_up(self, records: bool, args: Any, kwargs: Any) -> tuple[Program, list[Any]]:
        """The program for these arguments, a new one unless there is one that is current, and their leaves."""
        leaves, key, kwargs = self._read(records, args, kwargs)
        for program in self.programs.get(tuple(key), ()):
            if program.current():
                twice = program is self._program  # in a row, and so perhaps often
                if twice and program.leaves_of is never and len(key) <= SHORT:
                    program.leaves_of = matcher(records, args, kwargs)
                break
        else:
            program = self._traced(self.programs[tuple(key)], args, kwargs)
        self._program = program
        return program, leaves

    def _traced(self, candidates: list[Program], args: Any, kwargs: Any) -> Program:
        """A new program, one of the candidates from now on; those whose leaves have moved are none any more."""
        for outdated in [p for p in candidates if p.moved()]:
            self.moving.update(outdated.moved())
            candidates.remove(outdated)
        with without_garbage_collection():
            try:
                program = Program(self.function, args, kwargs, self.moving, self.block, self.stages, self.kinds)
            finally:
                self.kinds.settle()
        if program.block is not self.block:  # else the next trace takes what this one left
            return_freed_memory(program.nbytes)
        self.block = program.block
        candidates.append(program)
        if sum(map(len, self.programs.values())) > KEPT:
            del self.programs[next(iter(self.programs))]
        return program

    @property
    def program(self) -> Program:
        """The program of the last call.

        Raises:
            RuntimeError: before the first call, which traces the function.
        """
        if self._program is None:
            raise RuntimeError(f"compile: {defined(self.function)} is traced at its first call; call it once before")
        return self._program

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self.function!r}>"

    def __reduce__(self) -> Any:
        """By its name if a module holds it, as a decorated function is; else as its function, to be traced anew."""
        name = held_as(self, getattr(self, "__qualname__", ""))
        compiled = functools.partial(compile, show_passes=self.stages.show, without=tuple(self.stages.without))
        return name or (compiled, (self.function,))


def compile(
    function: Callable[P, R], *, show_passes: bool = False, without: str | Iterable[str] = ()
) -> Compiled[P, R]:
    """`function`, traced at the first call and from then on replayed: the same results without a record or allocation.

    A trace serves every later call with the same structure, shapes, dtypes and `requires_grad` of the arguments and the
    same Python values among them; another such signature is traced in turn. Arrays and tensors that are passed are read
    afresh at each call, arrays inside of the function arriving as Tensors. So are tensors and arrays that the function
    closes over and computes with, or makes tensors of; what Python computes from these while tracing is a constant. If
    a list that minigrad reads changes, or an array that gives it a shape, a count, an axis or lengths, the function is
    traced again; what it reads itself of these, as `int(n)`, it reads of `minigrad.watched(n)`. `backward()` inside of
    the function adds to `.grad` at each call. Random numbers come from `minigrad.sample`. Results belong to the caller.

    `show_passes=True` prints, when the function is traced, the list of its instructions after each pass, the map of its
    memory and the calls; `without=("batches",)` leaves passes out, by name, to find which one is wrong. Both are told
    about in `minigrad/compiler/README.md`.

    Raises:
        ValueError: for the name of a pass that does not exist.
        TypeError: while tracing, for `float(t)`, `if t:`, `t.data`, random numbers that are not drawn by `sample`,
            and what else would make a value a constant.
        RuntimeError: while tracing, if an array is changed after it was used; or for a derivative of the results.

    >>> f = mg.compile(lambda x: mg.tanh(x) * x)
    >>> f(mg.tensor(0.0)), f(mg.tensor(1.0))  # the first call traces, the second replays
    (tensor(0.), tensor(0.76159416))
    """
    return Compiled(check_callable("compile", function), Stages(without, show_passes))
