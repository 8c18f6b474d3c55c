"""What goes wrong on one of several ranks: cases for `test_distributed`, of what all are told."""

from typing import Any

import numpy as np
from rank_cases import case, main, message

import nn
from nn.distributed import DataParallel, Ranks

__all__ = ["main"]


def entered(ranks: Ranks, *models: Any) -> str:
    def enter() -> None:
        with DataParallel(*models, ranks=ranks):
            pass

    return message(enter)


@case
def mismatches(ranks: Ranks) -> Any:
    """What all ranks are told when one of them, the last, differs; nothing was sent."""
    last = ranks.rank == ranks.size - 1
    a, b = nn.Linear(2, 3, rng=0), nn.Linear(2, 3, rng=0)
    frozen = nn.Linear(2, 3, rng=0)
    frozen.b.requires_grad = not last
    found = {
        "names": entered(ranks, {"a": a, ("c" if last else "b"): b}),
        "order": entered(ranks, {"b": a, "a": b} if last else {"a": a, "b": b}),
        "number": entered(ranks, [a] if last else [a, b]),
        "shape": entered(ranks, nn.Linear(2, 4 if last else 3, rng=0)),
        "dtype": entered(ranks, nn.Linear(2, 3, rng=0, dtype=np.float64 if last else np.float32)),
        "frozen": entered(ranks, frozen),
        "another call": message(lambda: ranks.mean(1.0) if last else ranks.gather(1)),
    }
    return found


@case
def gradients_that_do_not_fit(ranks: Ranks) -> Any:
    """A gradient of another dtype, shape or order of axes on the last rank, a bad number of examples."""
    last = ranks.rank == ranks.size - 1
    found = {}

    def attempt(gradient: Any, examples: Any = 1) -> Any:
        net = nn.Linear(2, 3, rng=0)

        def run() -> None:
            with DataParallel(net, ranks=ranks) as parallel:
                net.W.node.grad = np.ones((2, 3), np.float32) if not last else gradient  # `W.grad = ` refuses it
                parallel.average_gradients(0.0, examples if last else 1)

        return message(run), net

    found["float64"], _ = attempt(np.ones((2, 3)))
    found["shape"], _ = attempt(np.ones((3, 2), np.float32))
    found["list"], _ = attempt([[1.0] * 3] * 2)
    found["examples"], _ = attempt(np.ones((2, 3), np.float32), -1)
    found["no number"], _ = attempt(np.ones((2, 3), np.float32), "3")
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    net = nn.Linear(2, 3, rng=0)
    with DataParallel(net, ranks=ranks) as parallel:
        net.W.grad = np.asfortranarray(rows) if last else rows.copy()
        parallel.average_gradients(0.0, 1)
    found["columns first"] = float(abs(net.W.grad - rows).max())
    return found


@case
def frozen_later(ranks: Ranks) -> Any:
    """A weight may be frozen while the context is open, on all ranks; on one alone all are told."""
    net = nn.Linear(2, 3, rng=0, dtype=np.float64)
    found = {}

    def run() -> None:
        with DataParallel(net, ranks=ranks) as parallel:
            for frozen in (False, True, False):
                net.b.requires_grad = not frozen
                net.zero_grad()
                (net(np.full((1, 2), float(ranks.rank))) ** 2).sum().backward()
                parallel.average_gradients(0.0, 1)
                found[f"{len(found)}"] = [net.W.grad.sum(), net.b.grad is None]
            net.b.requires_grad = ranks.rank != 0
            parallel.average_gradients(0.0, 1)

    found["one alone"] = message(run)
    return found


@case
def replaced(ranks: Ranks) -> Any:
    """A layer that is replaced while training, whose gradients nobody would average."""
    net = nn.Sequential(nn.Linear(2, 3, rng=0))

    def run() -> None:
        with DataParallel(net, ranks=ranks) as parallel:
            parallel.average_gradients(0.0, 1)
            net.layers[0] = nn.Linear(2, 3, rng=1)
            parallel.average_gradients(0.0, 1)

    return message(run)


@case
def drifting(ranks: Ranks) -> Any:
    """A step of the optimiser without the average is noticed at the next step, and at the end."""
    last = ranks.rank == ranks.size - 1
    found = {}
    for steps in (1, 0):
        net = nn.Linear(2, 3, rng=0)

        def run(net: Any = net, steps: int = steps) -> None:
            with DataParallel(net, ranks=ranks) as parallel:
                for _ in range(steps):
                    parallel.average_gradients(0.0, 1)
                net.W.writable()[0, 0] += last
                if steps:
                    parallel.average_gradients(0.0, 1)
                    raise AssertionError("not noticed")

        found["in step 2" if steps else "at the end"] = message(run)
    return found


@case
def fewer_steps(ranks: Ranks) -> Any:
    """The last rank has one step fewer."""
    net = nn.Linear(2, 3, rng=0)

    def run() -> None:
        with DataParallel(net, ranks=ranks) as parallel:
            for _ in range(2 + (ranks.rank < ranks.size - 1)):
                parallel.average_gradients(0.0, 1)

    return message(run)


@case
def one_raises(ranks: Ranks) -> Any:
    """An exception of the last rank reaches all; its own is its own."""
    net = nn.Linear(2, 3, rng=0)

    def run() -> None:
        with DataParallel(net, ranks=ranks) as parallel:
            parallel.average_gradients(0.0, 1)
            if ranks.rank == ranks.size - 1:
                raise KeyError("no such row")
            parallel.average_gradients(0.0, 1)

    return message(run, Exception)
