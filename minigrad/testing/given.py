"""given_grad: a function and strategies for its arguments, as one test of its gradient."""

from __future__ import annotations

import datetime
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..messages import describe
from .arguments import changed, options_of
from .check import check_function
from .plain import check_plain
from .reproduction import Written, reproduction

try:
    from hypothesis import Phase, given, settings
    from hypothesis.strategies import SearchStrategy
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "minigrad.testing's strategies and given_grad need the package hypothesis: pip install hypothesis"
    ) from error

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def given_grad(
    *unnamed: Any,
    vjp: Callable[..., Any] | None = None,
    wrt: Sequence[str] | None = None,
    order: int = 1,
    mode: str = "auto",
    eps: float | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    on_kink: str = "reject",
    copies: bool = True,
    **strategies: Any,
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Turn a function into a test of its gradient, at arguments that hypothesis draws.

    The function itself is the test's attribute `function` (and its pullback `vjp`). hypothesis' `@settings` may stand
    above or below. Unless they, or a profile, set these, there is no deadline, and no phase `explain`: it would run a
    failing example some hundred times more, each line traced, and then list lines of the checkers.

    Args:
        strategies: one for each parameter of the function, by name. A parameter without one is pytest's, a fixture, or
            has its default.
        vjp: the hand-written `vjp(g, *arguments)` of a plain NumPy function; by default it is a function of Tensors.
        wrt: names of the parameters to differentiate; by default all that are drawn as floating-point arrays.
        order, mode, eps, rtol, atol, copies: as for `check_grad`.
        on_kink: as for `check_grad`; by default an example at a kink is rejected, and another one drawn.

    Raises:
        TypeError: if there is no strategy, or one (or a name in `wrt`) belongs to no parameter of the function; by the
            test, if the function returns nothing that can be compared.

    Example:
        >>> @given_grad(x=arrays(), order=2)
        ... def test_softplus(x):
        ...     return mg.log(1 + mg.exp(x))
        >>> test_softplus()
    """
    options = options_of(order, rtol, atol, eps, mode, on_kink, copies)
    if unnamed:
        raise TypeError("given_grad: name each strategy by the parameter it is for: @given_grad(x=arrays())")
    if not strategies or (wrt is not None and not wrt):
        raise TypeError(f"given_grad: {'wrt names no parameter' if strategies else 'no strategy is given'}")
    for name, strategy in strategies.items():
        if not isinstance(strategy, SearchStrategy):
            raise TypeError(
                f"given_grad: {name} must be a strategy, as minigrad.testing.arrays(), got {describe(strategy)}; for "
                "inputs that are given, call check_grad"
            )

    def decorate(f: Callable[..., Any]) -> Callable[..., None]:
        signature = inspect.signature(f)
        names = list(signature.parameters)
        for name in [*strategies, *(wrt or ())]:
            if name not in names:
                raise TypeError(f"given_grad: {f.__name__}({', '.join(names)}) has no parameter {name!r}")
        if vjp is not None and order != 1:
            raise TypeError("given_grad: a hand-written vjp has one order; check it as a function by itself")
        drawn = [name for name in names if name in strategies]
        numbers = [drawn.index(name) for name in wrt] if wrt is not None else None
        shown = options._replace(on_kink="raise") if on_kink == "reject" else options
        repeated = changed(shown, order=(order, 1), wrt=(numbers, None))

        def test(*args: Any, **kwargs: Any) -> None:
            arguments = signature.bind(*args, **kwargs).arguments
            inputs = [arguments.pop(name) for name in drawn]

            def at(*values: Any) -> Any:
                return f(**dict(zip(drawn, values)), **arguments)

            def reproduce() -> str:
                checker = "check_grad" if vjp is None else "check_vjp"
                functions = _written(f, signature, drawn, arguments) | ({} if vjp is None else {"vjp": _vjp_of(f)})
                return reproduction(checker, functions, inputs, repeated, getattr(f, "__globals__", {}))

            at.__name__ = at.__qualname__ = f.__name__
            if vjp is None:
                check_function(at, inputs, numbers, order, options, 0, reproduce)
            else:
                check_plain("check_vjp", at, vjp, inputs, numbers, options, 0, reproduce)

        functools.update_wrapper(test, f)  # with what decorators below have left on it: settings, marks, examples
        del test.__wrapped__  # type: ignore[attr-defined]
        code = getattr(f, "__code__", test.__code__)  # so that pytest shows the user's function
        test.__code__ = test.__code__.replace(co_filename=code.co_filename, co_firstlineno=code.co_firstlineno)
        # hypothesis takes no defaults: what is drawn has none then, and what is not drawn keeps its own
        kept = [
            p.replace(default=p.empty) for p in signature.parameters.values() if p.name in drawn or p.default is p.empty
        ]
        test.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return _with_presets(given(**strategies)(test), {"function": f, "vjp": vjp})

    return decorate


def _with_presets(test: Any, attributes: dict[str, Any]) -> Callable[..., None]:
    """A test of hypothesis without a deadline, and without `explain`, if nobody has set these.

    They may be set above or below, or in a profile. What decorators above set is seen when the test is called.
    """

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        vars(test).update(vars(run))
        own = test._hypothesis_internal_use_settings
        preset = settings.get_profile("default")  # hypothesis hands its values on as the very objects that they are
        ours: dict[str, Any] = {}
        if own.deadline is preset.deadline and own.deadline == datetime.timedelta(milliseconds=200):
            ours["deadline"] = None
        if own.phases is preset.phases:
            ours["phases"] = [phase for phase in own.phases if phase is not Phase.explain]
        if ours:
            test._hypothesis_internal_use_settings = settings(own, **ours)
        test(*args, **kwargs)

    del run.__wrapped__
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    vars(run).update(attributes)
    return run


# --- lines to paste ---------------------------------------------------------------------------------------------------


def _name(f: Callable[..., Any]) -> str:
    return f.__qualname__.rpartition("<locals>.")[2]


def _vjp_of(f: Callable[..., Any]) -> Written:
    return Written(f"{_name(f)}.vjp")


def _written(
    f: Callable[..., Any], signature: inspect.Signature, drawn: list[str], others: dict[str, Any]
) -> dict[str, Any]:
    """The function of what is drawn; with other arguments, such as fixtures, as a lambda that passes these."""
    function = f"{_name(f)}.function"
    if not others and all(p.kind is p.POSITIONAL_OR_KEYWORD for p in signature.parameters.values()):
        return {"f": Written(function)}
    values = {name: name for name in drawn}
    for name, value in others.items():
        plain = isinstance(value, (bool, int, float, str, type(None)))
        values[name] = repr(value) if plain else f"{type(value).__name__}()" if name == "self" else name
    arguments = ", ".join(f"{name}={value}" for name, value in values.items())
    return {"f": Written(f"lambda {', '.join(drawn)}: {function}({arguments})")}
