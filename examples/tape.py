"""What a tape is, and how backpropagation walks back over it: three pages to step through in a browser.

    python -m examples.tape

The first is x tanh x: two paths lead to x, and its gradient is the sum of what arrives on both. The second is a softmax
with cross-entropy: at the logits the gradient is (p - one-hot) / B. The third is an RNN beside an LSTM that are asked
for the first symbol when they have read the last: the gradient has to come back through all time steps. In the RNN it
shrinks at each of them; in the cell state of the LSTM, whose forget gates are open, it lasts, and may even grow, since
what comes back through the other gates adds to it. Each page is one file, which needs nothing around it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
import nn

from .common import at_least, command, example_parser, output_folder, written_whole

SYMBOLS, BATCH, HIDDEN = 4, 6, 6


def x_tanh_x(x: Any) -> Any:
    """The function on the first page."""
    y = mg.tanh(x)
    return x * y


def softmax_with_cross_entropy(rng: np.random.Generator) -> mg.inspect.Tape:
    """A linear classifier of 6 points of 5 features into 4 classes."""
    points, classes = rng.standard_normal((6, 5)), rng.integers(4, size=6)

    def loss(W: Any, b: Any) -> Any:
        logits = points @ W + b
        log_p = mg.log_softmax(logits)
        return -mg.mean(log_p[np.arange(6), classes])

    return mg.tape(loss, rng.standard_normal((5, 4)), np.zeros(4))


class Recall(nn.Module):
    """A recurrent net that is asked for the first symbol after the last."""

    def __init__(self, recurrent: nn.Recurrent, rng: np.random.Generator) -> None:
        self.recurrent, self.head = recurrent, nn.Linear(HIDDEN, SYMBOLS, rng=rng, dtype=np.float64)

    def forward(self, symbols: Any) -> Any:
        outputs, _ = self.recurrent(symbols)
        return nn.cross_entropy(self.head(outputs[-1]), symbols[0])


def rnn_beside_lstm(T: int, rng: np.random.Generator) -> mg.inspect.Tape:
    """Both nets on one tape, with the sum of their losses."""
    symbols = rng.integers(SYMBOLS, size=(T, BATCH))
    rnn = Recall(nn.RNN(SYMBOLS, HIDDEN, rng=rng, dtype=np.float64), rng)
    lstm = Recall(nn.LSTM(SYMBOLS, HIDDEN, rng=rng, dtype=np.float64, forget_bias=4.0), rng)

    def loss() -> Any:
        with mg.scope("RNN"):
            of_rnn = rnn(symbols)
        with mg.scope("LSTM"):
            of_lstm = lstm(symbols)
        return of_rnn + of_lstm

    return mg.tape(loss)


def factor(norms: np.ndarray) -> float:
    """By what the gradient is multiplied in each step back, on the average."""
    return float((norms[0] / norms[-1]) ** (1 / (len(norms) - 1)))


@command
def main(argv: Sequence[str]) -> None:
    """Write the pages, and say where they are."""
    parser = example_parser(str(__doc__))
    parser.add_argument(
        "--length", type=at_least(2), default=12, help="time steps of the third page (default: %(default)s)"
    )
    if "--quick" in argv:
        parser.set_defaults(length=4)
    options = parser.parse_args(argv)
    folder = output_folder(options.out)
    rng = np.random.default_rng(options.seed)
    T = options.length
    pages = {
        "x_tanh_x": ("x tanh x", mg.tape(x_tanh_x, 0.5)),
        "softmax": ("Softmax with cross-entropy", softmax_with_cross_entropy(rng)),
        "rnn_lstm": (f"A {T}-step RNN beside a {T}-step LSTM", rnn_beside_lstm(T, rng)),
    }
    for name, (title, tape) in pages.items():
        path = folder / f"{name}.html"
        with written_whole(path, keep=False) as file:
            tape.page(str(file), title=title)
        print(f"page: {path}: {title}, {len(tape)} entries")
    norms = mg.inspect.Explanation(pages["rnn_lstm"][1]).norms
    h, (_, C) = norms["RNN.recurrent.cells.0"], norms["LSTM.recurrent.cells.0"]
    print(f"a step back in time: the gradient of the RNN's h times {factor(h):.2f}, of the LSTM's C {factor(C):.2f}")
    print("open the pages in a browser; the keys are at their foot")


if __name__ == "__main__":
    sys.exit(main())
