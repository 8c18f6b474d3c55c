"""The options of optimisers, schedules and losses as PyTorch computes them; run with PyTorch, it records its side.

python tests/support/torch_options.py       writes tests/support/recorded/torch_options.npz
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

RECORDED = Path(__file__).parent / "recorded" / "torch_options.npz"
STEPS, TOTAL = 6, 12
VALUES = [3.0, 2.0, 2.5, 2.4, 2.3, 1.9, 1.9, 1.9, 1.9, 1.9, 1.8, 1.9]  # what a plateau is told

# --- optimisers: two parameters, of which the second is a group with options of its own ------------------------------

#: name -> class, options of PyTorch's, options of ours, (PyTorch's, ours) of the second group
OPTIMIZERS: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[dict[str, Any], dict[str, Any]] | None]] = {}


def optimizer(kind: str, theirs: dict[str, Any], ours: dict[str, Any] | None = None, group: Any = None) -> None:
    """A case; options are called the same unless `ours` says otherwise."""
    name = f"{kind} {theirs}" + (f" and {group[0]}" if group else "")
    OPTIMIZERS[name] = (kind, theirs, theirs if ours is None else ours, group)


for more in ({}, {"dampening": 0.3}, {"nesterov": True}, {"dampening": 0.3, "weight_decay": 0.1, "maximize": True}):
    optimizer("SGD", {"lr": 0.1, "momentum": 0.9} | more)
for more in ({}, {"centered": True}, {"momentum": 0.9}, {"centered": True, "momentum": 0.5, "weight_decay": 0.1}):
    base = {"lr": 0.01, "eps": 1e-6} | more
    optimizer("RMSprop", base | {"alpha": 0.8}, base | {"decay": 0.8})
for kind in ("Adam", "AdamW"):
    optimizer(kind, {"lr": 0.1, "betas": (0.5, 0.7), "amsgrad": True})
    optimizer(kind, {"lr": 0.1, "amsgrad": True, "weight_decay": 0.2, "maximize": True})
    optimizer(kind, {"lr": 0.1}, group=({"lr": 0.3, "betas": (0.8, 0.9), "amsgrad": True},) * 2)
optimizer("Adagrad", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}, group=({"lr": 0.02, "weight_decay": 0.0},) * 2)
optimizer("SGD", {"lr": 0.1, "momentum": 0.9}, group=({"momentum": 0.0, "weight_decay": 0.3},) * 2)
optimizer("RMSprop", {"lr": 0.1}, {"lr": 0.1, "decay": 0.99}, ({"centered": True, "momentum": 0.5},) * 2)


def gradients() -> list[list[np.ndarray]]:
    """For each step the gradients of both parameters, the same ones however often they are asked for."""
    rng = np.random.default_rng(0)
    return [[rng.standard_normal((2, 3)), rng.standard_normal(4)] for _ in range(STEPS)]


def starts() -> list[np.ndarray]:
    """The parameters before the first step."""
    rng = np.random.default_rng(1)
    return [rng.standard_normal((2, 3)), rng.standard_normal(4)]


def their_steps(name: str) -> np.ndarray:
    """The parameters after each step, (STEPS, 10)."""
    import torch

    kind, options, _, group = OPTIMIZERS[name]
    params = [torch.tensor(a, requires_grad=True) for a in starts()]
    groups = params if group is None else [{"params": params[:1]}, {"params": params[1:], **group[0]}]
    optimizer, rows = getattr(torch.optim, kind)(groups, **options), []
    for gs in gradients():
        for p, g in zip(params, gs):
            p.grad = torch.tensor(g)
        optimizer.step()
        rows.append(np.concatenate([p.detach().numpy().ravel() for p in params]))
    return np.stack(rows)


def our_steps(name: str) -> np.ndarray:
    """The same by ours."""
    kind, _, options, group = OPTIMIZERS[name]
    params = [nn.parameter(a) for a in starts()]
    groups = params if group is None else [{"params": params[:1]}, {"params": params[1:], **group[1]}]
    optimizer, rows = getattr(nn, kind)(groups, **options), []
    for gs in gradients():
        for p, g in zip(params, gs):
            p.grad = g
        optimizer.step()
        rows.append(np.concatenate([p.data.ravel() for p in params]))
    return np.stack(rows)


# --- schedules: the rates of two groups, 0.4 and 0.1 -----------------------------------------------------------------

LRS = (0.4, 0.1)
CYCLES: list[dict[str, Any]] = [
    {}, {"pct_start": 0.5, "anneal": "linear"}, {"three_phase": True, "div_factor": 10.0, "final_div_factor": 100.0},
]  # fmt: skip
PLATEAUS: list[dict[str, Any]] = [
    {"patience": 1}, {"patience": 0, "cooldown": 2, "factor": 0.5}, {"patience": 1, "mode": "max", "factor": 0.5},
    {"patience": 0, "threshold": 0.2, "threshold_mode": "abs", "final": 0.03},
    {"patience": 0, "eps": 0.02, "factor": 0.5, "threshold": 0.3},
]  # fmt: skip
#: name -> ours with its first rate, and PyTorch's class and options
SCHEDULES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "lambda": (nn.lambda_decay(LRS[0], lambda n: 1 / (1 + n)), "LambdaLR", {"lr_lambda": lambda n: 1 / (1 + n)}),
    "step": (nn.step_decay(LRS[0], 3, 0.5), "StepLR", {"step_size": 3, "gamma": 0.5}),
    "exponential": (nn.exponential_decay(LRS[0], 0.7), "ExponentialLR", {"gamma": 0.7}),
    "cosine": (nn.cosine_decay(LRS[0], TOTAL, final=0.05), "CosineAnnealingLR", {"T_max": TOTAL, "eta_min": 0.05}),
}
for options in CYCLES:
    theirs = {"anneal_strategy" if word == "anneal" else word: value for word, value in options.items()}
    theirs |= {"max_lr": list(LRS), "total_steps": TOTAL, "cycle_momentum": False}
    SCHEDULES[f"cycle {options}"] = (nn.one_cycle(LRS[0], TOTAL, **options), "OneCycleLR", theirs)


def their_rates(name: str) -> np.ndarray:
    """The rates of both groups before each step, (TOTAL, 2)."""
    import torch

    plateau = name.startswith("plateau")
    params = [torch.zeros(1, requires_grad=True) for _ in LRS]
    optimizer = torch.optim.SGD([{"params": [p], "lr": lr} for p, lr in zip(params, LRS)])
    if plateau:
        options = PLATEAUS[int(name[-1])]
        words = {"min_lr" if word == "final" else word: value for word, value in options.items()}
        schedule: Any = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **words)
    else:
        _, kind, options = SCHEDULES[name]
        schedule = getattr(torch.optim.lr_scheduler, kind)(optimizer, **options)
    rows = []
    for n in range(TOTAL):
        rows.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if n < TOTAL - 1:
            schedule.step(*[VALUES[n]] * plateau)
    return np.array(rows)


def our_rates(name: str) -> np.ndarray:
    """The same by ours."""
    plateau = name.startswith("plateau")
    schedule: Any = nn.plateau_decay(LRS[0], **PLATEAUS[int(name[-1])]) if plateau else SCHEDULES[name][0]
    optimizer = nn.SGD([{"params": [nn.parameter([0.0])]}, {"params": [nn.parameter([0.0])], "lr": LRS[1]}], schedule)
    rows = []
    for n in range(TOTAL):
        rows.append([group.rate for group in optimizer.groups])
        optimizer.step()
        if plateau and n < TOTAL - 1:
            schedule.update(VALUES[n])
    return np.array(rows)


RATES = [*SCHEDULES, *(f"plateau {k}" for k in range(len(PLATEAUS)))]


# --- losses: the value, and the gradient by the outputs, of Σ g loss with random g > 0 -------------------------------

T, B, V, S = 6, 3, 4, 2
WEIGHT, POS_WEIGHT, LENGTHS = [0.5, 2.0, 0.0, 1.0], [0.5, 3.0, 1.0, 7.0], [6, 2, 4]
#: name -> loss, options; with lengths PyTorch is given what does not lie in the padding alone
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {}


def loss(kind: str, **options: Any) -> None:
    """A case of all three reductions."""
    for reduction in ("mean", "sum", "none"):
        if "lengths" not in options or reduction != "none" or "ctc" in kind:
            LOSSES[f"{kind} {options} {reduction}"] = (kind, options | {"reduction": reduction})


for kind in ("cross_entropy", "cross_entropy of probabilities"):
    for more in ({}, {"weight": WEIGHT}, {"label_smoothing": 0.2}, {"weight": WEIGHT, "label_smoothing": 0.2},
                 {"weight": WEIGHT, "label_smoothing": 0.2, "lengths": LENGTHS}):  # fmt: skip
        loss(kind, **more)
        if kind == "cross_entropy" and more:
            loss(kind, **more, ignore_index=1)
loss("nll_loss", weight=WEIGHT, ignore_index=-1)
loss("nll_loss", weight=WEIGHT, ignore_index=3, lengths=LENGTHS)
loss("mse_loss", lengths=LENGTHS)
for more in ({"pos_weight": POS_WEIGHT}, {"lengths": LENGTHS}, {"pos_weight": POS_WEIGHT, "lengths": LENGTHS}):
    loss("binary_cross_entropy_with_logits", **more)
for more in ({}, {"lengths": [6, 1, 3], "target_lengths": [2, 1, 0]}, {"blank": 3, "lengths": [2, 6, 0]},
             {"lengths": [5, 1, 2], "zero_infinity": True},
             {"lengths": [3, 0, 2], "target_lengths": [2, 0, 0]}):  # fmt: skip
    loss("ctc_loss", **more)


def inputs(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs (T, B, V), targets, and factors (T, B, V) of which the first ones stand before the losses."""
    kind, options = LOSSES[name]
    rng = np.random.default_rng(len(name))
    x, g = rng.standard_normal((T, B, V)), rng.uniform(0.5, 2, (T, B, V))
    if kind == "ctc_loss":
        return x, np.array([[1, 2, 1], [1, 0 if options.get("blank") else 2, 2]]), g  # a repeat in the first sequence
    if kind in ("cross_entropy", "nll_loss"):
        targets = rng.integers(0, V, (T, B))
        return x, np.where(rng.random((T, B)) < 0.3, options.get("ignore_index", 0), targets), g
    if kind == "cross_entropy of probabilities":
        return x, rng.dirichlet(np.ones(V), (T, B)), g
    return x, rng.random((T, B, V)), g


