"""A model from a `.keras` file: a row of layers, with Keras' masks as lengths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import minigrad as mg

from ..module import Module
from ..recurrent import Recurrent
from . import files
from .keras_layers import BUILD, MASKED, RECURRENT, Step, cells_of, recurrent_config, snake

_ACTIVATIONS: Mapping[str, Any] = {
    "linear": lambda x: x, "relu": mg.relu, "tanh": mg.tanh, "sigmoid": mg.sigmoid, "softmax": mg.softmax,
}  # fmt: skip
_IDENTITY = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "ActivityRegularization")


def from_keras(path: str | os.PathLike[str]) -> KerasModel:
    """The model of a `.keras` file, of layers in a row: what it computes when it does not learn.

    Embedding, Masking, LSTM, GRU, SimpleRNN, RNN of their cells, Bidirectional (joined along the features),
    LayerNormalization, Dense, Activation, and dropout, which is left out. Each layer is a part of ours, under Keras'
    name of the layer.

    Raises:
        ValueError: if the file is damaged; or listing every layer and option that has no counterpart here, or every
            array that is missing, unexpected or mis-shaped.

    >>> model = nn.convert.from_keras("model.keras")  # doctest: +SKIP
    >>> outputs = model(np.zeros((5, 2, 3), np.float32), lengths=[5, 3])  # doctest: +SKIP
    """
    config, arrays = files.read_keras(path)
    try:
        steps = list(_steps(config))
        faults = [f"{step.name}: {fault}" for step in steps for fault in _faults(step)]
        for step in steps if not faults else ():
            _read_later(step)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"nn.convert: {path}: its configuration is not that of a Keras 3 model: {error!r}") from error
    if faults:
        raise ValueError(f"nn.convert: {path}: what these layers do is not there:\n  " + "\n  ".join(faults))
    parts, left = {}, {name: a for name, a in arrays.items() if not _is_no_weight(name)}
    counts: dict[str, int] = {}
    for step in steps:
        own = snake(step.kind)
        counts[own] = counts.get(own, -1) + 1
        start = f"layers/{own}_{counts[own]}/" if counts[own] else f"layers/{own}/"
        mine = {name.removeprefix(start): left.pop(name) for name in list(left) if name.startswith(start)}
        if step.kind in BUILD:
            try:
                parts[step.name] = BUILD[step.kind](step, mine)
            except (ValueError, KeyError, TypeError) as error:
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
    0, as with Keras' `zero_output_for_mask`; without, this option makes the output 0 of each sequence that is shorter
    than T, as in Keras. `parts` has the modules by Keras' names of their layers.
    """

    def __init__(self, steps: list[Step], parts: dict[str, Module]) -> None:
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
                x, lengths = _run(module, recurrent_config(step), x, lengths)
            elif module is not None:
                x = module(x)
            if step.kind in ("Dense", "Activation"):
                x = _ACTIVATIONS[config["activation"]](x)
        return x


def _run(net: Recurrent, config: Mapping[str, Any], x: Any, lengths: Any) -> tuple[Any, Any]:
    ys, finals = net(x, lengths=lengths)
    if not config["return_sequences"]:
        last = [mg.tree_leaves(final)[0] for final in finals[-net.directions :]]
        if config.get("zero_output_for_mask") and lengths is not None and not net.reverse:
            # what Keras returns is the output of the last step, which is 0 where that is left out
            last[0] = mg.where(mg.expand_dims(mg.equal(lengths, len(ys)), -1), last[0], 0.0)
        return (last[0] if len(last) == 1 else mg.concatenate(last, axis=-1)), None
    if net.reverse:
        if lengths is not None and (np.asarray(lengths) != len(ys)).any():
            raise ValueError("go_backwards with return_sequences turns the outputs round, but not their mask: it is "
                             "not run here on padded sequences")  # fmt: skip
        ys = ys[::-1]
    return ys, lengths


# --- the configuration -----------------------------------------------------------------------------------------------


def _steps(config: Any) -> Iterator[Step]:
    if config["class_name"] == "Sequential":
        for layer in config["config"]["layers"]:
            yield Step(layer["class_name"], layer["config"]["name"], layer["config"])
    elif config["class_name"] == "Functional":
        yield from _row(config["config"]["layers"])
    else:
        raise ValueError(f"nn.convert: the model is a {config['class_name']}; Sequential and Functional ones are read")


