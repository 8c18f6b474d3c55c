"""One training step of a character-level language model, in each framework.

A model has `step(ids, targets)`, which returns the loss, and `parameters()` and `gradients()` in the common form of
`by_hand.initial_parameters`. For each peer many formulations were measured, at the default sizes, and the fastest was
kept; the reasons stand with it. In common they have [h; one-hot; 1] as columns, for the reasons given in `by_hand`:
one-hot vectors were 1.1 to 1.4 times as fast as gathering rows of U, whose gradient both scatter by `np.add.at`, and
columns 1.1 times as fast as rows. A loss at each step was 1.1 to 1.4 times slower than one over all steps.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from benchmarks import by_hand, compilers
from benchmarks.as_written import AsWritten, AutogradPeer, MygradPeer, TorchCompiledPeer, TorchPeer
from benchmarks.by_hand import Adam, Setting, from_columns, to_columns
from benchmarks.workers import now

Parameters = dict[str, np.ndarray]


class Columns:
    """What the peers share: parameters as columns, cut into blocks of gates, and the input columns."""

    blocks: ClassVar[dict[str, list[int]]]  # how many gates each block of M holds, by cell

    def __init__(self, setting: Setting, parameters: Parameters) -> None:
        M, D, c = to_columns(parameters)
        cuts = np.cumsum(self.blocks[setting.cell][:-1]) * setting.H
        self.arrays = [*(block.copy() for block in np.split(M, cuts)), D, c]
        self.setting, self.adam = setting, Adam(self.arrays, setting)
        self.inputs = np.ones((setting.T, setting.V + 1, setting.B), setting.dtype)
        self.start = np.zeros((setting.H, setting.B), setting.dtype)
        self.last_gradients = self.arrays

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        self.inputs[:, :-1] = 0
        self.inputs[np.arange(len(ids))[:, None], ids, np.arange(ids.shape[1])] = 1
        loss, self.last_gradients = self.loss_and_gradients(targets.ravel())
        self.adam.step(self.last_gradients)
        return loss

    def loss_and_gradients(self, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
        raise NotImplementedError

    def parameters(self) -> Parameters:
        return from_columns(np.concatenate(self.arrays[:-2]), *self.arrays[-2:])

    def gradients(self) -> Parameters:
        return from_columns(np.concatenate(self.last_gradients[:-2]), *self.last_gradients[-2:])


class Autograd(Columns):
    # One product for all gates, then `split`: its derivative is a concatenation, a slice's is `np.add.at`
    # into zeros (1.2 times slower). `expit` has a rule of its own; 1 / (1 + exp(-x)) was 1.3 times slower.
    # `matmul`'s rule is leaner than `dot`'s, which goes through `tensordot`.
    blocks: ClassVar = {"lstm": [4], "gru": [2, 1], "rnn": [1]}

    def __init__(self, setting: Setting, parameters: Parameters) -> None:
        import autograd.numpy as anp
        from autograd import value_and_grad
        from autograd.scipy.special import expit
        from autograd.tracer import getval

        super().__init__(setting, parameters)
        positions = np.arange(setting.T * setting.B)

        def lstm(blocks: Any, h: Any, C: Any, x: np.ndarray) -> tuple[Any, Any]:
            f, i, o, g = anp.split(anp.matmul(blocks[0], anp.concatenate((h, x))), 4)
            C = expit(f) * C + expit(i) * anp.tanh(g)
            return expit(o) * anp.tanh(C), C

        def gru(blocks: Any, h: Any, unused: Any, x: np.ndarray) -> tuple[Any, Any]:
            z, r = anp.split(expit(anp.matmul(blocks[0], anp.concatenate((h, x)))), 2)
            n = anp.tanh(anp.matmul(blocks[1], anp.concatenate((r * h, x))))
            return h + z * (n - h), None

        def rnn(blocks: Any, h: Any, unused: Any, x: np.ndarray) -> tuple[Any, Any]:
            return anp.tanh(anp.matmul(blocks[0], anp.concatenate((h, x)))), None

        cell = {"lstm": lstm, "gru": gru, "rnn": rnn}[setting.cell]

        def loss(arrays: Any, targets: np.ndarray) -> Any:
            *blocks, D, c = arrays
            h = C = self.start
            hs = []
            for x in self.inputs:
                h, C = cell(blocks, h, C, x)
                hs.append(h)
            logits = anp.matmul(D, anp.concatenate(hs, axis=1)) + c  # (V, T * B)
            logits = logits - getval(logits).max(0)
            log_sums = anp.log(anp.sum(anp.exp(logits), axis=0))
            return (anp.sum(log_sums) - anp.sum(logits[targets, positions])) / len(targets)

        self.value_and_grad = value_and_grad(loss)

    def loss_and_gradients(self, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
        loss, gradients = self.value_and_grad(self.arrays, targets)
        return float(loss), gradients


class Mygrad(Columns):
    # A product for each gate: slices of one product, each with an addition into zeros backwards, cost more
    # than three further products (1.15 times). Memory guarding off: 1.3 times faster. The fused
    # `mygrad.nnet.gru` needs numba and has its derivative by hand; here derivatives are the framework's.
    blocks: ClassVar = {"lstm": [1] * 4, "gru": [1] * 3, "rnn": [1]}

    def __init__(self, setting: Setting, parameters: Parameters) -> None:
        import mygrad as mg
        from mygrad.nnet import sigmoid, softmax_crossentropy

        mg.turn_memory_guarding_off()
        super().__init__(setting, parameters)
        self.tensors = [mg.tensor(array, copy=False) for array in self.arrays]

        def lstm(blocks: Any, h: Any, C: Any, x: np.ndarray) -> tuple[Any, Any]:
            f, i, o, g = blocks
            hx = mg.concatenate((h, x))
            C = sigmoid(f @ hx) * C + sigmoid(i @ hx) * mg.tanh(g @ hx)
            return sigmoid(o @ hx) * mg.tanh(C), C

        def gru(blocks: Any, h: Any, unused: Any, x: np.ndarray) -> tuple[Any, Any]:
            z, r, n = blocks
            hx = mg.concatenate((h, x))
            candidate = mg.tanh(n @ mg.concatenate((sigmoid(r @ hx) * h, x)))
            return h + sigmoid(z @ hx) * (candidate - h), None

        def rnn(blocks: Any, h: Any, unused: Any, x: np.ndarray) -> tuple[Any, Any]:
            return mg.tanh(blocks[0] @ mg.concatenate((h, x))), None

        cell = {"lstm": lstm, "gru": gru, "rnn": rnn}[setting.cell]

        def loss(targets: np.ndarray) -> Any:
            *blocks, D, c = self.tensors
            h = C = self.start
            hs = []
            for x in self.inputs:
                h, C = cell(blocks, h, C, x)
                hs.append(h)
            logits = D @ mg.concatenate(hs, axis=1) + c  # (V, T * B)
            return softmax_crossentropy(logits.T, targets)

        self.loss = loss

    def loss_and_gradients(self, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
        loss = self.loss(targets)
        loss.backward()
        return float(loss.data), [tensor.grad for tensor in self.tensors]


def minimal_gated_unit(V: int, H: int, num_layers: int, rng: Any, dtype: str) -> Any:
    """f = σ(W_f h + U_f x + b_f), h ← h + f (tanh(W_h (f h) + U_n x + b_n) - h): a cell of a user's own."""
    import minigrad as mg
    import nn

    class MGU(nn.Cell):
        def __init__(self, layer: int) -> None:
            self.H, I = H, H if layer else V
            self.U, self.b = nn.parameter(np.zeros((I, 2 * H), dtype)), nn.parameter(np.zeros(2 * H, dtype))
            self.W, self.W_h = nn.parameter(np.zeros((H, H), dtype)), nn.parameter(np.zeros((H, H), dtype))

        def project(self, xs: Any) -> Any:
            return nn.linear(xs, self.U, self.b)

        def step(self, x: Any, h: Any) -> Any:
            f = mg.sigmoid(x[:, :H] + h @ self.W)
            h = h + f * (mg.tanh(x[:, H:] + (f * h) @ self.W_h) - h)
            return h, h

    return nn.Recurrent(lambda layer: MGU(layer), num_layers=num_layers)


