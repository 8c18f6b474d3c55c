"""Layers that know nothing of time: Linear, TiedLinear, Embedding, LayerNorm, Dropout, Sequential."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .module import Module


def parameter(data: Any) -> mg.Tensor:
    """A leaf tensor with requires_grad=True, in the dtype of `data`."""
    return mg.tensor(data, requires_grad=True)


def is_integer(x: Any) -> bool:
    """Whether x holds integers: indices of one-hot vectors."""
    return bool(np.issubdtype(x.dtype if isinstance(x, mg.Tensor) else np.asarray(x).dtype, np.integer))


def as_input(x: Any, dtype: npt.DTypeLike | None) -> Any:
    """Plain numbers as a Tensor of this dtype (None: their own), integers as an array; Tensors as they are."""
    if is_integer(x):
        return x if isinstance(x, mg.Tensor) else np.asarray(x)
    return mg.as_tensor(x, dtype)


def one_hot(x: Any, V: int, dtype: npt.DTypeLike = np.float32) -> Any:
    """Row k of the identity for each integer k of x (...), within 0 ... V - 1: (..., V), 1 at k and 0 elsewhere.

    For cells and layers that do not begin with a linear map; one that does takes the integers, and builds nothing.

    Raises:
        TypeError: if x does not hold integers.
        ValueError: if one is not within 0 ... V - 1.
    """
    if not is_integer(x):
        raise TypeError(f"one_hot: x must be integers, the numbers of the entries that are 1, got {_kind(x)}")
    return mg.take(np.eye(V, dtype=dtype), _checked(x, V, "one_hot"), axis=0)


def _kind(x: Any) -> Any:
    return x.dtype if isinstance(x, mg.Tensor) else np.asarray(x).dtype


def _within(indices: np.ndarray, V: int, who: str) -> np.ndarray:
    if indices.size == 1 and 0 <= indices.item() < V:  # one symbol at a time: two reductions would take longer than it
        return indices
    if indices.size and not 0 <= indices.min() <= indices.max() < V:
        low, high = indices.min(), indices.max()
        what = "integer inputs" if who == "linear" else f"index {low if low < 0 else high}, {V} rows: indices"
        raise ValueError(f"{who}: {what} must lie within 0 ... {V - 1}, got {low} ... {high}")
    return indices


_range_checked = mg.primitive(_within, name="checked", pure=False)


def _checked(x: Any, V: int, who: str) -> Any:
    """Integers x, after a look whether they lie within 0 ... V - 1; compiled, at each call."""
    try:
        return _range_checked(x if isinstance(x, mg.Tensor) else np.asarray(x), V, who)
    except ValueError as error:
        raise ValueError(str(error.__cause__ or error)) from None  # without the name of the primitive


def linear(x: Any, W: mg.Tensor, b: mg.Tensor | None = None) -> Any:
    """y = x W + b: rows x (..., I), W (I, O), b (O,) give (..., O).

    Integers x (...) stand for one-hot vectors of size I, which are never built: y gathers rows of W + b. Plain arrays
    are read in the dtype of W; Tensors keep theirs.

    Raises:
        ValueError: if the last size of x is not I, or an integer is not within 0 ... I - 1.
    """
    if is_integer(x):
        indices = _checked(x, W.shape[0], "linear")
        if b is None:
            return mg.take(W, indices, axis=0)
        if indices.size < W.shape[0]:
            return mg.take(W, indices, axis=0) + b
        return mg.take(W + b, indices, axis=0)  # b is added V times, not once for each row gathered
    x = as_input(x, W.dtype)
    if x.shape[-1:] != W.shape[:1]:
        raise ValueError(f"linear: the input has shape {x.shape}, its last size must be {W.shape[0]}")
    return x @ W if b is None else mg.linear(x, W, b)


def _refuse_ambiguous(who: str, x: Any, I: int) -> None:
    """Raise TypeError for integers whose last of several axes has the size of a map's inputs."""
    if is_integer(x) and np.ndim(x) > 1 and np.shape(x)[-1] == I:
        raise TypeError(f"{who}: integers of shape {np.shape(x)} may be rows of {I} features or indices of one-hot "
                        "vectors; pass features as x.astype(float), indices to nn.Embedding or as "
                        f"nn.one_hot(x, {I})")  # fmt: skip


