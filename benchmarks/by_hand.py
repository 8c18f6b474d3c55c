"""The yardstick: a recurrent language model's training step in NumPy alone, derivatives by hand.

Everything is written to be fast. All buffers are allocated once. Arrays are columns, (features, batch), so
that a gate is a contiguous block of rows. One matrix `M = [W; U; b]^T` meets one input `[h; one-hot; 1]`: the
one-hot rows cost the product no more than gathering and transposing rows of U would, and backwards they spare
the scatter: the gradients of W, U and b are one product over all times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The gates in the order in which they are packed; the last is the candidate, a tanh, the others are sigmoids.
GATES = {"lstm": ("f", "i", "o", "g"), "gru": ("z", "r", "n"), "rnn": ("n",), "mgu": ("f", "n")}
# The sizes (V, H, B, T) that are compared.
SIZES = ((65, 100, 1, 25), (65, 128, 32, 50), (65, 128, 50, 50), (65, 256, 64, 64), (87, 512, 100, 100))


@dataclass(frozen=True)
class Setting:
    """What one training step is: the cell, its sizes, the optimizer's constants and the dtype.

    Several `layers` are for the frameworks that bring layers; what is written out by hand has one.
    """

    cell: str = "lstm"
    V: int = 65
    H: int = 128
    B: int = 32
    T: int = 50
    layers: int = 1
    dtype: str = "float32"
    lr: float = 2e-3
    clip: float = 5.0


def suffixes(setting: Setting) -> list[str]:
    """What follows U, W and b in each layer's names: nothing in the first."""
    return ["", *map(str, range(1, setting.layers))]


