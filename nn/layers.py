"""Layers that know nothing of time: Linear, TiedLinear, Embedding, LayerNorm, Dropout, Sequential."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .arguments import is_whole
from .module import Module, array, check_no_state, examined

Axis = int | tuple[int, ...]


def parameter(data: Any) -> mg.Tensor:
    """A leaf tensor with requires_grad=True, in the dtype of `data`.

    >>> nn.parameter([1.0, 2.0])
    tensor([1., 2.], requires_grad=True)
    """
    return mg.tensor(data, requires_grad=True)


def is_integer(x: Any) -> bool:
    """Whether x holds integers: indices of one-hot vectors."""
    check_no_state(x)
    return bool(np.issubdtype(x.dtype if isinstance(x, mg.Tensor) else np.asarray(x).dtype, np.integer))


def as_input(x: Any, dtype: npt.DTypeLike | None) -> Any:
    """Plain numbers as a Tensor of this dtype (None: their own), integers as an array; Tensors as they are."""
    if is_integer(x):
        return array(x)
    return mg.as_tensor(x, dtype)


def one_hot(x: Any, V: int, dtype: npt.DTypeLike = np.float32) -> Any:
    """Row k of the identity for each integer k of x (...), within 0 ... V - 1: (..., V), 1 at k and 0 elsewhere.

    For cells and layers that do not begin with a linear map; one that does takes the integers, and builds nothing.

    Raises:
        TypeError: if x does not hold integers.
        ValueError: if one is not within 0 ... V - 1.

    >>> nn.one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    if not is_integer(x):
        raise TypeError(f"one_hot: x must be integers, the numbers of the entries that are 1, got {_dtype_of(x)}")
    return mg.take(np.eye(mg.watched(V), dtype=dtype), _in_range(x, V, "one_hot"), axis=0)


def _dtype_of(x: Any) -> Any:
    return x.dtype if isinstance(x, mg.Tensor) else np.asarray(x).dtype


def _within(indices: np.ndarray, V: int, who: str, out: Any = None) -> Any:
    if indices.size == 1 and 0 <= indices.item() < V:  # one symbol at a time: two reductions would take longer than it
        pass
    elif indices.size and not 0 <= indices.min() <= indices.max() < V:
        low, high = indices.min(), indices.max()
        what = "integer inputs" if who == "linear" else f"index {low if low < 0 else high}, {V} rows: indices"
        raise ValueError(f"{who}: {what} must lie within 0 ... {V - 1}, got {low} ... {high}")
    if out is None:
        return indices
    out[...] = indices
    return out


_range_checked = mg.compile_as(
    mg.primitive(_within, name="checked"), pure=False,
    calls=lambda out, indices, V, who: [(_within, (indices, V, who, out))],
)  # fmt: skip


def _in_range(x: Any, V: int, who: str) -> Any:
    """Integers x, after a look whether they lie within 0 ... V - 1; compiled, at each call."""
    return examined(_range_checked, array(x), V, who)


