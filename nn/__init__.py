"""Layers, recurrent networks, losses and optimisers, composed from minigrad's public functions."""

from . import init
from .cells import Cell, ElmanCell, FunctionCell, GRUCell, LSTMCell, RNNCell
from .layers import Dropout, Embedding, Linear, Sequential, linear, parameter
from .losses import binary_cross_entropy_with_logits, cross_entropy, mse_loss, nll_loss
from .module import Module
from .optim import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_grad_norm,
    clip_grad_value,
    cosine_decay,
    exponential_decay,
    step_decay,
)
from .recurrent import GRU, LSTM, RNN, Recurrent, detach
from .sequences import batchify, bucket_by_length, pad_sequences, padding_mask, tbptt_chunks
from .serialize import load, save

__all__ = [
    "Adagrad", "Adam", "AdamW", "Cell", "Dropout", "ElmanCell", "Embedding", "FunctionCell", "GRU", "GRUCell", "LSTM",
    "LSTMCell", "Linear", "Module", "Optimizer", "RMSprop", "RNN", "RNNCell", "Recurrent", "SGD", "Sequential",
    "batchify", "binary_cross_entropy_with_logits", "bucket_by_length", "clip_grad_norm", "clip_grad_value",
    "cosine_decay", "cross_entropy", "detach", "exponential_decay", "init", "linear", "load", "mse_loss", "nll_loss",
    "pad_sequences", "padding_mask", "parameter", "save", "step_decay", "tbptt_chunks",
]  # fmt: skip
