"""What 2, 3 and 4 ranks do together, for `test_distributed`: each case's results, by rank, as JSON in a file.

mpiexec -n 4 python -c "import rank_errors; rank_errors.main()" RESULTS.json [long]     in tests/support

The long profile runs on 3 ranks as well, and on 4 all networks of `numbers`, not the one that is cheap to trace.
"""

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
import nn
from nn.distributed import DataParallel, RankError, Ranks

CASES: dict[str, Callable[[Ranks], Any]] = {}
ALONE = Ranks()
T, B, I, H, V = 3, 6, 3, 5, 4


def is_long() -> bool:
    return "long" in sys.argv[2:]


def case(function: Callable[[Ranks], Any]) -> Callable[[Ranks], Any]:
    CASES[function.__name__] = function
    return function


def message(function: Callable[[], Any], kind: type[Exception] = RankError) -> str:
    """What a refusal says; the ranks are in step afterwards."""
    try:
        function()
    except kind as error:
        return str(error)
    return "nothing was raised"


class MGU(nn.Cell):
    """A user's cell."""

    def __init__(self, layer: int) -> None:
        self.H, rng = H, np.random.default_rng(layer)
        self.U = nn.parameter(rng.standard_normal((I, 2 * H)) / 2)
        self.W, self.W_h = (nn.parameter(rng.standard_normal((H, H)) / 2) for _ in range(2))

    def step(self, x: Any, h: Any) -> Any:
        x = x @ self.U
        f = mg.sigmoid(x[:, :H] + h @ self.W)
        h = h + f * (mg.tanh(x[:, H:] + (f * h) @ self.W_h) - h)
        return h, h


NETS: dict[str, Callable[[], Any]] = {
    "rnn": lambda: nn.RNN(I, H, rng=0, dtype=np.float64),
    "lstm": lambda: nn.LSTM(I, H, 2, rng=0, dtype=np.float64),
    "gru": lambda: nn.GRU(I, H, bidirectional=True, rng=0, dtype=np.float64),
    "user's": lambda: nn.Recurrent(MGU(0)),
}


