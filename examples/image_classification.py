"""Which digit is it? A recurrent network reads images row by row, or pixel by pixel, and then says what it saw.

    python -m examples.image_classification

The data are 1 797 handwritten digits of 8 × 8 pixels, which scikit-learn brings along. An image is a sequence: of 8
rows of 8 pixels (x_t is a row), or of 64 single pixels, for which the network must remember eight times as long. After
the last step the output is a probability for each class:

    h_t = cell(x_t, h_{t-1})                      the cell is a simple RNN, an LSTM or a GRU
    p(class = k | x_1 ... x_T) = softmax(V h_T + c)_k

A fifth of the images is held out. The baseline is logistic regression on all pixels at once, on the same split.

Own images: `--images FOLDER` with one folder of equally large pictures for each class, or `--images FILE.npz` with the
arrays `images` (N, height, width) and `labels` (N,).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import COLOURS, GREY, Progress, UserError, at_least, command, need, number, output_folder, picture

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

# --- data -----------------------------------------------------------------------------------------------------------


def load_images(source: str | None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images (N, height, width) from 0 to 1, the number of each one's class (N,), and the classes' names."""
    if source is None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.images.astype(np.float32) / 16, digits.target, [str(k) for k in range(10)]
    images, labels = read_folder(Path(source)) if Path(source).is_dir() else read_npz(source)
    if images.ndim == 4:
        images = images[..., :3].mean(axis=-1)  # colours or grey with transparency
    if images.ndim != 3 or labels.shape != images.shape[:1] or images.size == 0:
        raise UserError(f"{source}: images must be (N, height, width) with N labels: {images.shape}, {labels.shape}")
    if images.dtype.kind not in "uif" or not np.isfinite(images).all():
        raise UserError(f"{source}: the images must hold finite numbers")
    names, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2 or counts.min() < 5:
        raise UserError(f"{source}: at least two classes of at least five images are needed, each in training and test")
    return (images / max(1e-12, np.abs(images).max())).astype(np.float32), classes, [str(name) for name in names]