class Minigrad:
    """The library's layers as a user writes them: integers in, no one-hot vector anywhere."""

    compiled = False

    def __init__(self, setting: Setting, parameters: Parameters) -> None:
        import minigrad as mg
        import nn

        rng = np.random.default_rng(0)
        layer: Any = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN, "mgu": minimal_gated_unit}[setting.cell]
        self.recurrent = layer(setting.V, setting.H, num_layers=setting.layers, rng=rng, dtype=setting.dtype)
        self.output = nn.Linear(setting.H, setting.V, rng=rng, dtype=setting.dtype)
        self.nn, self.clip = nn, setting.clip
        self.named, start = {"V_out": self.output.W, "c": self.output.b}, dict(parameters)
        for cell, k in zip(self.recurrent.cells, by_hand.suffixes(setting)):
            self.named |= {f"U{k}": cell.U, f"W{k}": cell.W, f"b{k}": cell.b}
            if setting.cell in ("gru", "mgu"):  # the candidate's weights stand alone
                self.named[f"W_h{k}"] = cell.W_h
                start[f"W{k}"], start[f"W_h{k}"] = np.split(parameters[f"W{k}"], [-setting.H], axis=1)
        for name, tensor in self.named.items():
            tensor.data = start[name]
        self.adam = nn.Adam(self.named.values(), lr=setting.lr)
        self.loss_and_gradients = mg.compile(self._loss_and_gradients) if self.compiled else self._loss_and_gradients

    def _loss_and_gradients(self, ids: Any, targets: Any) -> Any:
        outputs, _ = self.recurrent(ids)
        loss = self.nn.cross_entropy(self.output(outputs), targets)
        loss.backward()
        return loss

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        self.adam.zero_grad()
        loss = self.loss_and_gradients(ids, targets)
        self.nn.clip_grad_norm(self.named.values(), self.clip)
        self.adam.step()
        return float(loss.data)

    def _common(self, arrays: Parameters) -> Parameters:
        for k in [name.removeprefix("W_h") for name in arrays if name.startswith("W_h")]:
            arrays[f"W{k}"] = np.concatenate([arrays[f"W{k}"], arrays.pop(f"W_h{k}")], axis=1)
        return arrays

    def parameters(self) -> Parameters:
        return self._common({name: tensor.data for name, tensor in self.named.items()})

    def gradients(self) -> Parameters:
        return self._common({name: tensor.grad for name, tensor in self.named.items()})


