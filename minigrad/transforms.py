"""Derivatives as functions of functions: grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp.

Each runs the function on fresh tensors and walks back from its result. If these tensors were made from others that
require gradients (an outer transform's, or a model's parameters), the walk is recorded too, so transforms nest to any
order. Arguments may be tuples, lists and dicts of tensors, arrays or floats; results have the same structure.

While it runs, what would cut the record between its arguments and its result is refused: a number taken out of a tensor
made from the arguments (`float(x)`, `math.sin(x)`, filling an array entry by entry), a primitive without rules, a
result that is no floating-point Tensor. Explicit constants have derivative 0: `x.detach()`, `x.data`, `x.item()`, what
is computed under `no_grad`, a result such as `mg.tensor(3.0)` or 3.0. Tensors that the function closes over, such as a
model's parameters, are no arguments: `float(w)` is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .argnums import Argnums, check_argnums, chosen_of, replaced
from .composed import R, gradient_of, jacobian_of, value_and_gradient_of
from .derivation import Derivation
from .messages import CutError, check_callable, check_real, defined, describe
from .modes import enable_grad
from .ops import positive
from .pullback import let_go, pull, released, released_in
from .record import Variable, clock
from .shapes import reshape, stack
from .tensor import Tensor, is_tensor
from .tree import flatten, leaves_like, tree_leaves, tree_map

Function = Callable[..., Any]
Build = Callable[[list[Any]], Any]
_OF_A_LOSS = "for the gradient of a loss that is computed already, call loss.backward() and read x.grad"


def _fresh(name: str, x: Any) -> Tensor:
    """A tensor that a transform differentiates with respect to; connected to x if x requires a gradient itself."""
    if isinstance(x, Variable) and x.node is not None:
        copied: Tensor = positive(x)
        return copied
    cls = type(x) if isinstance(x, Tensor) else Tensor
    try:
        return cls._like(x, requires_grad=True)
    except TypeError:
        kind = np.asarray(x if not isinstance(x, Variable) else x._array).dtype.kind
        if kind not in "iubOUS":
            raise
    remedy = "write 1.0 instead of 1, or x.astype(float)"
    remedy = remedy if kind in "iub" else "give what is no number as another argument, which argnums does not choose"
    raise TypeError(f"{name}: a derivative needs floating-point arguments, got {describe(x)}; {remedy}")


def _pulled(outputs: list[Tensor], cotangents: list[Any], inputs: list[Tensor]) -> list[Any]:
    """The cotangents of `inputs` as Tensors, zeros where nothing arrived."""
    return [_tensor(g, x) for g, x in zip(pull(outputs, cotangents, inputs), inputs, strict=True)]


def _tensor(g: Any, x: Tensor) -> Tensor:
    """A cotangent of x as a Tensor; while `compile` traces, what is computed from plain arrays alone is none yet."""
    if isinstance(g, Tensor):
        return g if is_tensor(g) else g.detach()
    return type(x)._sharing(np.zeros_like(x._array) if g is None else g)


def _run(
    name: str, f: Function, call: Function, xs: tuple[Any, ...]
) -> tuple[list[Tensor], Build, list[Tensor], Build]:
    """Run `call`, which calls the user's f, on fresh tensors: inputs and outputs, each with its structure."""
    leaves, rebuild = flatten(xs)
    start = clock()
    with enable_grad():
        inputs = [_fresh(name, x) for x in leaves]
        with Derivation([x.node for x in inputs], start) as derivation:
            try:
                result = call(*rebuild(inputs))
            except ValueError as error:  # "setting an array element with a sequence", says NumPy
                if isinstance(error.__cause__, CutError):
                    raise error.__cause__ from None
                raise
    parts, rebuild_y = flatten(result)
    if not derivation.looked:  # then a number that Python has in hand is a constant
        parts = [Tensor(float(y)) if type(y) in (int, float) else y for y in parts]
    for y in parts or [result]:
        _check_result(name, f, y)
    return inputs, rebuild, parts, rebuild_y


def _check_result(name: str, f: Function, y: Any) -> None:
    """Raise TypeError unless y is a floating-point Tensor, made from the arguments or a constant on purpose."""
    kind = y.dtype.kind if isinstance(y, (Tensor, np.ndarray, np.generic)) else np.dtype(type(y)).kind
    if is_tensor(y) and kind == "f":
        return
    if kind == "f":
        found = f"plain numbers, {describe(y)}"
        remedy = (
            "compute it from the Tensors themselves, as in mg.sum(x**2), not np.sum(x.data**2); "
            "write mg.tensor(value) for a constant, with derivative 0"
        )
    elif kind in "biu":
        found, remedy = describe(y), "comparisons, counts and indices have no derivative"
    else:
        found, remedy = describe(y), "nothing in it has a derivative; is a `return` missing?"
    raise TypeError(f"{name}: {defined(f)} must return a floating-point Tensor, got {found}: {remedy}")