def their_loss(name: str) -> np.ndarray:
    """The losses and the gradient, one after the other."""
    import torch

    kind, options = LOSSES[name]
    plain, targets, factors = inputs(name)
    x = torch.tensor(plain, requires_grad=True)
    words: dict[str, Any] = {
        w: torch.tensor(a, dtype=torch.float64) if "weight" in w else a for w, a in options.items()
    }
    if kind == "ctc_loss":
        lengths, target_lengths = (words.pop(w, [n] * B) for w, n in (("lengths", T), ("target_lengths", S)))
        y = torch.nn.functional.ctc_loss(
            x.log_softmax(-1), torch.tensor(targets.T), torch.tensor(lengths), torch.tensor(target_lengths), **words
        )
    else:
        read = torch.tensor(nn.padding_mask(words.pop("lengths", [T] * B), T, B))
        y = getattr(torch.nn.functional, kind.split()[0])(x[read], torch.tensor(targets)[read], **words)
    (y * torch.tensor(factors.ravel()[: y.numel()].reshape(y.shape))).sum().backward()
    return np.concatenate([y.detach().numpy().ravel(), x.grad.numpy().ravel()])


def our_loss(name: str) -> np.ndarray:
    """The same by ours."""
    kind, options = LOSSES[name]
    plain, targets, factors = inputs(name)
    x = mg.tensor(plain, requires_grad=True)
    y = getattr(nn, kind.split()[0])(x, targets, **options)
    (y * factors.ravel()[: y.size].reshape(y.shape)).sum().backward()
    return np.concatenate([y.data.ravel(), np.asarray(x.grad).ravel()])


