"""The same model, written once and run by each framework with its defaults: what a user would transcribe.

The equations, the packing of the gates and the gathering of U's rows are those of minigrad's `nn`; only the module
that provides `tanh` and its like changes. `language_model` has what each peer can do when it is tuned for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.by_hand import Adam, Setting
from benchmarks.workers import UnavailableError

Parameters = dict[str, np.ndarray]


class Peer:
    """A framework's functions: the namespace `xp`, and `sigmoid` and `cross_entropy(logits, targets)`."""

    xp: Any

    def sigmoid(self, x: Any) -> Any:
        raise NotImplementedError

    def cross_entropy(self, logits: Any, targets: np.ndarray) -> Any:
        raise NotImplementedError

    def value_and_gradients(self, loss: Any, arrays: Parameters) -> tuple[float, Parameters]:
        raise NotImplementedError

    def constant(self, array: np.ndarray) -> Any:
        return array

    def prepared(self, cell: Any) -> Any:
        """The cell as it is called at each step."""
        return cell


class TorchPeer(Peer):
    def __init__(self) -> None:
        import torch

        self.xp, self.sigmoid = torch, torch.sigmoid
        self.constant = torch.from_numpy

    def cross_entropy(self, logits: Any, targets: np.ndarray) -> Any:
        return self.xp.nn.functional.cross_entropy(logits, self.xp.from_numpy(targets))

    def value_and_gradients(self, loss: Any, arrays: Parameters) -> tuple[float, Parameters]:
        tensors = {name: self.xp.from_numpy(array).requires_grad_() for name, array in arrays.items()}
        value = loss(tensors)
        value.backward()
        return float(value.detach()), {name: tensor.grad.numpy() for name, tensor in tensors.items()}


class TorchCompiledPeer(TorchPeer):
    """`torch.compile` of the cell. Of the whole loss it took minutes, T copies of the cell, for 0.86 of the time."""

    def prepared(self, cell: Any) -> Any:
        # As a whole, so that what is not compiled is an error instead of silently the eager cell.
        return self.xp.compile(cell, fullgraph=True, dynamic=False)

    def value_and_gradients(self, loss: Any, arrays: Parameters) -> tuple[float, Parameters]:
        try:
            return super().value_and_gradients(loss, arrays)
        except self.xp._dynamo.exc.TorchDynamoException as error:  # no C++ compiler, for instance
            raise UnavailableError(f"torch.compile: {str(error).strip().splitlines()[0]}") from error


class AutogradPeer(Peer):
    def __init__(self) -> None:
        import autograd
        import autograd.numpy as anp
        from autograd.scipy.special import expit, logsumexp

        self.xp, self.value_and_grad, self.logsumexp = anp, autograd.value_and_grad, logsumexp
        self.sigmoid = expit

    def cross_entropy(self, logits: Any, targets: np.ndarray) -> Any:
        log_probabilities = logits - self.logsumexp(logits, axis=1, keepdims=True)
        return -self.xp.mean(log_probabilities[np.arange(len(targets)), targets])

    def value_and_gradients(self, loss: Any, arrays: Parameters) -> tuple[float, Parameters]:
        value, gradients = self.value_and_grad(loss)(arrays)
        return float(value), gradients


class MygradPeer(Peer):
    def __init__(self) -> None:
        import mygrad
        from mygrad.nnet import sigmoid, softmax_crossentropy

        self.xp, self.sigmoid, self.cross_entropy = mygrad, sigmoid, softmax_crossentropy

    def value_and_gradients(self, loss: Any, arrays: Parameters) -> tuple[float, Parameters]:
        tensors = {name: self.xp.tensor(array) for name, array in arrays.items()}
        value = loss(tensors)
        value.backward()
        return float(value.data), {name: tensor.grad for name, tensor in tensors.items()}


class AsWritten:
    """One training step of the language model by a peer, in minigrad's formulation."""

    def __init__(self, peer: Peer, setting: Setting, parameters: Parameters) -> None:
        self.peer, self.setting = peer, setting
        self.arrays = {name: array.copy() for name, array in parameters.items()}
        if setting.cell in ("gru", "mgu"):  # the candidate's weights stand alone
            self.arrays["W"], self.arrays["W_h"] = map(
                np.ascontiguousarray, np.split(parameters["W"], [-setting.H], axis=1)
            )
        self.adam = Adam(list(self.arrays.values()), setting)
        self.cell = peer.prepared(getattr(self, setting.cell))
        self.zeros = peer.constant(np.zeros((setting.B, setting.H), setting.dtype))

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        value, self.last = self.peer.value_and_gradients(lambda P: self.loss(P, ids, targets), self.arrays)
        self.adam.step([self.last[name] for name in self.arrays])
        return value

    def loss(self, P: Any, ids: np.ndarray, targets: np.ndarray) -> Any:
        xs = P["U"][ids] + P["b"]  # (T, B, 4H)
        h = C = self.zeros
        hs = []
        for t in range(len(ids)):
            h, C = self.cell(P, xs[t], h, C)
            hs.append(h)
        rows = self.peer.xp.stack(hs).reshape((-1, self.setting.H))
        return self.peer.cross_entropy(rows @ P["V_out"] + P["c"], targets.ravel())

    def lstm(self, P: Any, x: Any, h: Any, C: Any) -> tuple[Any, Any]:
        H, xp = self.setting.H, self.peer.xp
        a = x + h @ P["W"]
        gates = self.peer.sigmoid(a[:, : 3 * H])
        f, i, o = gates[:, :H], gates[:, H : 2 * H], gates[:, 2 * H :]
        C = f * C + i * xp.tanh(a[:, 3 * H :])
        return o * xp.tanh(C), C

    def gru(self, P: Any, x: Any, h: Any, C: Any) -> tuple[Any, Any]:
        H, xp = self.setting.H, self.peer.xp
        zr = self.peer.sigmoid(x[:, : 2 * H] + h @ P["W"])
        z, r = zr[:, :H], zr[:, H:]
        candidate = xp.tanh(x[:, 2 * H :] + (r * h) @ P["W_h"])
        return h + z * (candidate - h), C

    def mgu(self, P: Any, x: Any, h: Any, C: Any) -> tuple[Any, Any]:
        H, xp = self.setting.H, self.peer.xp
        f = self.peer.sigmoid(x[:, :H] + h @ P["W"])
        candidate = xp.tanh(x[:, H:] + (f * h) @ P["W_h"])
        return h + f * (candidate - h), C

    def rnn(self, P: Any, x: Any, h: Any, C: Any) -> tuple[Any, Any]:
        return self.peer.xp.tanh(x + h @ P["W"]), C

    def parameters(self) -> Parameters:
        return _common(dict(self.arrays))

    def gradients(self) -> Parameters:
        return _common(dict(self.last))


def _common(arrays: Parameters) -> Parameters:
    if "W_h" in arrays:
        arrays["W"] = np.concatenate([arrays["W"], arrays.pop("W_h")], axis=1)
    return arrays
