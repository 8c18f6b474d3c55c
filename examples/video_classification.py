"""What is going on in each frame of a video? Here: which digit moves, and where to, even while it is out of sight.

    python -m examples.video_classification

The videos are made of scikit-learn's handwritten digits. In each, one digit moves to and fro in a scene 28 pixels
wide, one pixel a frame, behind a wall in the middle that hides it for some frames. Each frame is to be labelled with
digit and direction. No single frame shows the direction, and those behind the wall show nothing: memory is needed.

    e_t = relu(x_t E + d)                         x_t are the pixels of frame t
    h_t = cell(e_t, h_{t-1})
    p(label of frame t = k | x_1 ... x_t) = softmax(V h_t + c)_k

The digits of the test videos are in no training video. The baseline is logistic regression on single frames.

Own videos or measurements over time: `--train FILE ... --test FILE ...`, and `--validation FILE ...` to choose weights
by, a video each. In csv each line but the first is a frame: numbers, none of them the time, and its label at the end;
npz holds `frames` (T, ...) and `labels` (T,). Each number is scaled to mean 0 and deviation 1. With `--both-directions`
a second network reads from the end of videos that are there whole.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import ORANGE, Progress, UserError, command_on_ranks, number, output_folder, picture
from .training import PARTS, Watch, add_split, common_to_ranks, given_split, learning_rate, mean_loss, shared_out, tenth

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
LENGTH, WIDTH, WALL = 32, 28, slice(8, 20)
BATCH, STRETCH = 32, 80  # videos in a batch, and frames of each at most
DROPOUT, NOISE = 0.3, 0.1  # of h_t, and the deviation of what is added to training frames

# --- data: each video is its frames (T, I) and a label (T,) for each ------------------------------------------------


def moving_digits(some: np.ndarray, count: int, rng: np.random.Generator) -> list[Any]:
    """Videos of some of scikit-learn's digits, 8 x WIDTH pixels a frame, with labels such as "3 left"."""
    from sklearn.datasets import load_digits

    digits, videos = load_digits(), []
    for n in some[rng.integers(0, len(some), count)]:
        step, place = rng.choice([-1, 1]), rng.choice([0, 1, 2, 3, 4, 16, 17, 18, 19, 20])  # in sight at first
        frames, labels = np.zeros((LENGTH, 8, WIDTH), np.float32), []
        for frame in frames:
            if not 0 <= place + step <= WIDTH - 8:
                step = -step
            place += step
            frame[:, place : place + 8] = digits.images[n] / 16
            labels.append(f"{digits.target[n]} {'left' if step < 0 else 'right'}")
        frames[:, :, WALL] = 0
        videos.append((frames.reshape(LENGTH, -1), np.array(labels)))
    return videos


def load(o: Any) -> list[list[Any]]:
    """Videos to learn from, to validate on (if that is asked for), and to test on."""
    if given_split(o):
        parts = [[read_video(f"--{part}", path) for path in getattr(o, part) or []] for part in PARTS]
    else:
        rng = np.random.default_rng(o.seed)
        order = rng.permutation(1797)  # scikit-learn's digits
        parts = [moving_digits(order[:1437], 3000, rng), [], moving_digits(order[1437:], 300, rng)]
    if o.patience and not o.validation:
        if len(parts[0]) < 2:
            raise UserError("--patience: with a single video to learn from, give --validation")
        parts[:2] = [[parts[0][n] for n in part] for part in tenth(len(parts[0]), o.seed)]
    return parts