def read_npz(source: str) -> tuple[np.ndarray, np.ndarray]:
    """The arrays `images` and `labels` of a file."""
    try:
        with open(source, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["images"], arrays["labels"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "it must be an npz file with the arrays images and labels"
        raise UserError(f"cannot read {source}: {reason}") from error


def read_folder(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """All pictures in the folder's folders, and the name of the folder of each."""
    from matplotlib.image import imread

    images, labels = [], []
    for path in sorted(path for path in source.glob("*/*") if path.is_file() and not path.name.startswith(".")):
        try:
            image = np.asarray(imread(path))
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{path} is no picture that can be read") from error
        images.append(image if image.ndim == 2 else image[..., :3].mean(axis=-1))
        labels.append(path.parent.name)
        if images[-1].shape != images[0].shape:
            raise UserError(f"{path} has {images[-1].shape} pixels, those before it {images[0].shape}: make them equal")
    return np.array(images), np.array(labels)


def as_sequences(images: np.ndarray, view: str) -> np.ndarray:
    """Images (N, height, width) as sequences (T, N, I): rows are (height, N, width), pixels (height * width, N, 1)."""
    N, height, width = images.shape
    return np.ascontiguousarray((images if view == "rows" else images.reshape(N, height * width, 1)).swapaxes(0, 1))


# --- model ----------------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """Sequences (T, B, I) -> the logits (B, classes) after the last step."""

    def __init__(self, cell: str, I: int, H: int, classes: int, dropout: float, rng: np.random.Generator) -> None:
        self.recurrent = CELLS[cell](I, H, rng=rng)
        self.dropout = nn.Dropout(dropout, rng)
        self.output = nn.Linear(H, classes, rng=rng)

    def forward(self, xs: np.ndarray) -> Any:
        h, _ = self.recurrent(xs)  # (T, B, H)
        return self.output(self.dropout(h[-1]))

    @mg.no_grad()
    def beliefs(self, xs: np.ndarray) -> np.ndarray:
        """The probabilities (T, B, classes) that it would give if it had to answer after each step."""
        h, _ = self.eval().recurrent(xs)
        return mg.softmax(self.output(h), axis=-1).data


# --- training -------------------------------------------------------------------------------------------------------


def train(cell: str, view: str, data: Any, options: Any, progress: Progress, done: float, share: float) -> Any:
    """Train one network: it, and its held-out accuracy after each epoch."""
    (images, labels), (test_images, test_labels) = data
    xs, test_xs = as_sequences(images, view), as_sequences(test_images, view)
    rng = np.random.default_rng(options.seed)
    model = Reader(cell, xs.shape[2], options.hidden, int(labels.max()) + 1, options.dropout, rng)
    N, B = len(labels), options.batch_size
    steps = options.epochs * -(-N // B)
    rate = nn.cosine_decay(options.lr, steps, warmup=steps // 20)
    optimizer = nn.AdamW(model.parameters(), rate, weight_decay=options.weight_decay)
    accuracies = []

    @mg.compile
    def loss_and_gradients(xs: Any, labels: Any) -> Any:
        loss = nn.cross_entropy(model(xs), labels)
        loss.backward()
        return loss

    for epoch in range(options.epochs):
        order = rng.permutation(N)
        model.train()
        for start in range(0, N, B):
            batch = order[start : start + B]
            optimizer.zero_grad()
            loss_and_gradients(xs[:, batch], labels[batch])
            nn.clip_grad_norm(optimizer.params, 1.0)
            optimizer.step()
            if progress.due():
                recent = f"held-out accuracy {accuracies[-1]:.3f}" if accuracies else ""
                part = (epoch + start / N) / options.epochs
                progress.update(done + share * part, f"{cell.upper()} by {view}, epoch {epoch + 1}", recent)
        right = model.beliefs(test_xs)[-1].argmax(axis=-1) == test_labels
        accuracies.append(float(right.mean()))
    return model, accuracies


def logistic_regression(data: Any) -> float:
    """Held-out accuracy of multinomial logistic regression on all pixels at once."""
    from sklearn.linear_model import LogisticRegression

    (images, labels), (test_images, test_labels) = data
    baseline = LogisticRegression(max_iter=5000).fit(images.reshape(len(images), -1), labels)
    return float(baseline.score(test_images.reshape(len(test_images), -1), test_labels))


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, curves: dict[Any, list[float]], baseline: float, readers: Any, data: Any, names: Any) -> None:
    """The accuracies over the epochs, and how the best network's belief changes while it reads four images."""
    images, labels = data
    best = max(curves, key=lambda run: curves[run][-1])
    beliefs = readers[best].beliefs(as_sequences(images, best[1]))  # (T, N, classes)
    beliefs = beliefs[len(beliefs) // images.shape[1] - 1 :: len(beliefs) // images.shape[1]]  # after each row
    # images that were read in the end, and on which it changed its mind most: 1 - p, summed over the rows
    p = beliefs[:, np.arange(len(labels)), labels]
    right = p[-1] > 0.5
    doubt = right * (1 - p).sum(axis=0)
    chosen = np.argsort(-doubt)[:: max(1, right.sum() // 12)][:4]
    views = list(dict.fromkeys(view for _, view in curves))
    with picture(path) as figure:
        figure.set_size_inches(8.4, 6.2)
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1))
        for axes, view in zip(np.atleast_1d(top.subplots(1, len(views), sharey=True)), views):
            for cell in (cell for cell, other in curves if other == view):
                curve = curves[cell, view]
                axes.plot(range(1, len(curve) + 1), curve, color=COLOURS[cell], label=f"{cell.upper()} {curve[-1]:.3f}")
            axes.axhline(baseline, color=GREY, linestyle="--", label=f"logistic regression {baseline:.3f}")
            axes.set(xlabel="epoch", title=f"{view[:-1]} by {view[:-1]}", ylim=(min(0.5, baseline - 0.1), 1.005))
            axes.legend(loc="lower right")
        top.axes[0].set_ylabel("held-out accuracy")
        bottom.suptitle(
            f"What the {best[0].upper()} by {best[1]} believes after each row of an image (bright: probable)",
            x=0.01,
            ha="left",
        )
        grid = bottom.subplots(1, 2 * len(chosen), width_ratios=[1, 1.25] * len(chosen))
        for k, n in enumerate(chosen):
            image, belief = grid[2 * k], grid[2 * k + 1]
            image.imshow(images[n], cmap="gray_r", aspect="auto")
            image.set(xticks=[], yticks=[], xlabel=f"a {names[labels[n]]}")
            belief.imshow(beliefs[:, n], cmap="viridis", vmin=0, vmax=1, aspect="auto")
            belief.set(yticks=[], xlabel="class")
            belief.set_xticks(range(len(names)) if len(names) <= 12 else [], names if len(names) <= 12 else [])
            belief.tick_params(labelsize=7, length=0)
            for axes in (image, belief):
                axes.grid(False)


@command
def main(argv: Sequence[str]) -> None:
    """Compare the cells on one way of reading or two."""
    parser = common.example_parser(__doc__)
    parser.add_argument("--images", help="folder of folders, or npz file (default: scikit-learn's digits)")
    parser.add_argument("--views", nargs="+", choices=("rows", "pixels"), default=["rows", "pixels"])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--hidden", type=at_least(1), default=64, help="units (default: %(default)s)")
    parser.add_argument("--epochs", type=at_least(1), default=60, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=at_least(1), default=32, help="(default: %(default)s)")
    parser.add_argument("--lr", type=at_least(1e-9, float), default=5e-3, help="Adam's (default: %(default)s)")
    parser.add_argument("--dropout", type=at_least(0, float, 1), default=0.3, help="of h_T (default: %(default)s)")
    parser.add_argument("--weight-decay", type=at_least(0, float), default=1e-3, help="(default: %(default)s)")
    options = common.parse_example(parser, argv, views=["rows"], cells=["gru"], epochs=12)
    need("rich", "matplotlib", "sklearn")
    images, labels, names = load_images(options.images)
    from sklearn.model_selection import train_test_split

    parts = train_test_split(images, labels, test_size=0.2, random_state=options.seed, stratify=labels)
    data = (parts[0], parts[2]), (parts[1], parts[3])
    folder = output_folder(options.out)
    runs = [(cell, view) for view in dict.fromkeys(options.views) for cell in dict.fromkeys(options.cells)]
    work = np.cumsum([0] + [{"rows": 1, "pixels": 8}[view] * (1 if cell == "rnn" else 4) for cell, view in runs])
    curves, readers = {}, {}
    with Progress() as progress:
        progress.say(f"{number(len(parts[0]))} images to learn from, {len(parts[1])} held out, {len(names)} classes")
        baseline = logistic_regression(data)
        for k, (cell, view) in enumerate(runs):
            done, share = work[k] / work[-1], (work[k + 1] - work[k]) / work[-1]
            readers[cell, view], curves[cell, view] = train(cell, view, data, options, progress, done, share)
            progress.say(f"{cell.upper()} by {view}: held-out accuracy {curves[cell, view][-1]:.3f}")
    draw(folder / "accuracy.png", curves, baseline, readers, data[1], names)
    final = {f"{cell} {view}": curve[-1] for (cell, view), curve in curves.items()}
    common.write_json(folder / "result.json", {"logistic regression": baseline, **final})
    figures = [
        f"by {view} " + ", ".join(f"{cell.upper()} {final[f'{cell} {of}']:.3f}" for cell, of in curves if of == view)
        for view in dict.fromkeys(options.views)
    ]
    print(f"result: held-out accuracy {'; '.join(figures)}; logistic regression {baseline:.3f}")
    print(f"picture: {folder / 'accuracy.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
