"""Functions that others wrote, with derivatives known from mathematics: trials for the gradient checkers.

Each `Trial` is a plain function, its pullback `vjp(g, *inputs)`, and a draw of inputs. SciPy is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

Draw = Callable[[np.random.Generator], tuple[Any, ...]]


class Trial(NamedTuple):
    name: str
    f: Callable[..., Any]
    vjp: Callable[..., Any]
    draw: Draw


def between(*bounds: tuple[float, float], shape: tuple[int, ...] = (4,)) -> Draw:
    """Arrays of one shape, each uniform between its own bounds."""
    return lambda rng: tuple(rng.uniform(low, high, shape) for low, high in bounds)


def normal(*shapes: tuple[int, ...]) -> Draw:
    return lambda rng: tuple(rng.standard_normal(shape) for shape in shapes)


def spread(low: float, high: float, shape: tuple[int, ...] = (4,)) -> Draw:
    """Positive values of all sizes from low to high."""
    return lambda rng: (np.exp(rng.uniform(np.log(low), np.log(high), shape)),)


def entrywise(name: str, f: Callable[..., Any], *slopes: Callable[..., Any], draw: Draw) -> Trial:
    """A function of each entry, from the partial derivatives by each of its arguments."""
    return Trial(name, f, lambda g, *xs: tuple(g * slope(*xs) for slope in slopes), draw)


ROOT_PI = np.sqrt(np.pi)
s = special
D = special.digamma
density = lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


# --- scipy.special ---------------------------------------------------------------------------------------------------

POSITIVE, REAL, UNIT = between((0.1, 9)), between((-4, 4)), between((0.01, 0.99))
BELOW = between((-3.8, -3.2))  # between poles
PAIR = between((0.2, 6), (0.2, 6))
SHARE = between((0.05, 0.95), (0.5, 4))  # a probability, a parameter


def elliptic(x: Any) -> Any:
    return (s.ellipe(x) / (1 - x) - s.ellipk(x)) / (2 * x)


ONE_ARGUMENT: dict[str, tuple[Any, Any, Draw]] = {
    "gammaln": (s.gammaln, s.digamma, POSITIVE),
    "gammaln of all sizes": (s.gammaln, s.digamma, spread(1e-6, 1e6)),
    "gammaln between poles": (s.gammaln, s.digamma, BELOW),
    "gamma": (s.gamma, lambda x: s.gamma(x) * s.digamma(x), POSITIVE),
    "gamma between poles": (s.gamma, lambda x: s.gamma(x) * s.digamma(x), BELOW),
    "rgamma": (s.rgamma, lambda x: -s.rgamma(x) * s.digamma(x), POSITIVE),
    "digamma": (s.digamma, lambda x: s.polygamma(1, x), POSITIVE),
    "digamma of all sizes": (s.digamma, lambda x: s.polygamma(1, x), spread(1e-4, 1e4)),
    "trigamma": (lambda x: s.polygamma(1, x), lambda x: s.polygamma(2, x), POSITIVE),
    "polygamma 3": (lambda x: s.polygamma(3, x), lambda x: s.polygamma(4, x), POSITIVE),
    "erf": (s.erf, lambda x: 2 / ROOT_PI * np.exp(-x * x), REAL),
    "erfc": (s.erfc, lambda x: -2 / ROOT_PI * np.exp(-x * x), REAL),
    "erfc in its tail": (s.erfc, lambda x: -2 / ROOT_PI * np.exp(-x * x), between((5, 20))),
    "erfcx": (s.erfcx, lambda x: 2 * x * s.erfcx(x) - 2 / ROOT_PI, REAL),
    "erfi": (s.erfi, lambda x: 2 / ROOT_PI * np.exp(x * x), REAL),
    "erfinv": (s.erfinv, lambda y: ROOT_PI / 2 * np.exp(s.erfinv(y) ** 2), between((-0.99, 0.99))),
    "erfcinv": (s.erfcinv, lambda y: -ROOT_PI / 2 * np.exp(s.erfcinv(y) ** 2), between((0.01, 1.99))),
    "dawsn": (s.dawsn, lambda x: 1 - 2 * x * s.dawsn(x), REAL),
    "j0": (s.j0, lambda x: -s.j1(x), between((-20, 20))),
    "j1": (s.j1, lambda x: s.j0(x) - s.j1(x) / x, between((0.1, 20))),
    "jv": (lambda x: s.jv(2.5, x), lambda x: s.jvp(2.5, x), POSITIVE),
    "y0": (s.y0, lambda x: -s.y1(x), POSITIVE),
    "yv": (lambda x: s.yv(1.5, x), lambda x: s.yvp(1.5, x), POSITIVE),
    "i0": (s.i0, s.i1, REAL),
    "i0e": (s.i0e, lambda x: s.i1e(x) - np.sign(x) * s.i0e(x), between((0.1, 30))),
    "iv": (lambda x: s.iv(0.7, x), lambda x: s.ivp(0.7, x), POSITIVE),
    "k0": (s.k0, lambda x: -s.k1(x), POSITIVE),
    "k0e": (s.k0e, lambda x: s.k0e(x) - s.k1e(x), POSITIVE),
    "kv": (lambda x: s.kv(2.2, x), lambda x: s.kvp(2.2, x), POSITIVE),
    "spherical_jn": (lambda x: s.spherical_jn(3, x), lambda x: s.spherical_jn(3, x, derivative=True), POSITIVE),
    "struve": (lambda x: s.struve(0, x), lambda x: 2 / np.pi - s.struve(1, x), POSITIVE),
    "airy Ai": (lambda x: s.airy(x)[0], lambda x: s.airy(x)[1], REAL),
    "airy Ai'": (lambda x: s.airy(x)[1], lambda x: x * s.airy(x)[0], REAL),
    "airy Bi": (lambda x: s.airy(x)[2], lambda x: s.airy(x)[3], REAL),
    "expit": (s.expit, lambda x: s.expit(x) * s.expit(-x), between((-40, 40))),
    "log_expit": (s.log_expit, lambda x: s.expit(-x), between((-40, 40))),
    "logit": (s.logit, lambda x: 1 / (x * (1 - x)), UNIT),
    "expm1": (s.expm1, np.exp, REAL),
    "expm1 of all sizes": (s.expm1, np.exp, spread(1e-12, 10)),
    "log1p": (s.log1p, lambda x: 1 / (1 + x), spread(1e-12, 1e12)),
    "cosm1": (s.cosm1, lambda x: -np.sin(x), spread(1e-9, 10)),
    "exp2": (s.exp2, lambda x: np.log(2) * s.exp2(x), REAL),
    "exprel": (s.exprel, lambda x: (np.exp(x) * (x - 1) + 1) / x**2, POSITIVE),
    "cbrt": (s.cbrt, lambda x: 1 / (3 * s.cbrt(x) ** 2), spread(1e-9, 1e9)),
    "entr": (s.entr, lambda x: -np.log(x) - 1, spread(1e-6, 1e3)),
    "ndtr": (s.ndtr, density, REAL),
    "ndtr in its tail": (s.ndtr, density, between((-30, -8))),
    "log_ndtr": (s.log_ndtr, lambda x: density(x) / s.ndtr(x), between((-20, 5))),
    "ndtri": (s.ndtri, lambda p: 1 / density(s.ndtri(p)), UNIT),
    "ellipk": (s.ellipk, elliptic, UNIT),
    "ellipe": (s.ellipe, lambda x: (s.ellipe(x) - s.ellipk(x)) / (2 * x), UNIT),
    "lambertw": (
        lambda x: s.lambertw(x).real,
        lambda x: s.lambertw(x).real / (x * (1 + s.lambertw(x).real)),
        spread(1e-3, 1e3),
    ),
    "wrightomega": (s.wrightomega, lambda x: s.wrightomega(x) / (1 + s.wrightomega(x)), REAL),
    "exp1": (s.exp1, lambda x: -np.exp(-x) / x, POSITIVE),
    "expi": (s.expi, lambda x: np.exp(x) / x, POSITIVE),
    "sine integral": (lambda x: s.sici(x)[0], lambda x: np.sin(x) / x, POSITIVE),
    "cosine integral": (lambda x: s.sici(x)[1], lambda x: np.cos(x) / x, POSITIVE),
    "fresnel": (lambda x: s.fresnel(x)[0], lambda x: np.sin(np.pi * x * x / 2), REAL),
    "spence": (s.spence, lambda x: np.log(x) / (1 - x), POSITIVE),
    "zeta": (lambda q: s.zeta(3.0, q), lambda q: -3 * s.zeta(4.0, q), POSITIVE),
    "hyp0f1": (lambda x: s.hyp0f1(1.5, x), lambda x: s.hyp0f1(2.5, x) / 1.5, REAL),
    "hyp1f1": (lambda x: s.hyp1f1(0.7, 1.5, x), lambda x: 0.7 / 1.5 * s.hyp1f1(1.7, 2.5, x), REAL),
    "hyp2f1": (
        lambda x: s.hyp2f1(0.7, 1.2, 2.1, x),
        lambda x: 0.7 * 1.2 / 2.1 * s.hyp2f1(1.7, 2.2, 3.1, x),
        between((-2, 0.8)),
    ),
    "gammainc": (lambda x: s.gammainc(2.3, x), lambda x: x**1.3 * np.exp(-x) / s.gamma(2.3), POSITIVE),
    "gammaincc": (lambda x: s.gammaincc(2.3, x), lambda x: -(x**1.3) * np.exp(-x) / s.gamma(2.3), POSITIVE),
    "betainc": (
        lambda x: s.betainc(2.3, 1.7, x),
        lambda x: x**1.3 * (1 - x) ** 0.7 / s.beta(2.3, 1.7),
        UNIT,
    ),
    "stdtr": (lambda x: s.stdtr(3.0, x), lambda x: stats.t.pdf(x, 3.0), REAL),
    "chdtr": (lambda x: s.chdtr(3.0, x), lambda x: stats.chi2.pdf(x, 3.0), POSITIVE),
    "chebyt": (lambda x: s.eval_chebyt(6, x), lambda x: 6 * s.eval_chebyu(5, x), REAL),
    "hermite": (lambda x: s.eval_hermite(5, x), lambda x: 10 * s.eval_hermite(4, x), REAL),
    "laguerre": (lambda x: s.eval_laguerre(5, x), lambda x: -s.eval_genlaguerre(4, 1, x), POSITIVE),
    "sinc": (np.sinc, lambda x: (np.cos(np.pi * x) - np.sinc(x)) / x, POSITIVE),
    "arcsinh of all sizes": (np.arcsinh, lambda x: 1 / np.hypot(x, 1), spread(1e-8, 1e8)),
    "a fast wave": (lambda x: np.sin(300 * x), lambda x: 300 * np.cos(300 * x), REAL),
    "a power of 20": (lambda x: x**20, lambda x: 20 * x**19, REAL),
    "a steep wall": (
        lambda x: np.tanh(1e4 * (x - 1)),
        lambda x: 1e4 / np.cosh(1e4 * (x - 1)) ** 2,
        between((1, 1.001)),
    ),
    "a small term beside 1e8": (lambda x: 1e8 + np.sin(x), np.cos, REAL),
}

TWO_ARGUMENTS: dict[str, tuple[Any, Any, Any, Draw]] = {
    "xlogy": (s.xlogy, lambda x, y: np.log(y), lambda x, y: x / y, PAIR),
    "xlog1py": (s.xlog1py, lambda x, y: np.log1p(y), lambda x, y: x / (1 + y), PAIR),
    "rel_entr": (s.rel_entr, lambda x, y: np.log(x / y) + 1, lambda x, y: -x / y, PAIR),
    "kl_div": (s.kl_div, lambda x, y: np.log(x / y), lambda x, y: 1 - x / y, PAIR),
    "betaln": (
        s.betaln,
        lambda a, b: s.digamma(a) - s.digamma(a + b),
        lambda a, b: s.digamma(b) - s.digamma(a + b),
        PAIR,
    ),
    "beta": (
        s.beta,
        lambda a, b: s.beta(a, b) * (s.digamma(a) - s.digamma(a + b)),
        lambda a, b: s.beta(a, b) * (s.digamma(b) - s.digamma(a + b)),
        PAIR,
    ),
    "binom": (
        lambda n, k: s.binom(n + 4, k),
        lambda n, k: s.binom(n + 4, k) * (s.digamma(n + 5) - s.digamma(n + 5 - k)),
        lambda n, k: s.binom(n + 4, k) * (s.digamma(n + 5 - k) - s.digamma(k + 1)),
        between((0.2, 4), (0.2, 3)),
    ),
    "ellipkinc": (
        lambda p, m: s.ellipkinc(p, m),
        lambda p, m: 1 / np.sqrt(1 - m * np.sin(p) ** 2),
        lambda p, m: (
            s.ellipeinc(p, m) / (2 * m * (1 - m))
            - s.ellipkinc(p, m) / (2 * m)
            - np.sin(2 * p) / (4 * (1 - m) * np.sqrt(1 - m * np.sin(p) ** 2))
        ),
        between((0.1, 1.4), (0.1, 0.9)),
    ),
    "pseudo_huber": (
        lambda d, r: s.pseudo_huber(d, r),
        lambda d, r: 2 * d * (np.hypot(1, r / d) - 1) - r * r / (d * np.hypot(1, r / d)),
        lambda d, r: r / np.hypot(1, r / d),
        PAIR,
    ),
    "boxcox": (
        s.boxcox,
        lambda x, q: x ** (q - 1),
        lambda x, q: (x**q * (q * np.log(x) - 1) + 1) / q**2,
        PAIR,
    ),
    "voigt by x": (
        lambda x, c: s.voigt_profile(x, 1.0, 0.5) * c,
        lambda x, c: c * _voigt_slope(x),
        lambda x, c: s.voigt_profile(x, 1.0, 0.5),
        between((-3, 3), (1, 2)),
    ),
    "owens_t": (
        s.owens_t,
        lambda h, a: -s.erf(a * h / np.sqrt(2)) * np.exp(-h * h / 2) / np.sqrt(8 * np.pi),
        lambda h, a: np.exp(-h * h * (1 + a * a) / 2) / (2 * np.pi * (1 + a * a)),
        between((0.1, 2), (0.1, 2)),
    ),
    "hypot": (np.hypot, lambda x, y: x / np.hypot(x, y), lambda x, y: y / np.hypot(x, y), PAIR),
    "arctan2": (np.arctan2, lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y), PAIR),
    "power": (np.power, lambda x, y: y * x ** (y - 1), lambda x, y: x**y * np.log(x), PAIR),
    "logaddexp": (
        np.logaddexp,
        lambda x, y: s.expit(x - y),
        lambda x, y: s.expit(y - x),
        between((-50, 50), (-50, 50)),
    ),
}


def _voigt_slope(x: np.ndarray) -> np.ndarray:
    z = (x + 0.5j) / np.sqrt(2)
    w = s.wofz(z)
    return ((-2 * z * w + 2j / ROOT_PI) / np.sqrt(2)).real / np.sqrt(2 * np.pi)


# --- scipy.stats: log densities by x, location and scale, and by their other parameters ------------------------------


def location_scale(name: str, family: Any, score: Any, draw: Draw) -> Trial:
    """log p(x; m, s) with the score ∂/∂z of the standard density at z = (x - m) / s."""

    def vjp(g: Any, x: Any, m: Any, scale: Any) -> Any:
        z = (x - m) / scale
        return g * score(z) / scale, -g * score(z) / scale, -g * (1 + z * score(z)) / scale

    return Trial(name, lambda x, m, scale: family.logpdf(x, loc=m, scale=scale), vjp, draw)


REAL_LINE, HALF_LINE = between((-3, 3), (-1, 1), (0.3, 3)), between((1.5, 5), (-1, 1), (0.3, 3))
SCORES: dict[str, tuple[Any, Any, Draw]] = {
    "norm": (stats.norm, lambda z: -z, REAL_LINE),
    "cauchy": (stats.cauchy, lambda z: -2 * z / (1 + z * z), REAL_LINE),
    "logistic": (stats.logistic, lambda z: -np.tanh(z / 2), REAL_LINE),
    "gumbel_r": (stats.gumbel_r, lambda z: np.exp(-z) - 1, REAL_LINE),
    "gumbel_l": (stats.gumbel_l, lambda z: 1 - np.exp(z), REAL_LINE),
    "hypsecant": (stats.hypsecant, lambda z: -np.tanh(z), REAL_LINE),
    "moyal": (stats.moyal, lambda z: (np.exp(-z) - 1) / 2, REAL_LINE),
    "expon": (stats.expon, lambda z: -np.ones_like(z), HALF_LINE),
    "halfnorm": (stats.halfnorm, lambda z: -z, HALF_LINE),
    "rayleigh": (stats.rayleigh, lambda z: 1 / z - z, HALF_LINE),
    "maxwell": (stats.maxwell, lambda z: 2 / z - z, HALF_LINE),
    "levy": (stats.levy, lambda z: (1 / z - 3) / (2 * z), HALF_LINE),
    "laplace away from its kink": (stats.laplace, lambda z: -np.ones_like(z), HALF_LINE),
}

DENSITIES: dict[str, tuple[Any, ...]] = {
    "t": (
        stats.t.logpdf,
        lambda x, v: -(v + 1) * x / (v + x * x),
        lambda x, v: (
            (D((v + 1) / 2) - D(v / 2) - 1 / v - np.log1p(x * x / v) + (v + 1) * x * x / (v * (v + x * x))) / 2
        ),
        between((-3, 3), (1, 9)),
    ),
    "gamma": (
        stats.gamma.logpdf,
        lambda x, a: (a - 1) / x - 1,
        lambda x, a: np.log(x) - D(a),
        PAIR,
    ),
    "invgamma": (
        stats.invgamma.logpdf,
        lambda x, a: -(a + 1) / x + 1 / x**2,
        lambda x, a: -np.log(x) - D(a),
        PAIR,
    ),
    "chi2": (
        stats.chi2.logpdf,
        lambda x, k: (k / 2 - 1) / x - 0.5,
        lambda x, k: (np.log(x / 2) - D(k / 2)) / 2,
        PAIR,
    ),
    "beta": (
        lambda x, a: stats.beta.logpdf(x, a, 2.0),
        lambda x, a: (a - 1) / x - 1 / (1 - x),
        lambda x, a: np.log(x) - D(a) + D(a + 2),
        SHARE,
    ),
    "weibull_min": (
        stats.weibull_min.logpdf,
        lambda x, c: (c - 1) / x - c * x ** (c - 1),
        lambda x, c: 1 / c + np.log(x) - x**c * np.log(x),
        between((0.2, 2), (0.5, 3)),
    ),
    "pareto": (
        stats.pareto.logpdf,
        lambda x, b: -(b + 1) / x,
        lambda x, b: 1 / b - np.log(x),
        between((1.5, 6), (0.5, 4)),
    ),
    "lognorm": (
        stats.lognorm.logpdf,
        lambda x, q: -1 / x - np.log(x) / (q * q * x),
        lambda x, q: np.log(x) ** 2 / q**3 - 1 / q,
        PAIR,
    ),
    "vonmises": (
        stats.vonmises.logpdf,
        lambda x, k: -k * np.sin(x),
        lambda x, k: np.cos(x) - s.i1e(k) / s.i0e(k),
        between((-3, 3), (0.3, 5)),
    ),
    "poisson by its mean": (
        lambda m, c: c * stats.poisson.logpmf(3, m),
        lambda m, c: c * (3 / m - 1),
        lambda m, c: stats.poisson.logpmf(3, m),
        PAIR,
    ),
    "binomial by its probability": (
        lambda p, c: c * stats.binom.logpmf(3, 7, p),
        lambda p, c: c * (3 / p - 4 / (1 - p)),
        lambda p, c: stats.binom.logpmf(3, 7, p),
        SHARE,
    ),
    "norm, survival function": (
        lambda x, m: stats.norm.logsf(x, m),
        lambda x, m: -np.exp(stats.norm.logpdf(x - m) - stats.norm.logsf(x - m)),
        lambda x, m: np.exp(stats.norm.logpdf(x - m) - stats.norm.logsf(x - m)),
        between((-3, 9), (-1, 1)),
    ),
}


def special_trials() -> Iterator[Trial]:
    for name, (f, slope, draw) in ONE_ARGUMENT.items():
        yield Trial(name, f, lambda g, x, slope=slope: g * slope(x), draw)
    for name, (f, by_x, by_y, draw) in TWO_ARGUMENTS.items():
        yield entrywise(name, f, by_x, by_y, draw=draw)
    for name, (f, by_x, by_p, draw) in DENSITIES.items():
        yield entrywise(f"log density {name}", f, by_x, by_p, draw=draw)
    for name, (family, score, draw) in SCORES.items():
        yield location_scale(f"log density {name}, location and scale", family, score, draw)
