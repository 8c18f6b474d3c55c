"""Convolution as a composition: shifted windows of the input side by side, and one matrix product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .layers import as_input, parameter
from .module import Module


class Conv2d(Module):
    """y[b, o, r, c] = b[o] + Σ_{i, k, l} W[o, i, k, l] x[b, i, s r + k, s c + l]: x (B, I, R, C) -> y (B, O, R', C').

    With zeros around x, R' = ⌊(R + 2 padding - K) / s⌋ + 1, and C' likewise. A cross-correlation, as everywhere.

    Args:
        I, O: channels of input and output.
        kernel: K, or (K, L).
        stride: s.
        padding: rows and columns of zeros on each side.

    Raises:
        ValueError: if x is not (B, I, R, C), or smaller than the kernel.

    Source: Goodfellow, Bengio & Courville 2016, equations 9.6 to 9.8.
    """

    def __init__(
        self,
        I: int,
        O: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        K, L = (kernel, kernel) if isinstance(kernel, int) else kernel
        if min(K, L, stride) < 1 or padding < 0:
            raise ValueError(f"Conv2d: kernel {kernel} and stride {stride} must be at least 1, padding {padding} 0")
        scale = math.sqrt(6 / ((I + O) * K * L))  # Glorot's, counting each pixel of the window
        self.W = parameter(init.uniform((O, I, K, L), scale, rng, dtype))
        self.b = parameter(init.zeros((O,), dtype)) if bias else None
        self.stride, self.padding = stride, padding

    def forward(self, x: Any) -> Any:
        x = as_input(x, self.W.dtype)
        O, I, K, L = self.W.shape
        s, p = self.stride, self.padding
        if x.ndim != 4 or x.shape[1] != I or x.shape[2] + 2 * p < K or x.shape[3] + 2 * p < L:
            raise ValueError(
                f"Conv2d: the input has shape {x.shape}, it must be (B, {I}, R, C) with at least {K - 2 * p} rows and "
                f"{L - 2 * p} columns"
            )
        if p:
            x = mg.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        rows, columns = (x.shape[2] - K) // s + 1, (x.shape[3] - L) // s + 1
        windows = mg.stack(
            [
                x[:, :, k : k + s * (rows - 1) + 1 : s, l : l + s * (columns - 1) + 1 : s]
                for k in range(K)
                for l in range(L)
            ],
            axis=2,
        )  # (B, I, K L, R', C')
        windows = windows.reshape(x.shape[0], I * K * L, rows * columns)
        y = (self.W.reshape(O, I * K * L) @ windows).reshape(x.shape[0], O, rows, columns)
        return y if self.b is None else y + self.b.reshape(O, 1, 1)

    def extra_repr(self) -> str:
        O, I, K, L = self.W.shape
        return f"{I}, {O}, ({K}, {L}), stride={self.stride}, padding={self.padding}"
