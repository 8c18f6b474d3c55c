"""What docs/coming_from_pytorch.md says is different, is: on this side always, in PyTorch where it is installed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from pages import ROOT

import minigrad as mg
import nn

TEXT = (ROOT / "docs" / "coming_from_pytorch.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`[^|]+?|[a-z][^|]+?) \|", TEXT.partition("## Other names")[0], re.MULTILINE)
ROWS = [row for row in ROWS if row != "you write"]
XS = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)


def shapes(tree: Any) -> Any:
    return mg.tree_map(lambda x: tuple(x.shape), tree)


def raises(kind: type[Exception], f: Callable[[], Any], word: str | None = None) -> bool:
    with pytest.raises(kind, match=word):
        f()
    return True


def slope(f: Any, x: Any) -> Any:
    return mg.grad(f)(np.array(x)).data.tolist()


def twice_backward() -> float:
    w = mg.tensor(3.0, requires_grad=True)
    y = w * w
    y.backward()
    y.backward()
    return w.grad.item()  # type: ignore[union-attr]


def added_in_place() -> bool:
    y = mg.tensor(1.0) * 1
    name = y
    y += 1
    return name is y


def detached_values() -> list[float]:
    w = mg.tensor([1.0], requires_grad=True)
    d = w.detach()
    w.data = w.data + 1
    return d.data.tolist()  # type: ignore[no-any-return]


def collected() -> Any:
    w = mg.tensor(np.ones(2, np.float32), requires_grad=True)
    (w * w).sum().backward()
    return w.grad


def not_a_number(clip: Any) -> Any:
    w = nn.parameter([1.0])
    w.grad = np.array([np.nan])
    return clip([w], 1.0)


class Net(nn.Module):
    def __init__(self) -> None:
        self.parts = [nn.Linear(2, 2)]


CUBE = np.arange(8.0).reshape(2, 2, 2) ** 2
OURS: dict[str, Callable[[], Any]] = {
    "`out, (h, c) = lstm(xs)`, two layers": lambda: (
        shapes(nn.LSTM(3, 4, num_layers=2)(XS)[1]) == (((2, 4), (2, 4)), ((2, 4), (2, 4)))
        and shapes(nn.LSTM(3, 4)(XS)[1]) == (((2, 4), (2, 4)),)
    ),
    "`x.transpose(0, 1)`": lambda: (
        mg.tensor(np.ones((2, 3))).transpose(0, 1).shape == (2, 3)
        and mg.tensor(np.ones((2, 3))).swapaxes(0, 1).shape == (3, 2)
    ),
    "`x.var()`, `x.std()`": lambda: mg.tensor([1.0, 3.0]).var().item() == 1 and mg.var([1.0, 3.0], ddof=1) == 2,
    "`split(x, 2)`": lambda: (
        [len(part) for part in mg.split(np.arange(6), 2)] == [3, 3]
        and [len(part) for part in mg.split(np.arange(6), 6 // 2)] == [2, 2, 2]
        and [len(part) for part in mg.split(np.arange(6), [2, 4])] == [2, 2, 2]
    ),
    "`x.repeat(2)`": lambda: (
        mg.tensor([1, 2]).repeat(2).data.tolist() == [1, 1, 2, 2] and mg.tile([1, 2], 2).tolist() == [1, 2, 1, 2]
    ),
    "`median(x)` of an even number of entries": lambda: (
        mg.median(mg.tensor([1.0, 2.0])).item() == 1.5 and mg.sort(mg.tensor([2.0, 1.0]))[(2 - 1) // 2].item() == 1
    ),
    "`x.max(axis)`, `x.sort()`": lambda: (
        isinstance(mg.tensor([1.0]).max(0), mg.Tensor) and isinstance(mg.tensor([1.0]).sort(), mg.Tensor)
    ),
    "gradient of `x.max(axis)` at a tie": lambda: slope(lambda x: x.max(0), [1.0, 1.0]) == [0.5, 0.5],
    "gradient of `sqrt(x)` at 0": lambda: slope(mg.sqrt, 0.0) == 0,
    "`tensor([1.0])`": lambda: mg.tensor([1.0]).dtype == np.float64,
    "`t * np.float64(2)` of a float32 `t`": lambda: (
        (mg.tensor(np.ones(1, np.float32)) * np.float64(2)).dtype == np.float64
        and (mg.tensor(np.ones(1, np.float32)) * 2.0).dtype == np.float32
    ),
    "`tensor([1]) / 2`": lambda: (mg.tensor([1]) / 2).dtype == np.float64,
    "`y.backward()` twice": lambda: twice_backward() == 12,
    "`y += 1`": lambda: not added_in_place(),
    "`w.detach()`": lambda: detached_values() == [1.0],
    "`w.grad`": lambda: type(collected()) is np.ndarray and collected().dtype == np.float32,
    "`t == u`, `t > u`, `t.argmax()`": lambda: (
        type(mg.tensor([1.0]) == mg.tensor([1.0])) is np.ndarray
        and type(mg.tensor([1.0]) > mg.tensor([1.0])) is np.ndarray
        and not isinstance(mg.tensor([1.0]).argmax(), mg.Tensor)
    ),
    "`cross_entropy(logits, targets)` of more than two axes": lambda: np.isclose(
        nn.cross_entropy(mg.moveaxis(mg.tensor(CUBE), 1, -1), np.zeros((2, 2), int)).item(), 14.0046213
    ),
    "`nn.Linear(I, O)` made twice from one seed": lambda: (
        np.array_equal(nn.Linear(2, 2, rng=0).W.data, nn.Linear(2, 2, rng=0).W.data)
        and len({nn.Linear(2, 2, rng=rng).W.data.tobytes() for rng in [np.random.default_rng(0)] * 2}) == 2
    ),
    "no seed given": lambda: not np.array_equal(nn.Linear(2, 2).W.data, nn.Linear(2, 2).W.data),
    "`nn.GRU(I, H)`": lambda: "reset" not in repr(nn.GRU(3, 4)) and "after" in repr(nn.GRU(3, 4, reset="after")),
    "`nn.LSTM(I, H)`": lambda: (
        [name for name, _ in nn.LSTM(3, 4).named_parameters()] == ["cells.0.U", "cells.0.W", "cells.0.b"]
        and nn.LSTM(3, 4).cells[0].b.data[:4].tolist() == [1] * 4
        and nn.LSTM(3, 4, forget_bias=0.0).cells[0].b.data[:4].tolist() == [0] * 4
    ),
    "`nn.RMSprop(params)`": lambda: (
        (nn.RMSprop([nn.parameter([1.0])]).decay, nn.RMSprop([nn.parameter([1.0])]).lr) == (0.9, 0.001)
    ),
    "a list of modules as an attribute": lambda: len(Net().parameters()) == 2,
    "`nn.LSTM(3, 4, batch_first=True)`": lambda: raises(TypeError, lambda: nn.LSTM(3, 4, batch_first=True), "T, B, I"),
    "`nn.LSTM(3, 4)(xs)` with xs (T, I)": lambda: raises(ValueError, lambda: nn.LSTM(3, 4)(XS[:, 0]), r"xs\[:, None\]"),
    "`mse_loss(y, targets)` of shapes (n, 1) and (n,)": lambda: raises(
        ValueError, lambda: nn.mse_loss(mg.tensor(np.ones((3, 1))), np.ones(3))
    ),
    "targets of -100 in `cross_entropy`": lambda: (
        raises(ValueError, lambda: nn.cross_entropy(mg.tensor(np.zeros((2, 5))), [-100, 0]))
        and nn.cross_entropy(mg.tensor(np.zeros((2, 5))), [-100, 0], ignore_index=-100).item() > 0
    ),
    "`clip_grad_norm` of a NaN": lambda: raises(FloatingPointError, lambda: not_a_number(nn.clip_grad_norm)),
    "`nn.LSTM(3, 4, dropout=0.5)` of one layer": lambda: raises(ValueError, lambda: nn.LSTM(3, 4, dropout=0.5)),
    "`float(x)`, `x.numpy()`, `math.sin(x)` within `mg.grad`": lambda: raises(
        TypeError, lambda: mg.grad(lambda x: float(x) * x)(2.0)
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_this_side_of_a_row_is_as_the_page_says(row: str) -> None:
    assert OURS[row]()


def test_every_claim_is_a_row_of_the_page() -> None:
    assert set(OURS) == set(ROWS)


# --- PyTorch's side ---------------------------------------------------------------------------------------------------


def theirs() -> dict[str, Callable[[], Any]]:
    import torch
    from torch.nn import functional

    t = torch.tensor

    def slope(f: Any, x: Any) -> Any:
        leaf = t(x, requires_grad=True)
        f(leaf).backward()
        return leaf.grad.tolist()  # type: ignore[union-attr]

    def shared() -> bool:
        w = torch.ones(1, requires_grad=True)
        d = w.detach()
        with torch.no_grad():
            w.add_(1)
        return d.tolist() == [2.0]

    def in_place() -> bool:
        y = torch.ones(1) * 1
        name = y
        y += 1
        return name is y

    def collected() -> Any:
        w = torch.ones(2, requires_grad=True)
        w.sum().backward()
        return w.grad

    def again() -> None:
        y = t(3.0, requires_grad=True) ** 2
        y.backward()
        y.backward()

    def seeded() -> list[Any]:
        torch.manual_seed(0)
        return [torch.nn.Linear(2, 2).weight for _ in range(2)]

    def not_a_number() -> bool:
        w = torch.ones(1, requires_grad=True)
        w.grad = t([float("nan")])
        torch.nn.utils.clip_grad_norm_([w], 1.0)
        return bool(w.grad.isnan().all())

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [torch.nn.Linear(2, 2)]

    def warned(f: Callable[[], Any]) -> bool:
        with pytest.warns(UserWarning, match="size|dropout"):
            f()
        return True

    gru = torch.nn.GRU(3, 4)
    lstm = torch.nn.LSTM(3, 4, num_layers=2)
    rms = torch.optim.RMSprop([torch.ones(1, requires_grad=True)]).defaults
    biases = [name for name, _ in torch.nn.LSTM(3, 4).named_parameters() if "bias" in name]
    return {
        "`out, (h, c) = lstm(xs)`, two layers": lambda: [tuple(s.shape) for s in lstm(t(XS))[1]] == [(2, 2, 4)] * 2,
        "`x.transpose(0, 1)`": lambda: t([[1.0, 2.0]]).transpose(0, 1).shape == (2, 1),
        "`x.var()`, `x.std()`": lambda: t([1.0, 3.0]).var().item() == 2,
        "`split(x, 2)`": lambda: [len(part) for part in torch.split(torch.arange(6), 2)] == [2, 2, 2],
        "`x.repeat(2)`": lambda: t([1, 2]).repeat(2).tolist() == [1, 2, 1, 2],
        "`median(x)` of an even number of entries": lambda: t([1.0, 2.0]).median().item() == 1,
        "`x.max(axis)`, `x.sort()`": lambda: len(t([1.0]).max(0)) == len(t([1.0]).sort()) == 2,
        "gradient of `x.max(axis)` at a tie": lambda: sorted(slope(lambda x: x.max(0)[0], [1.0, 1.0])) == [0, 1],
        "gradient of `sqrt(x)` at 0": lambda: slope(torch.sqrt, 0.0) == float("inf"),
        "`tensor([1.0])`": lambda: t([1.0]).dtype == torch.float32,
        "`t * np.float64(2)` of a float32 `t`": lambda: (torch.ones(1) * np.float64(2)).dtype == torch.float32,
        "`tensor([1]) / 2`": lambda: (t([1]) / 2).dtype == torch.float32,
        "`y.backward()` twice": lambda: raises(RuntimeError, again),
        "`y += 1`": in_place,
        "`w.detach()`": shared,
        "`w.grad`": lambda: isinstance(collected(), torch.Tensor),
        "`t == u`, `t > u`, `t.argmax()`": lambda: isinstance(t([1.0]) == t([1.0]), torch.Tensor),
        "`cross_entropy(logits, targets)` of more than two axes": lambda: np.isclose(
            functional.cross_entropy(t(CUBE), torch.zeros(2, 2, dtype=torch.long)).item(), 14.0046213
        ),
        "`nn.Linear(I, O)` made twice from one seed": lambda: not torch.equal(*seeded()),
        "no seed given": lambda: torch.equal(seeded()[0], seeded()[0]),
        "`nn.GRU(I, H)`": lambda: (
            abs(nn.from_torch(gru.state_dict())(XS)[0].data - gru(t(XS))[0].detach().numpy()).max() < 1e-6
            and "reset='after', z='old'" in repr(nn.from_torch(gru.state_dict()))
        ),
        "`nn.LSTM(I, H)`": lambda: len(biases) == 2 and abs(torch.nn.LSTM(3, 4).bias_ih_l0).max() <= 0.5,
        "`nn.RMSprop(params)`": lambda: (rms["alpha"], rms["lr"]) == (0.99, 0.01),
        "a list of modules as an attribute": lambda: list(Net().parameters()) == [],
        "`nn.LSTM(3, 4, batch_first=True)`": lambda: torch.nn.LSTM(3, 4, batch_first=True)(t(XS))[0].shape == (5, 2, 4),
        "`nn.LSTM(3, 4)(xs)` with xs (T, I)": lambda: torch.nn.LSTM(3, 4)(t(XS)[:, 0])[0].shape == (5, 4),
        "`mse_loss(y, targets)` of shapes (n, 1) and (n,)": lambda: warned(
            lambda: functional.mse_loss(torch.ones(3, 1), torch.ones(3))
        ),
        "targets of -100 in `cross_entropy`": lambda: (
            functional.cross_entropy(torch.zeros(2, 5), t([-100, 0])).item() > 0
        ),
        "`clip_grad_norm` of a NaN": not_a_number,
        "`nn.LSTM(3, 4, dropout=0.5)` of one layer": lambda: warned(lambda: torch.nn.LSTM(3, 4, dropout=0.5)),
        "`float(x)`, `x.numpy()`, `math.sin(x)` within `mg.grad`": lambda: (
            torch.func.grad(lambda x: float(x.detach()) * x)(t(2.0)).item() == 2
        ),
    }


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed, whose side of the page this is")
def test_the_other_side_of_every_row_is_as_the_page_says() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        claims = theirs()
        assert set(claims) == set(ROWS)
        wrong = [row for row, claim in claims.items() if not claim()]
    assert wrong == []