class Linear(Module):
    """y = x W + b, with x (..., I) floating-point, or (...) integers for one-hot vectors; y (..., O).

    Integers of more than one axis, the last of size I, could be rows of features as well, and are refused.

    Args:
        I, O: sizes of input and output.
        bias: whether there is b.
        rng: of the initial W, Glorot-uniform; b starts at 0.
        dtype: of the parameters.
    """

    def __init__(
        self, I: int, O: int, bias: bool = True, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.W = parameter(init.glorot_uniform((I, O), rng=rng, dtype=dtype))
        self.b = parameter(init.zeros((O,), dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        _refuse_ambiguous("Linear", x, self.W.shape[0])
        return linear(x, self.W, self.b)

    def extra_repr(self) -> str:
        return f"{self.W.shape[0]}, {self.W.shape[1]}{'' if self.b is not None else ', bias=False'}"


class Embedding(Module):
    """y = W[x]: the row of W (V, O) for each integer of x (...); y (..., O).

    Rows start from N(0, 1). Raises ValueError for an integer outside of 0 ... V - 1, TypeError for other numbers.
    """

    def __init__(self, V: int, O: int, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32) -> None:
        self.W = parameter(np.random.default_rng(rng).standard_normal((V, O)).astype(dtype))

    def forward(self, x: Any) -> Any:
        if not is_integer(x):
            raise TypeError(f"Embedding: inputs must be integers, the numbers of rows, got {_kind(x)}")
        return mg.take(self.W, _checked(x, self.W.shape[0], "Embedding"), axis=0)

    def extra_repr(self) -> str:
        return f"{self.W.shape[0]}, {self.W.shape[1]}"


class TiedLinear(Module):
    """y = x Wᵀ + b with the W (V, O) of an Embedding, or Linear: tied weights, one parameter in two places.

    x (..., O) gives y (..., V); the gradients of both uses add up. Source: Press & Wolf 2017.

    Args:
        source: the module whose W is used; replacing that W replaces it here as well.
        bias: whether there is a b (V,) of its own; it starts at 0.
    """

    def __init__(self, source: Any, bias: bool = True) -> None:
        self.source = source
        self.b = parameter(init.zeros(source.W.shape[:1], source.W.dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        _refuse_ambiguous("TiedLinear", x, self.source.W.shape[1])
        return linear(as_input(x, self.source.W.dtype), self.source.W.T, self.b)


def layer_norm(x: Any, scale: Any, shift: Any, eps: float = 1e-5) -> Any:
    """y = scale (x - μ) / √(σ² + ε) + shift, with mean μ and variance σ² over the last axis."""
    d = x - mg.mean(x, axis=-1, keepdims=True)
    return d / mg.sqrt(mg.mean(d * d, axis=-1, keepdims=True) + eps) * scale + shift


class LayerNorm(Module):
    """y = scale (x - μ) / √(σ² + ε) + shift over the last axis of x (..., I). Source: Ba, Kiros & Hinton 2016.

    Parameters scale (I,), from 1, and shift (I,), from 0. Raises ValueError if the last size of x is not I.
    """

    def __init__(self, I: int, eps: float = 1e-5, dtype: npt.DTypeLike = np.float32) -> None:
        self.scale, self.shift, self.eps = parameter(np.ones(I, dtype)), parameter(np.zeros(I, dtype)), eps

    def forward(self, x: Any) -> Any:
        x = as_input(x, self.scale.dtype)
        if x.shape[-1:] != self.scale.shape:
            raise ValueError(f"LayerNorm: the input has shape {x.shape}, its last size must be {self.scale.size}")
        return layer_norm(x, self.scale, self.shift, self.eps)

    def extra_repr(self) -> str:
        return f"{self.scale.size}"


class Dropout(Module):
    """In training each entry is 0 with probability p, the others are multiplied by 1 / (1 - p); else the identity.

    The mask is drawn anew at each call. Source: Srivastava et al. 2014, section 10 (inverted dropout).

    Raises:
        ValueError: if p is not within [0, 1).
    """

    def __init__(self, p: float = 0.5, rng: init.Rng = None) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p must lie within [0, 1), got {p}")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Any) -> Any:
        x = x if isinstance(x, mg.Tensor) else np.asarray(x)
        p = mg.watched(self, "p")
        if not mg.watched(self, "training") or p == 0:
            return x
        kept = mg.less(mg.sample(self.rng.random, self.mask_shape(x), np.float32), 1 - p)
        return x * (mg.astype(kept, x.dtype) / (1 - p))

    def mask_shape(self, x: Any) -> tuple[int, ...]:
        """The shape of the mask for x."""
        return tuple(x.shape)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class VariationalDropout(Dropout):
    """Dropout of a sequence (T, B, ...) with one mask (1, B, ...) for all times. Source: Gal & Ghahramani 2016."""

    def mask_shape(self, x: Any) -> tuple[int, ...]:
        """One time for all."""
        return (1, *x.shape[1:])


class Sequential(Module):
    """Modules or functions applied one after the other: Sequential(f, g)(x) = g(f(x))."""

    def __init__(self, *layers: Any) -> None:
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, k: int) -> Any:
        return self.layers[k]
