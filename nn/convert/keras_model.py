"""A model from a `.keras` file: a row of layers, with Keras' masks as lengths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

from ..layers import Embedding, LayerNorm, Linear
from ..module import Module
from ..recurrent import Recurrent
from . import files
from .layout import Arrays
from .modules import from_tool

_ACTIVATIONS: Mapping[str, Any] = {
    "linear": lambda x: x, "relu": mg.relu, "tanh": mg.tanh, "sigmoid": mg.sigmoid, "softmax": mg.softmax,
}  # fmt: skip
_IDENTITY = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "ActivityRegularization")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")


class _Step(NamedTuple):
    """One layer: Keras' class, its name and configuration."""

    kind: str
    name: str
    config: Mapping[str, Any]


def from_keras(path: str | os.PathLike[str]) -> KerasModel:
    """The model of a `.keras` file, of layers in a row: what it computes when it does not learn.

    Embedding, Masking, LSTM, GRU, SimpleRNN, Bidirectional (joined along the features), LayerNormalization, Dense,
    Activation, and dropout, which is left out. Each layer's weights are a part of ours, under Keras' name of the layer.

    Raises:
        ValueError: if the file is damaged; or listing every layer and option that has no counterpart here, or every
            array that is missing, unexpected or mis-shaped.

    >>> model = nn.convert.from_keras("model.keras")  # doctest: +SKIP
    >>> outputs = model(np.zeros((5, 2, 3), np.float32), lengths=[5, 3])  # doctest: +SKIP
    """
    config, arrays = files.read_keras(path)
    try:
        steps = list(_steps(config))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"nn.convert: {path}: its configuration is not that of a Keras 3 model: {error!r}") from error
    faults = [f"{step.name}: {fault}" for step in steps for fault in _faults(step)]
    if faults:
        raise ValueError(f"nn.convert: {path}: what these layers do is not there:\n  " + "\n  ".join(faults))
    parts, left = {}, {name: a for name, a in arrays.items() if not _is_no_weight(name)}
    counts: dict[str, int] = {}
    for step in steps:
        own = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", step.kind)).lower()
        counts[own] = counts.get(own, -1) + 1
        start = f"layers/{own}_{counts[own]}/" if counts[own] else f"layers/{own}/"
        mine = {name.removeprefix(start): left.pop(name) for name in list(left) if name.startswith(start)}
        if step.kind in _BUILD:
            try:
                parts[step.name] = _BUILD[step.kind](step, mine)
            except (ValueError, KeyError) as error:
                raise ValueError(f"nn.convert: {path}: layer {step.name!r}: {error}") from error
        elif mine:
            left |= {start + name: a for name, a in mine.items()}
    if left:
        listed = "\n  ".join(f"unexpected: {name} {a.shape}" for name, a in left.items())
        raise ValueError(f"nn.convert: {path}: arrays of no layer:\n  {listed}")
    return KerasModel(steps, parts)


def lengths_of_mask(mask: Any) -> np.ndarray:
    """The lengths (B,) of sequences whose mask (T, B) is True for steps that count: lengths are all that is run here.

    Raises:
        ValueError: if a step that counts follows one that does not.

    >>> from nn.convert.keras_model import lengths_of_mask
    >>> lengths_of_mask([[True, True], [True, False], [False, False]]).tolist()
    [2, 1]
    """
    mask = np.asarray(mask, bool)
    lengths = np.asarray(mask.sum(axis=0))
    wrong = np.flatnonzero((mask != (np.arange(len(mask))[:, None] < lengths)).any(axis=0))
    if wrong.size:
        shown = "".join("01"[int(m)] for m in mask[:, wrong[0]])
        raise ValueError(f"the mask of sequence {wrong[0]} is {shown}: steps that are left out must all be at its end, "
                         "as lengths say; pad there, or take such steps out")  # fmt: skip
    return lengths


class KerasModel(Module):
    """Layers of a Keras model in a row: x (T, B, I) or integers (T, B), time first -> (T, B, O) or (B, O).

    A mask that Embedding or Masking makes is taken as lengths; with `return_sequences` the outputs of the padding are
    0, as with Keras' `zero_output_for_mask`. `parts` has the modules by Keras' names of their layers.
    """

    def __init__(self, steps: list[_Step], parts: dict[str, Module]) -> None:
        self.steps, self.parts = tuple(steps), parts

    def forward(self, x: Any, lengths: Any = None) -> Any:
        """What the model computes; `lengths` (B,) are those of padded sequences where no layer makes a mask.

        Raises:
            ValueError: if a mask leaves out other steps than the last ones.
        """
        for step in self.steps:
            config, module = step.config, self.parts.get(step.name)
            if step.kind == "Embedding" and config.get("mask_zero"):
                lengths = lengths_of_mask(np.asarray(x) != 0)
            elif step.kind == "Masking":
                values = mg.as_tensor(x).data
                mask = (values != config["mask_value"]).any(axis=-1)
                lengths, x = lengths_of_mask(mask), mg.as_tensor(x) * mask[:, :, None].astype(values.dtype)
            if isinstance(module, Recurrent):
                x, lengths = _run(module, _inner(step), x, lengths)
            elif module is not None:
                x = module(x)
            if step.kind in ("Dense", "Activation"):
                x = _ACTIVATIONS[config["activation"]](x)
        return x


def _run(net: Recurrent, config: Mapping[str, Any], x: Any, lengths: Any) -> tuple[Any, Any]:
    ys, finals = net(x, lengths=lengths)
    if not config["return_sequences"]:
        last = [mg.tree_leaves(final)[0] for final in finals]
        return (last[0] if len(last) == 1 else mg.concatenate(last, axis=-1)), None
    if net.reverse:
        if lengths is not None and (np.asarray(lengths) != len(ys)).any():
            raise ValueError("go_backwards with return_sequences turns the outputs round, but not their mask: it is "
                             "not run here on padded sequences")  # fmt: skip
        ys = ys[::-1]
    return ys, lengths