def _row(layers: Any) -> Iterator[Step]:
    """The layers of a functional model that stand in a row, with the masks that Embedding and Masking make.

    Such a mask is written down as operations of its own, x != 0 and for Masking any(x != value), and as an argument
    `mask` of every layer that uses it.
    """
    before: str | None = None
    made: Any = None  # of what the layers so far make their mask: the layer before, and the value that is left out
    masks: dict[str, Any] = {}  # the same by operation
    for layer in layers:
        step = Step(layer["class_name"], layer["config"]["name"], layer["config"])
        calls = layer["inbound_nodes"]
        if len(calls) > (before is not None):
            raise ValueError(f"nn.convert: the layer {step.name!r} is called {len(calls)} times; each is read once")
        sources = list(_sources(calls[0]["args"])) if calls else []
        if step.kind in ("NotEqual", "Any") and str(layer.get("module", "")).startswith("keras.src.ops"):
            constant = next((x for x in calls[0]["args"] if isinstance(x, (int, float))), None)
            masks[step.name] = masks.get(sources[0], (sources[0], constant))
            continue
        if sources != ([] if before is None else [before]):
            raise ValueError(f"nn.convert: the layer {step.name!r} gets {sources or 'an input of its own'}: only "
                             "layers in a row are read, each with the outputs of the one before")  # fmt: skip
        used = [masks.get(name) for name in _sources(calls[0]["kwargs"].get("mask"))] if calls else []
        if any(mask != made or mask is None for mask in used) or (step.kind in MASKED and made and not used):
            raise ValueError(f"nn.convert: the layer {step.name!r} gets another mask than the layers before it make")
        if step.kind == "Masking" or (step.kind == "Embedding" and step.config.get("mask_zero")):
            made = (before, step.config.get("mask_value", 0))
        if step.kind in MASKED and not recurrent_config(step)["return_sequences"]:
            made = None
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


def _read_later(step: Step) -> list[Any]:
    """What of a layer's configuration is read when the model runs; KeyError if it is not there."""
    names = ("return_sequences", "go_backwards") if step.kind in MASKED else ("mask_value",) * (step.kind == "Masking")
    return [recurrent_config(step)[name] for name in names]


def _faults(step: Step) -> Iterator[str]:
    """What of a layer has no counterpart here."""
    config, kind = step.config, step.kind
    if kind not in (*BUILD, *_IDENTITY, "Masking", "Activation"):
        yield f"{kind} is not one of the layers that are read"
    if kind in ("Dense", "Activation") and config["activation"] not in _ACTIVATIONS:
        yield f"activation {config['activation']!r}; there are {', '.join(_ACTIVATIONS)}"
    if kind == "LayerNormalization" and (config["axis"] not in (-1, [-1]) or config.get("rms_scaling")):
        yield "it must normalise the last axis, without rms_scaling"
    if kind == "Bidirectional":
        layer = config["layer"]
        if layer["class_name"] not in RECURRENT:
            yield f"of a {layer['class_name']}"
            return
        if config["merge_mode"] != "concat":
            yield f"merge_mode {config['merge_mode']!r}; directions are joined here (concat)"
        if layer["config"]["go_backwards"]:
            yield "go_backwards of its forward layer"
        yield from _faults(Step(layer["class_name"], step.name, layer["config"]))
        other = config.get("backward_layer", {}).get("config", {})
        names = ("units", "activation", "recurrent_activation", "use_bias", "reset_after", "return_sequences")
        different = [name for name in names if other and other.get(name) != layer["config"].get(name)]
        if other and (different or config["backward_layer"]["class_name"] != layer["class_name"]):
            yield f"a backward layer that is not like its forward one: {', '.join(different) or 'another class'}"
    if kind == "RNN":
        for cell in cells_of(step):
            if cell.kind not in RECURRENT:
                yield f"a cell {cell.kind}Cell"
            else:
                yield from _faults(cell)
    if kind in (*RECURRENT, "RNN"):
        yield from (f"{name}=True" for name in ("stateful", "return_state") if config.get(name))
    if kind in RECURRENT:
        allowed = ("tanh", "relu") if kind == "SimpleRNN" else ("tanh",)
        if config["activation"] not in allowed:
            yield f"activation {config['activation']!r}; {kind} has {' or '.join(allowed)} here"
        if config.get("recurrent_activation", "sigmoid") != "sigmoid":
            yield f"recurrent_activation {config['recurrent_activation']!r}; it is sigmoid here"


def _is_no_weight(name: str) -> bool:
    """Whether an array belongs to training: an optimiser's, or the state of a random generator."""
    return name.startswith("optimizer/") or "seed_generator/" in name
