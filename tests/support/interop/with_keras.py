"""Keras on PyTorch: run with them, records what its layers compute, and whole models as files. See `record`."""

import os
import sys
import tempfile

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from cases import LENGTHS, B, Draws, H, I, T, case, past_end, write

KINDS = {
    "LSTM": {},
    "GRU": {},
    "GRU(reset_after=False)": {"reset_after": False},
    "SimpleRNN": {},
    "SimpleRNN(activation='relu')": {"activation": "relu"},
}
NAMES = ("kernel", "recurrent_kernel", "bias")


def recorded(kind, layers=1, directions=1, lengths=None, **more):
    """A case of layers, one above the other; with lengths their mask, and zeros where it is False."""
    draws, n = Draws(), 2 if kind == "LSTM" else 1
    options = {**KINDS[kind], **more, "return_sequences": True, "return_state": True}
    make = getattr(keras.layers, kind.split("(")[0])
    stack, cells, width = [], [], I
    for _ in range(layers):
        layer = make(H, zero_output_for_mask=True, **options)
        layer = keras.layers.Bidirectional(layer) if directions == 2 else layer
        layer.build((B, T, width))
        cells += [layer.forward_layer.cell, layer.backward_layer.cell] if directions == 2 else [layer.cell]
        stack.append(layer)
        width = directions * H
    variables = {f"{k}/{v.name}": v for k, cell in enumerate(cells) for v in cell.weights if v.name in NAMES}
    for v in variables.values():
        v.assign(draws(*v.shape))
    weights = {name: v.numpy().copy() for name, v in variables.items()}
    tensor = lambda a: torch.tensor(a, requires_grad=True)
    xs, states = tensor(draws(T, B, I)), [tuple(tensor(draws(B, H)) for _ in range(n)) for _ in cells]
    gs = draws(T, B, directions * H), [tuple(draws(B, H) for _ in range(n)) for _ in cells]
    gs = gs if lengths is None else (past_end(gs[0], lengths), gs[1])
    mask = None if lengths is None else torch.tensor(np.arange(T) < lengths[:, None])
    ys, finals = xs.transpose(0, 1), []
    for k, layer in enumerate(stack):
        own = [s for parts in states[k * directions : (k + 1) * directions] for s in parts]
        ys, *final = layer(ys, initial_state=own, mask=mask)
        finals += [tuple(final[j : j + n]) for j in range(0, len(final), n)]
    ys = ys.transpose(0, 1)
    total = (torch.tensor(gs[0]) * ys).sum()
    for g, s in zip((g for parts in gs[1] for g in parts), (s for parts in finals for s in parts), strict=True):
        total = total + (torch.tensor(g) * s).sum()
    total.backward()
    plain = lambda cells: [tuple(s.detach().numpy() for s in parts) for parts in cells]
    grads = {f"weights/{name}": v.value.grad.numpy() for name, v in variables.items()} | {"xs": xs.grad.numpy()}
    grads |= {f"state/{k}/{j}": s.grad.numpy() for k, parts in enumerate(states) for j, s in enumerate(parts)}
    results = ys.detach().numpy(), plain(finals)
    return case(weights, xs.detach().numpy(), plain(states), results, gs, grads, lengths)


CASES = {}
for kind in KINDS:
    CASES[f"keras.layers.{kind}"] = recorded(kind)
    CASES[f"keras.layers.{kind}, 2 layers, 2 directions, lengths"] = recorded(kind, 2, 2, LENGTHS)
CASES["keras.layers.GRU, no bias"] = recorded("GRU", use_bias=False)


# --- models in files -------------------------------------------------------------------------------------------------


L = keras.layers
FLOATS = (T, I)
MODELS = {
    "stacked": lambda: [
        keras.Input(FLOATS),
        L.LSTM(H, return_sequences=True, name="enc"),
        L.Dropout(0.5),
        L.GRU(H, return_sequences=True, reset_after=False),
        L.LayerNormalization(),
        L.GRU(H),
        L.Dense(2, activation="softmax"),
    ],
    "tokens": lambda: [
        keras.Input((T,), dtype="int32"),
        L.Embedding(6, I, mask_zero=True),
        L.Bidirectional(L.LSTM(H, return_sequences=True)),
        L.Bidirectional(L.GRU(H)),
        L.Dense(2, activation="relu", use_bias=False),
    ],
    "masked": lambda: [
        keras.Input(FLOATS),
        L.Masking(-1.0),
        L.SimpleRNN(H, return_sequences=True, zero_output_for_mask=True),
        L.SimpleRNN(H, activation="relu", go_backwards=True),
    ],
    "cells": lambda: [
        keras.Input(FLOATS),
        L.Masking(-1.0),
        L.RNN([L.LSTMCell(H), L.GRUCell(2), L.LSTMCell(H)], return_sequences=True, zero_output_for_mask=True),
        L.RNN([L.GRUCell(H, reset_after=False), L.LSTMCell(2)]),
    ],
    "functional": lambda: [
        keras.Input((None,), dtype="int32"),
        L.Embedding(6, I, mask_zero=True),
        L.GRU(H, return_sequences=True, zero_output_for_mask=True),
        L.Dense(H, activation="tanh"),
        L.LSTM(H),
    ],
    "functional_masking": lambda: [
        keras.Input(FLOATS),
        L.Masking(-1.0),
        L.Bidirectional(L.GRU(H, return_sequences=True)),
        L.SimpleRNN(H),
    ],
}


def inputs(name):
    """What a model is called with: padded where it has a mask."""
    draws = Draws()
    tokens, floats, inside = draws.rng.integers(1, 6, (B, T)), draws(B, T, I), np.arange(T) < LENGTHS[:, None]
    if name in ("tokens", "functional"):
        return np.where(inside, tokens, 0)
    return floats if name == "stacked" else np.where(inside[:, :, None], floats, np.float32(-1))


def model_case(name):
    """The files of a small model, its input and output, as bytes and arrays."""
    layers, x, draws = MODELS[name](), inputs(name), Draws()
    if name.startswith("functional"):
        y = layers[0]
        for layer in layers[1:]:
            y = layer(y)
        model = keras.Model(layers[0], y, name=name)
    else:
        model = keras.Sequential(layers, name=name)
    for v in model.weights:
        if "seed" not in v.name:
            v.assign(draws(*v.shape))
    y, found = model(x), {"x": x}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".keras", ".weights.h5"):
            path = os.path.join(folder, name + suffix)
            (model.save if suffix == ".keras" else model.save_weights)(path)
            with open(path, "rb") as file:
                found[suffix] = np.frombuffer(file.read(), np.uint8)
    found["y"] = y.detach().numpy()
    return found


if __name__ == "__main__":
    versions = {"keras": keras.__version__, "torch": torch.__version__}
    write(sys.argv[1], CASES, versions)
    folder = os.path.dirname(sys.argv[1])
    write(os.path.join(folder, "keras_models.npz"), {name: model_case(name) for name in MODELS}, versions)
