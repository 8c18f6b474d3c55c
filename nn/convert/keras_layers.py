"""The layers of a Keras model: their configuration, and ours with their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..layers import Embedding, LayerNorm, Linear
from ..recurrent import Recurrent
from .layout import Arrays
from .modules import from_tool

RECURRENT = ("LSTM", "GRU", "SimpleRNN")
MASKED = (*RECURRENT, "Bidirectional", "RNN")


class Step(NamedTuple):
    """One layer: Keras' class, its name and configuration."""

    kind: str
    name: str
    config: Mapping[str, Any]


def recurrent_config(step: Step) -> Mapping[str, Any]:
    """The configuration of a recurrent layer, of a Bidirectional that of its forward one."""
    found: Mapping[str, Any] = step.config["layer"]["config"] if step.kind == "Bidirectional" else step.config
    return found


def cells_of(step: Step) -> list[Step]:
    """The cells of an RNN layer, one above the other, as layers of their own."""
    cell = step.config["cell"]
    cells = cell["config"]["cells"] if cell["class_name"] == "StackedRNNCells" else [cell]
    return [
        Step(c["class_name"].removesuffix("Cell"), f"{step.name}, cell {k}", c["config"]) for k, c in enumerate(cells)
    ]


def _layout_name(kind: str, config: Mapping[str, Any]) -> str:
    name = f"keras.layers.{kind}"
    if kind == "GRU" and not config["reset_after"]:
        name += "(reset_after=False)"
    return f"{name}(activation='relu')" if config["activation"] == "relu" else name


def _build_recurrent(step: Step, arrays: Arrays) -> Recurrent:
    config = recurrent_config(step)
    if step.kind == "Bidirectional":
        starts: tuple[str, ...] = ("forward_layer/cell/", "backward_layer/cell/")
        names = [_layout_name(step.config["layer"]["class_name"], config)] * 2
    elif step.kind == "RNN":
        cells, counts = cells_of(step), dict.fromkeys(RECURRENT, 0)
        names, paths = [_layout_name(cell.kind, cell.config) for cell in cells], []
        for cell in cells:
            number = f"_{counts[cell.kind]}" if counts[cell.kind] else ""
            paths.append(f"cell/cells/{snake(cell.kind + 'Cell')}{number}/")
            counts[cell.kind] += 1
        starts = tuple(paths) if step.config["cell"]["class_name"] == "StackedRNNCells" else ("cell/",)
    else:
        names, starts = [_layout_name(step.kind, config)], ("cell/",)
    _refuse_others(arrays, starts)
    made = [from_tool(arrays, name, start) for name, start in zip(names, starts, strict=True)]
    return Recurrent(*made, bidirectional=step.kind == "Bidirectional", reverse=config["go_backwards"])


def snake(name: str) -> str:
    """A class's name as Keras writes it in paths."""
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()


def _refuse_others(arrays: Arrays, starts: tuple[str, ...]) -> None:
    others = [f"unexpected: {name} {a.shape}" for name, a in arrays.items() if not name.startswith(starts)]
    if others:
        raise ValueError("arrays that it does not have:\n  " + "\n  ".join(others))


def _numbered(arrays: Arrays, *names: str) -> Arrays:
    """Arrays vars/0, vars/1, ... by their names."""
    wanted = {f"vars/{k}": name for k, name in enumerate(names)}
    if set(arrays) != set(wanted):
        raise ValueError(f"has the arrays {sorted(arrays)}, not {sorted(wanted)} for {', '.join(names)}")
    if not all(a.dtype.kind == "f" for a in arrays.values()) or len({a.dtype for a in arrays.values()}) > 1:
        raise ValueError("its arrays must all be of one floating-point dtype")
    return {name: arrays[path] for path, name in wanted.items()}


def _build_dense(step: Step, arrays: Arrays) -> Linear:
    found = _numbered(arrays, "W", *(["b"] if step.config["use_bias"] else []))
    if found["W"].ndim != 2:
        raise ValueError(f"its kernel must have two axes, got {found['W'].shape}")
    I, O = found["W"].shape
    module = Linear(I, O, "b" in found, 0, found["W"].dtype)
    module.load_state_dict(found)
    return module


def _build_embedding(step: Step, arrays: Arrays) -> Embedding:
    W = _numbered(arrays, "W")["W"]
    if W.ndim != 2:
        raise ValueError(f"its embeddings must have two axes, got {W.shape}")
    module = Embedding(W.shape[0], W.shape[1], 0, W.dtype)
    module.load_state_dict({"W": W})
    return module


def _build_norm(step: Step, arrays: Arrays) -> LayerNorm:
    names = [name for name, there in (("scale", "scale"), ("shift", "center")) if step.config[there]]
    found = _numbered(arrays, *names)
    if not found:
        raise ValueError("LayerNormalization without scale and center is not read")
    sizes = next(iter(found.values())).shape
    own = {name: found.get(name, fill(sizes, dtype=next(iter(found.values())).dtype))
           for name, fill in (("scale", np.ones), ("shift", np.zeros))}  # fmt: skip
    module = LayerNorm(sizes, step.config["epsilon"], own["scale"].dtype)
    module.load_state_dict(own)
    return module


BUILD: Mapping[str, Any] = {
    "Dense": _build_dense,
    "Embedding": _build_embedding,
    "LayerNormalization": _build_norm,
    **dict.fromkeys(MASKED, _build_recurrent),
}
