"""given_grad: a function and strategies for its arguments, as one test of its gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from .check import check_grad
from .plain import check_vjp

try:
    from hypothesis import given
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "minigrad.testing's strategies and given_grad need the package hypothesis: pip install hypothesis"
    ) from error


def given_grad(
    *,
    vjp: Callable[..., Any] | None = None,
    wrt: Sequence[str] | None = None,
    order: int = 1,
    mode: str = "auto",
    eps: float | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    on_kink: str = "reject",
    **strategies: Any,
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Turn a function into a test of its gradient, at arguments that hypothesis draws.

    Args:
        strategies: one for each parameter of the function, by name. A parameter without one is pytest's, a fixture.
        vjp: the hand-written `vjp(g, *arguments)` of a plain NumPy function; by default it is a function of Tensors.
        wrt: names of the parameters to differentiate; by default all that are drawn as floating-point arrays.
        order, mode, eps, rtol, atol: as for `check_grad`.
        on_kink: as for `check_grad`; by default an example at a kink is rejected, and another one drawn.

    Raises:
        TypeError: if a strategy or a name in `wrt` belongs to no parameter of the function.

    Example:
        >>> @given_grad(x=arrays(), order=2)
        ... def test_softplus(x):
        ...     return mg.log(1 + mg.exp(x))
    """

    def decorate(f: Callable[..., Any]) -> Callable[..., None]:
        signature = inspect.signature(f)
        names = list(signature.parameters)
        for name in [*strategies, *(wrt or ())]:
            if name not in names:
                raise TypeError(f"given_grad: {f.__name__}({', '.join(names)}) has no parameter {name!r}")
        options: dict[str, Any] = {"mode": mode, "eps": eps, "rtol": rtol, "atol": atol, "on_kink": on_kink}
        if vjp is None:
            options["order"] = order
        elif order != 1:
            raise TypeError("given_grad: a hand-written vjp has one order; check it as a function by itself")
        drawn = [name for name in names if name in strategies]
        options["wrt"] = [drawn.index(name) for name in wrt] if wrt is not None else None

        def test(*args: Any, **kwargs: Any) -> None:
            arguments = signature.bind(*args, **kwargs).arguments
            inputs = [arguments.pop(name) for name in drawn]

            def at(*values: Any) -> Any:
                return f(**dict(zip(drawn, values)), **arguments)

            at.__name__ = at.__qualname__ = f.__name__
            if vjp is None:
                check_grad(at, *inputs, **options)
            else:
                check_vjp(at, vjp, *inputs, **options)

        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(test, name, getattr(f, name))
        test.__signature__ = signature  # type: ignore[attr-defined]
        return given(**strategies)(test)

    return decorate
