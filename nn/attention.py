"""Attention of a decoder over an encoder's outputs: a weighted mean of values, by how well a query fits their keys.

Keys and values are as `Recurrent` returns them, (T, B, K) and (T, B, O). A query is (B, Q), or (S, B, Q) for S of them.
`mask` (T, B), true where there is something to attend to, is `nn.padding_mask(lengths, T)` for padded sequences; a
sequence of which nothing is left gets weights and context 0.
"""

from __future__ import annotations

import math
from typing import Any, overload

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .layers import parameter
from .module import Module, array

__all__ = ["AdditiveAttention", "DotAttention", "attend"]


@overload
def attend(scores: mg.Tensor, values: Any, mask: Any = None) -> tuple[mg.Tensor, mg.Tensor]: ...
@overload
def attend(scores: Any, values: Any, mask: Any = None) -> tuple[mg.Tensor, mg.Tensor]: ...
def attend(scores: Any, values: Any, mask: Any = None) -> tuple[mg.Tensor, mg.Tensor]:
    """The context Σ_t w_t v_t, (..., B, O), and the weights w = softmax over t of the scores, (T, ..., B).

    Raises:
        ValueError: if the values are not (T, B, O) for scores (T, ..., B), or the mask not (T, B).

    >>> context, weights = nn.attention.attend(mg.tensor([[0.0], [0.0]]), mg.tensor([[[1.0]], [[3.0]]]))
    >>> context, weights.data.tolist()
    (tensor([[2.]]), [[0.5], [0.5]])
    """
    scores, values = array(scores), array(values)
    if scores.ndim < 2 or values.ndim != 3 or values.shape[:2] != (scores.shape[0], scores.shape[-1]):
        raise ValueError(f"attention: values must be (T, B, O) for scores (T, ..., B), got shapes {values.shape} and "
                         f"{scores.shape}")  # fmt: skip
    if mask is not None:
        mask = mask if isinstance(mask, mg.Tensor) else np.asarray(array(mask), bool)
        if mask.shape != values.shape[:2]:
            raise ValueError(f"attention: the mask has shape {mask.shape}, values of shape {values.shape} need "
                             f"{values.shape[:2]}")  # fmt: skip
        mask = mask.reshape(mask.shape[0], *[1] * (scores.ndim - 2), mask.shape[1])
        scores = mg.where(mask, scores, -math.inf)
    weights = mg.softmax(scores, axis=0)
    return mg.einsum("t...b,tbo->...bo", weights, values), weights


def _checked(attention: Module, query: Any, keys: Any, Q: int | None = None) -> tuple[Any, Any]:
    """Query and keys; raises ValueError unless these are (T, B, K) and that (..., B, Q), where None stands for K."""
    query, keys, name = array(query), array(keys), type(attention).__name__
    if keys.ndim != 3:
        single = "; of one sequence without a batch pass keys[:, None] and query[None]" if keys.ndim == 2 else ""
        raise ValueError(f"{name}: keys have shape {keys.shape}, they must be (T, B, K){single}")
    wanted = (keys.shape[1], Q or keys.shape[2])
    if query.shape[-2:] != wanted:
        raise ValueError(f"{name}: a query of shape {query.shape} does not fit keys of shape {keys.shape}: it must end "
                         f"in {wanted}; one for the whole batch is mg.broadcast_to(query, {wanted})")  # fmt: skip
    return query, keys


class DotAttention(Module):
    """Scores q · k / √K, with queries as long as keys. No parameters.

    Source: Luong, Pham & Manning 2015, equation 8; the scale: Vaswani et al. 2017, equation 1.

    >>> keys = mg.tensor(np.random.default_rng(0).standard_normal((5, 2, 3)))
    >>> context, weights = nn.attention.DotAttention()(mg.tensor(np.ones((2, 3))), keys)
    >>> context.shape, weights.shape
    ((2, 3), (5, 2))
    """

    def forward(self, query: Any, keys: Any, values: Any = None, mask: Any = None) -> tuple[mg.Tensor, mg.Tensor]:
        """The context and the weights; the keys are the values unless these are given."""
        query, keys = _checked(self, query, keys)
        scores = mg.einsum("...bk,tbk->t...b", query, keys) * (1 / math.sqrt(keys.shape[-1]))
        return attend(scores, keys if values is None else values, mask)


class AdditiveAttention(Module):
    """Scores v · tanh(W q + U k), with any sizes of queries and keys.

    Parameters W (Q, A), U (K, A), v (A,). Source: Bahdanau, Cho & Bengio 2015, section A.1.2.

    >>> attention = nn.attention.AdditiveAttention(4, 3, 8, rng=0)
    >>> context, weights = attention(mg.tensor(np.ones((2, 4))), mg.tensor(np.ones((5, 2, 3))))
    >>> context.shape, weights.shape
    ((2, 3), (5, 2))
    """

    def __init__(self, Q: int, K: int, A: int, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32) -> None:
        rng = np.random.default_rng(rng)
        self.W = parameter(init.glorot_uniform((Q, A), 1.0, rng, dtype))
        self.U = parameter(init.glorot_uniform((K, A), 1.0, rng, dtype))
        self.v = parameter(init.glorot_uniform((A, 1), 1.0, rng, dtype)[:, 0])

    def forward(self, query: Any, keys: Any, values: Any = None, mask: Any = None) -> tuple[mg.Tensor, mg.Tensor]:
        """The context and the weights; the keys are the values unless these are given."""
        query, keys = _checked(self, query, keys, self.W.shape[0])
        T, B, _ = keys.shape
        known = (keys @ self.U).reshape(T, *[1] * (query.ndim - 2), B, -1)
        return attend(mg.tanh(query @ self.W + known) @ self.v, keys if values is None else values, mask)
