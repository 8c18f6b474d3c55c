"""What a tensor has in `.grad`: the engine reads, sets and adds it here alone, by the tensor's Node."""

from __future__ import annotations

from threading import Lock

import numpy as np

from .interpretation import interpreted
from .record import Node

_adding = Lock()  # threads may walk back to the same leaves, and NumPy adds without the interpreter's lock


@interpreted
def gradient(node: Node) -> np.ndarray | None:
    """What a leaf has in `.grad`."""
    return node.grad


@interpreted
def set_gradient(node: Node, value: np.ndarray | None) -> None:
    """`t.grad = value`, for the tensor's node."""
    node.grad = value


@interpreted
def add_gradient(node: Node, g: np.ndarray) -> None:
    """Add to `.grad` what a walk has found; g belongs to nobody else."""
    with _adding:
        if node.grad is None:
            node.grad = g
        else:
            node.grad += g
