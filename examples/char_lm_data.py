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
    """The texts of some files (- is standard input), or Python's own language reference.

    That has 465 000 characters in Python 3.11, 599 000 in 3.14.

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


class Corpus(NamedTuple):
    """What there is to learn, validate and, perhaps, test on."""

    text: str  # all of it
    vocabulary: str
    training: Part
    validation: Part
    test: Part | None

    @property
    def figures(self) -> str:
        """Its sizes in words."""
        tested = f" and {number(self.test.characters)} to test on" if self.test else ""
        return (
            f"{number(len(self.text))} characters, {len(self.vocabulary)} different, "
            f"{number(self.validation.characters)} to validate{tested or ' on'}"
        )


def read_corpus(settings: Settings) -> Corpus:
    """The text of the settings' files, split as they say."""
    texts = [read_text(settings.text), *(read_text(files) for files in (settings.validation, settings.test) if files)]
    text = "".join(texts)
    vocabulary, ids = encode(text)
    if not settings.validation:
        return Corpus(text, vocabulary, *split(ids, settings))
    first, *others = np.split(ids, np.cumsum([len(part) for part in texts])[:-1])
    for part, name in zip(others, ("--validation", "--test")):
        if len(part) < 2:
            raise UserError(f"{name} must have at least two characters")
    B, T = settings.batch_size, settings.seq_length
    if len(first) <= B * T:
        raise UserError(
            f"--train has {number(len(first))} characters; with --batch-size {B} and --seq-length {T} it must have at "
            f"least {number(B * T + 1)}"
        )
    validation, test = [*map(held_rows, others), None][:2]
    return Corpus(text, vocabulary, training_rows(first, B, T), validation, test)


def split(ids: np.ndarray, settings: Settings) -> tuple[Part, Part, Part | None]:
    """Training, validation and, if asked for, test text, laid out in rows as the help of --split says.

    Raises:
        UserError: if the text is too short.
    """
    B, T, tested = settings.batch_size, settings.seq_length, settings.test_fraction
    fraction = settings.val_fraction

    def sizes(n: int) -> list[int]:
        """Of a text of n characters: batches for training; batches (rows) or characters for validation and test."""
        if settings.split == "rows":
            batches = n // (B * T)
            kept = math.floor(batches * (1 - fraction - tested) + 1e-9)
            validated = math.floor(batches * fraction + 1e-9) if tested else batches - kept
            return [kept, validated, batches - kept - validated]
        validated, last = round(n * fraction), round(n * tested)
        return [(n - validated - last - 1) // (B * T), validated, last]

    def enough(n: int) -> bool:
        least = 1 if settings.split == "rows" else 2  # characters: the first is not predicted
        batches, validated, last = sizes(n)
        return batches >= 1 and validated >= least and (last >= least or not tested)

    if not enough(len(ids)):
        shortest = bisect.bisect_left(range(10**15), True, key=enough)
        test = f" and --test-fraction {tested:g}" if tested else ""
        raise UserError(
            f"the text has {number(len(ids))} characters; with --batch-size {B}, --seq-length {T}, --split "
            f"{settings.split} and --val-fraction {fraction:g}{test} it must have at least {number(shortest)}"
        )
    batches, validated, last = sizes(len(ids))
    if settings.split == "rows":
        n = (batches + validated + last) * B * T
        x, y = in_rows(ids[:n], B), in_rows(np.roll(ids[:n], -1), B)
        ends = [batches * T, (batches + validated) * T]
        training, validation, test = map(Part, np.split(x, ends), np.split(y, ends))
        return training, validation, test if tested else None
    end = len(ids) - last
    test = held_rows(ids[end:]) if tested else None
    return training_rows(ids[: end - validated], B, T), held_rows(ids[end - validated : end]), test


def training_rows(ids: np.ndarray, B: int, T: int) -> Part:
    """B rows, as long as whole batches of T columns reach."""
    n = (len(ids) - 1) // (B * T) * B * T
    return Part(in_rows(ids[:n], B), in_rows(ids[1 : n + 1], B))


def held_rows(ids: np.ndarray) -> Part:
    """A text to validate or test on in up to 16 rows; all of it but the first character is predicted."""
    rows = min(VALIDATION_ROWS, max(1, (len(ids) - 1) // ROW))
    missing = -(len(ids) - 1) % rows
    x, y = np.pad(ids[:-1], (0, missing)), np.pad(ids[1:], (0, missing), constant_values=-1)
    return Part(in_rows(x, rows), in_rows(y, rows))


def in_rows(ids: np.ndarray, rows: int) -> np.ndarray:
    """Contiguous stretches side by side: (columns, rows)."""
    return np.ascontiguousarray(ids.reshape(rows, -1).T)


def frequency_loss(training: Part, validation: Part, V: int) -> float:
    """The validation loss of a model that knows the frequencies of single characters (each counted once more)."""
    counts = np.bincount(training.x.ravel(), minlength=V) + 1
    return float(-np.log(counts / counts.sum())[validation.y[validation.y >= 0]].mean())
