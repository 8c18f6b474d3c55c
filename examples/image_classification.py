"""Which digit is it? A recurrent network reads images row by row, or pixel by pixel, and then says what it saw.

    python -m examples.image_classification

The data are 1 797 handwritten digits of 8 × 8 pixels, which scikit-learn brings along. An image is a sequence: of 8
rows of 8 pixels (x_t is a row), or of 64 single pixels, for which the network must remember eight times as long. After
the last step the output is a probability for each class:

    h_t = cell(x_t, h_{t-1})                      the cell is a simple RNN, an LSTM or a GRU
    p(class = k | x_1 ... x_T) = softmax(V h_T + c)_k

A fifth of the images is held out. The baseline is logistic regression on all pixels at once, on the same split.

Own images: `--images FOLDER` with one folder of equally large pictures for each class, or `--images FILE.npz` with the
arrays `images` (N, height, width) and `labels` (N,); or, where the test is given, `--train` and `--test` with any
number of these, and `--validation` to choose weights by.
"""

from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import COLOURS, GREY, Progress, UserError, command_on_ranks, number, output_folder, picture
from .training import PARTS, Watch, add_split, common_to_ranks, given_split, learning_rate, mean_loss, shared_out, tenth

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
BATCH = 32

# --- data -----------------------------------------------------------------------------------------------------------


Images = tuple[np.ndarray, np.ndarray]  # (N, height, width) and labels (N,)


def load_images(option: str, source: str | None) -> Images:
    """The images and the labels that an option names, or scikit-learn's digits."""
    if source is None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images, labels = digits.images, digits.target
    elif Path(source).is_dir():
        images, labels = read_folder(Path(source))
    else:
        images, labels = common.read_npz(option, source, "images", "labels")
    if images.ndim != 3 or labels.shape != images.shape[:1] or not (images.size and np.isfinite(images).all()):
        shapes = f"{images.shape}, {labels.shape}"
        raise UserError(f"{source}: images must be finite numbers (N, height, width) with N labels: {shapes}")
    return images, labels


def load(o: Any) -> tuple[list[Images], list[str]]:
    """Images to learn from, to test on and, if any are asked for, to validate on, with class numbers; their names."""
    if given_split(o, "images"):
        parts = [[load_images(f"--{part}", source) for source in getattr(o, part) or []] for part in PARTS]
        if len(shapes := {images.shape[1:] for part in parts for images, _ in part}) > 1:
            raise UserError(f"--train, --validation and --test have images of several sizes: {shapes}")
        training, validation, test = (
            tuple(map(np.concatenate, zip(*part))) if part else tuple(a[:0] for a in parts[0][0]) for part in parts
        )
        least = 1
    else:
        training = load_images("--images", o.images)
        least = 5
    names, counts = np.unique(training[1], return_counts=True)
    if len(names) < 2 or counts.min() < least:
        raise UserError(
            f"{o.images or '--train'}: at least two classes of at least {'five images' if least > 1 else 'one image'} "
            "are needed, each in training and test"
        )
    if o.train is None:
        from sklearn.model_selection import train_test_split

        split = train_test_split(*training, test_size=0.2, random_state=o.seed, stratify=training[1])
        training, test, validation = split[::2], split[1::2], tuple(a[:0] for a in training)
    if o.patience and not o.validation:
        training, validation = (tuple(a[part] for a in training) for part in tenth(len(training[1]), o.seed))
    if unknown := {*validation[1], *test[1]} - {*names}:
        raise UserError(
            f"--train has no image that is labelled {' or '.join(map(str, sorted(unknown)[:5]))}, as others are"
        )
    scale = max(1e-12, np.abs(training[0]).max())
    parts = [((a / scale).astype(np.float32), np.searchsorted(names, b)) for a, b in (training, test, validation)]
    return parts, [str(name) for name in names]


