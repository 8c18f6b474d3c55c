"""Layers, recurrent networks, losses and optimisers, composed from minigrad's public functions."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from . import init
from .cells import ElmanCell, GRUCell, LSTMCell, ProjectedLSTMCell, RNNCell
from .clip import clip_grad_norm, clip_grad_value
from .layers import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Sequential,
    TiedLinear,
    VariationalDropout,
    layer_norm,
    linear,
    one_hot,
    parameter,
)
from .losses import binary_cross_entropy_with_logits, cross_entropy, mse_loss, nll_loss
from .module import Module, buffer
from .optim import Optimizer
from .optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from .protocol import Cell, FunctionCell
from .recurrent import GRU, LSTM, RNN, Recurrent, detach
from .schedules import cosine_decay, exponential_decay, lambda_decay, one_cycle, plateau_decay, step_decay
from .sequences import batchify, bucket_by_length, padding_mask, tbptt_chunks
from .substitute import functional_call
from .words import NAMES as _NAMES
from .words import missing as _missing

if TYPE_CHECKING:
    from . import attention, convert, distributed
    from .conv import Conv2d
    from .convert.onnx_export import to_onnx
    from .convert.onnx_import import from_onnx
    from .ctc import ctc_decode, ctc_loss
    from .decode import beam_search, sample
    from .padding import last_over_time, max_over_time, mean_over_time, pad_sequences
    from .serialize import load, save
    from .torch_weights import from_torch, to_torch
    from .variants import (
        CoupledLSTMCell,
        EchoStateCell,
        IRNNCell,
        LayerNormLSTMCell,
        LeakyRNNCell,
        MGUCell,
        PeepholeLSTMCell,
    )

#: What takes long to import and is not always needed, with the module that has it: imported when it is asked for.
_LATER = {
    "load": "serialize", "save": "serialize", "from_torch": "torch_weights", "to_torch": "torch_weights",
    "from_onnx": "convert.onnx_import", "to_onnx": "convert.onnx_export", "convert": "", "distributed": "",
    "attention": "", "Conv2d": "conv", "ctc_decode": "ctc", "ctc_loss": "ctc", "beam_search": "decode",
    "sample": "decode", "last_over_time": "padding", "max_over_time": "padding", "mean_over_time": "padding",
    "pad_sequences": "padding", "CoupledLSTMCell": "variants", "EchoStateCell": "variants", "IRNNCell": "variants",
    "LayerNormLSTMCell": "variants", "LeakyRNNCell": "variants", "MGUCell": "variants", "PeepholeLSTMCell": "variants",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise _missing("module 'nn'", name, _NAMES, sys.modules[__name__])
    module = _LATER[name]
    found = getattr(import_module(f"nn.{module}"), name) if module else import_module(f"nn.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


__all__ = [
    "Adagrad", "Adam", "AdamW", "Cell", "Conv2d", "CoupledLSTMCell", "Dropout", "EchoStateCell", "ElmanCell",
    "Embedding", "FunctionCell", "GRU", "GRUCell", "IRNNCell", "LSTM", "LSTMCell", "LayerNorm", "LayerNormLSTMCell",
    "LeakyRNNCell", "Linear", "MGUCell", "Module", "Optimizer", "PeepholeLSTMCell", "ProjectedLSTMCell", "RMSprop",
    "RNN", "RNNCell", "Recurrent", "SGD", "Sequential", "TiedLinear", "VariationalDropout", "attention", "batchify",
    "beam_search", "binary_cross_entropy_with_logits", "bucket_by_length", "buffer", "clip_grad_norm",
    "clip_grad_value", "convert", "cosine_decay", "cross_entropy", "ctc_decode", "ctc_loss", "detach", "distributed",
    "exponential_decay", "from_onnx", "from_torch", "functional_call", "init", "lambda_decay", "last_over_time",
    "layer_norm", "linear", "load", "max_over_time", "mean_over_time", "mse_loss", "nll_loss", "one_cycle", "one_hot",
    "pad_sequences", "padding_mask", "parameter", "plateau_decay", "sample", "save", "step_decay", "tbptt_chunks",
    "to_onnx", "to_torch",
]  # fmt: skip
