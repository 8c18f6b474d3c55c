"""What is going on in each frame of a video? Here: which digit moves, and where to, even while it is out of sight.

    python -m examples.video_classification

The videos are made of scikit-learn's handwritten digits. In each, one digit moves to and fro in a scene 28 pixels
wide, one pixel a frame, behind a wall in the middle that hides it for some frames. Each frame is to be labelled with
digit and direction. No single frame shows the direction, and those behind the wall show nothing: memory is needed.

    e_t = relu(x_t E + d)                         x_t are the pixels of frame t
    h_t = cell(e_t, h_{t-1})
    p(label of frame t = k | x_1 ... x_t) = softmax(V h_t + c)_k

The digits of the test videos are in no training video. The baseline is logistic regression on single frames.

Own videos or other measurements over time: `--train FILE ... --test FILE ...`, each file a video. In csv each line is a
frame: numbers, and the label in the last column; `--ignore NAME ...` leaves columns out. In npz there are `frames`
(T, ...) and `labels` (T,). Each number is scaled to mean 0 and deviation 1 over its video. With `--both-directions` a
second network reads from the end, for videos that are there as a whole.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import Progress, UserError, at_least, command, need, number, output_folder, picture

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
T, WIDTH, WALL = 32, 28, slice(8, 20)

# --- data: each video is its frames (T, ...) and a label (T,) for each ----------------------------------------------


def moving_digits(images: np.ndarray, digits: np.ndarray, count: int, rng: np.random.Generator) -> list[Any]:
    """Videos of frames (32, 8, 28), with labels such as "3 left"."""
    videos = []
    for n in rng.integers(0, len(images), count):
        place = int(rng.choice([0, 1, 2, 3, 4, 16, 17, 18, 19, 20]))  # in sight at first
        step = int(rng.choice([-1, 1]))
        frames, labels = np.zeros((T, 8, WIDTH), np.float32), []
        for frame in frames:
            if not 0 <= place + step <= WIDTH - 8:
                step = -step
            place += step
            frame[:, place : place + 8] = images[n] / 16
            labels.append(f"{digits[n]} {'left' if step < 0 else 'right'}")
        frames[:, :, WALL] = 0
        videos.append((frames, np.array(labels)))
    return videos


def read_video(path: str, ignore: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The frames (T, I), scaled, and the labels of a csv or npz file."""
    try:
        frames, labels = read_npz(path) if Path(path).suffix == ".npz" else read_csv(path, ignore)
    except (OSError, ValueError, KeyError, IndexError, TypeError, csv.Error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or f"not as --help says ({error})"
        raise UserError(f"cannot read {path}: {reason}") from error
    if len(frames) < 2 or labels.shape != frames.shape[:1] or not np.isfinite(frames).all():
        raise UserError(f"{path}: at least two frames of finite numbers with a label each are needed")
    frames = frames.reshape(len(frames), -1)
    return ((frames - frames.mean(axis=0)) / np.maximum(frames.std(axis=0), 1e-6)).astype(np.float32), labels


def read_npz(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The arrays `frames` and `labels`."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["frames"].astype(np.float64), arrays["labels"].astype(str)


def read_csv(path: str, ignore: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The columns of numbers but those to ignore, and the last column."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = [line for line in csv.reader(file) if line]
    if unknown := set(ignore) - set(header):
        raise ValueError(f"it has no column {min(unknown)}")
    columns = [k for k, name in enumerate(header[:-1]) if name not in ignore]
    return np.array([[float(line[k]) for k in columns] for line in lines]), np.array([line[-1] for line in lines])


# --- model ----------------------------------------------------------------------------------------------------------


class Watcher(nn.Module):
    """Frames (T, B, I) -> the logits of each one's label, (T, B, classes)."""

    def __init__(self, I: int, classes: int, o: Any, rng: np.random.Generator) -> None:
        self.encoder = nn.Linear(I, o.hidden, rng=rng)
        self.recurrent = CELLS[o.cell](o.hidden, o.hidden, rng=rng, bidirectional=o.both_directions)
        self.dropout = nn.Dropout(o.dropout, rng)
        self.output = nn.Linear(o.hidden * (2 if o.both_directions else 1), classes, rng=rng)

    def forward(self, xs: np.ndarray) -> Any:
        e = mg.maximum(self.encoder(xs), 0.0)
        h, _ = self.recurrent(e)  # (T, B, H), or (T, B, 2H) for both directions
        return self.output(self.dropout(h))

    @mg.no_grad()
    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """Those of each label for each frame of one video, (T, classes)."""
        return mg.softmax(self.eval()(frames[:, None]), axis=-1).data[:, 0]


# --- training -------------------------------------------------------------------------------------------------------


def train(videos: list[Any], classes: int, o: Any, progress: Progress) -> Watcher:
    """Train on stretches of random videos, with a little noise."""
    rng = np.random.default_rng(o.seed)
    model = Watcher(videos[0][0].shape[1], classes, o, rng)
    optimizer = nn.AdamW(model.parameters(), nn.cosine_decay(o.lr, o.steps, warmup=o.steps // 20), weight_decay=0.01)
    stretch = min(o.stretch, *(len(labels) for _, labels in videos))

    @mg.compile
    def loss_and_gradients(xs: Any, labels: Any) -> Any:
        loss = nn.cross_entropy(model(xs), labels)
        loss.backward()
        return loss

    for step in range(o.steps):
        batch = []
        for n in rng.integers(0, len(videos), o.batch_size):
            start = rng.integers(0, len(videos[n][1]) - stretch + 1)
            batch.append([part[start : start + stretch] for part in videos[n]])
        xs, labels = (np.stack(parts, axis=1) for parts in zip(*batch))  # (T, B, I), (T, B)
        xs = xs + np.float32(o.noise) * rng.standard_normal(xs.shape, np.float32)
        model.train()
        optimizer.zero_grad()
        loss = loss_and_gradients(xs, labels)
        nn.clip_grad_norm(optimizer.params, 1.0)
        optimizer.step()
        if progress.due():
            progress.update(
                (step + 1) / o.steps, f"step {number(step + 1)} of {number(o.steps)}", f"loss {loss.item():.3f}"
            )
    return model


def logistic_regression(videos: list[Any], seed: int) -> Any:
    """Multinomial logistic regression on single frames, fitted on up to 6 000 of them."""
    from sklearn.linear_model import LogisticRegression

    xs, labels = (np.concatenate(parts) for parts in zip(*videos))
    some = np.random.default_rng(seed).permutation(len(labels))[:6000]
    return LogisticRegression(max_iter=2000).fit(xs[some], labels[some])


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, image: Any, p: Any, labels: np.ndarray, names: list[str]) -> None:
    """One test video: some of its frames, and the probability of each label over time, of network and baseline."""
    length = min(len(labels), 400)
    labels = labels[:length]
    with picture(path) as figure:
        figure.set_size_inches(9.2, 6)
        top, bottom = figure.subfigures(2, 1, height_ratios=(0.14, 1)) if image is not None else (None, figure)
        if top:
            for axes, t in zip(top.subplots(1, 6), np.linspace(0, length - 1, 6).astype(int)):
                axes.imshow(image[t], cmap="gray_r", vmin=0, vmax=1)
                axes.axvspan(WALL.start - 0.5, WALL.stop - 0.5, color="#c8a27c")
                axes.set(xticks=[], yticks=[], xlabel=f"frame {t + 1}")
                axes.grid(False)
                axes.spines[:].set_visible(True)
        for axes, (title, values) in zip(bottom.subplots(1, 2, sharey=True), p.items()):
            values = values[:length]
            shown = axes.imshow(values.T, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest",
                                extent=(0.5, length + 0.5, len(names) - 0.5, -0.5))  # fmt: skip
            right = float((values.argmax(axis=1) == labels).mean())
            change = np.flatnonzero(np.diff(labels, prepend=-1, append=-1))
            for start, stop in pairwise(change):
                if labels[start] >= 0:
                    axes.plot([start + 0.5, stop + 0.5], [labels[start]] * 2, color="#d55e00", linewidth=2)
            axes.set(title=f"{title}: {right:.0%} right", xlabel="frame")
            axes.set_yticks(range(len(names)), names, fontsize=8)
            axes.grid(False)
        bottom.colorbar(shown, ax=bottom.axes, label="probability (line: the truth)")


@command
def main(argv: Sequence[str]) -> None:
    """Label the frames of videos that training did not see."""
    parser = common.example_parser(__doc__)
    parser.add_argument("--train", nargs="+", help="csv or npz files of one video each")
    parser.add_argument("--test", nargs="+", help="the same, to test on")
    parser.add_argument("--ignore", nargs="+", default=[], help="columns of the csv files to leave out")
    parser.add_argument("--cell", choices=CELLS, default="gru", help="(default: %(default)s)")
    parser.add_argument("--both-directions", action="store_true", help="read from the end as well")
    parser.add_argument("--hidden", type=at_least(1), default=96, help="units (default: %(default)s)")
    parser.add_argument("--steps", type=at_least(1), default=2500, help="of training (default: %(default)s)")
    parser.add_argument("--stretch", type=at_least(1), default=80, help="frames trained on at once, at most")
    parser.add_argument("--batch-size", type=at_least(1), default=32, help="(default: %(default)s)")
    parser.add_argument("--lr", type=at_least(1e-9, float), default=3e-3, help="AdamW's (default: %(default)s)")
    parser.add_argument("--dropout", type=at_least(0, float, 1), default=0.3, help="of h_t (default: %(default)s)")
    parser.add_argument(
        "--noise", type=at_least(0, float), default=0.1, help="on training frames (default: %(default)s)"
    )
    o = common.parse_example(parser, argv, steps=250, lr=1e-2, hidden=64)
    if bool(o.train) != bool(o.test) or (o.ignore and not o.train):
        parser.error("--train and --test go together, and --ignore with them")
    need("rich", "matplotlib", "sklearn")
    if o.train:
        training, test = ([read_video(path, o.ignore) for path in paths] for paths in (o.train, o.test))
    else:
        from sklearn.datasets import load_digits

        digits, rng = load_digits(), np.random.default_rng(o.seed)
        order = rng.permutation(len(digits.target))
        seen, new = order[:1437], order[1437:]
        training = moving_digits(digits.images[seen], digits.target[seen], 3000, rng)
        test = moving_digits(digits.images[new], digits.target[new], 300, rng)
    images = None if o.train else test[0][0]
    names = sorted({str(label) for _, labels in training for label in labels})
    numbers = {name: k for k, name in enumerate(names)}
    training, test = (
        [(xs.reshape(len(xs), -1), np.array([numbers.get(str(label), -1) for label in labels])) for xs, labels in part]
        for part in (training, test)
    )
    if len(names) < 2 or len({xs.shape[1] for xs, _ in training + test}) > 1:
        raise UserError("the videos must have at least two labels, and equally many numbers in all frames")
    folder = output_folder(o.out)
    with Progress() as progress:
        progress.say(
            f"{number(len(training))} videos to learn from, {number(len(test))} to test on, {len(names)} labels"
        )
        baseline = logistic_regression(training, o.seed)
        model = train(training, len(names), o, progress)
    truth = np.concatenate([labels for _, labels in test])  # a label that training never showed counts as missed
    nets = [model.probabilities(xs) for xs, _ in test]
    singles = [np.zeros_like(p) for p in nets]
    for p, (xs, _) in zip(singles, test):
        p[:, baseline.classes_] = baseline.predict_proba(xs)
    right = {
        title: np.concatenate([p.argmax(axis=1) for p in found]) == truth
        for title, found in ((o.cell.upper(), nets), ("logistic regression on single frames", singles))
    }
    found = {title: {"all frames": float(of.mean())} for title, of in right.items()}
    if not o.train:
        hidden = ~np.concatenate([xs.any(axis=1) for xs, _ in test])
        for title, of in right.items():
            found[title]["behind the wall"] = float(of[hidden].mean())
    draw(folder / "video.png", images, dict(zip(right, (nets[0], singles[0]))), test[0][1], names)
    common.write_json(folder / "result.json", found)
    for where in found[o.cell.upper()]:
        figures = ", ".join(f"{title} {of[where]:.3f}" for title, of in found.items())
        print(f"result: {where} labelled right: {figures}")
    print(f"picture: {folder / 'video.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
