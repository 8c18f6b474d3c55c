"""DataParallel: between `backward()` and the optimiser's step, the gradients of all ranks become their average."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

import minigrad as mg

from ..module import _SAVED, Module, _walk
from .ranks import PATIENCE, RankError, Ranks, describe, digest, mean_of, world


class DataParallel:
    """A context around a training loop, which every rank runs on rows of its own (`Ranks.rows`) with equal weights.

    g = Σ_r n_r g_r / Σ_r n_r for every parameter: where each rank's loss is the mean over its n_r examples, the
    gradient of the mean over all of them. Call `average_gradients` after `backward()` and before clipping and the
    step. All ranks leave together: an exception on one is raised, as RankError, on the others.

    On entry all weights, frozen ones and buffers as well, become those of rank 0, and what draws random numbers for the
    modules (`nn.Dropout`) goes on with another child of its `SeedSequence` on each rank: shuffle the data by another
    generator. Buffers, such as running means, are those of each rank's own rows while this goes on, and at its end
    those of rank 0.

    Args:
        models: modules, tensors, and lists or dicts of them: all that the optimiser changes, and what is frozen.
        ranks: who takes part; by default `world()`.
        check_weights: compare the weights' bits between the ranks after 0, 1, 2, 4, 8, ... steps and at the end. Switch
            it off where ranks run on processors that round differently.

    Raises:
        TypeError: if there are no weights in `models`.
        RankError: on every rank, if the tensors' names, shapes, dtypes or order differ, or what is frozen; if the
            weights have drifted apart; if a rank fails, or leaves after fewer steps.

    The gradients of a dtype are parts of one array, so that one Allreduce serves them all. A gradient is written there
    while it is weighted. It does not matter whether `.grad` was forgotten before, or cleared in place; a parameter that
    no rank has a gradient for has none afterwards, so that optimisers leave it as it is. With one rank nothing is done.

    Source: Goyal et al. 2017, section 3 (averages of minibatches that are spread over workers).

    >>> net, xs = nn.Linear(3, 2, rng=0), np.ones((4, 3))
    >>> with nn.distributed.DataParallel(net) as parallel:
    ...     loss = (net(xs) ** 2).mean()
    ...     loss.backward()
    ...     loss = parallel.average_gradients(loss, len(xs))
    >>> net.W.grad.shape
    (3, 2)
    """

    def __init__(self, *models: Any, ranks: Ranks | None = None, check_weights: bool = True) -> None:
        self.ranks = world() if ranks is None else ranks
        self.check_weights = check_weights
        self._models = models[0] if len(models) == 1 else list(models)
        self._modules = [part for _, part in _walk(self._models, "", set()) if isinstance(part, Module)]
        self._tensors = self._found()
        if not self._tensors:
            raise TypeError(f"DataParallel: there are no weights in {', '.join(type(m).__name__ for m in models)}")
        self._inside = False
        self._learn: list[bool] = []  # which tensors are not frozen
        self.steps = 0

    def __enter__(self) -> Self:
        ranks = self.ranks
        with ranks.together():
            self._lay_out()
            ranks.meet("the start of DataParallel", agreed=self._digest, details=lambda: _lines(self._tensors))
            if ranks.comm is not None:
                self._broadcast(self._tensors)
                for generator in self._generators():
                    _spawn(generator, ranks)
        self._inside = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        if isinstance(error, RankError) or self.ranks.size == 1:
            return
        failure, patience = "", math.inf
        if error is not None:
            failure = describe(error)
            if isinstance(error, Exception):  # Ctrl-C reaches all ranks, and some may first save what they have
                patience = PATIENCE
        try:
            with self.ranks.together():
                note = f"after {self.steps} steps"
                self.ranks.meet("the end of DataParallel", note, failure=failure, patience=patience)
                self._compare_weights()
                buffers = [(name, t) for name, t in self._found() if t.role == "buffer"]
                lines = _lines(buffers)
                self.ranks.meet("the buffers of rank 0", agreed=digest(lines), details=lambda: lines)
                self._broadcast(buffers)
        except RankError:
            if error is None:
                raise  # else this rank's own error is the one to show

    def average_gradients(self, loss: Any, examples: float) -> float:
        """Make every `p.grad` the average over the ranks, and return the average of the losses.

        Args:
            loss: the mean over this rank's examples; anything, also None, where there are none.
            examples: how many these are, or whatever the loss is a mean over, such as targets that count: n_r ≥ 0.
                A rank with none takes part, its gradients do not count.

        Raises:
            RankError: on every rank, if on one of them `examples` is no such number, a gradient has not its
                parameter's shape and dtype, or a parameter is frozen on some ranks only.
            ValueError: if no rank has an example; and with one rank, instead of RankError.
            RuntimeError: outside of the `with` block.
        """
        if not self._inside:
            raise RuntimeError("average_gradients: outside of the block `with DataParallel(...) as parallel:`")
        ranks = self.ranks
        with ranks.together():
            if self._learn != [t.requires_grad for _, t in self._tensors]:
                self._lay_out()
            value, failure = math.nan, ""
            try:
                self._check(examples)
                if loss is not None and examples:
                    value = float(loss.item() if isinstance(loss, mg.Tensor) else loss)
            except (TypeError, ValueError) as error:
                if ranks.size == 1:
                    raise
                failure, examples = describe(error), 0
            if ranks.comm is None and examples:  # the quick way of the usual case
                self.steps += 1
                return value
            headers = ranks.meet(
                "average_gradients",
                f"in step {self.steps + 1}",
                agreed=self._digest,
                details=lambda: _lines(self._tensors),
                weight=float(examples),
                value=value,
                failure=failure,
            )
            if self.steps & (self.steps - 1) == 0:  # 0, 1, 2, 4, 8, ...
                self._compare_weights()
            total = float(headers["weight"].sum())
            if total and ranks.size > 1:
                self._average(examples / total)
        if not total:
            raise ValueError(f"average_gradients: no rank has an example in step {self.steps + 1}")
        self.steps += 1
        return mean_of(headers)

    # --- the fused arrays --------------------------------------------------------------------------------------------

    def _found(self) -> list[tuple[str, mg.Tensor]]:
        """All weights with their paths: parameters, frozen ones, buffers."""
        found = [(name or "tensor", t) for name, t in _walk(self._models, "", set()) if isinstance(t, mg.Tensor)]
        return [(name, t) for name, t in found if t.primitive is None and (t.requires_grad or t.role in _SAVED[1:])]

    def _lay_out(self) -> None:
        """One array a dtype; in it the gradients, one after the other, and then a flag for each: has it one?"""
        self._learn = [t.requires_grad for _, t in self._tensors]
        self._digest = digest(_lines(self._tensors))
        self._learning = [(name, t) for name, t in self._tensors if t.requires_grad]
        self._flat, self._places = {}, []
        for dtype in dict.fromkeys(t.dtype for _, t in self._learning):
            members = [t for _, t in self._learning if t.dtype == dtype]
            size = sum(t.size for t in members)
            flat = self._flat[dtype] = np.zeros(size + len(members), dtype)
            start = 0
            for k, t in enumerate(members):
                self._places.append((t, flat[start : start + t.size].reshape(t.shape), flat[size + k :]))
                start += t.size

    def _check(self, examples: Any) -> None:
        if not isinstance(examples, (int, float, np.integer, np.floating)) or not 0 <= examples < math.inf:
            raise ValueError(f"average_gradients: examples must be a number of at least 0, got {examples!r}")
        for name, p in self._learning:
            g = p.grad
            if g is not None and (not isinstance(g, np.ndarray) or (g.shape, g.dtype) != (p.shape, p.dtype)):
                found = f"{g.shape} {g.dtype}" if isinstance(g, np.ndarray) else f"a {type(g).__name__}"
                raise ValueError(f"average_gradients: {name} is {p.shape} {p.dtype}, its gradient {found}")

    def _average(self, share: float) -> None:
        """p.grad ← Σ_r share_r · p.grad_r. What has no share may be NaN, as a mean over nothing is: it is not read."""
        for p, place, flags in self._places:
            g = p.grad if share else None
            flags[0] = g is not None
            if g is None:
                place.fill(0)
            else:
                np.multiply(g, share, out=place)
        for flat in self._flat.values():
            self.ranks.add_up(flat, "average_gradients")
        for p, place, flags in self._places:
            p.grad = place if flags[0] else None

    # --- equal weights, different random numbers ---------------------------------------------------------------------

    def _broadcast(self, tensors: list[tuple[str, mg.Tensor]]) -> None:
        """Rank 0's values, on every rank."""
        for _, t in tensors:
            array = np.array(t.data, order="C")
            self.ranks.comm.Bcast(array.reshape(-1).view(np.uint8))
            if t.requires_grad:
                t.writable()[...] = array  # where compiled functions read it
            else:
                t.data = array

    def _compare_weights(self) -> None:
        if not self.check_weights or self.ranks.comm is None:
            return
        weights, now = ([(n, t) for n, t in some if t.role != "buffer"] for some in (self._tensors, self._found()))
        replaced = [
            name for (name, t), (_, new) in itertools.zip_longest(weights, now, fillvalue=("", None)) if t is not new
        ]
        sums = [zlib.crc32(_bytes(t.data)) for _, t in weights]
        self.ranks.meet(
            "comparing the weights",
            f"after step {self.steps} (average_gradients belongs before every step of the optimiser)",
            agreed=digest([str(n) for n in sums]),
            details=lambda: [f"{name} with checksum {n:08x}" for (name, _), n in zip(weights, sums)],
            failure=f"{replaced[0] or 'a weight'} was replaced or added inside of DataParallel" if replaced else "",
        )

    def _generators(self) -> Iterator[np.random.Generator]:
        """What the modules draw random numbers from, each once."""
        found = (value for module in self._modules for value in vars(module).values())
        return iter({id(g): g for g in found if isinstance(g, np.random.Generator)}.values())


def _lines(tensors: list[tuple[str, mg.Tensor]]) -> list[str]:
    """What all ranks have to agree on, a line a tensor."""
    return [f"{name} {t.shape} {t.dtype}{'' if t.requires_grad else f', {t.role}'}" for name, t in tensors]


def _spawn(generator: np.random.Generator, ranks: Ranks) -> None:
    """Let a generator go on as the child of its seed that belongs to this rank; whoever shares it follows."""
    bits = generator.bit_generator
    children: Any = bits.seed_seq.spawn(ranks.size)  # type: ignore[attr-defined]
    bits.state = type(bits)(children[ranks.rank]).state


def _bytes(array: np.ndarray) -> Any:
    """The entries' bytes in C order; any NaN counts as the same."""
    if array.dtype.kind == "f" and np.isnan(array).any():
        array = np.where(np.isnan(array), np.nan, array).astype(array.dtype)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
