"""What is in the picture? A convolutional network looks at a scene of digits, a recurrent one says what it has seen.

    python -m examples.image_captioning

A scene has two or three of scikit-learn's handwritten digits, some of them small, beside or above each other in a grid
of 3 × 3 cells. Its caption is such as "a three left of a small seven above a zero": the three is left of the seven, and
the seven above the zero. The image decides the state in which the decoder starts, and nothing else:

    e_ij = relu(B relu(A x_ij + a) + b)           x_ij are 9 × 9 pixels: a convolution in steps of 9
    h_0 = tanh(W relu(U [e_11 ... e_33] + u) + w)
    h_t = GRU(y_{t-1}, h_{t-1})                   y_0 stands for the start
    p(y_t = word | y_1 ... y_{t-1}, image) = softmax(V h_t + c)_word

In training it is told the right words so far; afterwards beam search finds the most probable caption. No digit of the
test scenes is in a training scene, and 8 of 56 layouts (relations and sizes, as in "a _ above a small _") are in the
second test only. The baseline: the caption of the training scene whose pixels differ least.
"""

import itertools
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import GREEN, ORANGE, Progress, UserError, command_on_ranks, number, output_folder, picture
from .training import Watch, common_to_ranks, shared_out

# --- data: images (N, height, width) and as many captions -----------------------------------------------------------

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
STEPS = {"left of": (0, 1), "right of": (0, -1), "above": (1, 0)}  # to the next digit, in rows and columns
RELATIONS = [("left of",), ("above",), *itertools.product(STEPS, ("left of", "above")), ("above", "right of")]
RELATIONS.remove(("right of", "left of"))  # back to where the first digit is
LAYOUTS = [(of, sizes) for of in RELATIONS for sizes in itertools.product(("", "small "), repeat=len(of) + 1)]
CELL, CHANNELS, BATCH, BEAM = 9, 64, 64, 3  # the first in pixels


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Squares (N, S, S) as (N, size, size), each pixel the mean of what it covers."""
    N, S, _ = images.shape
    return np.kron(images, np.ones((size, size))).reshape(N, size, S, size, S).mean(axis=(2, 4))


def scenes(layouts: Any, digits: np.ndarray, labels: np.ndarray, count: int, rng: Any) -> tuple[np.ndarray, list[str]]:
    """Scenes (count, 27, 27) of digits (N, 8, 8) from 0 to 1, and their captions."""
    images, captions = np.zeros((count, 3 * CELL, 3 * CELL), np.float32), []
    glyphs = {"": digits, "small ": resized(digits, 5)}
    for image in images:
        relations, sizes = layouts[rng.integers(len(layouts))]
        cells = np.cumsum([(0, 0), *(STEPS[relation] for relation in relations)], axis=0) * CELL  # rows, columns
        cells -= cells.min(axis=0)
        cells += CELL * rng.integers(0, 3 - cells.max(axis=0) // CELL)
        caption = ""
        for n, size, cell, to in zip(rng.integers(0, len(labels), len(sizes)), sizes, cells, (*relations, "")):
            glyph, name = glyphs[size][n], NAMES[labels[n]]
            r, c = cell + (CELL - len(glyph)) // 2 + rng.integers(0, 2, 2)
            image[r : r + len(glyph), c : c + len(glyph)] = glyph
            caption += f"{'an' if size + name == 'eight' else 'a'} {size}{name} {to} "
        captions.append(caption.strip())
    return images, captions


def read(path: str) -> tuple[np.ndarray, list[str]]:
    """The images, up to 1 and with zeros up to whole cells, and the captions of a file."""
    images, captions = common.read_npz("--data", path, "images", "captions")
    if images.ndim != 3 or not images.size or not np.isfinite(images).all():
        raise UserError(f"--data: {path}: images must be finite numbers (N, height, width), got {images.shape}")
    paired = captions.shape == images.shape[:1] and len(captions) >= 5
    if not paired or captions.dtype.kind != "U" or "" in map(str.strip, captions):
        raise UserError(f"--data: {path}: one caption for each image is needed, of at least 5")
    images = np.pad(images, ((0, 0), (0, -images.shape[1] % CELL), (0, -images.shape[2] % CELL)))
    return (images / max(1e-12, np.abs(images).max())).astype(np.float32), [" ".join(c.split()) for c in captions]


def numbered(captions: list[str], vocabulary: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Words to read (T, N), behind the start 0, and to guess (T, N), up to the end 0; beyond that 0 and -1."""
    words, _ = nn.pad_sequences([[0, *map(vocabulary.index, caption.split()), 0] for caption in captions], value=-1)
    return np.maximum(words[:-1], 0), words[1:]


