"""The data of `char_lm`: a text, its characters as numbers, laid out in parallel rows for training and validation."""

from __future__ import annotations

import bisect
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .char_lm_options import Settings
from .common import UserError, number


def read_text(names: Sequence[str]) -> str:
    """The texts of some files (- is standard input), or Python's own language reference, about 465 000 characters.

    Raises:
        UserError: if a file cannot be read, is empty or not UTF-8.
    """
    if not names:
        try:
            from pydoc_data.topics import topics
        except ModuleNotFoundError as error:
            raise UserError("this Python comes without its language reference: name a text file to learn") from error
        return "\n".join(topics[name] for name in sorted(topics))
    texts = []
    for name in names:
        try:
            data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
            texts.append(data.decode("utf-8-sig").replace("\r\n", "\n"))
        except OSError as error:
            raise UserError(f"cannot read {name}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{name} is not UTF-8 text (byte {error.start} cannot be read)") from error
        if not texts[-1]:
            raise UserError(f"{'standard input' if name == '-' else name} is empty")
    return "".join(texts)


def encode(text: str) -> tuple[str, np.ndarray]:
    """The vocabulary (the characters that occur, in order) and the text as numbers of its characters."""
    codes, ids = np.unique(np.frombuffer(text.encode("utf-32-le"), np.uint32), return_inverse=True)
    return "".join(map(chr, codes)), ids


def check_known(text: str, vocabulary: str, name: str) -> None:
    """Raise UserError if there are characters that have no number."""
    unknown = sorted(set(text) - set(vocabulary))
    if unknown:
        shown = " ".join(map(repr, unknown[:20])) + (" ..." if unknown[20:] else "")
        raise UserError(f"{name} has characters that the model never saw: {shown}")


class Part(NamedTuple):
    """Text in parallel rows, times first: characters x and their successors y, both (columns, rows).

    Where a row of the validation text has ended, y is -1 and counts nothing.
    """

    x: np.ndarray
    y: np.ndarray

    @property
    def characters(self) -> int:
        """How many characters there are to predict."""
        return int((self.y >= 0).sum())


VALIDATION_ROWS, ROW = 16, 500  # at most so many rows, of at least so many characters: each starts knowing nothing


def split(ids: np.ndarray, settings: Settings) -> tuple[Part, Part]:
    """Training and validation text, laid out in rows as the help of --split says.

    Raises:
        UserError: if the text is too short.
    """
    B, T, fraction = settings.batch_size, settings.seq_length, settings.val_fraction

    def sizes(n: int) -> tuple[int, int]:
        """Of a text of n characters: batches for training; batches (rows) or characters to predict for validation."""
        if settings.split == "rows":
            batches = n // (B * T)
            kept = math.floor(batches * (1 - fraction) + 1e-9)
            return kept, batches - kept
        held_out = round(n * fraction)
        return (n - held_out - 1) // (B * T), held_out - 1

    batches, held_out = sizes(len(ids))
    if batches < 1 or held_out < 1:
        shortest = bisect.bisect_left(range(10**15), True, key=lambda n: min(sizes(n)) >= 1)
        raise UserError(
            f"the text has {number(len(ids))} characters; with --batch-size {B}, --seq-length {T}, --split "
            f"{settings.split} and --val-fraction {fraction:g} it must have at least {number(shortest)}"
        )
    if settings.split == "rows":
        n = (batches + held_out) * B * T
        x, y = in_rows(ids[:n], B), in_rows(np.roll(ids[:n], -1), B)
        return Part(x[: batches * T], y[: batches * T]), Part(x[batches * T :], y[batches * T :])
    n = batches * B * T
    training = Part(in_rows(ids[:n], B), in_rows(ids[1 : n + 1], B))
    rest = ids[len(ids) - held_out - 1 :]
    rows = min(VALIDATION_ROWS, max(1, held_out // ROW))
    missing = -held_out % rows
    x, y = np.pad(rest[:-1], (0, missing)), np.pad(rest[1:], (0, missing), constant_values=-1)
    return training, Part(in_rows(x, rows), in_rows(y, rows))


def in_rows(ids: np.ndarray, rows: int) -> np.ndarray:
    """Contiguous stretches side by side: (columns, rows)."""
    return np.ascontiguousarray(ids.reshape(rows, -1).T)


def frequency_loss(training: Part, validation: Part, V: int) -> float:
    """The validation loss of a model that knows the frequencies of single characters (each counted once more)."""
    counts = np.bincount(training.x.ravel(), minlength=V) + 1
    return float(-np.log(counts / counts.sum())[validation.y[validation.y >= 0]].mean())
