"""The model in frameworks that bring compiled code: torch's fused recurrent kernels, and JAX's compiler.

Both get the sequence at once. torch.nn reads one-hot vectors; JAX gathers rows of U, as minigrad does. Its GRU applies
the reset gate after the product, another model than Cho et al.'s, so torch.nn has no row there.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.by_hand import GATES, Adam, Setting, suffixes

Parameters = dict[str, np.ndarray]


class TorchFused:
    """torch.nn.LSTM or RNN, and a linear layer; Adam works on the parameters' own memory."""

    order = {"lstm": (1, 0, 3, 2), "rnn": (0,)}  # noqa: RUF012 - where torch's i f g o stand among our f i o g

    def __init__(self, setting: Setting, parameters: Parameters) -> None:
        import torch

        self.torch, self.setting = torch, setting
        V, H, dtype = setting.V, setting.H, getattr(torch, setting.dtype)
        self.recurrent = {"lstm": torch.nn.LSTM, "rnn": torch.nn.RNN}[setting.cell](V, H, setting.layers, dtype=dtype)
        self.output = torch.nn.Linear(H, V, dtype=dtype)
        self.named = {"V_out": self.output.weight, "c": self.output.bias}
        for (U, W, b, second), k in zip(self.recurrent.all_weights, suffixes(setting)):
            second.requires_grad_(False).zero_()  # it has two biases, the model one
            self.named |= {f"U{k}": U, f"W{k}": W, f"b{k}": b}
        for name, tensor in self.named.items():
            array = self._reordered(name, parameters[name], self.order[setting.cell])
            tensor.data = torch.from_numpy(np.array(array.T, order="C"))
        self.adam = Adam([tensor.detach().numpy() for tensor in self.named.values()], setting)

    def _reordered(self, name: str, array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
        """The blocks of gates along the last axis in another order."""
        if name in ("V_out", "c"):
            return array
        blocks = np.split(array, len(GATES[self.setting.cell]), axis=-1)
        return np.concatenate([blocks[k] for k in order], axis=-1)

    def outputs(self, one_hot: Any) -> Any:
        return self.recurrent(one_hot)[0]

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        functional = self.torch.nn.functional
        one_hot = functional.one_hot(self.torch.from_numpy(ids), self.setting.V).to(self.output.weight.dtype)
        logits = self.output(self.outputs(one_hot)).flatten(0, 1)
        loss = functional.cross_entropy(logits, self.torch.from_numpy(targets).flatten())
        for tensor in self.named.values():
            tensor.grad = None
        loss.backward()
        self.adam.step([tensor.grad.numpy() for tensor in self.named.values()])
        return float(loss.detach())

    def _common(self, arrays: Parameters) -> Parameters:
        back = tuple(np.argsort(self.order[self.setting.cell]))
        return {name: self._reordered(name, array.T, back) for name, array in arrays.items()}

    def parameters(self) -> Parameters:
        return self._common({name: tensor.detach().numpy() for name, tensor in self.named.items()})

    def gradients(self) -> Parameters:
        return self._common({name: tensor.grad.numpy() for name, tensor in self.named.items()})


class Jax:
    """Loss and gradients by `jit` of `value_and_grad`, the loop over time by `lax.scan`; Adam as for the others."""

    def __init__(self, setting: Setting, parameters: Parameters) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # for the check; float32 stays float32
        jax.config.update("jax_platforms", "cpu")
        H, jnp = setting.H, jax.numpy

        def cell(W: Any, state: Any, x: Any) -> Any:
            h, C = state
            if setting.cell == "lstm":
                a = x + h @ W
                f, i, o = jnp.split(jax.nn.sigmoid(a[:, : 3 * H]), 3, axis=1)
                C = f * C + i * jnp.tanh(a[:, 3 * H :])
                h = o * jnp.tanh(C)
            elif setting.cell == "gru":
                z, r = jnp.split(jax.nn.sigmoid(x[:, : 2 * H] + h @ W[:, : 2 * H]), 2, axis=1)
                n = jnp.tanh(x[:, 2 * H :] + (r * h) @ W[:, 2 * H :])
                h = h + z * (n - h)
            else:
                h = jnp.tanh(x + h @ W)
            return (h, C), h

        def loss(P: Any, ids: Any, targets: Any, T: Any) -> Any:
            zeros = jnp.zeros((setting.B, H), setting.dtype)
            hs = None
            for k in suffixes(setting):
                xs = (P["U"][ids] if hs is None else hs @ P[f"U{k}"]) + P[f"b{k}"]
                _, hs = jax.lax.scan(functools.partial(cell, P[f"W{k}"]), (zeros, zeros), xs)
            log_p = jax.nn.log_softmax(hs @ P["V_out"] + P["c"])
            losses = -jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
            # beyond T is padding, if a T is given
            return (
                losses.mean()
                if T is None
                else jnp.where(jnp.arange(len(ids)) < T, losses.sum(1), 0).sum() / (T * setting.B)
            )

        self.value_and_grad = jax.jit(jax.value_and_grad(loss))
        self.arrays = {name: array.copy() for name, array in parameters.items()}
        self.adam = Adam(list(self.arrays.values()), setting)

    def step(self, ids: np.ndarray, targets: np.ndarray, T: int | None = None) -> float:
        # copied, since JAX works on its own time and Adam changes them in place
        value, gradients = self.value_and_grad({k: v.copy() for k, v in self.arrays.items()}, ids, targets, T)
        self.last = {name: np.array(gradients[name]) for name in self.arrays}
        self.adam.step(list(self.last.values()))
        return float(value)

    def parameters(self) -> Parameters:
        return dict(self.arrays)

    def gradients(self) -> Parameters:
        return dict(self.last)
