"""Which arguments of a function a transform differentiates: `argnums`, a position or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .messages import describe

Argnums = int | Sequence[int]


def check_argnums(argnums: Any) -> None:
    """Raise TypeError for what are no positions, ValueError if there is none."""
    chosen = argnums if isinstance(argnums, Sequence) else [argnums]
    if not all(isinstance(k, (int, np.integer)) and not isinstance(k, bool) for k in chosen):
        raise TypeError(
            f"argnums: a position, or a tuple of positions, of arguments, got {describe(argnums)}; "
            "the arguments themselves go to the new function: mg.grad(f)(x)"
        )
    if not chosen:
        raise ValueError(f"argnums: {argnums!r} chooses no argument to differentiate; 0 is the first, (0, 1) two")


def chosen_of(argnums: Argnums, count: int) -> tuple[int, ...]:
    """The positions from 0 on among so many arguments; ValueError for one that is missing or comes twice."""
    chosen = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    for k in chosen:
        if not -count <= k < count:
            raise ValueError(
                f"argnums: there is no argument {k} among {count} by position; keywords are not counted"
                + ("; what is differentiated goes to the new function: mg.grad(f)(x)" if count == 0 else "")
            )
    places = tuple(k % count for k in chosen)
    if len(set(places)) < len(places):  # each would stand for the last alone
        raise ValueError(f"argnums: {argnums!r} has one of the {count} arguments twice; give each position once")
    return places


def replaced(args: tuple[Any, ...], chosen: tuple[int, ...], values: tuple[Any, ...]) -> list[Any]:
    """The arguments with these values in the places that are chosen."""
    full = list(args)
    for k, value in zip(chosen, values, strict=True):
        full[k] = value
    return full