def linear(x: Any, W: mg.Tensor, b: mg.Tensor | None = None) -> mg.Tensor:
    """y = x W + b: rows x (..., I), W (I, O), b (O,) give (..., O).

    Integers x (...) stand for one-hot vectors of size I, which are never built: y gathers rows of W + b. Plain arrays
    are read in the dtype of W; Tensors keep theirs.

    Raises:
        ValueError: if the last size of x is not I, b is not (O,), or an integer is not within 0 ... I - 1.

    >>> W = nn.parameter([[1.0, 2.0], [3.0, 4.0]])
    >>> nn.linear(np.array([1, 0]), W).data.tolist(), nn.linear([[0.0, 1.0]], W).data.tolist()
    ([[3.0, 4.0], [1.0, 2.0]], [[3.0, 4.0]])
    """
    if is_integer(x):
        indices = _in_range(x, W.shape[0], "linear")
        if b is None:
            return mg.take(W, indices, axis=0)
        if b.shape != W.shape[1:]:  # which could be broadcast
            raise ValueError(f"linear: b must be (O,) for W of shape {W.shape}, got {b.shape}")
        if indices.size < W.shape[0]:
            return mg.take(W, indices, axis=0) + b
        return mg.take(W + b, indices, axis=0)  # b is added V times, not once for each row gathered
    x = as_input(x, W.dtype)
    if x.shape[-1:] != W.shape[:1]:
        raise ValueError(f"linear: the input has shape {x.shape}, its last size must be {W.shape[0]}")
    y: mg.Tensor = x @ W if b is None else mg.linear(x, W, b)
    return y


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

    >>> layer = nn.Linear(3, 2, rng=0)
    >>> layer(np.ones((4, 3))).shape
    (4, 2)
    >>> layer
    Linear(3, 2)  # 8 parameters
    """

    def __init__(
        self, I: int, O: int, bias: bool = True, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.W = parameter(init.glorot_uniform((I, O), rng=rng, dtype=dtype))
        self.b = parameter(init.zeros((O,), dtype)) if bias else None

    def forward(self, x: Any) -> mg.Tensor:
        _refuse_ambiguous("Linear", x, self.W.shape[0])
        return linear(x, self.W, self.b)

    def extra_repr(self) -> str:
        return f"{self.W.shape[0]}, {self.W.shape[1]}{'' if self.b is not None else ', bias=False'}"


class Embedding(Module):
    """y = W[x]: the row of W (V, O) for each integer of x (...); y (..., O).

    Rows start from N(0, 1). Raises ValueError for an integer outside of 0 ... V - 1, TypeError for other numbers.

    Args:
        padding_idx: the integer that stands for padding, negative ones counted from V. Its row starts at 0 and gets no
            gradient from here, so that it does not learn; a `TiedLinear` of this W gives it one.

    >>> nn.Embedding(4, 2, padding_idx=0)([0, 0]).data.tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(
        self, V: int, O: int, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32, padding_idx: int | None = None
    ) -> None:
        rows = np.random.default_rng(rng).standard_normal((V, O)).astype(dtype)
        self.padding_idx = None
        if padding_idx is not None:
            if not is_whole(padding_idx) or not -V <= padding_idx < V:
                raise ValueError(
                    f"Embedding: padding_idx must be an integer within -{V} ... {V - 1}, got {padding_idx}"
                )
            self.padding_idx = int(padding_idx) % V
            rows[self.padding_idx] = 0
        self.W = parameter(rows)

    def forward(self, x: Any) -> mg.Tensor:
        if not is_integer(x):
            raise TypeError(f"Embedding: inputs must be integers, the numbers of rows, got {_dtype_of(x)}")
        indices = _in_range(x, self.W.shape[0], "Embedding")
        y = mg.take(self.W, indices, axis=0)
        if self.padding_idx is None:
            return y
        return mg.where(mg.expand_dims(mg.equal(indices, self.padding_idx), -1), y.detach(), y)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.W.shape[0]}, {self.W.shape[1]}{padding}"


class TiedLinear(Module):
    """y = x Wᵀ + b with the W (V, O) of an Embedding, or Linear: tied weights, one parameter in two places.

    x (..., O) gives y (..., V); the gradients of both uses add up. Source: Press & Wolf 2017.

    Args:
        source: the module whose W is used; replacing that W replaces it here as well.
        bias: whether there is a b (V,) of its own; it starts at 0.

    >>> embedding = nn.Embedding(10, 4, rng=0)
    >>> nn.TiedLinear(embedding)(embedding([1, 2])).shape
    (2, 10)
    """

    def __init__(self, source: Any, bias: bool = True) -> None:
        self.source = source
        self.b = parameter(init.zeros(source.W.shape[:1], source.W.dtype)) if bias else None

    def forward(self, x: Any) -> mg.Tensor:
        _refuse_ambiguous("TiedLinear", x, self.source.W.shape[1])
        return linear(as_input(x, self.source.W.dtype), self.source.W.T, self.b)


