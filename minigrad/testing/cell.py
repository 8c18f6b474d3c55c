"""check_cell: everything that minigrad's own recurrent cells fulfil, for anyone's cell.

A cell is known by what it has, not by its class: `initial_state(B)`, and `step(x, state) -> (output, state)` or a call
of the same form; maybe `project(xs)` and `parameters()` or `named_parameters()`. A function (x, state) will do too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..record import Variable
from ..tensor import Tensor
from ..tree import tree_leaves, tree_map
from .arguments import changed, options_of
from .check import check_tensors
from .contract import Contract
from .problem import GradientError, KinkError
from .progress import watched
from .recorded import paths
from .reproduction import reproduction
from .unrolled import FunctionOf, described

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def check_cell(
    factory: Callable[[int, int], Any],
    I: int = 4,
    H: int = 3,
    *,
    B: int = 2,
    T: int = 3,
    inputs: Any = None,
    order: int = 2,
    integers: bool | None = None,
    rtol: float = 1e-6,
    on_kink: str = "raise",
    copies: bool = True,
    seed: int = 0,
) -> None:
    """Check a recurrent cell: gradients through T steps, and the contract of cells.

    - the gradients of outputs and final state agree with finite differences at orders 1 ... `order`, for every
      parameter, the inputs and the initial state, at random parameters that neither commute nor are symmetric;
    - the state keeps its structure, shapes and dtypes; the batch is its first axis; rows do not influence each other;
    - a sequence in one piece gives the same as in two with the state carried;
    - `project` of all times, then `step`, gives the same as the plain call one time after the other;
    - integers give the same as one-hot vectors, if the cell takes integers;
    - a row whose state is frozen after its last step gives the same as that row alone, and padding has no gradient.

    Parts of the state that are integers, such as a counter, are kept and have no gradient. A cell may draw random
    numbers, from generators that it holds or that its functions see: every run draws the same ones. (Rows are then
    compared within one batch, since other shapes draw other numbers.)

    Args:
        factory: `factory(I, H)` returns the cell; write a lambda to pass more. I and H should differ. A function
            (x, state) is a cell whose state is one Tensor (B, H).
        I, H: sizes of inputs (B, I) and of whatever H means to the factory.
        B, T: rows of the batch and time steps; B >= 2 and T >= 3 let no fault hide.
        inputs: for a cell whose inputs are no rows: an array (T, B, ...), or a tuple, list or dict of them; T and B are
            then theirs. Integer arrays have no gradient.
        order: the highest derivative that is checked.
        integers: whether the cell takes integers (B,) for one-hot inputs; by default it is tried.
        rtol, on_kink, copies, seed: as for `check_grad`.

    Raises:
        GradientError: naming what fails: for a wrong derivative the parameter, the primitive, and the time step.
        KinkError: (a ValueError) if no verdict is possible at these random values; try another seed.
        TypeError: if the factory's result is no cell.
        ValueError: if B, T or `inputs` leave nothing to run.

    Example:
        >>> check_cell(lambda I, H: nn.GRUCell(I, H, rng=0, dtype=np.float64))
    """
    options = options_of(order, rtol, on_kink=on_kink, copies=copies)
    rng = np.random.default_rng(seed)
    if not isinstance(factory, type) and hasattr(factory, "step"):
        raise TypeError(
            f"check_cell: factory must be a function of (I, H) that returns a cell, got a {type(factory).__name__}, "
            "which is one; pass its class, or lambda I, H: ..."
        )
    made = factory(I, H)
    name = f"check_cell: {type(made).__name__}: "
    if inspect.isroutine(made) or isinstance(made, functools.partial):
        made = FunctionOf(made, H)
    if not hasattr(made, "initial_state") or not (hasattr(made, "step") or callable(made)):
        raise TypeError(
            f"{name}a cell needs initial_state(B), and step(x, state) or a call of the same form; factory(I, H) must "
            f"return one, and returned {described(made)}"
        )
    parameters = named_parameters(made)
    values = [p.data.astype(np.float64) + 0.5 * rng.standard_normal(p.shape) for p in parameters.values()]
    with watched("check_cell"):
        xs = rng.standard_normal((_at_least(1, "T", T), _at_least(1, "B", B), I)) if inputs is None else _read(inputs)
        run = Contract(made, list(parameters.values()), values, xs, rng)
        given = {"I": I, "H": H} | ({"B": B, "T": T} if inputs is None else {"inputs": inputs})
        given |= changed(options, order=(order, 2), integers=(integers, None)) | {"seed": seed}
        try:
            run.check(list(parameters), I if inputs is None else 0, integers)
            floating = [x for x in tree_leaves(xs) if x.dtype.kind == "f"]
            labels = [f"parameter {key}" for key in parameters]
            labels += [f"xs{path}" for path, moves in zip(paths(xs), run.floating) if moves]
            labels += [f"state{path}" for path, moves in zip(run.state_paths, run.moving) if moves]
            check_tensors(
                run.unrolled,
                [*run.values, *floating, *run.start],
                [run.dtype] * len(labels),
                labels,
                options,
                order,
                seed,
                lambda: reproduction("check_cell", {"factory": factory}, [], given),
                run.locate,
            )
        except GradientError as error:
            text = str(error)
            if "to reproduce:" not in text:
                text += "\n\n" + reproduction("check_cell", {"factory": factory}, [], given)
            raise GradientError(name + text) from error.__cause__
        except KinkError as error:
            raise KinkError(name + str(error)) from None
        finally:
            run.draw_again(run.shared, run.drawn)


def _at_least(least: int, name: str, value: int) -> int:
    if value < least:
        raise ValueError(f"check_cell: {name} must be at least {least}, got {value}")
    return value


def _read(inputs: Any) -> Any:
    """The user's inputs as a tree of arrays (T, B, ...), floats in float64."""

    def read(x: Any) -> np.ndarray:
        array = np.array(x._data if isinstance(x, Variable) else x)
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    xs = tree_map(read, inputs)
    leaves = tree_leaves(xs)
    shapes = [x.shape for x in leaves]
    if not leaves or any(len(shape) < 2 or shape[:2] != shapes[0][:2] or 0 in shape[:2] for shape in shapes):
        raise ValueError(
            f"check_cell: inputs must be arrays (T, B, ...) with one T and one B of at least 1, got shapes {shapes}"
        )
    if any(x.dtype.kind not in "fiub" for x in leaves):
        raise TypeError(f"check_cell: inputs must be numbers, got {[str(x.dtype) for x in leaves]}")
    return xs


def named_parameters(cell: Any) -> dict[str, Tensor]:
    """A cell's parameters by name, or by number if it has no names for them."""
    if hasattr(cell, "named_parameters"):
        return dict(cell.named_parameters())
    return {str(k): p for k, p in enumerate(cell.parameters())} if hasattr(cell, "parameters") else {}
