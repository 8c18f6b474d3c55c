"""Who speaks? A recurrent network hears an utterance, a series of numbers at each time, and names the speaker.

    python -m docs.utterances JapaneseVowels_TRAIN.ts JapaneseVowels_TEST.ts --seed 0

For any two `.ts` files of the UEA archive with class labels, whose series may differ in length:

    h_t = [f_t, b_t]                              cells of both directions
    p(class = k | x_1 ... x_T) = softmax(V (1/T) Σ_t h_t + c)_k

Every number is scaled to mean 0 and deviation 1 of the training file. There is no validation: nothing is chosen.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def read(path: str) -> tuple[list[np.ndarray], list[str]]:
    """The series (T, I) of a file, and the label of each."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    start = 1 + next(n for n, line in enumerate(lines) if line.strip().lower() == "@data")
    series, labels = [], []
    for line in filter(None, map(str.strip, lines[start:])):
        *dimensions, label = line.split(":")  # numbers of one dimension over time, a comma between
        series.append(np.array([part.split(",") for part in dimensions], np.float32).T)
        labels.append(label)
    return series, labels


class Hearer(nn.Module):
    """Series (T, B, I) and their lengths -> the logits of classes (B, classes)."""

    def __init__(self, I: int, classes: int, cell: str, hidden: int, rng: np.random.Generator) -> None:
        self.recurrent = CELLS[cell](I, hidden, bidirectional=True, rng=rng)
        self.dropout = nn.Dropout(0.3, rng)
        self.output = nn.Linear(2 * hidden, classes, rng=rng)

    def forward(self, xs: Any, lengths: Any) -> Any:
        h, _ = self.recurrent(xs, lengths=lengths)
        return self.output(self.dropout(nn.mean_over_time(h, lengths)))


def accuracy(train: str, test: str, cell: str = "gru", hidden: int = 64, epochs: int = 60, seed: int = 0) -> float:
    """The part of the test file that is named right by a network that learnt from the training file."""
    (series, labels), (others, truth) = read(train), read(test)
    frames = np.concatenate(series)
    scaled = [[(x - frames.mean(axis=0)) / frames.std(axis=0) for x in part] for part in (series, others)]
    classes, targets = np.unique(labels, return_inverse=True)
    rng = np.random.default_rng(seed)
    model = Hearer(frames.shape[1], len(classes), cell, hidden, rng)
    batches = -(-len(series) // 30)
    optimizer = nn.Adam(model.parameters(), nn.one_cycle(1e-2, epochs * batches))
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(series)), batches):
            optimizer.zero_grad()
            logits = model(*nn.pad_sequences([scaled[0][n] for n in batch]))
            nn.cross_entropy(logits, targets[batch], label_smoothing=0.1).backward()
            nn.clip_grad_norm(optimizer.params, 1.0)
            optimizer.step()
    with mg.no_grad():
        logits = model.eval()(*nn.pad_sequences(scaled[1]))
    return float(np.mean(classes[logits.data.argmax(axis=-1)] == truth))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--cell", choices=CELLS, default="gru")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"accuracy {accuracy(**vars(given)):.3f}, {time.process_time():.0f} seconds of a processor")