# --- model ----------------------------------------------------------------------------------------------------------


class Captioner(nn.Module):
    """Images (B, height, width) and the words so far (T, B) -> the logits of the next words, (T, B, V)."""

    def __init__(self, height: int, width: int, V: int, H: int, dropout: float, rng: np.random.Generator) -> None:
        self.A = nn.Conv2d(1, CHANNELS, CELL, stride=CELL, rng=rng)
        self.B = nn.Conv2d(CHANNELS, CHANNELS, 1, rng=rng)
        self.U = nn.Linear(CHANNELS * (height // CELL) * (width // CELL), 4 * H, rng=rng)
        self.W = nn.Linear(4 * H, H, rng=rng)
        self.decoder = nn.GRU(V, H, rng=rng)
        self.decoder.cells[0].b.writable()[:H] = -4.0  # of the gate z: at first, h_0 lasts for all words
        self.dropout = nn.Dropout(dropout, rng)
        self.V = nn.Linear(H, V, rng=rng)

    def look(self, images: Any) -> Any:
        """The state in which the decoder starts."""
        e = mg.relu(self.B(mg.relu(self.A(3 * images[:, None]))))  # (B, channels, 3, 3)
        return (mg.tanh(self.W(mg.relu(self.U(self.dropout(e.reshape(len(images), -1)))))),)

    def step(self, words: Any, state: Any) -> Any:
        """The logits (B, V) of the words after these (B,)."""
        h, state = self.decoder(words[None], state)
        return self.V(h[0]), state

    def forward(self, images: Any, words: Any) -> Any:
        h, _ = self.decoder(words, self.look(images))  # (T, B, H)
        return self.V(self.dropout(h))

    @mg.no_grad()
    def say(self, image: np.ndarray, length: int) -> list[int]:
        """The most probable words that a beam search finds."""
        return nn.beam_search(self.step, 0, length, BEAM, self.eval().look(image[None]), end=0)[0][0]


# --- training -------------------------------------------------------------------------------------------------------


def train(images: np.ndarray, read: np.ndarray, guess: np.ndarray, V: int, o: Any, progress: Progress) -> Captioner:
    """Train on random batches."""
    rng = np.random.default_rng(o.seed)
    model = Captioner(*images.shape[1:], V, o.hidden, o.dropout, rng).train()
    rng = common_to_ranks(rng)
    optimizer = nn.AdamW(model.parameters(), nn.cosine_decay(o.lr, o.steps, warmup=o.steps // 20), weight_decay=0.01)

    @mg.compile
    def gradients(images: Any, read: Any, guess: Any) -> Any:
        loss = nn.cross_entropy(model(images, read), guess, ignore_index=-1)
        loss.backward()
        return loss

    with Watch(model, np.log(V), o) as watch:
        for step in range(o.steps):
            batch = rng.integers(0, len(images), BATCH)
            optimizer.zero_grad()
            mine = watch.share(batch)
            loss = gradients(images[mine], read[:, mine], guess[:, mine]) if len(mine) else None
            loss = watch.average(loss, int((guess[:, mine] != -1).sum()))
            nn.clip_grad_norm(optimizer.params, o.clip)
            optimizer.step()
            progress.update(step / o.steps, f"step {number(step)} of {number(o.steps)}", f"loss {loss:.3f}")
    return model


def nearest(images: np.ndarray, captions: list[str], test: np.ndarray) -> list[str]:
    """The caption of the training image that differs least, for each test image."""
    from sklearn.metrics import pairwise_distances_argmin

    return [captions[n] for n in pairwise_distances_argmin(*(of.reshape(len(of), -1) for of in (test, images)))]


def scores(said: list[str], captions: list[str]) -> dict[str, float]:
    """How many captions are right in every word, and how many words stand in their places, the end counted as one."""
    pairs = [([*a.split(), ""], [*b.split(), ""]) for a, b in zip(said, captions)]
    right = sum(x == y for a, b in pairs for x, y in zip(a, b))
    return {"exact": sum(a == b for a, b in pairs) / len(pairs), "words": right / sum(len(b) for _, b in pairs)}


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, tests: Any, said: dict[str, list[str]]) -> None:
    """Scenes of each test, four of them read right and two wrong, if there are as many."""
    with picture(path, 9.2, 2.6 * len(tests)) as figure:
        parts = figure.subfigures(len(tests), 1, squeeze=False).flat
        for part, (title, (images, captions)) in zip(parts, tests.items()):
            right = np.array([a == b for a, b in zip(said[title], captions)])
            part.suptitle(f"{title}: {right.mean():.1%} of all captions right in every word", x=0.01, ha="left")
            panels = part.subplots(1, 6, subplot_kw={"xticks": [], "yticks": [], "anchor": "N"})
            for axes, n in zip(panels, [*np.flatnonzero(right)[:4], *np.flatnonzero(~right)[:2]]):
                axes.imshow(images[n], cmap="gray_r")
                colour = GREEN if right[n] else ORANGE
                axes.spines[:].set(visible=True, color=colour, linewidth=2)
                lines = [captions[n]] if right[n] else [f"said: {said[title][n]}", f"truth: {captions[n]}"]
                axes.set_xlabel("\n".join(textwrap.fill(line, 26) for line in lines), color=colour, fontsize=7.5)


@command_on_ranks
def main(argv: list[str]) -> None:
    """Learn to caption scenes, and caption others."""
    parser = common.example_parser(__doc__, hidden=128, steps=6000, lr=4e-3, clip=1.0, dropout=0.2)
    parser.add_argument("--data", help="npz file: images (N, height, width), captions (N,); a fifth is held out")
    o = common.parse_example(parser, argv, "sklearn", steps=900, lr=6e-3, dropout=0.0)
    rng = np.random.default_rng(o.seed)
    if o.data:
        images, captions = read(o.data)
        parts = np.split(rng.permutation(len(images)), [len(images) // 5])
        held, training = ((images[part], [captions[n] for n in part]) for part in parts)
        tests = {"held-out images": held}
    else:
        from sklearn.datasets import load_digits

        digits, count = load_digits(), 200 if o.quick else 500
        order = rng.permutation(len(digits.images))
        layouts = rng.permutation(8 if o.quick else 56)  # the first 8 have two digits
        seen, new = ((digits.images[part] / 16, digits.target[part]) for part in np.split(order, [len(order) * 4 // 5]))
        known, kept = ([LAYOUTS[n] for n in part] for part in np.split(layouts, [len(layouts) * 6 // 7]))
        training = scenes(known, *seen, 8000 if o.quick else 40000, rng)
        tests = {"new digits": scenes(known, *new, count, rng), "new layouts": scenes(kept, *new, count, rng)}
    vocabulary = ["", *sorted({word for caption in training[1] for word in caption.split()})]
    words, guesses = numbered(training[1], vocabulary)
    folder = output_folder(o.out)
    said, found = {}, {}
    with Progress() as progress:
        progress.say(f"{number(len(words[0]))} images to learn from, {len(vocabulary) - 1} words")
        model = train(training[0], words, guesses, len(vocabulary), o, progress)
        for title, (images, captions) in tests.items():
            spoken = shared_out(images, lambda some: [model.say(image, len(words)) for image in some])
            said[title] = [" ".join(vocabulary[n] for n in numbers).strip() for numbers in spoken]
            both = {"network": said[title], "nearest scene": nearest(*training, images)}
            found[title] = {name: scores(of, captions) for name, of in both.items()}
            figures = (f"{name} {of['exact']:.3f} ({of['words']:.3f})" for name, of in found[title].items())
            progress.say(f"result: {title}: captions (words) right: {', '.join(figures)}")
    common.write_json(folder / "result.json", found)
    draw(folder / "captions.png", tests, said)
    print(f"picture: {folder / 'captions.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
