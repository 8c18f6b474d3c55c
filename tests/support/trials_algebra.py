"""Trials of whole arrays: SciPy's linear algebra, optimisation and signals, and layers written by hand in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import fft, interpolate, linalg, optimize, signal, special, stats
from trials import Trial, between, normal


def spd(rng: np.random.Generator, n: int = 3) -> np.ndarray:
    a = rng.standard_normal((n, n))
    return a @ a.T + np.eye(n)


def regular(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return (rng.standard_normal((3, 3)) + 3 * np.diag(rng.choice([-1.0, 1.0], 3)),)


def symmetric(a: np.ndarray) -> np.ndarray:
    return (a + a.T) / 2


def cholesky_vjp(g: Any, a: Any) -> Any:
    L = linalg.cholesky(symmetric(a), lower=True)
    inner = np.tril(L.T @ np.tril(g))
    inner[np.diag_indices(len(a))] /= 2
    inverse = linalg.inv(L)
    return symmetric(inverse.T @ inner @ inverse)


def eigvalsh_vjp(g: Any, a: Any) -> Any:
    _, Q = np.linalg.eigh(symmetric(a))
    return (Q * g) @ Q.T


def svdvals_vjp(g: Any, a: Any) -> Any:
    u, _, vt = np.linalg.svd(a, full_matrices=False)
    return (u * g) @ vt


def pinv_vjp(g: Any, a: Any) -> Any:
    p = np.linalg.pinv(a)  # (n, m)
    m, n = a.shape
    return -p.T @ g @ p.T + ((np.eye(m) - a @ p) @ g.T @ (p @ p.T)) + ((p.T @ p) @ g.T @ (np.eye(n) - p @ a))


def sqrtm_vjp(g: Any, a: Any) -> Any:
    root = linalg.sqrtm(symmetric(a)).real
    return symmetric(linalg.solve_sylvester(root, root, g))


def matrix_power_vjp(g: Any, a: Any) -> Any:
    power = np.linalg.matrix_power
    return sum(power(a.T, k) @ g @ power(a.T, 2 - k) for k in range(3))


def multivariate_normal(x: Any, m: Any, factor: Any) -> Any:
    return stats.multivariate_normal.logpdf(x, m, factor @ factor.T + np.eye(3))


def multivariate_normal_vjp(g: Any, x: Any, m: Any, factor: Any) -> Any:
    inverse = np.linalg.inv(factor @ factor.T + np.eye(3))
    w = inverse @ (x - m)
    return -g * w, g * w, g * (np.outer(w, w) - inverse) @ factor


def dirichlet_vjp(g: Any, a: Any) -> Any:
    return g * (np.log([0.2, 0.3, 0.5]) - special.digamma(a) + special.digamma(a.sum()))


ALGEBRA = [
    Trial("det", np.linalg.det, lambda g, a: g * np.linalg.det(a) * np.linalg.inv(a).T, regular),
    Trial("inv", np.linalg.inv, lambda g, a: -np.linalg.inv(a).T @ g @ np.linalg.inv(a).T, regular),
    Trial("slogdet", lambda a: np.linalg.slogdet(a)[1], lambda g, a: g * np.linalg.inv(a).T, regular),
    Trial(
        "solve",
        np.linalg.solve,
        lambda g, a, b: (-np.linalg.solve(a.T, g) @ np.linalg.solve(a, b).T, np.linalg.solve(a.T, g)),
        lambda rng: (*regular(rng), rng.standard_normal((3, 2))),
    ),
    Trial(
        "cholesky",
        lambda a: linalg.cholesky(symmetric(a), lower=True),
        cholesky_vjp,
        lambda rng: (spd(rng),),
    ),
    Trial("eigvalsh", lambda a: np.linalg.eigvalsh(symmetric(a)), eigvalsh_vjp, normal((4, 4))),
    Trial("singular values", lambda a: np.linalg.svd(a, compute_uv=False), svdvals_vjp, normal((4, 3))),
    Trial(
        "nuclear norm", lambda a: np.linalg.norm(a, "nuc"), lambda g, a: svdvals_vjp(g * np.ones(3), a), normal((4, 3))
    ),
    Trial(
        "spectral norm",
        lambda a: np.linalg.norm(a, 2),
        lambda g, a: svdvals_vjp(g * np.array([1.0, 0, 0]), a),
        normal((4, 3)),
    ),
    Trial("Frobenius norm", np.linalg.norm, lambda g, a: g * a / np.linalg.norm(a), normal((4, 3))),
    Trial("pinv", np.linalg.pinv, pinv_vjp, normal((4, 3))),
    Trial("expm", linalg.expm, lambda g, a: linalg.expm_frechet(a.T, g, compute_expm=False), normal((3, 3))),
    Trial("sqrtm", lambda a: linalg.sqrtm(symmetric(a)).real, sqrtm_vjp, lambda rng: (spd(rng),)),
    Trial("matrix power", lambda a: np.linalg.matrix_power(a, 3), matrix_power_vjp, normal((3, 3))),
    Trial(
        "kron",
        np.kron,
        lambda g, a, b: (
            np.einsum("iajb,ab->ij", g.reshape(2, 3, 3, 2), b),
            np.einsum("iajb,ij->ab", g.reshape(2, 3, 3, 2), a),
        ),
        normal((2, 3), (3, 2)),
    ),
    Trial("outer", np.outer, lambda g, a, b: (g @ b, a @ g), normal((3,), (4,))),
    Trial(
        "matmul in batches",
        np.matmul,
        lambda g, a, b: (g @ b.swapaxes(-1, -2), (a.swapaxes(-1, -2) @ g).sum(axis=0)),
        normal((2, 3, 4), (4, 2)),
    ),
    Trial(
        "Lyapunov",
        lambda q: linalg.solve_continuous_lyapunov(-np.diag([1.0, 2, 3]), q),
        lambda g, q: linalg.solve_continuous_lyapunov(-np.diag([1.0, 2, 3]), g),
        normal((3, 3)),
    ),
    Trial("cross product", np.cross, lambda g, a, b: (np.cross(b, g), np.cross(g, a)), normal((4, 3), (4, 3))),
    Trial("log density multivariate_normal", multivariate_normal, multivariate_normal_vjp, normal((3,), (3,), (3, 3))),
    Trial(
        "log density dirichlet",
        lambda a: stats.dirichlet.logpdf([0.2, 0.3, 0.5], a),
        dirichlet_vjp,
        between((0.3, 5), shape=(3,)),
    ),
]


# --- optimisation, signals, interpolation ----------------------------------------------------------------------------

SPLINE = interpolate.CubicSpline(np.linspace(0, 10, 12), np.sin(np.linspace(0, 10, 12) ** 1.3))
TAPS = np.array([0.2, -0.5, 1.0, 0.3])


def cumprod_vjp(g: Any, x: Any) -> Any:
    tail = np.cumsum((g * np.cumprod(x))[::-1])[::-1]
    return tail / x


def correlation_vjp(g: Any, x: Any, y: Any) -> Any:
    a, b = x - x.mean(), y - y.mean()
    na, nb = np.linalg.norm(a), np.linalg.norm(b)
    r = a @ b / (na * nb)
    return g * (b / (na * nb) - r * a / na**2), g * (a / (na * nb) - r * b / nb**2)


def interp_vjp(g: Any, values: Any) -> Any:
    return np.array([g @ np.interp(POINTS, GRID, unit) for unit in np.eye(len(GRID))])


GRID, POINTS = np.arange(5.0), np.array([0.3, 1.7, 2.2, 3.9])

NUMERICS = [
    Trial("rosen", optimize.rosen, lambda g, x: g * optimize.rosen_der(x), normal((6,))),
    Trial("rosen in 200 dimensions", optimize.rosen, lambda g, x: g * optimize.rosen_der(x), normal((200,))),
    Trial("rosen far out", optimize.rosen, lambda g, x: g * optimize.rosen_der(x), between((-1e4, 1e4), shape=(5,))),
    Trial("rosen at its minimum", optimize.rosen, lambda g, x: g * optimize.rosen_der(x), lambda rng: (np.ones(5),)),
    Trial("rosen_der", optimize.rosen_der, lambda g, x: optimize.rosen_hess_prod(x, g), normal((6,))),
    Trial("rosen_der by rosen_hess", optimize.rosen_der, lambda g, x: optimize.rosen_hess(x) @ g, normal((50,))),
    Trial("spline", SPLINE, lambda g, x: g * SPLINE(x, 1), between((0.1, 9.9))),
    Trial("convolve", lambda x: np.convolve(x, TAPS), lambda g, x: np.correlate(g, TAPS, "valid"), normal((7,))),
    Trial(
        "lfilter",
        lambda x: signal.lfilter(TAPS, [1.0, -0.3], x),
        lambda g, x: signal.lfilter(TAPS, [1.0, -0.3], g[::-1])[::-1].copy(),
        normal((9,)),
    ),
    Trial("dct", lambda x: fft.dct(x, norm="ortho"), lambda g, x: fft.idct(g, norm="ortho"), normal((8,))),
    Trial(
        "power spectrum",
        lambda x: np.abs(np.fft.fft(x)) ** 2,
        lambda g, x: 2 * len(x) * np.fft.ifft(g * np.fft.fft(x)).real,
        normal((8,)),
    ),
    Trial("cumsum", np.cumsum, lambda g, x: np.cumsum(g[::-1])[::-1].copy(), normal((8,))),
    Trial("cumprod", np.cumprod, cumprod_vjp, between((0.5, 2), shape=(6,))),
    Trial("variance", np.var, lambda g, x: g * 2 * (x - x.mean()) / x.size, normal((4, 3))),
    Trial(
        "deviation",
        lambda x: x.std(axis=0, ddof=1),
        lambda g, x: g * (x - x.mean(axis=0)) / (3 * x.std(axis=0, ddof=1)),
        normal((4, 3)),
    ),
    Trial("correlation", lambda x, y: np.corrcoef(x, y)[0, 1], correlation_vjp, normal((6,), (6,))),
    Trial("interp", lambda values: np.interp(POINTS, GRID, values), interp_vjp, normal((5,))),
    Trial("sort", np.sort, lambda g, x: g[np.argsort(np.argsort(x))], normal((6,))),
    Trial("largest", np.max, lambda g, x: g * (x == x.max()), normal((6,))),
    Trial("trapezoid", np.trapezoid, lambda g, x: g * np.array([0.5, 1, 1, 1, 0.5]), normal((5,))),
    Trial("differences", lambda x: np.diff(x, 2), lambda g, x: np.convolve(g, [1.0, -2.0, 1.0]), normal((6,))),
    Trial("polyval", lambda p: np.polyval(p, POINTS), lambda g, p: np.vander(POINTS, 4).T @ g, normal((4,))),
    Trial("geometric mean", stats.gmean, lambda g, x: g * stats.gmean(x) / (x.size * x), between((0.1, 5))),
    Trial("harmonic mean", stats.hmean, lambda g, x: g * stats.hmean(x) ** 2 / (x.size * x * x), between((0.1, 5))),
    Trial(
        "entropy",
        stats.entropy,
        lambda g, p: -g * (np.log(p / p.sum()) + stats.entropy(p)) / p.sum(),
        between((0.1, 5)),
    ),
    Trial("quadratic form of 10 000", lambda x: x @ x, lambda g, x: 2 * g * x, normal((10_000,))),
]


# --- layers ----------------------------------------------------------------------------------------------------------

softmax = lambda x: special.softmax(x, axis=-1)
LABELS = np.array([2, 0, 3])


def softmax_vjp(g: Any, x: Any) -> Any:
    y = softmax(x)
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def cross_entropy(x: Any) -> Any:
    return -special.log_softmax(x, axis=-1)[np.arange(3), LABELS].mean()


def layer_norm(x: Any, w: Any, b: Any) -> Any:
    return w * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) + b


def layer_norm_vjp(g: Any, x: Any, w: Any, b: Any) -> Any:
    root = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    z, gz = (x - x.mean(-1, keepdims=True)) / root, g * w
    gx = (gz - gz.mean(-1, keepdims=True) - z * (gz * z).mean(-1, keepdims=True)) / root
    return gx, (g * z).sum(axis=0), g.sum(axis=0)


def conv1d(x: Any, w: Any) -> Any:
    """(N, C, L), (O, C, K) -> (N, O, L - K + 1)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[-1], axis=-1)
    return np.einsum("nclk,ock->nol", windows, w)