def read_folder(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """All pictures in the folder's folders, in grey, and the name of the folder of each."""
    from PIL import Image

    images, labels = [], []
    for path in sorted(source.glob("*/[!.]*")):
        try:
            with Image.open(path) as file:
                images.append(np.asarray(file.convert("L"), np.float32))
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{path} is no picture that can be read") from error
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

    def __init__(self, cell: str, I: int, classes: int, o: Any, rng: np.random.Generator) -> None:
        self.recurrent = CELLS[cell](I, o.hidden, rng=rng)
        self.dropout = nn.Dropout(o.dropout, rng)
        self.output = nn.Linear(o.hidden, classes, rng=rng)

    def forward(self, xs: np.ndarray) -> Any:
        h, _ = self.recurrent(xs)  # (T, B, H)
        return self.output(self.dropout(h[-1]))

    @mg.no_grad()
    def beliefs(self, xs: np.ndarray) -> np.ndarray:
        """The probabilities (T, B, classes) that it would give if it had to answer after each step."""
        h, _ = self.eval().recurrent(xs)
        return mg.softmax(self.output(h), axis=-1).data


# --- training -------------------------------------------------------------------------------------------------------


def train(cell: str, view: str, data: list[Images], o: Any, progress: Progress) -> tuple[Reader, list[float], float]:
    """Train one network: it, its held-out accuracy after each epoch, and that with the weights that are kept."""
    (xs, labels), (test_xs, test_labels), (held_xs, held) = ((as_sequences(x, view), y) for x, y in data)
    rng = np.random.default_rng(o.seed)
    model = Reader(cell, xs.shape[2], int(labels.max()) + 1, o, rng)
    rng = common_to_ranks(rng)
    per_epoch = -(-len(labels) // BATCH)
    rate = learning_rate(o, per_epoch, o.epochs * per_epoch)
    optimizer = nn.AdamW(model.parameters(), rate, weight_decay=1e-3)

    @mg.compile
    def loss_and_gradients(xs: Any, labels: Any) -> Any:
        loss = nn.cross_entropy(model(xs), labels)
        loss.backward()
        return loss

    def answers(xs: np.ndarray) -> np.ndarray:
        return np.array(shared_out(xs.shape[1], lambda mine: model.beliefs(xs[:, mine])[-1]))  # (N, classes)

    def accuracy() -> float:
        return float(np.mean(answers(test_xs).argmax(axis=-1) == test_labels))

    accuracies: list[float] = []
    with Watch(model, np.log(labels.max() + 1), o, f"{cell.upper()} by {view}") as watch:
        for epoch in range(o.epochs):
            model.train()
            order = rng.permutation(len(labels))
            for batch in np.split(order, range(BATCH, len(order), BATCH)):
                optimizer.zero_grad()
                mine = watch.share(batch)
                watch.average(loss_and_gradients(xs[:, mine], labels[mine]) if len(mine) else None, len(mine))
                nn.clip_grad_norm(optimizer.params, o.clip)
                optimizer.step()
            accuracies.append(accuracy())
            done = (epoch + 1) / o.epochs
            progress.update(done, f"{watch.name}, {done:.0%}", f"held-out accuracy {accuracies[-1]:.3f}")
            if len(held) and watch.validated(mean_loss(answers(held_xs), held)):
                break
    watch.use_best(progress.say)
    return model, accuracies, accuracy()


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, curves: Any, found: Any, baseline: float, models: Any, test: Images, names: list[str]) -> None:
    """The accuracies over the epochs, and how the best network's belief changes while it reads four images."""
    images, labels = test
    best = max(found, key=lambda run: found[run])
    low = max(0, min(0.6, baseline, *found.values()) - 0.1)
    beliefs = models[best].beliefs(as_sequences(images, best[1]))  # (T, N, classes)
    beliefs = beliefs.reshape(images.shape[1], -1, *beliefs.shape[1:])[:, -1]  # (height, N, classes), after each row
    p = beliefs[:, np.arange(len(labels)), labels]
    doubt = np.where(p[-1] > 0.5, 1 - p, 0).sum(axis=0)  # of those that were read right in the end
    with picture(path, 8.4, 6.2) as figure:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1))
        views = dict.fromkeys(view for _, view in curves)
        for view, axes in zip(views, top.subplots(1, len(views), sharey=True, squeeze=False)[0]):
            for (cell, of), curve in curves.items():
                if of == view:
                    label = f"{cell.upper()} {found[cell, of]:.3f}"
                    axes.plot(range(1, len(curve) + 1), curve, color=COLOURS[cell], label=label)
            axes.axhline(baseline, color=GREY, linestyle="--", label=f"logistic regression {baseline:.3f}")
            axes.set(xlabel="epoch", title=f"held-out accuracy, by {view}", ylim=(low, 1.005))
            axes.legend(loc="lower right")
        bottom.suptitle(f"what the {best[0].upper()} by {best[1]} believes after each row of an image")
        for axes, n in zip(bottom.subplots(1, 4), np.argsort(-doubt)):
            axes.imshow(images[n], cmap="gray_r", extent=(-1.1, -0.1, 0, 1))
            axes.imshow(beliefs[:, n], cmap="Blues", vmin=0, vmax=1, extent=(0, 1, 0, 1), aspect="auto")
            axes.set_xticks((np.arange(len(names)) + 0.5) / len(names), [name[:2] for name in names], size=7)
            axes.set(xlim=(-1.1, 1), yticks=[], xlabel=f"a {names[labels[n]]}")
            axes.grid(False)


@command_on_ranks
def main(argv: list[str]) -> None:
    """Compare the cells on one way of reading or two."""
    parser = common.example_parser(__doc__, hidden=64, epochs=60, lr=5e-3, clip=1.0, dropout=0.3)
    parser.add_argument("--images", help="folder of folders, or npz file (default: scikit-learn's digits)")
    add_split(parser, "folders of folders, or npz files")
    parser.add_argument("--views", nargs="+", choices=("rows", "pixels"), default=["rows", "pixels"])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    o = common.parse_example(parser, argv, "sklearn", views=["rows"], cells=["gru"], epochs=12)
    data, names = load(o)
    folder = output_folder(o.out)
    from sklearn.linear_model import LogisticRegression

    flat, test_flat = (images.reshape(len(images), -1) for images, _ in data[:2])
    baseline = LogisticRegression(max_iter=5000).fit(flat, data[0][1]).score(test_flat, data[1][1])
    print(f"{number(len(flat))} images to learn from, {number(len(test_flat))} held out, {len(names)} classes")
    models, curves, found = {}, {}, {}
    for view in o.views:
        for cell in o.cells:
            with Progress() as progress:
                run = cell, view
                models[run], curves[run], found[run] = train(cell, view, data, o, progress)
                progress.say(f"{cell.upper()} by {view}: held-out accuracy {found[run]:.3f}")
    figures = {f"{cell} {view}": accuracy for (cell, view), accuracy in found.items()}
    figures["logistic regression"] = baseline
    common.write_json(folder / "result.json", figures)
    draw(folder / "accuracy.png", curves, found, baseline, models, data[1], names)
    print("result: held-out accuracy " + ", ".join(f"{name} {accuracy:.3f}" for name, accuracy in figures.items()))
    print(f"picture: {folder / 'accuracy.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
