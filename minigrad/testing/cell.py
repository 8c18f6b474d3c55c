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

from ..messages import check_unmasked
from ..record import Variable
from ..tensor import Tensor
from ..tree import tree_leaves, tree_map
from .arguments import changed, check_flag, generator, is_whole, options_of
from .calls_of_cells import call, check_signature, described, shown
from .check import check_tensors
from .contract import Contract
from .problem import GradientError, KinkError
from .progress import watched
from .recorded import paths
from .reproduction import reproduction
from .unrolled import FunctionOf
from .ways import Ways

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


_OTHERWISE = "\n  a cell that takes other arguments is made by a function of your own: lambda I, H: MyCell(I, H, rng=0)"


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
    - a row whose state is frozen after its last step gives the same as that row alone, and padding has no gradient;
    - `step_masked` with a mask of ones is the step;
    - each of these ways, and each row and time step alone, gives the same gradients;
    - every parameter has an effect, and no other tensor takes a gradient, which would be neither trained nor saved.

    Parts of the state that are integers, such as a counter, are kept and have no gradient. A cell may draw random
    numbers, from generators that it holds or that its functions see: every run draws the same ones. (Rows are then
    compared within one batch, since other shapes draw other numbers.)

    Args:
        factory: `factory(I, H)` returns the cell; write a lambda to pass more. I and H should differ. A function
            (x, state) is a cell whose state is one Tensor (B, H). A step with a parameter t is given the time's number.
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
        Exception: what the cell raises, of the same kind, with what it was called with.
        ValueError: if B, T or `inputs` leave nothing to run.

    Example:
        >>> check_cell(lambda I, H: nn.GRUCell(I, H, rng=0, dtype=np.float64))
    """
    options = options_of(order, rtol, on_kink=on_kink, copies=copies)
    if integers is not None:
        check_flag("check_cell: integers", integers)
    rng = generator(seed)
    a_cell = not isinstance(factory, type) and hasattr(factory, "step")
    if a_cell or not callable(factory):
        which = ", which is one" if a_cell else ""
        raise TypeError(
            f"check_cell: factory must be a function of (I, H) that returns a cell, got {described(factory)}{which}; "
            "pass its class, or lambda I, H: ..."
        )
    made = call("check_cell: ", "factory(I, H)", factory, {"I": I, "H": H}, hint=_OTHERWISE)
    a_function = inspect.isroutine(made) or isinstance(made, functools.partial)
    name = f"check_cell: {getattr(made, '__name__', 'function') if a_function else type(made).__name__}: "
    if a_function:
        made = FunctionOf(made, H)
    if not hasattr(made, "initial_state") or not (hasattr(made, "step") or callable(made)):
        raise TypeError(
            f"{name}a cell needs initial_state(B), and step(x, state) or a call of the same form; factory(I, H) must "
            f"return one, and returned {described(made)}"
        )
    if not hasattr(made, "step") and hasattr(made, "cells"):
        raise TypeError(
            f"{name}this is a loop over time, not the step of one; pass the class of its cell, as nn.LSTMCell of "
            "nn.LSTM (check_grad checks a whole network)"
        )
    check_signature(name, made)
    parameters = named_parameters(made)
    values = [p.data.astype(np.float64) + 0.5 * rng.standard_normal(p.shape) for p in parameters.values()]
    with watched("check_cell"):
        xs = rng.standard_normal((_at_least(1, "T", T), _at_least(1, "B", B), I)) if inputs is None else _read(inputs)
        run = Contract(name, made, list(parameters.values()), values, xs, rng, I if inputs is None else 0)
        given = {"I": I, "H": H} | ({"B": B, "T": T} if inputs is None else {"inputs": inputs})
        given |= changed(options, order=(order, 2), integers=(integers, None)) | {"seed": seed}
        try:
            run.check(list(parameters), integers)
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
            Ways(run, labels).check()
        except GradientError as error:
            text = str(error)
            if "to reproduce:" not in text:
                text += "\n\n" + reproduction("check_cell", {"factory": factory}, [], given)
            raise GradientError(name + text) from error.__cause__
        except KinkError as error:
            raise KinkError(name + str(error)) from None
        finally:
            run.generators.put_back()


def _at_least(least: int, name: str, value: int) -> int:
    if not is_whole(value):
        raise TypeError(f"check_cell: {name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"check_cell: {name} must be at least {least}, got {value}")
    return value


def _read(inputs: Any) -> Any:
    """The user's inputs as a tree of arrays (T, B, ...), floats in float64."""

    def read(x: Any) -> np.ndarray:
        check_unmasked("check_cell: inputs", x)
        array = np.array(x._array if isinstance(x, Variable) else x)
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    xs = tree_map(read, inputs)
    leaves = tree_leaves(xs)
    shapes = [x.shape for x in leaves]
    if any(x.dtype.kind not in "fiub" for x in leaves):
        raise TypeError(f"check_cell: inputs must be numbers, in an array or a tree of them, got {shown(inputs)}")
    if not leaves or any(len(shape) < 2 or shape[:2] != shapes[0][:2] or 0 in shape[:2] for shape in shapes):
        raise ValueError(
            f"check_cell: inputs must be arrays (T, B, ...) with one T and one B of at least 1, got {shown(xs)}"
        )
    return xs


def named_parameters(cell: Any) -> dict[str, Tensor]:
    """A cell's parameters by name, or by number if it has no names for them."""
    if hasattr(cell, "named_parameters"):
        return dict(cell.named_parameters())
    return {str(k): p for k, p in enumerate(cell.parameters())} if hasattr(cell, "parameters") else {}
