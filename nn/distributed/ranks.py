"""Ranks, the processes that mpiexec started, and how they meet.

MPI waits for good if a rank does not come to a collective call, and adds up the wrong bytes if one comes with other
data. So all ranks *meet* before each: they hand round a header of a few bytes, which says what each is about to do and
whether it has failed. If they differ, the error is raised on every rank, and names who did what. The end of the
program is a meeting as well. A rank that does not live to meet anyone (kill -9) is noticed by mpiexec, which ends all.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib
import math
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

#: Seconds that a rank which has failed waits for the others to come and hear of it; then it ends them.
PATIENCE = 5.0
#: Seconds that a rank waits awake: longer than the ranks' steps differ, shorter than what one saves or draws.
BUSY = 0.02
END = "the end of the program"
step_aside: Callable[[], object] = getattr(os, "sched_yield", lambda: time.sleep(0))
_HEADER = np.dtype([("digest", "u8"), ("failed", "u8"), ("weight", "f8"), ("value", "f8")])


class MPIError(ImportError):
    """This program was started by mpiexec, and something is missing that it needs for that.

    >>> issubclass(nn.distributed.MPIError, ImportError)
    True
    """


class RankError(RuntimeError):
    """The ranks no longer do the same, or one of them has failed: raised on every rank, with the same text.

    >>> issubclass(nn.distributed.RankError, RuntimeError)
    True
    """


def digest(lines: Sequence[str]) -> int:
    """One number for what all ranks have to agree on."""
    return int.from_bytes(hashlib.blake2b("\n".join(lines).encode(), digest_size=8).digest(), "little")


class Ranks:
    """Who takes part in a computation, and what they tell each other; every method is called by all ranks alike.

    Args:
        comm: an mpi4py communicator; None for one rank alone, which needs no MPI.

    Attributes:
        rank: which one this is, from 0 to size - 1.
        size: how many there are.

    Raises:
        RankError: from every method that waits for the others, if one of them has failed, has ended, or calls
            something else.

    >>> ranks = nn.distributed.world()
    >>> ranks.rows(8)
    slice(0, 8, None)
    """

    def __init__(self, comm: Any = None) -> None:
        self.comm: Any = comm.Dup() if comm is not None and comm.size > 1 else None  # messages of its own
        self.rank: int = 0 if self.comm is None else self.comm.rank
        self.size: int = 1 if self.comm is None else self.comm.size
        self.ended: str | None = None  # why nobody will come any more

    def rows(self, n: int) -> slice:
        """Which of n rows are this rank's: all ranks' in turn are 0 ... n - 1, their numbers differ by 1 at most."""
        each, more = divmod(n, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def rng(self, seed: int | Sequence[int] | None) -> np.random.Generator:
        """A generator for what differs from rank to rank: `default_rng(seed)` alone, else its `SeedSequence`'s child.

        With the seed None its numbers cannot be drawn again.
        """
        if self.size == 1:
            return np.random.default_rng(seed)
        return np.random.default_rng(np.random.SeedSequence(seed).spawn(self.size)[self.rank])

    def mean(self, value: float, weight: float = 1.0) -> float:
        """Σ weight · value / Σ weight over the ranks, in their order: the same bits on each; NaN if no rank counts.

        A rank with weight 0 has no part in it, whatever its value.
        """
        weight, value = float(weight), float(value)
        if self.comm is None and weight:
            return value
        with self.together():
            return mean_of(self.meet("mean", weight=weight, value=value))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some rank: to stop all at the same step."""
        if self.comm is None:
            return bool(flag)
        value = float(bool(flag))
        with self.together():
            return bool(self.meet("any", value=value)["value"].any())

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks in their order, on every rank; anything that can be pickled."""
        if self.comm is None:
            return [value]
        data = pickle.dumps(value)
        with self.together():
            self.meet("gather")
            told = self.comm.allgather(data)
        return [pickle.loads(each) for each in told]

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, on every rank; anything that can be pickled."""
        if self.comm is None:
            return value
        data = pickle.dumps(value) if self.rank == 0 else None
        with self.together():
            self.meet("broadcast")
            data = self.comm.bcast(data)
        return pickle.loads(data)

    # --- meetings ----------------------------------------------------------------------------------------------------

    def meet(
        self,
        call: str,
        note: str = "",
        agreed: int = 0,
        details: Callable[[], Sequence[str]] = tuple,
        weight: float = 1.0,
        value: float = 0.0,
        failure: str = "",
        patience: float = math.inf,
    ) -> np.ndarray:
        """The headers of all ranks, fields weight and value (size,), once all are about to do the same.

        Args:
            call: what this rank is about to do; `note` is added to it in messages.
            agreed: the digest of `details`, lines that must be the same on all ranks; asked for only if they differ.
            failure: why this rank cannot take part: raised as RankError on every rank.
            patience: seconds to wait for the others before all are ended.
        """
        if self.ended is not None:
            raise RankError(self.ended)
        mine = np.zeros((), _HEADER)
        mine["digest"], mine["failed"] = _digest_of_call(call) ^ agreed, bool(failure)
        mine["weight"], mine["value"] = weight, value
        headers = np.empty(self.size, _HEADER)
        headers[:] = mine
        if self.comm is not None:
            self._wait(self.comm.Iallgather(mine.tobytes(), headers.view(np.uint8)), call, failure, patience)
        if headers["failed"].any() or (headers["digest"] != mine["digest"]).any():
            own = f"{call} {note}".strip(), list(details()), failure
            told = [own] if self.comm is None else self.comm.allgather(own)  # which they all do now
            error = _difference(told)
            if any(call == END for call, _, _ in told):
                self.ended = error
            raise RankError(error)
        return headers

    def add_up(self, array: np.ndarray, call: str) -> None:
        """The sum over the ranks, in place, after a meeting; contiguous arrays of one shape and dtype."""
        self._wait(self.comm.Iallreduce(importlib.import_module("mpi4py.MPI").IN_PLACE, array), call)

    def _wait(self, request: Any, call: str, failure: str = "", patience: float = math.inf) -> None:
        """Wait for a request of MPI: at first awake, only stepping aside for who else needs the core, then asleep.

        MPI goes on with a request when it is asked for it, and a sum takes several turns of both sides. Where the first
        rank slept between them, a sum of 430 kB took 0.8 ms from the last rank's coming, and 0.14 ms awake.
        """
        began = time.monotonic()
        while not request.Test():
            waited = time.monotonic() - began
            if waited < BUSY:
                step_aside()
                continue
            time.sleep(1e-3)
            if waited > patience:
                self._abort(f"{failure}; the others did not come to {call} within {patience:g} s")

    def _abort(self, why: str) -> None:
        """End all ranks at once."""
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        print(f"rank {self.rank} of {self.size}: {why}; all ranks end", file=sys.stderr, flush=True)
        self.comm.Abort(1)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A meeting and what follows from it: a rank that left in the middle would leave the others waiting.

        So Ctrl-C counts at the end only (a second one is mpiexec's, which ends all), and another error ends all ranks.
        """
        received: list[tuple[int, Any]] = []
        before = signal.getsignal(signal.SIGINT)
        held = self.comm is not None and threading.current_thread() is threading.main_thread() and callable(before)
        if held:
            signal.signal(signal.SIGINT, lambda *signal_and_frame: received.append(signal_and_frame))
        try:
            yield
        except RankError:
            raise
        except BaseException as error:
            if self.comm is not None:
                self._abort(describe(error))
            raise
        finally:
            if held:
                signal.signal(signal.SIGINT, before)
            if received and callable(before):
                before(*received[0])

    def end(self, error: BaseException | None = None) -> None:
        """The last meeting: others, who may wait for this rank, hear that it does not come, and by which error.

        Python's end calls it for `world()`; a program that handles its error by itself does so before.
        """
        if self.comm is None or self.ended is not None:
            return
        error = error or getattr(sys, "last_value", None)
        failure = describe(error) if isinstance(error, BaseException) else ""
        with suppress(RankError):  # it is told to those who go on
            self.meet(END, failure=failure, patience=PATIENCE if failure else math.inf)
        self.ended = "this rank has ended its program"


def mean_of(headers: np.ndarray) -> float:
    """Σ weight · value / Σ weight of a meeting."""
    counts = headers["weight"] != 0
    weights, values = headers["weight"][counts], headers["value"][counts]
    return float((weights * values).sum() / weights.sum()) if counts.any() else math.nan


def describe(error: BaseException) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


@functools.cache
def _digest_of_call(call: str) -> int:
    return digest([call])


def _difference(told: list[tuple[str, list[str], str]]) -> str:
    """What the ranks told each other at a meeting that failed: who has failed, or where they differ first."""
    failures = [f"rank {r} of {len(told)}: {failure}" for r, (_, _, failure) in enumerate(told) if failure]
    if failures:
        return "; ".join(failures)
    calls: dict[str, list[str]] = {}
    for r, (call, _, _) in enumerate(told):
        calls.setdefault(call, []).append(str(r))
    if len(calls) > 1:
        parts = [f"rank{'s' * (len(who) > 1)} {', '.join(who)}: {call}" for call, who in calls.items()]
        return f"the ranks no longer do the same, each waits for another call: {'; '.join(parts)}"
    call, expected, _ = told[0]
    for r, (_, lines, _) in enumerate(told):
        for k in range(max(len(lines), len(expected))):
            one, other = (some[k] if k < len(some) else "nothing" for some in (expected, lines))
            if one != other:
                return f"{call}: rank 0 has {one}, rank {r} has {other}"
    raise AssertionError("the digests differ, the lines do not")


# --- finding the others ---------------------------------------------------------------------------------------------

#: Where mpiexec (MPICH, Open MPI, MVAPICH) and srun tell a process how many it has started.
STARTED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@functools.cache
def world() -> Ranks:
    """All processes that mpiexec started; one rank alone if none did: then MPI is not even imported.

    Raises:
        MPIError: under mpiexec, if mpi4py is missing, finds no MPI, or another one than that which mpiexec belongs to.

    >>> ranks = nn.distributed.world()
    >>> ranks.rank, ranks.size, ranks.rows(8)
    (0, 1, slice(0, 8, None))
    """
    sizes = [os.environ[name] for name in STARTED if os.environ.get(name, "").isdigit()]
    size = max(map(int, sizes), default=1)
    if size == 1:
        return Ranks()
    started = f"this program was started by mpiexec, as one of {size}"
    try:
        MPI: Any = importlib.import_module("mpi4py.MPI")
    except ModuleNotFoundError as error:
        raise MPIError(f"{started}, which needs the package mpi4py, and an MPI: pip install mpi4py mpich") from error
    except (ImportError, RuntimeError) as error:
        raise MPIError(f"{started}, but mpi4py finds no MPI: pip install mpich, or load your cluster's") from error
    if MPI.COMM_WORLD.size != size:
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ")
        raise MPIError(
            f"{started}, but mpi4py's MPI, {library}, knows of {MPI.COMM_WORLD.size}: "
            "start it with the mpiexec of that MPI"
        )
    ranks = Ranks(MPI.COMM_WORLD)
    atexit.register(ranks.end)
    return ranks
