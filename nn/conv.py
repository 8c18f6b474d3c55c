"""Convolution as a composition: shifted windows of the input side by side, and one matrix product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .arguments import is_whole
from .layers import parameter
from .module import Module

Pair = int | tuple[int, int]


class Conv2d(Module):
    """y[b, o, r, c] = b[o] + Σ_{i, k, l} W[o, i, k, l] x[b, i, s r + d k, s c + d l].

    x (B, I, R, C) gives y (B, O, R', C'). With zeros around x, R' = ⌊(R + 2 padding - d (K - 1) - 1) / s⌋ + 1, and C'
    likewise. A cross-correlation, as everywhere. W is (O, I / groups, K, L).

    Args:
        I, O: channels of input and output.
        kernel: K, or (K, L). Each of the following is one number as well, or two, of rows and of columns.
        stride: s.
        padding: rows and columns of zeros on each side; or "valid" for none; or "same", with a stride of 1, for as many
            as keep the size: d (K - 1) in all, the odd one below and to the right.
        dilation: d, the distance between neighbouring entries of the kernel.
        groups: into how many groups the channels are split, one after the other; each group of the output sees its
            group of the input only, and with I groups each channel is on its own.

    Raises:
        ValueError: if the options do not go together, or x is not (B, I, R, C), or smaller than the kernel.

    Source: Goodfellow, Bengio & Courville 2016, equations 9.6 to 9.8; dilation: Yu & Koltun 2016, equation 2.

    >>> nn.Conv2d(4, 6, 3, padding="same", dilation=(1, 2), groups=2)(np.zeros((5, 4, 7, 8))).shape
    (5, 6, 7, 8)
    """

    def __init__(
        self,
        I: int,
        O: int,
        kernel: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        dilation: Pair = 1,
        groups: int = 1,
    ) -> None:
        K, L = _pair("kernel", kernel, 1)
        self.stride, self.dilation, self.groups = _pair("stride", stride, 1), _pair("dilation", dilation, 1), groups
        self.padding: Any = padding if isinstance(padding, str) else _pair("padding", padding, 0)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Conv2d: padding must be numbers, 'same' or 'valid', got {padding!r}")
            if padding == "same" and self.stride != (1, 1):
                raise ValueError(f"Conv2d: padding='same' keeps the size with a stride of 1 only, got {stride}")
        if not is_whole(groups) or groups < 1 or I % groups or O % groups:
            raise ValueError(f"Conv2d: groups must divide the channels, I = {I} and O = {O}, got {groups!r}")
        scale = math.sqrt(6 * groups / ((I + O) * K * L))  # Glorot's, counting each pixel of the window
        self.W = parameter(init.uniform((O, I // groups, K, L), scale, rng, dtype))
        self.b = parameter(init.zeros((O,), dtype)) if bias else None

    def forward(self, x: Any) -> mg.Tensor:
        x = mg.as_tensor(x, self.W.dtype)
        O, I, K, L = self.W.shape  # I of one group
        G, (s, t), (d, e) = self.groups, self.stride, self.dilation
        reach = d * (K - 1) + 1, e * (L - 1) + 1  # of the kernel, from its first to its last row and column
        around = self._around(reach)
        (above, below), (left, right) = around
        needed = reach[0] - above - below, reach[1] - left - right
        if x.ndim != 4 or x.shape[1] != G * I or x.shape[2] < needed[0] or x.shape[3] < needed[1]:
            single = "; a single image is x[None]" if x.ndim == 3 else ""
            raise ValueError(
                f"Conv2d: the input has shape {x.shape}, it must be (B, {G * I}, R, C) with at least {needed[0]} rows "
                f"and {needed[1]} columns{single}"
            )
        if above or below or left or right:
            x = mg.pad(x, ((0, 0), (0, 0), *around))
        rows, columns = (x.shape[2] - reach[0]) // s + 1, (x.shape[3] - reach[1]) // t + 1
        windows = mg.stack(
            [
                x[:, :, k : k + s * (rows - 1) + 1 : s, l : l + t * (columns - 1) + 1 : t]
                for k in range(0, reach[0], d)
                for l in range(0, reach[1], e)
            ],
            axis=2,
        )  # (B, G I, K L, R', C')
        if G == 1:
            y: mg.Tensor = self.W.reshape(O, I * K * L) @ windows.reshape(x.shape[0], I * K * L, rows * columns)
        else:
            W = self.W.reshape(G, O // G, I * K * L)
            y = W @ windows.reshape(x.shape[0], G, I * K * L, rows * columns)  # (B, G, O / G, R' C')
        y = y.reshape(x.shape[0], O, rows, columns)
        return y if self.b is None else y + self.b.reshape(O, 1, 1)

    def _around(self, reach: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """The numbers of zeros before and behind the rows, and the columns."""
        if self.padding == "same":
            (above, left), (rows, columns) = ((n - 1) // 2 for n in reach), reach
            return (above, rows - 1 - above), (left, columns - 1 - left)
        p, q = (0, 0) if self.padding == "valid" else self.padding
        return (p, p), (q, q)

    def extra_repr(self) -> str:
        O, I, K, L = self.W.shape
        padding = repr(self.padding) if isinstance(self.padding, str) else _shown(self.padding)
        more = "" if self.dilation == (1, 1) else f", dilation={_shown(self.dilation)}"
        more += "" if self.groups == 1 else f", groups={self.groups}"
        return f"{I * self.groups}, {O}, ({K}, {L}), stride={_shown(self.stride)}, padding={padding}{more}"


def _pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """One number for rows and columns, or two of them."""
    pair = (value, value) if is_whole(value) else value
    whole = isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(is_whole, pair))
    if not whole or min(pair) < least:
        raise ValueError("Conv2d: kernel, stride and dilation must be at least 1, padding 0, each an integer or a pair "
                         f"for rows and columns, got {name}={value!r}")  # fmt: skip
    return int(pair[0]), int(pair[1])


def _shown(pair: tuple[int, int]) -> Any:
    return pair[0] if pair[0] == pair[1] else pair