def vjp(f: Callable[..., R], *xs: Any) -> tuple[R, Callable[[Any], tuple[Any, ...]]]:
    """The value y = f(*xs) and its pullback, g -> (gᵀ ∂y/∂x for each x of xs): reverse mode.

    Args:
        f: a function of Tensors (or trees of them) whose result is a Tensor or a tree of them.
        xs: where to differentiate; floating-point leaves.

    Returns:
        y, and a function that takes cotangents of y's structure, shapes and returns a tuple like `xs`.

    Raises:
        TypeError: if a leaf of xs or of the result is not floating-point, or the record between them is cut.
        ValueError: (the pullback) if a cotangent's shape is not its output's.

    >>> y, pullback = mg.vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    return _vjp("vjp", check_callable("vjp", f, _OF_A_LOSS), f, xs)[:2]


def _vjp(
    name: str, f: Function, call: Function, xs: tuple[Any, ...]
) -> tuple[Any, Callable[[Any], tuple[Any, ...]], list[Tensor]]:
    """The value, the pullback, and the inputs that it is about."""
    inputs, rebuild, outputs, rebuild_y = _run(name, f, call, xs)

    def pullback(g: Any, *more: Any) -> tuple[Any, ...]:
        if more:
            raise TypeError(f"{name}: the pullback takes one cotangent, of the result's structure, got "
                            f"{len(more) + 1}; of several results it is a tuple: pullback((g, h))")  # fmt: skip
        cotangents = []
        given = leaves_like(rebuild_y(outputs), g, f"{name}: the cotangent of the result")
        for k, (c, y) in enumerate(zip(given, outputs)):
            check_real(f"vjp: cotangent {k}", c)
            if not isinstance(c, Variable):
                c = Tensor(c, y.dtype)
            if c.shape != y.shape:
                raise ValueError(f"vjp: cotangent {k} has shape {c.shape}, the output {y.shape}")
            cotangents.append(c)
        pulled: tuple[Any, ...] = rebuild(_pulled(outputs, cotangents, inputs))
        return pulled

    return rebuild_y([released(y, inputs) for y in outputs]), pullback, inputs


@value_and_gradient_of
def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns f's value, a scalar, and its gradient with respect to the arguments `argnums`.

    Args:
        f: returns one scalar Tensor; with `has_aux`, a pair (scalar, anything): the new function's value is the pair.
        argnums: a position (the gradient has that argument's structure) or several (a tuple of them).

    Raises:
        ValueError: if f's value is not one scalar, or `argnums` choose none, one twice, or one that is missing.
        TypeError: if such an argument or the value is not floating-point, or the record between them is cut.

    >>> f = lambda w, x: mg.sum(w * x)
    >>> mg.value_and_grad(f)(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    (tensor(11.), tensor([3., 4.]))
    """
    check_callable("value_and_grad", f, _OF_A_LOSS)
    check_argnums(argnums)

    def wrapped(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        chosen = chosen_of(argnums, len(args))
        aux = None

        def of_chosen(*values: Any) -> Any:
            nonlocal aux
            result = f(*replaced(args, chosen, values), **kwargs)
            if has_aux:
                if not isinstance(result, tuple) or len(result) != 2:
                    raise TypeError(f"grad: with has_aux, {defined(f)} must return (scalar, aux)")
                result, aux = result
            return result

        inputs, rebuild, outputs, _ = _run("grad", f, of_chosen, tuple(args[k] for k in chosen))
        if len(outputs) != 1:
            raise ValueError(
                f"grad: the function must return one scalar, got {len(outputs)} values; use vjp or jacobian"
            )
        y = outputs[0]
        if y.shape != ():
            raise ValueError(
                f"grad: the function must return a scalar, got shape {y.shape}; "
                "reduce it with .sum(), or use vjp or jacobian"
            )
        grads = rebuild(_pulled(outputs, [np.ones((), y.dtype)], inputs))
        y, aux = released(y, inputs), released_in(aux, inputs)
        let_go(inputs)
        return (y, aux) if has_aux else y, grads if isinstance(argnums, Sequence) else grads[0]

    return wrapped


@gradient_of
def grad(f: Function, argnums: Argnums = 0) -> Function:
    """The gradient of a scalar function, ∇f, as a function of the same arguments; see `value_and_grad`.

    >>> f = lambda x: x * x * x
    >>> mg.grad(f)(1.0), mg.grad(mg.grad(f))(1.0)
    (tensor(3.), tensor(6.))
    """
    both = value_and_grad(check_callable("grad", f, _OF_A_LOSS), argnums)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]