def initial_parameters(setting: Setting, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters in the common form, gates packed: U (V, GH), W (H, GH), b (GH,), V_out (H, V), c (V,).

    Layers above the first have U1 (H, GH), W1, b1, U2 and so on.
    """
    V, H, GH = setting.V, setting.H, len(GATES[setting.cell]) * setting.H
    rng = np.random.default_rng(seed)
    shapes = {"U": (V, GH), "W": (H, GH), "b": (GH,), "V_out": (H, V), "c": (V,)}
    for k in suffixes(setting)[1:]:
        shapes |= {f"U{k}": (H, GH), f"W{k}": (H, GH), f"b{k}": (GH,)}
    return {name: rng.uniform(-(H**-0.5), H**-0.5, shape).astype(setting.dtype) for name, shape in shapes.items()}


def batches(setting: Setting, count: int, seed: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs (ids, targets), both (T, B)."""
    rng = np.random.default_rng(seed)
    texts = rng.integers(0, setting.V, (count, setting.T + 1, setting.B))
    return [(text[:-1], text[1:]) for text in texts]


class Adam:
    """Clip by the global norm, then Adam (Kingma & Ba 2015, algorithm 1), all in place.

    For every framework that brings no optimizer of its own.
    """

    def __init__(self, parameters: list[np.ndarray], setting: Setting) -> None:
        self.parameters, self.lr, self.clip, self.steps = parameters, setting.lr, setting.clip, 0
        self.state = [(p, np.zeros_like(p), np.zeros_like(p), np.empty_like(p)) for p in parameters]

    def step(self, gradients: list[np.ndarray]) -> None:
        norm = float(sum(np.vdot(g, g) for g in gradients)) ** 0.5
        self.steps += 1
        step_size = self.lr / (1 - 0.9**self.steps)
        correction = (1 - 0.999**self.steps) ** -0.5
        for g, (p, m, v, buffer) in zip(gradients, self.state, strict=True):
            if norm > self.clip:
                g *= self.clip / norm
            np.subtract(g, m, out=buffer)
            buffer *= 0.1
            m += buffer  # m = 0.9 m + 0.1 g
            np.multiply(g, g, out=buffer)
            buffer -= v
            buffer *= 0.001
            v += buffer  # v = 0.999 v + 0.001 g^2
            np.sqrt(v, out=buffer)
            buffer *= correction
            buffer += 1e-8
            np.divide(m, buffer, out=buffer)
            buffer *= step_size
            p -= buffer


def to_columns(parameters: dict[str, np.ndarray]) -> list[np.ndarray]:
    """M (GH, H+V+1), D (V, H) and c (V, 1) from the common form."""
    M = np.concatenate([parameters["W"], parameters["U"], parameters["b"][None]]).T
    return [
        np.array(M, order="C"),
        np.array(parameters["V_out"].T, order="C"),
        parameters["c"][:, None].copy(),
    ]


def from_columns(M: np.ndarray, D: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
    """The common form back from columns; reads gradients as well as parameters."""
    H = D.shape[1]
    return {"U": M[:, H:-1].T, "W": M[:, :H].T, "b": M[:, -1], "V_out": D.T, "c": c[:, 0]}


class Model:
    """A language model of one recurrent layer; the cells below give `forward` and `backward` through time."""

    def __init__(self, setting: Setting, parameters: dict[str, np.ndarray]) -> None:
        self.setting = setting
        V, H, B, T = setting.V, setting.H, setting.B, setting.T
        G, K, dtype = len(GATES[setting.cell]), H + V + 1, setting.dtype
        self.M, self.D, self.c = self.parameters = to_columns(parameters)
        self.dM, self.dD, self.dc = self.gradients = [np.zeros_like(p) for p in self.parameters]
        self.adam = Adam(self.parameters, setting)
        # sigmoid(x) = 0.5 tanh(0.5 x) + 0.5, so with the sigmoids' rows of M halved one tanh does all gates.
        self.halves = np.ones((G, H, 1), dtype)
        self.halves[:-1] = 0.5
        self.M_halved = np.empty_like(self.M)
        self.x = np.zeros((T + 1, K, B), dtype)  # [h; one-hot; 1] at each time, h at 0 is zero
        self.x[:, -1] = 1
        self.a = np.empty((T, G, H, B), dtype)  # gates after their nonlinearity
        self.da = np.empty((T, G, H, B), dtype)  # cotangents of the gates before it
        self.slopes = np.empty((T, G, H, B), dtype)  # what a cotangent is multiplied by on its way through a gate
        self.dh_out = np.empty((T, H, B), dtype)  # the output layer's share of the cotangent of h
        self.dh, self.buffer = np.empty((H, B), dtype), np.empty((H, B), dtype)
        # The same as x and da with times side by side, for products over all of them.
        self.x_wide = np.empty((K, T + 1, B), dtype)
        self.da_wide = np.empty((G * H, T, B), dtype)
        self.logits, self.dhs = np.empty((V, T * B), dtype), np.empty((H, T * B), dtype)
        self.at_t, self.at_b = np.arange(T)[:, None], np.arange(B)
        self.columns = np.arange(T * B)

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """One training step; returns the loss before it."""
        loss = self.loss_and_gradients(ids, targets)
        self.adam.step(self.gradients)
        return loss

    def loss_and_gradients(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Mean cross-entropy of all T * B predictions; leaves its gradients in `gradients`."""
        H, T, B = self.setting.H, self.setting.T, self.setting.B
        np.multiply(self.M, self.halves.reshape(-1, 1), out=self.M_halved)
        self.x[:, H:-1] = 0
        self.x[self.at_t, H + ids, self.at_b] = 1
        self.forward()
        np.copyto(self.x_wide, self.x.transpose(1, 0, 2))
        loss = self._output_layer(self.x_wide[:H, 1:].reshape(H, T * B), targets.ravel())
        np.copyto(self.dh_out, self.dhs.reshape(H, T, B).transpose(1, 0, 2))
        self.backward()
        np.copyto(self.da_wide, self.da.reshape(T, -1, B).transpose(1, 0, 2))
        self.weight_gradients(self.da_wide.reshape(-1, T * B), self.x_wide[:, :T].reshape(-1, T * B))
        return loss

    def _output_layer(self, hs: np.ndarray, targets: np.ndarray) -> float:
        logits, N = self.logits, targets.size
        np.matmul(self.D, hs, out=logits)
        logits += self.c
        logits -= logits.max(0)
        of_targets = logits[targets, self.columns].sum()
        np.exp(logits, out=logits)
        sums = logits.sum(0)
        loss = (np.log(sums).sum() - of_targets) / N
        logits /= sums * N
        logits[targets, self.columns] -= 1 / N  # (softmax - one-hot) / N, the cotangent of the logits
        np.matmul(logits, hs.T, out=self.dD)
        np.sum(logits, axis=1, keepdims=True, out=self.dc)
        np.matmul(self.D.T, logits, out=self.dhs)
        return float(loss)

    def weight_gradients(self, da: np.ndarray, x: np.ndarray) -> None:
        np.matmul(da, x.T, out=self.dM)

    def forward(self) -> None:
        raise NotImplementedError

    def backward(self) -> None:
        raise NotImplementedError


class LSTM(Model):
    """f i o g = gates; C = f C + i g; h = o tanh(C)."""

    def __init__(self, setting: Setting, parameters: dict[str, np.ndarray]) -> None:
        super().__init__(setting, parameters)
        H, B, T = setting.H, setting.B, setting.T
        self.C = np.zeros((T + 1, H, B), setting.dtype)
        self.tanh_C, self.slope_C = np.empty((2, T, H, B), setting.dtype)
        self.dC = np.empty((H, B), setting.dtype)

    def forward(self) -> None:
        M, buffer, H = self.M_halved, self.buffer, self.setting.H
        hs = self.x[1:, :H]
        for x, a, C_before, C, tanh_C, h in zip(self.x, self.a, self.C, self.C[1:], self.tanh_C, hs, strict=False):
            np.matmul(M, x, out=a.reshape(-1, a.shape[2]))
            np.tanh(a, out=a)
            sigmoids = a[:3]
            sigmoids *= 0.5
            sigmoids += 0.5
            f, i, o, g = a
            np.multiply(f, C_before, out=C)
            np.multiply(i, g, out=buffer)
            C += buffer
            np.tanh(C, out=tanh_C)
            np.multiply(o, tanh_C, out=h)

    def backward(self) -> None:
        # Whatever does not depend on cotangents, for all times at once.
        f, i, o, g = np.moveaxis(self.a, 1, 0)
        sigmoids, slopes = self.a[:, :3], self.slopes
        np.subtract(1, sigmoids, out=slopes[:, :3])
        slopes[:, :3] *= sigmoids
        np.multiply(g, g, out=slopes[:, 3])
        np.subtract(1, slopes[:, 3], out=slopes[:, 3])
        slopes[:, 0] *= self.C[:-1]  # dC/da_f = C_before f (1 - f)
        slopes[:, 1] *= g  # dC/da_i = g i (1 - i)
        slopes[:, 2] *= self.tanh_C  # dh/da_o = tanh(C) o (1 - o)
        slopes[:, 3] *= i  # dC/da_g = i (1 - g^2)
        np.multiply(self.tanh_C, self.tanh_C, out=self.slope_C)
        np.subtract(1, self.slope_C, out=self.slope_C)
        self.slope_C *= o  # dh/dC = o (1 - tanh(C)^2)

        dh, dC, buffer = self.dh, self.dC, self.buffer
        W = np.ascontiguousarray(self.M[:, : self.setting.H].T)  # (H, 4H)
        dh.fill(0)
        dC.fill(0)
        for t in reversed(range(self.setting.T)):
            dh += self.dh_out[t]
            np.multiply(dh, self.slope_C[t], out=buffer)
            dC += buffer
            slope, da = slopes[t], self.da[t]
            np.multiply(slope, dC, out=da)
            np.multiply(slope[2], dh, out=da[2])
            dC *= f[t]
            np.matmul(W, da.reshape(-1, da.shape[2]), out=dh)


class GRU(Model):
    """z r = gates; n = tanh(of r h); h = (1 - z) h + z n."""

    def __init__(self, setting: Setting, parameters: dict[str, np.ndarray]) -> None:
        super().__init__(setting, parameters)
        H, V, B, T = setting.H, setting.V, setting.B, setting.T
        self.x_n = np.zeros((T, H + V + 1, B), setting.dtype)  # [r h; one-hot; 1], what the candidate sees
        self.x_n_wide = np.empty((H + V + 1, T, B), setting.dtype)
        self.keep = np.empty((T, H, B), setting.dtype)  # 1 - z

    def forward(self) -> None:
        H, M, buffer = self.setting.H, self.M_halved, self.buffer
        np.copyto(self.x_n[:, H:], self.x[:-1, H:])
        for x, x_n, a, x_next in zip(self.x, self.x_n, self.a, self.x[1:], strict=False):
            sigmoids, (z, r, n), h, h_next = a[:2], a, x[:H], x_next[:H]
            np.matmul(M[: 2 * H], x, out=sigmoids.reshape(2 * H, -1))
            np.tanh(sigmoids, out=sigmoids)
            sigmoids *= 0.5
            sigmoids += 0.5
            np.multiply(r, h, out=x_n[:H])
            np.matmul(M[2 * H :], x_n, out=n)
            np.tanh(n, out=n)
            np.subtract(n, h, out=buffer)
            buffer *= z
            np.add(h, buffer, out=h_next)  # h + z (n - h)

    def backward(self) -> None:
        H = self.setting.H
        z, r, n = np.moveaxis(self.a, 1, 0)
        hs, slopes = self.x[:-1, :H], self.slopes
        np.subtract(1, self.a[:, :2], out=slopes[:, :2])
        np.copyto(self.keep, slopes[:, 0])
        slopes[:, :2] *= self.a[:, :2]
        slopes[:, 0] *= n - hs  # dh/da_z = (n - h_before) z (1 - z)
        slopes[:, 1] *= hs  # d(r h)/da_r = h_before r (1 - r)
        np.multiply(n, n, out=slopes[:, 2])
        np.subtract(1, slopes[:, 2], out=slopes[:, 2])
        slopes[:, 2] *= z  # dh/da_n = z (1 - n^2)

        W = np.ascontiguousarray(self.M[:, :H].T)  # (H, 3H)
        dh, d_rh, total = self.dh, np.empty_like(self.dh), np.empty_like(self.dh)
        dh.fill(0)
        for t in reversed(range(self.setting.T)):
            slope, da = slopes[t], self.da[t]
            np.add(dh, self.dh_out[t], out=total)
            np.multiply(slope[0], total, out=da[0])
            np.multiply(slope[2], total, out=da[2])
            np.matmul(W[:, 2 * H :], da[2], out=d_rh)
            np.multiply(slope[1], d_rh, out=da[1])
            np.matmul(W[:, : 2 * H], da[:2].reshape(2 * H, -1), out=dh)
            d_rh *= r[t]
            dh += d_rh
            total *= self.keep[t]
            dh += total

    def weight_gradients(self, da: np.ndarray, x: np.ndarray) -> None:
        H = self.setting.H
        np.copyto(self.x_n_wide, self.x_n.transpose(1, 0, 2))
        np.matmul(da[: 2 * H], x.T, out=self.dM[: 2 * H])
        np.matmul(da[2 * H :], self.x_n_wide.reshape(x.shape).T, out=self.dM[2 * H :])


class RNN(Model):
    """h = n = tanh(...)."""

    def forward(self) -> None:
        H = self.setting.H
        for x, a, x_next in zip(self.x, self.a, self.x[1:], strict=False):
            np.matmul(self.M_halved, x, out=a[0])
            np.tanh(a[0], out=x_next[:H])

    def backward(self) -> None:
        hs, slopes = self.x[1:, : self.setting.H], self.slopes[:, 0]
        np.multiply(hs, hs, out=slopes)
        np.subtract(1, slopes, out=slopes)
        W, dh = np.ascontiguousarray(self.M[:, : self.setting.H].T), self.dh
        dh.fill(0)
        for t in reversed(range(self.setting.T)):
            dh += self.dh_out[t]
            np.multiply(slopes[t], dh, out=self.da[t, 0])
            np.matmul(W, self.da[t, 0], out=dh)


MODELS = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