def read_video(option: str, path: str) -> tuple[np.ndarray, np.ndarray]:
    """The frames, scaled, and the labels of a csv or npz file, which an option names."""
    if Path(path).suffix == ".npz":
        frames, labels = common.read_npz(option, path, "frames", "labels")
        labels = labels.astype(str)
    else:
        try:
            _, *lines = [line for line in csv.reader(common.read_lines(option, path)) if line]
            *columns, labels = (np.array(column) for column in zip(*lines, strict=True))
            frames = np.stack(columns, axis=1).astype(np.float64)
        except (ValueError, csv.Error) as error:
            raise UserError(f"cannot read {path}: not frames and labels as --help says ({error})") from error
    if labels.shape != frames.shape[:1] or labels.size < 2 or not frames.size or not np.isfinite(frames).all():
        raise UserError(f"{path}: at least two frames of finite numbers with a label each are needed")
    frames = frames.reshape(len(frames), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = frames.std(axis=0)
    if not np.isfinite(spread).all():
        raise UserError(f"{path}: numbers as large as {np.abs(frames).max():.3g} cannot be scaled; divide them first")
    return ((frames - frames.mean(axis=0)) / np.maximum(spread, 1e-6)).astype(np.float32), labels


# --- model ----------------------------------------------------------------------------------------------------------


class Watcher(nn.Module):
    """Frames (T, B, I) -> the logits of each one's label, (T, B, classes)."""

    def __init__(self, I: int, classes: int, o: Any, rng: np.random.Generator) -> None:
        self.encoder = nn.Linear(I, o.hidden, rng=rng)
        self.recurrent = CELLS[o.cell](o.hidden, o.hidden, rng=rng, bidirectional=o.both_directions)
        self.dropout = nn.Dropout(DROPOUT, rng)
        self.output = nn.Linear(o.hidden * (2 if o.both_directions else 1), classes, rng=rng)

    def forward(self, xs: np.ndarray) -> Any:
        h, _ = self.recurrent(mg.relu(self.encoder(xs)))  # (T, B, H), or (T, B, 2H) for both directions
        return self.output(self.dropout(h))

    @mg.no_grad()
    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """Those of each label for each frame of one video, (T, classes)."""
        return mg.softmax(self.eval()(frames[:, None]), axis=-1).data[:, 0]


# --- training -------------------------------------------------------------------------------------------------------


def train(videos: list[Any], held: list[Any], names: np.ndarray, o: Any, progress: Progress) -> Watcher:
    """Train on stretches of random videos, with a little noise; an epoch has as many frames as the videos have."""
    rng = np.random.default_rng(o.seed)
    model = Watcher(videos[0][0].shape[1], len(names), o, rng)
    rng = common_to_ranks(rng)
    T = min(STRETCH, *(len(labels) for _, labels in videos))
    per_epoch = max(1, sum(len(labels) for _, labels in videos) // (T * BATCH))
    optimizer = nn.AdamW(model.parameters(), learning_rate(o, per_epoch, o.steps), weight_decay=0.01)
    held_labels = np.searchsorted(names, [label for _, labels in held for label in labels])
    stretches = [(xs[t : t + T], labels[t : t + T]) for xs, labels in videos for t in range(len(labels) - T + 1)]

    @mg.compile
    def loss_and_gradients(xs: Any, labels: Any) -> Any:
        loss = nn.cross_entropy(model(xs), labels)
        loss.backward()
        return loss

    with Watch(model, np.log(len(names)), o) as watch:
        for step in range(1, o.steps + 1):
            batch = [stretches[n] for n in rng.integers(0, len(stretches), BATCH)]
            xs, labels = (np.stack(parts, axis=1) for parts in zip(*batch))  # (T, B, I), (T, B)
            xs = xs + np.float32(NOISE) * rng.standard_normal(xs.shape, np.float32)
            optimizer.zero_grad()
            mine, labels = watch.share(BATCH), np.searchsorted(names, labels)
            loss = watch.average(loss_and_gradients(xs[:, mine], labels[:, mine]) if len(mine) else None, len(mine))
            nn.clip_grad_norm(optimizer.params, o.clip)
            optimizer.step()
            progress.update(step / o.steps, f"step {number(step)}", f"loss {loss:.3f}")
            if held and (step % per_epoch == 0 or step == o.steps):
                p = answers(model, held)
                model.train()
                if watch.validated(mean_loss(p, held_labels)):
                    break
    watch.use_best(progress.say)
    return model


def answers(model: Watcher, videos: list[Any]) -> np.ndarray:
    """The probabilities of each label for each frame of some videos, which all ranks watch together."""
    return np.concatenate(shared_out(videos, lambda some: [model.probabilities(xs) for xs, _ in some]))


def logistic_regression(videos: list[Any], xs: np.ndarray, seed: int) -> np.ndarray:
    """The probabilities for the frames xs of a regression on single frames, fitted on some 6 000 of the videos'."""
    from sklearn.linear_model import LogisticRegression

    frames, labels = (np.concatenate(parts) for parts in zip(*videos))
    _, one_of_each = np.unique(labels, return_index=True)
    some = np.append(one_of_each, np.random.default_rng(seed).permutation(len(labels))[:6000])
    return LogisticRegression(max_iter=2000).fit(frames[some], labels[some]).predict_proba(xs)


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, frames: Any, labels: Any, names: np.ndarray, p: dict[str, np.ndarray], scenes: bool) -> None:
    """One video: scenes of it, if its frames are such, and the probability of each label over time, by both methods."""
    with picture(path, 9.2, 6) as figure:
        top, bottom = figure.subfigures(2, 1, height_ratios=(0.14, 1)) if scenes else (None, figure)
        for k, t in enumerate(range(0, LENGTH, 6) if scenes else [], 1):
            axes = top.add_subplot(1, 6, k, xticks=[], yticks=[], xlabel=f"frame {t}")
            axes.imshow(frames[t].reshape(8, WIDTH), cmap="gray_r")
            axes.axvspan(WALL.start - 0.5, WALL.stop - 0.5, color="#c8a27c")
            axes.spines.top.set_visible(True)
        for axes, (title, values) in zip(bottom.subplots(1, 2, sharey=True), p.items()):
            over_time = values[: len(labels)].T  # (classes, T)
            shown = axes.imshow(over_time, "Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axes.plot(*np.nonzero(labels[:, None] == names), "s", color=ORANGE, markersize=2)
            axes.set(title=title, xlabel="frame", yticks=range(len(names)), yticklabels=names)
            axes.grid(False)
        bottom.colorbar(shown, ax=bottom.axes, label="probability (dots: the truth)")


@command_on_ranks
def main(argv: list[str]) -> None:
    """Label the frames of videos that training did not see."""
    parser = common.example_parser(__doc__, hidden=96, steps=2500, lr=3e-3, clip=1.0)
    add_split(parser, "csv or npz files of one video each")
    parser.add_argument("--cell", choices=CELLS, default="gru", help="(default: %(default)s)")
    parser.add_argument("--both-directions", action="store_true", help="read from the end as well")
    o = common.parse_example(parser, argv, "sklearn", steps=250, lr=1e-2, hidden=64)
    training, held, test = load(o)
    names = np.unique(np.concatenate([labels for _, labels in training]))
    if len(names) < 2 or len({xs.shape[1] for xs, _ in training + held + test}) > 1:
        raise UserError("the videos must have at least two labels, and equally many numbers in all frames")
    if unknown := {label for _, labels in held for label in labels} - {*names}:
        raise UserError(f"--validation: no video to learn from has the label {' or '.join(sorted(unknown)[:5])}")
    folder = output_folder(o.out)
    xs, truth = (np.concatenate(of) for of in zip(*test))
    with Progress() as progress:
        progress.say(f"{number(len(training))} videos to learn from, {len(test)} to test on, {len(names)} labels")
        if new := {*truth.tolist()} - {*names.tolist()}:
            count = np.isin(truth, [*new]).sum()
            progress.say(f"{number(int(count))} of {number(len(truth))} frames to test on count as wrong: no video to "
                         f"learn from has their label, {' or '.join(sorted(new)[:5])}")  # fmt: skip
        single = logistic_regression(training, xs, o.seed)
        model = train(training, held, names, o, progress)
    network = answers(model, test)
    p = {o.cell.upper(): network, "logistic regression on single frames": single}
    right = {title: names[of.argmax(axis=1)] == truth for title, of in p.items()}
    places = {"all frames": truth == truth} | ({} if o.train else {"behind the wall": ~xs.any(axis=1)})
    found = {where: {title: float(hit[at].mean()) for title, hit in right.items()} for where, at in places.items()}
    common.write_json(folder / "result.json", found)
    draw(folder / "video.png", *test[0], names, p, not o.train)
    for where, of in found.items():
        print(f"result: {where} labelled right: " + ", ".join(f"{title} {share:.3f}" for title, share in of.items()))
    print(f"picture: {folder / 'video.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