# --- all -------------------------------------------------------------------------------------------------------------

#: name -> PyTorch's side, ours, and what these are given
CASES = {
    f"{kind}: {name}": (theirs, ours, name)
    for kind, names, theirs, ours in (("steps", OPTIMIZERS, their_steps, our_steps),
                                      ("rates", RATES, their_rates, our_rates), ("loss", LOSSES, their_loss, our_loss))
    for name in names
}  # fmt: skip


def read() -> dict[str, np.ndarray]:
    """PyTorch's recorded side of each case."""
    with np.load(RECORDED, allow_pickle=False) as archive:
        sizes, values = archive["sizes"], archive["values"]
        names = str(archive["names"]).split("\n")
    return dict(zip(names, np.split(values, np.cumsum(sizes)[:-1]), strict=True))


if __name__ == "__main__":
    if importlib.util.find_spec("torch") is None:
        sys.exit("PyTorch is not installed: pip install torch")
    found = {name: theirs(case).ravel() for name, (theirs, _, case) in CASES.items()}
    np.savez_compressed(RECORDED, names=np.array("\n".join(found)), sizes=[len(a) for a in found.values()],
                        values=np.concatenate(list(found.values())))  # fmt: skip
    print(f"{RECORDED}: {len(CASES)} cases, {RECORDED.stat().st_size:,} bytes")
