"""Trials of other frameworks: functions and gradients of PyTorch and HIPS autograd, through short adapters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from trials import Trial, between, normal
from trials_algebra import regular, spd


def torch_pair(function: Any) -> tuple[Any, Any]:
    """A function of torch tensors as f and vjp for `check_vjp`."""
    import torch

    def vjp(g: Any, *xs: Any) -> Any:
        leaves = [torch.tensor(x, requires_grad=True) for x in xs]
        return [p.numpy().copy() for p in torch.autograd.grad(function(*leaves), leaves, torch.tensor(g))]

    return lambda *xs: function(*map(torch.tensor, xs)).numpy(), vjp


def hips_pair(function: Any) -> tuple[Any, Any]:
    """A function of autograd.numpy as f and vjp for `check_vjp`."""
    import autograd

    n = function.__code__.co_argcount
    vjp = lambda g, *xs: [np.array(autograd.make_vjp(function, k)(*xs)[0](g)) for k in range(n)]
    return function, vjp


PAIR, REAL, MATRIX = between((0.2, 6), (0.2, 6)), between((-4, 4)), normal((3, 4))


def torch_trials() -> Iterator[Trial]:
    import torch
    from torch import distributions, linalg, special
    from torch.nn import functional as F  # noqa: N812

    torch.set_num_threads(1)
    labels = torch.tensor([2, 0, 3])
    entries = "tanh sigmoid sin erf exp sinh atan log1p(x*x) softplus gelu silu mish elu selu logsigmoid tanhshrink"
    for name in entries.split():
        call = {"log1p(x*x)": lambda x: torch.log1p(x * x)}.get(name) or getattr(F, name, None) or getattr(torch, name)
        yield Trial(f"torch {name}", *torch_pair(call), REAL)
    yield Trial("torch ndtri", *torch_pair(special.ndtri), between((0.01, 0.99)))
    for name in ("digamma", "gammaln", "i0", "i0e", "i1", "i1e", "erfcx", "entr", "log_ndtr", "expit"):
        yield Trial(f"torch {name}", *torch_pair(getattr(special, name)), between((0.1, 6)))
    for name in ("xlogy", "xlog1py"):
        yield Trial(f"torch {name}", *torch_pair(getattr(special, name)), PAIR)
    several: dict[str, tuple[Any, Any]] = {
        "linear": (F.linear, normal((3, 4), (2, 4), (2,))),
        "bilinear": (F.bilinear, normal((3, 4), (3, 2), (5, 4, 2), (5,))),
        "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), normal((3, 4), (4,), (4,))),
        "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), normal((2, 4, 3), (4,), (4,))),
        "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), normal((5, 3), (3,), (3,))),
        "conv1d": (lambda x, w: F.conv1d(x, w, stride=2, padding=1), normal((2, 3, 6), (2, 3, 3))),
        "conv2d": (lambda x, w, b: F.conv2d(x, w, b, dilation=2), normal((1, 2, 6, 5), (3, 2, 2, 2), (3,))),
        "conv_transpose1d": (F.conv_transpose1d, normal((2, 3, 4), (3, 2, 3))),
        "max_pool1d": (lambda x: F.max_pool1d(x, 2), normal((2, 3, 6))),
        "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), normal((2, 4, 6))),
        "interpolate": (lambda x: F.interpolate(x, size=7, mode="linear"), normal((2, 3, 4))),
        "grid_sample": (
            lambda x, g: F.grid_sample(x, torch.tanh(g), align_corners=False),
            normal((1, 2, 4, 5), (1, 2, 3, 2)),
        ),
        "attention": (F.scaled_dot_product_attention, normal((3, 4), (5, 4), (5, 2))),
        "softmax": (lambda x: F.softmax(x, -1), MATRIX),
        "log_softmax": (lambda x: F.log_softmax(x, -1), between((-50, 50), shape=(3, 4))),
        "cross_entropy": (lambda x: F.cross_entropy(x, labels), MATRIX),
        "smoothed cross_entropy": (lambda x: F.cross_entropy(x, labels, label_smoothing=0.1), MATRIX),
        "binary cross-entropy": (
            lambda x: F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.3)),
            between((-30, 30), shape=(3, 4)),
        ),
        "CTC": (
            lambda x: F.ctc_loss(
                F.log_softmax(x, -1), torch.tensor([[1, 2, 2]]), torch.tensor([7]), torch.tensor([3]), reduction="sum"
            ),
            normal((7, 1, 4)),
        ),
        "cosine_similarity": (F.cosine_similarity, normal((3, 4), (3, 4))),
        "normalize": (F.normalize, MATRIX),
        "cdist": (torch.cdist, normal((3, 4), (2, 4))),
        "pdist": (F.pdist, MATRIX),
        "embedding": (lambda w: F.embedding(labels, w), normal((4, 3))),
        "lstm_cell": (_torch_lstm, normal((2, 3), (2, 2), (2, 2), (8, 3), (8, 2))),
        "gru_cell": (lambda x, h, w, u: torch.gru_cell(x, h, w, u), normal((2, 3), (2, 2), (6, 3), (6, 2))),
        "einsum": (lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c), normal((2, 3), (3, 2), (2, 4))),
        "cumprod": (lambda x: torch.cumprod(x, 1), MATRIX),
        "logcumsumexp": (lambda x: torch.logcumsumexp(x, 1), MATRIX),
        "prod": (torch.prod, normal((5,))),
        "renorm": (lambda x: x.renorm(2, 0, 0.5), MATRIX),
        "spectrum": (lambda x: torch.fft.rfft(x).abs(), normal((8,))),
        "det": (linalg.det, regular),
        "slogdet": (lambda a: linalg.slogdet(a)[1], regular),
        "inv": (linalg.inv, regular),
        "solve": (linalg.solve, lambda rng: (*regular(rng), rng.standard_normal((3, 2)))),
        "cholesky": (lambda a: linalg.cholesky(a + a.mT), lambda rng: (spd(rng),)),
        "eigvalsh": (lambda a: linalg.eigvalsh(a + a.mT), normal((4, 4))),
        "svdvals": (linalg.svdvals, normal((4, 3))),
        "qr": (lambda a: linalg.qr(a)[0], normal((4, 3))),
        "pinv": (linalg.pinv, normal((4, 3))),
        "lstsq": (lambda a, b: linalg.lstsq(a, b).solution, normal((4, 3), (4, 2))),
        "matrix_exp": (linalg.matrix_exp, normal((3, 3))),
    }
    for name, (function, draw) in several.items():
        yield Trial(f"torch {name}", *torch_pair(function), draw)
    densities: dict[str, tuple[Any, Any]] = {
        "Gamma": (lambda x, a: distributions.Gamma(a, 2.0).log_prob(x), PAIR),
        "StudentT": (lambda x, v: distributions.StudentT(v).log_prob(x), PAIR),
        "Beta": (lambda x, a: distributions.Beta(a, 2.0).log_prob(x), between((0.05, 0.95), (0.5, 4))),
        "Dirichlet": (lambda a: distributions.Dirichlet(a).entropy(), between((0.3, 5))),
        "VonMises": (lambda x, k: distributions.VonMises(0.0, k).log_prob(x), between((-3, 3), (0.3, 5))),
        "Kumaraswamy": (lambda x, a: distributions.Kumaraswamy(a, 2.0).log_prob(x), between((0.05, 0.95), (0.5, 4))),
    }
    for name, (function, draw) in densities.items():
        yield Trial(f"torch log density {name}", *torch_pair(function), draw)


def _torch_lstm(x: Any, h: Any, c: Any, w: Any, u: Any) -> Any:
    import torch

    return torch.cat(torch.lstm_cell(x, (h, c), w, u))


def hips_trials() -> Iterator[Trial]:
    import autograd.numpy as anp
    import autograd.scipy.linalg as alinalg
    import autograd.scipy.special as aspecial
    import autograd.scipy.stats as astats

    functions: dict[str, tuple[Any, Any]] = {
        "tanh network": (lambda x, w, v: anp.tanh(anp.tanh(x @ w) @ v), normal((3, 4), (4, 5), (5, 2))),
        "logsumexp": (lambda x: aspecial.logsumexp(x, axis=1), MATRIX),
        "gammaln": (lambda x: aspecial.gammaln(x), between((0.1, 9))),
        "digamma": (lambda x: aspecial.digamma(x), between((0.1, 9))),
        "erf": (lambda x: aspecial.erf(x), REAL),
        "j0": (lambda x: aspecial.j0(x), between((0.1, 9))),
        "betainc": (lambda x: aspecial.betainc(2.0, 3.0, x), between((0.05, 0.95))),
        "norm": (lambda x, m, q: astats.norm.logpdf(x, m, q), between((-3, 3), (-1, 1), (0.3, 3))),
        "norm cdf": (lambda x, m, q: astats.norm.logcdf(x, m, q), between((-3, 3), (-1, 1), (0.3, 3))),
        "t": (lambda x, v: astats.t.logpdf(x, v), between((-3, 3), (1, 9))),
        "gamma density": (lambda x, a: astats.gamma.logpdf(x, a), PAIR),
        "beta density": (lambda x, a, b: astats.beta.logpdf(x, a, b), between((0.1, 0.9), (0.5, 4), (0.5, 4))),
        "multivariate_normal": (
            lambda x, m, a: astats.multivariate_normal.logpdf(x, m, a @ a.T + anp.eye(3)),
            normal((3,), (3,), (3, 3)),
        ),
        "dirichlet": (lambda a: astats.dirichlet.logpdf(np.array([0.2, 0.3, 0.5]), a), between((0.3, 5), shape=(3,))),
        "det": (lambda a: anp.linalg.det(a), regular),
        "inv": (lambda a: anp.linalg.inv(a), regular),
        "slogdet": (lambda a: anp.linalg.slogdet(a)[1], regular),
        "solve": (lambda a, b: anp.linalg.solve(a, b), lambda rng: (*regular(rng), rng.standard_normal((3, 2)))),
        "cholesky": (lambda a: anp.linalg.cholesky(a + a.T), lambda rng: (spd(rng),)),
        "eigh": (lambda a: anp.linalg.eigh(a + a.T)[0], normal((4, 4))),
        "svd": (lambda a: anp.linalg.svd(a, full_matrices=False)[1], normal((4, 3))),
        "norm of rows": (lambda a: anp.linalg.norm(a, axis=1), MATRIX),
        "sqrtm": (lambda a: alinalg.sqrtm(a), lambda rng: (spd(rng),)),
        "solve_triangular": (
            lambda a, b: alinalg.solve_triangular(a + 3 * anp.eye(3), b, lower=True),
            normal((3, 3), (3, 2)),
        ),
        "fft": (lambda x: anp.abs(anp.fft.fft(x)) ** 2, normal((8,))),
        "einsum": (lambda a, b: anp.einsum("ij,kj->ik", a, b), normal((3, 4), (2, 4))),
        "var": (lambda x: anp.var(x, axis=0), MATRIX),
        "prod": (lambda x: anp.prod(x, axis=1), MATRIX),
        "cumsum": (lambda x: anp.cumsum(x, axis=1), MATRIX),
        "sort": (lambda x: anp.sort(x), normal((6,))),
        "where": (lambda x: anp.where(x > 0, x**2, anp.exp(x)), normal((6,))),
        "kron": (lambda a, b: anp.kron(a, b), normal((2, 3), (3, 2))),
        "tensordot": (lambda a, b: anp.tensordot(a, b, 2), normal((2, 3, 4), (3, 4, 2))),
        "sinc": (lambda x: anp.sinc(x), between((0.1, 4))),
        "power": (lambda x, y: x**y, PAIR),
        "arctan2": (lambda x, y: anp.arctan2(x, y), PAIR),
        "logaddexp": (lambda x, y: anp.logaddexp(x, y), between((-50, 50), (-50, 50))),
    }
    for name, (function, draw) in functions.items():
        yield Trial(f"autograd {name}", *hips_pair(function), draw)


def framework_trials() -> Iterator[Trial]:
    yield from torch_trials()
    yield from hips_trials()