def jvp(f: Callable[..., R], xs: Sequence[Any], vs: Sequence[Any]) -> tuple[R, R]:
    """The value y = f(*xs) and its derivative along vs, dy = Σ ∂y/∂x v: forward mode.

    The pullback g -> gᵀ J is linear in g, so its own pullback at v is J v: no rule is needed beyond the reverse ones.

    Args:
        f: a function of Tensors or trees of them.
        xs: its arguments, in a tuple or list.
        vs: the directions, of the same structure and shapes.

    Raises:
        TypeError: if xs or vs is not a tuple or list.
        ValueError: if they differ in shapes.

    >>> mg.jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    (tensor([1., 4.]), tensor([2., 0.]))
    """
    check_callable("jvp", f, _OF_A_LOSS)
    _check_directions("jvp", xs, vs)
    inputs, _, outputs, rebuild_y = _run("jvp", f, f, tuple(xs))
    probes = [type(y)._like(np.zeros_like(y._array), requires_grad=True) for y in outputs]
    vectors = leaves_like(tuple(xs), tuple(vs))
    with enable_grad():
        pulled = _pulled(outputs, probes, inputs)
        dys = _pulled(
            pulled, [v if isinstance(v, Variable) else Tensor(v, x.dtype) for v, x in zip(vectors, inputs)], probes
        )
    own = [*inputs, *probes]
    results = rebuild_y([released(y, inputs) for y in outputs]), rebuild_y([released(dy, own) for dy in dys])
    let_go(own)
    return results


def hvp(f: Function, xs: Sequence[Any], vs: Sequence[Any]) -> tuple[Any, ...]:
    """The Hessian of a scalar function times a direction, (∂²f/∂x²) v, as a tuple like `xs`, without the Hessian.

    The Hessian is symmetric, so this is the pullback of ∇f at v. Arguments as for `jvp`.

    >>> f = lambda x: mg.sum(x**3)
    >>> mg.hvp(f, (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    (tensor([6., 0.]),)
    """
    check_callable("hvp", f, _OF_A_LOSS)
    _check_directions("hvp", xs, vs)
    gradient = grad(f, tuple(range(len(xs))))
    _, pullback, inputs = _vjp("hvp", f, gradient, tuple(xs))
    result = pullback(tuple(vs))
    let_go(inputs)
    return result


def _check_directions(name: str, xs: Any, vs: Any) -> None:
    for label, value in (("xs", xs), ("vs", vs)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(
                f"{name}: {label} must be a tuple of arguments, got {type(value).__name__}; write ({label[0]},)"
            )
    leaves = tree_leaves(tuple(xs)), leaves_like(tuple(xs), tuple(vs), f"{name}: vs")
    for v in leaves[1]:
        check_real(f"{name}: vs", v)
    shapes = [[np.shape(leaf) for leaf in part] for part in leaves]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{name}: xs have shapes {shapes[0]}, vs {shapes[1]}")


@jacobian_of
def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """All derivatives of all outputs, J[i..., j...] = ∂y[i...]/∂x[j...], one pullback for each entry of y.

    The new function returns an array of shape y.shape + x.shape: for trees, in the structure of y, and in each place
    the structure of x (of a tuple of arguments if `argnums` has several).

    Raises:
        TypeError: as `vjp` does.

    >>> mg.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    check_callable("jacobian", f, _OF_A_LOSS)
    check_argnums(argnums)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen = chosen_of(argnums, len(args))

        def of_chosen(*values: Any) -> Any:
            return f(*replaced(args, chosen, values), **kwargs)

        y, pullback, inputs = _vjp("jacobian", f, of_chosen, tuple(args[k] for k in chosen))
        parts, rebuild = flatten(y)
        zeros = [np.zeros_like(part._array) for part in parts]
        blocks = []
        for k, part in enumerate(parts):
            rows = []
            for i in np.ndindex(part.shape):
                unit = zeros[k].copy()
                unit[i] = 1
                rows.append(pullback(rebuild([*zeros[:k], unit, *zeros[k + 1 :]])))
            block = (
                tree_map(lambda *row, shape=part.shape: _block(row, shape), *rows)
                if rows
                else _empty(args, chosen, part)
            )
            blocks.append(block if isinstance(argnums, Sequence) else block[0])
        let_go(inputs)
        return rebuild(blocks)

    return wrapped


def _block(rows: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    return reshape(stack(rows), shape + rows[0].shape)


def _empty(args: tuple[Any, ...], chosen: tuple[int, ...], part: Tensor) -> Any:
    def zeros(x: Any) -> Tensor:
        return Tensor(np.zeros(part.shape + np.shape(x), np.result_type(x)))

    return tree_map(zeros, tuple(args[k] for k in chosen))


@gradient_of
def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """All second derivatives of a scalar function, H[i..., j...] = ∂²f/∂x[i...]∂x[j...]: its gradient's Jacobian.

    >>> mg.hessian(lambda x: x[0] * x[1])(np.array([1.0, 2.0]))
    tensor([[0., 1.],
            [1., 0.]])
    """
    check_callable("hessian", f, _OF_A_LOSS)
    return jacobian(grad(f, argnums), argnums)
