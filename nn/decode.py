"""Writing sequences with any model: sampling, and beam search for the most probable ones.

The model is a function `step(tokens, state) -> (logits, state)`: integers (B,) in, (B, V) out, the state any tree of
Tensors with the batch along their first axis, or None before the first step. A cell whose outputs are logits is one; of
a network with an output layer it is

    def step(tokens, state):
        outputs, state = network(tokens[None], state)
        return head(outputs[0]), state
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

from . import init
from .arguments import is_number, is_whole
from .module import array
from .options import check_range

Step = Callable[[Any, Any], tuple[Any, Any]]


def probabilities(logits: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Any:
    """softmax(logits / temperature) (..., V) in float64, with what is cut off at 0 and the rest scaled up to sum 1.

    Args:
        temperature: 0 puts all on the largest logit (the first of several).
        top_k: only the k most probable stay (Fan, Lewis & Dauphin 2018).
        top_p: only the fewest most probable that together have at least p stay (the nucleus: Holtzman et al. 2020).

    Raises:
        ValueError: if temperature is below 0, top_k below 1, top_p not within (0, 1], or in a row a logit is NaN or
            inf, or all are -inf.

    >>> from nn.decode import probabilities
    >>> probabilities(np.log([0.5, 0.3, 0.2]), top_k=2).round(3)
    array([0.625, 0.375, 0.   ])
    """
    return _probabilities("probabilities", logits, temperature, top_k, top_p)


def _probabilities(name: str, logits: Any, temperature: float, top_k: int | None, top_p: float | None) -> Any:
    for option, value, allowed in (
        ("temperature", temperature, is_number(temperature) and temperature < math.inf),
        ("top_k", top_k, top_k is None or is_whole(top_k)),
        ("top_p", top_p, top_p is None or is_number(top_p)),
    ):
        if not allowed:
            raise TypeError(f"{name}: {option} must be a number ({'an integer' if option == 'top_k' else 'finite'}), "
                            f"got {value!r}")  # fmt: skip
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"temperature must be at least 0, top_k 1 and top_p within (0, 1], got {temperature}, {top_k} "
                         f"and {top_p}")  # fmt: skip
    z = _float64(logits)
    largest = z.max(axis=-1, keepdims=True)  # NaN or inf if a logit is, -inf if all are
    if not np.isfinite(largest).all():
        _checked(name, z)
        raise ValueError(f"{name}: the logits have a row of nothing but -inf: no token is possible")
    if temperature == 0:
        top_k, temperature = 1, 1.0
    p = np.exp((z - largest) / max(temperature, 1e-200))  # of the smallest, quotients would overflow
    p /= p.sum(axis=-1, keepdims=True)
    if top_k is None and top_p is None:
        return p
    order = np.argsort(-z, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=-1)
    if top_k is not None:
        ranked[..., top_k:] = 0
        ranked /= ranked.sum(axis=-1, keepdims=True)
    if top_p is not None:
        before = np.cumsum(ranked, axis=-1) - ranked  # the probability of those that rank higher
        ranked = np.where(before < top_p, ranked, 0)
        ranked /= ranked.sum(axis=-1, keepdims=True)
    np.put_along_axis(p, order, ranked, axis=-1)
    return p


def _float64(logits: Any) -> np.ndarray:
    return np.asarray(logits.data if isinstance(logits, mg.Tensor) else array(logits), np.float64)


def _checked(name: str, logits: Any) -> np.ndarray:
    """The logits (..., V) in float64; -inf rules a token out, but NaN and inf are of a model that is of no use."""
    z = _float64(logits)
    bad = np.isnan(z) | (z == np.inf)
    if bad.any():
        place = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"{name}: the logits have {int(bad.sum())} of {bad.size} entries that are NaN or inf, first at {place}: "
            "are the model's weights finite? training may have diverged: lower the learning rate, or clip gradients"
        )
    return z


def _misshapen(name: str, tokens: Any, logits: Any) -> ValueError:
    return ValueError(
        f"{name}: step returned logits of shape {logits.shape} for {len(tokens)} tokens, they must be "
        f"({len(tokens)}, V), a row for each; what a network returns for tokens[None] is outputs[0]"
    )


def sample(
    step: Step,
    tokens: Any,
    length: int,
    state: Any = None,
    rng: init.Rng = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[np.ndarray, Any]:
    """`length` tokens drawn one after the other, each with its `probabilities` given those before.

    Args:
        step: a function (tokens (B,), state) -> (logits (B, V), state), as a cell is whose outputs are logits.
        tokens: (B,) integers, read first.
        length: how many tokens are drawn.
        state: before the first step; None lets `step` begin.
        rng: of the draws.
        temperature, top_k, top_p: as for `nn.decode.probabilities`.

    Returns:
        The tokens (length, B), without those read first, and the state before the last of them is read.

    Raises:
        ValueError: as `probabilities` does, and for logits that are not (B, V); the message says at which token.

    >>> step = lambda tokens, state: (np.where(np.arange(3) == (tokens[:, None] + 1) % 3, 0.0, -np.inf), state)
    >>> tokens, state = nn.sample(step, [0], 4, rng=0)
    >>> tokens[:, 0]
    array([1, 2, 0, 1])
    """
    rng, drawn = np.random.default_rng(rng), []
    if not is_whole(length) or length < 0:
        raise ValueError(f"sample: length must be an integer of at least 0, got {length!r}")
    tokens = np.asarray(array(tokens))
    if tokens.dtype.kind not in "iu" or tokens.ndim != 1:
        raise ValueError(f"sample: tokens must be integers (B,), got {tokens.dtype} of shape {tokens.shape}")
    with mg.no_grad():
        for n in range(length):
            logits, state = step(tokens, state)
            ends = np.cumsum(_probabilities(f"sample, token {n}", logits, temperature, top_k, top_p), axis=-1)
            if ends.shape[:-1] != tokens.shape:  # else it would be broadcast
                raise _misshapen(f"sample, token {n}", tokens, ends)
            # the first whose cumulative probability exceeds u; scaled, for rounding may leave the last below 1
            u = rng.random(len(tokens))[:, None] * ends[:, -1:]
            tokens = (ends <= u).sum(axis=-1)
            drawn.append(tokens)
    return np.stack(drawn) if drawn else np.zeros((0, len(tokens)), np.intp), state


def beam_search(
    step: Step,
    token: int,
    length: int,
    width: int,
    state: Any = None,
    end: int | None = None,
    length_penalty: float = 0.0,
) -> list[tuple[list[int], float]]:
    """The most probable sequences that a beam of `width` finds: (tokens, log-probability), the best first.

    Args:
        step: a function (tokens (B,), state) -> (logits (B, V), state), called with up to `width` tokens at a time.
        token: read first, and not part of the results.
        length: the largest number of tokens.
        state: of a batch of one.
        end: a sequence that reaches this token is complete; the token is its last.
        length_penalty: α of the score log p / n^α by which sequences of n tokens compete in the end; 0 is plain log p.

    Raises:
        ValueError: if length or width is below 1, logits are not (B, V), one is NaN or inf, or no sequence is possible.

    Source: Sutskever, Vinyals & Le 2014, section 3.2; the penalty: Wu et al. 2016, equation 14, without its constant 5.

    >>> step = lambda tokens, state: (np.log(np.tile([0.6, 0.4], (len(tokens), 1))), state)
    >>> [(tokens, round(p, 3)) for tokens, p in nn.beam_search(step, 0, length=2, width=2)]
    [([0, 0], -1.022), ([0, 1], -1.427)]
    """
    for name, value in (("token", token), ("length", length), ("width", width), ("end", 0 if end is None else end)):
        if not is_whole(value):
            raise TypeError(f"beam_search: {name} must be an integer, got {value!r}")
    check_range("beam_search: length_penalty", length_penalty, -math.inf, math.inf, "()")
    if length < 1 or width < 1:
        raise ValueError(f"beam_search: length and width must be at least 1, got {length} and {width}")
    beams: list[list[int]] = [[]]
    scores, tokens, complete = np.zeros(1), np.array([token]), []
    with mg.no_grad():
        for n in range(length):
            logits, state = step(tokens, state)
            z = _checked(f"beam_search, token {n}", logits)
            if z.shape[:-1] != tokens.shape:
                raise _misshapen(f"beam_search, token {n}", tokens, z)
            totals = scores[:, None] + mg.log_softmax(mg.tensor(z), axis=-1).data  # (beams, V)
            best = np.argsort(-totals, axis=None, kind="stable")[:width]
            best = best[np.isfinite(totals.ravel()[best])]
            rows, tokens = np.unravel_index(best, totals.shape)
            grown = [[*beams[r], int(t)] for r, t in zip(rows, tokens)]
            scores = totals[rows, tokens]
            going = np.array([end is None or t != end for t in tokens], bool)
            complete += [(beam, float(s)) for beam, s, more in zip(grown, scores, going) if not more]
            beams = [beam for beam, more in zip(grown, going) if more]
            scores, tokens, rows = scores[going], tokens[going], rows[going]
            if not beams:
                break
            state = mg.tree_map(lambda s, rows=rows: s if s is None else s[rows], state)
    complete += [(beam, float(s)) for beam, s in zip(beams, scores)]
    if not complete:
        raise ValueError(f"beam_search, token {n}: no sequence is possible: all logits of all beams are -inf")
    complete.sort(key=lambda found: -found[1] / len(found[0]) ** length_penalty)
    return complete[:width]