def conv1d_vjp(g: Any, x: Any, w: Any) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[-1], axis=-1)
    gx = np.zeros_like(x)
    for k in range(w.shape[-1]):
        gx[..., k : k + g.shape[-1]] += np.einsum("nol,oc->ncl", g, w[..., k])
    return gx, np.einsum("nol,nclk->ock", g, windows)


def lstm_step(x: Any, h: Any, c: Any, W: Any, b: Any) -> Any:
    i, f, u, o = np.split(np.concatenate([x, h], axis=1) @ W + b, 4, axis=1)
    new = special.expit(f) * c + special.expit(i) * np.tanh(u)
    return special.expit(o) * np.tanh(new), new


def lstm_step_vjp(g: Any, x: Any, h: Any, c: Any, W: Any, b: Any) -> Any:
    gh, gc = g
    z = np.concatenate([x, h], axis=1)
    i, f, u, o = np.split(z @ W + b, 4, axis=1)
    i, f, u, o = special.expit(i), special.expit(f), np.tanh(u), special.expit(o)
    t = np.tanh(f * c + i * u)
    gc = gc + gh * o * (1 - t * t)
    ga = np.concatenate(
        [gc * u * i * (1 - i), gc * c * f * (1 - f), gc * i * (1 - u * u), gh * t * o * (1 - o)], axis=1
    )
    gz = ga @ W.T
    return gz[:, : x.shape[1]].copy(), gz[:, x.shape[1] :].copy(), gc * f, z.T @ ga, ga.sum(axis=0)


