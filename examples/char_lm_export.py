"""`char_lm export`: a trained model as an ONNX file, which reads characters from a state and hands out the next one.

Inputs are the numbers of characters x (T, B) and the state that the last call returned, of each layer (B, H), zeros at
first; outputs the logits (T, B, V) and the next state. The vocabulary, in the order of the numbers, is in the file's
metadata and in vocabulary.json beside it. [docs/onnx.md](../docs/onnx.md) writes text from such a file in ten lines.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn
from nn.convert.onnx_export import names_of

from . import char_lm_checkpoint as checkpoints
from .char_lm_options import PROGRAM, add_checkpoint
from .common import Parser, UserError, need, written_whole


def parse_export(argv: Sequence[str]) -> Any:
    """The options of `export`: checkpoint, file."""
    parser = Parser(prog=f"{PROGRAM} export", description="Write a model as an ONNX file: one step, state in and out.")
    add_checkpoint(parser)
    parser.add_argument("file", nargs="?", default="model.onnx", help="to be written (default: model.onnx)")
    return parser.parse_args(argv)


def export(argv: Sequence[str]) -> None:
    """`export CHECKPOINT FILE`: write the model of a checkpoint as an ONNX file, and say what is in it."""
    options = parse_export(argv)
    need("safetensors", "onnx")
    if not options.file.endswith(".onnx"):
        raise UserError(f"{options.file}: the name of an ONNX file ends in .onnx")
    checkpoint, model = checkpoints.read_model(options.checkpoint)
    state = model.recurrent.initial_state(2)
    names = names_of(state, "next")
    example = {"x": np.zeros((3, 2), np.int64), "state": mg.tree_map(lambda s: s.data, state)}
    listed = Path(options.file).with_name("vocabulary.json")
    try:
        written = nn.to_onnx(
            model,
            Path(options.file),
            example,
            outputs=("logits", *names),
            metadata={"vocabulary": checkpoint.vocabulary},
        )
    except OSError as error:
        raise UserError(f"cannot write {options.file}: {error.strerror}") from error
    with written_whole(listed) as file:  # another model's stays, under another name
        file.write_text(json.dumps(list(checkpoint.vocabulary)), encoding="utf-8")
    print(written)
    print(f"  the vocabulary, in the order of the numbers: {listed}, and in the file's metadata")