# --- the configuration -----------------------------------------------------------------------------------------------


def _steps(config: Any) -> Iterator[_Step]:
    if config["class_name"] not in ("Sequential", "Functional"):
        raise ValueError(f"nn.convert: the model is a {config['class_name']}; Sequential and Functional ones are read")
    before = None
    for layer in config["config"]["layers"]:
        step = _Step(layer["class_name"], layer["config"]["name"], layer["config"])
        if config["class_name"] == "Functional":
            sources = list(_sources(layer["inbound_nodes"]))
            if sources != ([] if before is None else [before]):
                raise ValueError(f"nn.convert: the layer {step.name!r} gets {sources or 'an input of its own'}: only "
                                 "layers in a row are read, each with the outputs of the one before")  # fmt: skip
        before = step.name
        yield step


def _sources(node: Any) -> Iterator[str]:
    """The names of the layers whose outputs a layer gets."""
    if isinstance(node, Mapping):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]["keras_history"][0]
            return
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _sources(part)


def _inner(step: _Step) -> Mapping[str, Any]:
    """The configuration of a recurrent layer, of a Bidirectional that of its forward one."""
    found: Mapping[str, Any] = step.config["layer"]["config"] if step.kind == "Bidirectional" else step.config
    return found


def _faults(step: _Step) -> Iterator[str]:
    """What of a layer has no counterpart here."""
    config, kind = step.config, step.kind
    if kind not in (*_BUILD, *_IDENTITY, "Masking", "Activation"):
        yield f"{kind} is not one of the layers that are read"
    if kind in ("Dense", "Activation") and config["activation"] not in _ACTIVATIONS:
        yield f"activation {config['activation']!r}; there are {', '.join(_ACTIVATIONS)}"
    if kind == "LayerNormalization" and (config["axis"] not in (-1, [-1]) or config.get("rms_scaling")):
        yield "it must normalise the last axis, without rms_scaling"
    if kind == "Bidirectional":
        inner = config["layer"]
        if inner["class_name"] not in _RECURRENT:
            yield f"of a {inner['class_name']}"
            return
        if config["merge_mode"] != "concat":
            yield f"merge_mode {config['merge_mode']!r}; directions are joined here (concat)"
        if inner["config"]["go_backwards"]:
            yield "go_backwards of its forward layer"
        yield from _faults(_Step(inner["class_name"], step.name, inner["config"]))
        other = config.get("backward_layer", {}).get("config", {})
        names = ("units", "activation", "recurrent_activation", "use_bias", "reset_after", "return_sequences")
        different = [name for name in names if other and other.get(name) != inner["config"].get(name)]
        if other and (different or config["backward_layer"]["class_name"] != inner["class_name"]):
            yield f"a backward layer that is not like its forward one: {', '.join(different) or 'another class'}"
    if kind in _RECURRENT:
        allowed = ("tanh", "relu") if kind == "SimpleRNN" else ("tanh",)
        if config["activation"] not in allowed:
            yield f"activation {config['activation']!r}; {kind} has {' or '.join(allowed)} here"
        if config.get("recurrent_activation", "sigmoid") != "sigmoid":
            yield f"recurrent_activation {config['recurrent_activation']!r}; it is sigmoid here"
        yield from (f"{name}=True" for name in ("stateful", "return_state") if config.get(name))


def _is_no_weight(name: str) -> bool:
    """Whether an array belongs to training: an optimiser's, or the state of a random generator."""
    return name.startswith("optimizer/") or "seed_generator/" in name


# --- layers ----------------------------------------------------------------------------------------------------------


def _build_recurrent(step: _Step, arrays: Arrays) -> Recurrent:
    config = _inner(step)
    kind = step.config["layer"]["class_name"] if step.kind == "Bidirectional" else step.kind
    name = f"keras.layers.{kind}"
    if kind == "GRU" and not config["reset_after"]:
        name += "(reset_after=False)"
    if config["activation"] == "relu":
        name += "(activation='relu')"
    if step.kind == "Bidirectional":
        starts = ("forward_layer/cell/", "backward_layer/cell/")
        _refuse_others(arrays, starts)
        made: Recurrent = from_tool(arrays, name, starts, bidirectional=True)
        return made
    _refuse_others(arrays, ("cell/",))
    return Recurrent(from_tool(arrays, name, "cell/"), reverse=config["go_backwards"])


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


def _build_dense(step: _Step, arrays: Arrays) -> Linear:
    found = _numbered(arrays, "W", *(["b"] if step.config["use_bias"] else []))
    if found["W"].ndim != 2:
        raise ValueError(f"its kernel must have two axes, got {found['W'].shape}")
    I, O = found["W"].shape
    module = Linear(I, O, "b" in found, 0, found["W"].dtype)
    module.load_state_dict(found)
    return module


def _build_embedding(step: _Step, arrays: Arrays) -> Embedding:
    W = _numbered(arrays, "W")["W"]
    if W.ndim != 2:
        raise ValueError(f"its embeddings must have two axes, got {W.shape}")
    module = Embedding(W.shape[0], W.shape[1], 0, W.dtype)
    module.load_state_dict({"W": W})
    return module


def _build_norm(step: _Step, arrays: Arrays) -> LayerNorm:
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


_BUILD: Mapping[str, Any] = {
    "Dense": _build_dense,
    "Embedding": _build_embedding,
    "LayerNormalization": _build_norm,
    **dict.fromkeys((*_RECURRENT, "Bidirectional"), _build_recurrent),
}