def attention(q: Any, k: Any, v: Any) -> Any:
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


def attention_vjp(g: Any, q: Any, k: Any, v: Any) -> Any:
    scale = np.sqrt(q.shape[1])
    scores = q @ k.T / scale
    gs = softmax_vjp(g @ v.T, scores) / scale
    return gs @ k, gs.T @ q, softmax(scores).T @ g


def pooled(x: Any) -> Any:
    return x.reshape(2, 4, 3).max(axis=1)


def pooled_vjp(g: Any, x: Any) -> Any:
    blocks = x.reshape(2, 4, 3)
    return (g[:, None] * (blocks == blocks.max(axis=1, keepdims=True))).reshape(x.shape)


def embedding_vjp(g: Any, w: Any) -> Any:
    result = np.zeros_like(w)
    np.add.at(result, LABELS % 2, g)
    return result


def gelu_vjp(g: Any, x: Any) -> Any:
    return g * (special.ndtr(x) + x * stats.norm.pdf(x))


LAYERS = [
    Trial("softmax", softmax, softmax_vjp, normal((3, 4))),
    Trial("softmax far apart", softmax, softmax_vjp, between((-30, 30), shape=(3, 4))),
    Trial(
        "log_softmax",
        lambda x: special.log_softmax(x, axis=-1),
        lambda g, x: g - softmax(x) * g.sum(axis=-1, keepdims=True),
        normal((3, 4)),
    ),
    Trial(
        "logsumexp",
        lambda x: special.logsumexp(x, axis=-1),
        lambda g, x: g[:, None] * softmax(x),
        between((-40, 40), shape=(3, 4)),
    ),
    Trial(
        "softmax cross-entropy",
        cross_entropy,
        lambda g, x: g * (softmax(x) - np.eye(4)[LABELS]) / 3,
        between((-9, 9), shape=(3, 4)),
    ),
    Trial("layer norm", layer_norm, layer_norm_vjp, normal((3, 5), (5,), (5,))),
    Trial("conv1d", conv1d, conv1d_vjp, normal((2, 3, 6), (2, 3, 3))),
    Trial("LSTM step", lstm_step, lstm_step_vjp, normal((2, 3), (2, 2), (2, 2), (5, 8), (8,))),
    Trial("attention", attention, attention_vjp, normal((3, 2), (4, 2), (4, 3))),
    Trial("max pooling", pooled, pooled_vjp, normal((8, 3))),
    Trial("embedding", lambda w: w[LABELS % 2], embedding_vjp, normal((4, 3))),
    Trial("GELU", lambda x: x * special.ndtr(x), gelu_vjp, normal((3, 4))),
    Trial("ReLU away from 0", lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0), normal((3, 4))),
    Trial(
        "affine layer",
        lambda x, w, b: x @ w + b,
        lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum(axis=0)),
        normal((3, 4), (4, 2), (2,)),
    ),
    Trial(
        "wide affine layer",
        lambda x, w, b: x @ w + b,
        lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum(axis=0)),
        normal((30, 40), (40, 50), (50,)),
    ),
]


def array_trials() -> Iterator[Trial]:
    yield from ALGEBRA
    yield from NUMERICS
    yield from LAYERS