def data(lengths: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    rng = np.random.default_rng(1)
    xs, ys = rng.standard_normal((T, B, I)), rng.integers(0, V, (T, B))
    if not lengths:
        return xs, ys, None
    until = np.array([2, 1, 3, 2, 3, 1])
    ys[np.arange(T)[:, None] >= until] = -1
    return xs, ys, until


def gradients(ranks: Ranks, kind: str, compiled: bool, lengths: bool) -> list[dict[str, np.ndarray]]:
    """The loss and the averaged gradients of the whole batch, of which each rank reads its rows.

    They are those after two passes, and those of a second run with the same program, after one pass.
    """
    net = NETS[kind]()
    head = nn.Linear(H * (1 + (kind == "gru")), V, rng=ranks.rank, dtype=np.float64)  # rank 0's is everybody's
    xs, ys, until = data(lengths)
    rows = ranks.rows(B)
    counted = int((ys[:, rows] >= 0).sum())

    def loss_and_gradients(xs: Any, ys: Any, until: Any) -> Any:
        loss = nn.cross_entropy(head(net(xs, lengths=until)[0]), ys, ignore_index=-1)
        loss.backward()
        return loss

    step = mg.compile(loss_and_gradients) if compiled else loss_and_gradients
    found = []
    for passes in (2, 1):
        with DataParallel({"net": net, "head": head}, ranks=ranks) as parallel:
            for _ in range(passes):
                for p in net.parameters() + head.parameters():
                    p.grad = None
                loss = step(xs[:, rows], ys[:, rows], None if until is None else until[rows])
                mean = parallel.average_gradients(loss, counted)
            named = [*net.named_parameters(), *head.named_parameters()]
            found.append({"loss": np.array(mean)} | {name: p.grad.copy() for name, p in named})
    return found


@functools.cache
def gradients_of_one(kind: str, lengths: bool) -> dict[str, np.ndarray]:
    return gradients(ALONE, kind, False, lengths)[0]


@case
def numbers(ranks: Ranks) -> Any:
    """The largest distance from one rank, and whether a second run has the same bits."""
    found = {}
    for kind in NETS if ranks.size < 4 or is_long() else ["lstm"]:
        for compiled in (False, True):
            for lengths in (False, True):
                one = gradients_of_one(kind, lengths)
                many, again = gradients(ranks, kind, compiled, lengths)
                distance = max(float(abs(many[name] - one[name]).max()) for name in one)
                same = all(many[name].tobytes() == again[name].tobytes() for name in one)
                words = "compiled" if compiled else "eager", "lengths" if lengths else "whole"
                found[" ".join((kind, *words))] = [distance, same]
    return found


OPTIMIZERS: dict[str, Callable[[Any], nn.Optimizer]] = {
    "sgd": lambda params: nn.SGD(params, 0.1, momentum=0.9, weight_decay=0.1),
    "adagrad": lambda params: nn.Adagrad(params, 0.1),
    "rmsprop": lambda params: nn.RMSprop(params, 0.01),
    "adam": lambda params: nn.Adam(params, 0.01, weight_decay=0.1),
    "adamw": lambda params: nn.AdamW(params, 0.01, weight_decay=0.1),
}


class Net(nn.Module):
    """Weights that are tied, frozen, never reached, and reached by rows of one kind only."""

    def __init__(self, seed: int) -> None:
        self.embedding = nn.Embedding(V, I, rng=seed, dtype=np.float64)
        self.frozen = nn.Linear(I, I, rng=seed, dtype=np.float64)
        for p in self.frozen.parameters():
            p.requires_grad = False
        self.output = nn.TiedLinear(self.embedding)
        self.never = nn.Linear(2, 2, rng=seed, dtype=np.float64)
        self.seldom = nn.Linear(I, I, rng=seed, dtype=np.float64)

    def forward(self, x: np.ndarray) -> Any:
        h = self.frozen(self.embedding(x))
        often = x != 0
        if not often.all():
            h = h + (self.seldom(h) * (~often)[:, None])
        return self.output(h)


def trained(ranks: Ranks, optimizer: str, clear: bool = False, own: int = 0) -> tuple[Net, list[float]]:
    """Four steps with batches of 5, 4, 1 and 3 rows, of which the first alone is 0; clipped."""
    net = Net(ranks.rank)
    params = [p for p in net.parameters() if p.requires_grad]
    adam, norms = OPTIMIZERS[optimizer](params), []
    text = np.array([0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 2])
    with DataParallel(net, ranks=ranks) as parallel:
        for start, n in ((0, 5), (5, 4), (9, 1), (10, 3)):
            if clear:
                for p in params:
                    if p.grad is not None:
                        p.grad.fill(0)
            else:
                adam.zero_grad()
            rows = ranks.rows(n)
            x, y = text[start : start + n][rows], text[start + 1 : start + n + 1][rows]
            loss = None
            if len(x):
                loss = nn.cross_entropy(net(x), y)
                loss.backward()
            parallel.average_gradients(loss, len(x))
            norms.append(nn.clip_grad_norm(params, 0.5))
            adam.step()
    return net, norms


@functools.cache
def trained_by_one(optimizer: str) -> tuple[Net, list[float]]:
    return trained(ALONE, optimizer)


@case
def optimizers(ranks: Ranks) -> Any:
    """The distance of the weights and norms from those of one rank, and what became of what was never reached."""
    found = {}
    for name in OPTIMIZERS:
        (one, expected), (many, norms) = trained_by_one(name), trained(ranks, name)
        pairs = zip([*one.embedding.parameters(), *one.seldom.parameters()],
                    [*many.embedding.parameters(), *many.seldom.parameters()])  # fmt: skip
        found[name] = {
            "weights": max(float(abs(p.data - q.data).max()) for p, q in pairs),
            "norms": max(abs(p - q) for p, q in zip(expected, norms)),
            "never reached": [p.grad is None for p in many.never.parameters()],
            "never changed": bool((many.never.W.data == Net(0).never.W.data).all()),
            "frozen": bool((many.frozen.W.data == Net(0).frozen.W.data).all()),
        }
    return found


@case
def cleared_in_place(ranks: Ranks) -> Any:
    """With gradients that are cleared in place instead of forgotten the result is the same; they stay one array's."""
    (one, _), (many, _) = trained(ranks, "rmsprop"), trained(ranks, "rmsprop", clear=True)
    learning = [p for p in many.parameters() if p.requires_grad and p.grad is not None]
    return {
        "distance": float(abs(one.embedding.W.data - many.embedding.W.data).max()),
        "arrays": len({id(p.grad.base) for p in learning}),
    }


@case
def kept_views(ranks: Ranks) -> Any:
    """Eager and compiled backward both add into the fused array's parts, and leave them in `.grad`."""
    found = {}
    for compiled in (False, True):
        net = nn.Linear(3, 2, rng=0)

        def run(x: Any, net: Any = net) -> Any:
            loss = (net(x) ** 2).sum()
            loss.backward()
            return loss

        step = mg.compile(run) if compiled else run
        with DataParallel(net, ranks=ranks) as parallel:
            step(np.ones((1, 3)))
            parallel.average_gradients(0.0, 1)
            before = net.W.grad
            first = before.copy()
            step(np.ones((1, 3)))
            found[f"compiled={compiled}"] = net.W.grad is before and bool(np.array_equal(before, 2 * first))
            parallel.average_gradients(0.0, 1)  # what was averaged before stays as it is
            found[f"added up, compiled={compiled}"] = bool(np.array_equal(net.W.grad, 2 * first))
    return found


@case
def nothing_to_do(ranks: Ranks) -> Any:
    """A rank without examples: its gradients, NaN perhaps, do not count; nobody with examples is an error."""
    net = nn.Linear(2, 1, rng=0, dtype=np.float64)
    with DataParallel(net, ranks=ranks) as parallel:
        net.W.grad, net.b.grad = np.full((2, 1), 3.0 if ranks.rank == 0 else np.nan), None
        loss = parallel.average_gradients(1.5 if ranks.rank == 0 else None, 2 if ranks.rank == 0 else 0)
        gradient = net.W.grad.tolist()
        text = message(lambda: parallel.average_gradients(None, 0), ValueError)
    return {"loss": loss, "W": gradient, "b": net.b.grad is None, "none": text}


@case
def not_finite(ranks: Ranks) -> Any:
    """A NaN of one rank is a NaN on all of them, and they all stop."""
    net = nn.Linear(2, 1, rng=0)
    with DataParallel(net, ranks=ranks) as parallel:
        net.W.grad = np.full((2, 1), np.nan if ranks.rank == ranks.size - 1 else 1.0, np.float32)
        loss = parallel.average_gradients(np.nan if ranks.rank == 0 else 1.0, 1)
        clipped = message(lambda: nn.clip_grad_norm(net.parameters(), 1.0), FloatingPointError)
    return {"loss": repr(loss), "clip": clipped}


@case
def buffers_and_results(ranks: Ranks) -> Any:
    """A buffer is the rank's own inside and rank 0's in the end; a result that a module keeps is nobody's business."""
    net = nn.Sequential(nn.Linear(2, 3, rng=0))
    net.mean, net.kept = nn.buffer(np.full(2, float(ranks.rank))), mg.tensor(np.ones(ranks.rank))
    with DataParallel(net, ranks=ranks) as parallel:
        first = net.mean.data.tolist()
        net.mean = net.mean + float(ranks.rank + 1)
        parallel.average_gradients(0.0, 1)
        inside = net.mean.data.tolist()
    return {"first": first, "inside": inside, "in the end": net.mean.data.tolist()}


@case
def half_precision(ranks: Ranks) -> Any:
    """Sums in float16, which not every MPI has."""
    net = nn.Linear(2, 3, rng=0, dtype=np.float16)
    with DataParallel(net, ranks=ranks) as parallel:
        net.W.grad = np.full((2, 3), ranks.rank, np.float16)
        parallel.average_gradients(0.0, 1)
    return float(net.W.grad[0, 0])


@case
def random_numbers(ranks: Ranks) -> Any:
    """Dropout's masks differ by rank, and are the same in a second run; the generators of `rng` as well."""
    found = []
    for _ in range(2):
        shared = np.random.default_rng(3)
        net = nn.Sequential(nn.Linear(2, 3, rng=shared), nn.Dropout(0.5, shared))
        with DataParallel(net, ranks=ranks):
            found.append(net.layers[1](np.ones((5, 5))).data.tolist())
            found.append(shared.random())
    same = found[:2] == found[2:]
    draws = [ranks.rng(7).random(), ranks.rng(7).random()]
    return {"mask": found[0], "shared": found[1], "reproducible": same and draws[0] == draws[1], "rng": draws[0]}


@case
def conversations(ranks: Ranks) -> Any:
    """What ranks tell each other."""
    return {
        "rows": [[ranks.rows(n).start, ranks.rows(n).stop] for n in (0, 1, 6, 7)],
        "mean": ranks.mean(ranks.rank, ranks.rank),
        "none counts": repr(ranks.mean(np.nan, 0)),
        "any": [ranks.any(False), ranks.any(ranks.rank == ranks.size - 1), ranks.any(np.bool_(ranks.rank == 0))],
        "gather": ranks.gather([ranks.rank]),
        "broadcast": ranks.broadcast(f"of {ranks.rank}"),
    }


def main() -> None:
    world, results = nn.distributed.world(), {}
    first = {n: Ranks(world.comm.Split(world.rank < n)) for n in ((2, 3, 4) if is_long() else (2, 4))}
    for n, ranks in first.items():
        if world.rank >= n:
            continue
        with np.errstate(all="ignore"):
            results[n] = {name: ranks.gather(function(ranks)) for name, function in CASES.items()}
    if world.rank == 0:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(results, file)