@overload
def layer_norm(x: mg.Tensor, scale: Any = None, shift: Any = None, eps: float = 1e-5, axis: Axis = -1) -> mg.Tensor: ...
@overload
def layer_norm(x: Any, scale: Any = None, shift: Any = None, eps: float = 1e-5, axis: Axis = -1) -> Any: ...
def layer_norm(x: Any, scale: Any = None, shift: Any = None, eps: float = 1e-5, axis: Axis = -1) -> Any:
    """y = scale (x - μ) / √(σ² + ε) + shift, with mean μ and variance σ² over `axis`; None is no scale, no shift.

    >>> nn.layer_norm(mg.tensor([[1.0, 3.0], [5.0, 7.0]]), eps=0.0)
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    d = x - mg.mean(x, axis=axis, keepdims=True)
    y = d / mg.sqrt(mg.mean(d * d, axis=axis, keepdims=True) + eps)
    y = y if scale is None else y * scale
    return y if shift is None else y + shift


class LayerNorm(Module):
    """y = scale (x - μ) / √(σ² + ε) + shift over the last axes of x. Source: Ba, Kiros & Hinton 2016.

    Args:
        I: the size of the last axis, or a tuple with the sizes of as many last axes, which are normalised together.
        eps: ε.
        dtype: of the parameters, and in which plain arrays are read.
        elementwise_affine: whether there are a scale, from 1, and a shift, from 0: parameters of the sizes I.
        bias: whether there is the shift.

    Raises:
        ValueError: if the last sizes of x are not I.

    >>> nn.LayerNorm((4, 5), bias=False)(np.ones((2, 3, 4, 5))).shape
    (2, 3, 4, 5)
    """

    def __init__(
        self,
        I: int | tuple[int, ...],
        eps: float = 1e-5,
        dtype: npt.DTypeLike = np.float32,
        *,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        sizes: Any = tuple(I) if isinstance(I, (tuple, list)) else (I,)
        if not sizes or not all(map(is_whole, sizes)) or min(sizes) < 1:
            raise ValueError(f"LayerNorm: I must be a size, or a tuple of the sizes of the last axes, got {I!r}")
        if not eps >= 0:
            raise ValueError(f"LayerNorm: eps must be at least 0, got {eps}")
        self.sizes, self.eps, self.input_dtype = sizes, eps, np.dtype(dtype)
        self.scale = parameter(np.ones(sizes, dtype)) if elementwise_affine else None
        self.shift = parameter(np.zeros(sizes, dtype)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        check_no_state(x)
        x = mg.as_tensor(x, self.input_dtype if self.scale is None else self.scale.dtype)
        count = len(self.sizes)
        if x.shape[-count:] != self.sizes:
            wanted = f"size must be {self.sizes[0]}" if count == 1 else f"sizes must be {self.sizes}"
            raise ValueError(f"LayerNorm: the input has shape {x.shape}, its last {wanted}")
        return layer_norm(x, self.scale, self.shift, self.eps, -1 if count == 1 else tuple(range(-count, 0)))

    def extra_repr(self) -> str:
        options = (
            ", elementwise_affine=False" if self.scale is None else "" if self.shift is not None else ", bias=False"
        )
        return f"{self.sizes[0] if len(self.sizes) == 1 else self.sizes}{options}"


class Dropout(Module):
    """In training each entry is 0 with probability p, the others are multiplied by 1 / (1 - p); else the identity.

    The mask is drawn anew at each call. Source: Srivastava et al. 2014, section 10 (inverted dropout).

    Raises:
        ValueError: if p is not within [0, 1).

    >>> dropout = nn.Dropout(0.5, rng=0)
    >>> sorted(set(dropout(np.ones(100)).tolist()))
    [0.0, 2.0]
    >>> dropout.eval()(np.ones(2))
    array([1., 1.])
    """

    def __init__(self, p: float = 0.5, rng: init.Rng = None) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p must lie within [0, 1), got {p}")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Any) -> Any:
        x = array(x)
        p = mg.watched(self, "p")
        if not self.training or p == 0:
            return x
        kept = mg.less(mg.sample(self.rng.random, self.mask_shape(x), np.float32), 1 - p)
        return x * (mg.astype(kept, x.dtype) / (1 - p))

    def mask_shape(self, x: Any) -> tuple[int, ...]:
        """The shape of the mask for x."""
        return tuple(x.shape)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class VariationalDropout(Dropout):
    """Dropout of a sequence (T, B, ...) with one mask (1, B, ...) for all times. Source: Gal & Ghahramani 2016.

    >>> y = nn.VariationalDropout(0.5, rng=0)(np.ones((5, 2, 3)))
    >>> bool((y == y[0]).all())
    True
    """

    def mask_shape(self, x: Any) -> tuple[int, ...]:
        """One time for all."""
        return (1, *x.shape[1:])


class Sequential(Module):
    """Modules or functions applied one after the other: Sequential(f, g)(x) = g(f(x)).

    >>> net = nn.Sequential(nn.Linear(3, 4, rng=0), mg.tanh, nn.Linear(4, 2, rng=1))
    >>> net(np.ones((5, 3))).shape
    (5, 2)
    """

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