class MinigradCompiled(Minigrad):
    compiled = True


class ByHand:
    def __init__(self, setting: Setting, parameters: Parameters) -> None:
        self.model = by_hand.MODELS[setting.cell](setting, parameters)
        self.step = self.model.step

    def parameters(self) -> Parameters:
        return from_columns(*self.model.parameters)

    def gradients(self) -> Parameters:
        return from_columns(*self.model.gradients)


MODELS: dict[str, Any] = {
    "minigrad": Minigrad,
    "minigrad compiled": MinigradCompiled,
    "numpy": ByHand,
    "torch": compilers.TorchFused,
    "torch cell": lambda setting, parameters: AsWritten(TorchPeer(), setting, parameters),
    "torch compiled cell": lambda setting, parameters: AsWritten(TorchCompiledPeer(), setting, parameters),
    "jax": compilers.Jax,
    "autograd": lambda setting, parameters: AsWritten(AutogradPeer(), setting, parameters),
    "mygrad": lambda setting, parameters: AsWritten(MygradPeer(), setting, parameters),
    "autograd tuned": Autograd,
    "mygrad tuned": Mygrad,
}


class Training:
    """A row of the table: the step is checked in two dtypes, then timed."""

    def __init__(self, framework: str, setting: Setting) -> None:
        self.framework, self.setting = framework, setting
        self.model: Any = None
        self.batches = itertools.cycle(by_hand.batches(setting, 8))

    def _build(self, setting: Setting) -> Any:
        return MODELS[self.framework](setting, by_hand.initial_parameters(setting))

    def check(self) -> dict[str, np.ndarray]:
        """Losses, gradients and parameters of two steps, in float64 with clipping at work and as timed.

        Gradients as well as parameters, since Adam's step is blind to the scale of a gradient.
        """
        seen: dict[str, np.ndarray] = {}
        for setting in (replace(self.setting, dtype="float64", clip=0.01), self.setting):
            model = self._build(setting)
            losses = [model.step(ids, targets) for ids, targets in by_hand.batches(setting, 2)]
            seen[f"{setting.dtype}: losses"] = np.array(losses, setting.dtype)
            for what, arrays in (("gradient", model.gradients()), ("parameter", model.parameters())):
                for name, array in arrays.items():
                    seen[f"{setting.dtype}: {what} {name}"] = np.array(array)
        return seen

    def measure(self) -> dict[str, float]:
        """Milliseconds per step, over at least 3 steps and 0.15 seconds, after one untimed step."""
        self.model = self.model or self._build(self.setting)
        self.model.step(*next(self.batches))
        steps, start = 0, now()
        while steps < 3 or now() - start < 0.15:
            self.model.step(*next(self.batches))
            steps += 1
        return {"step": (now() - start) / steps * 1e3}
