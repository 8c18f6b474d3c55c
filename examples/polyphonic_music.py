"""Which notes come next? A recurrent network hears several voices and gives each key of a piano a probability.

    python -m examples.polyphonic_music

The default pieces are generated: chords of four voices that follow one another as in a hymn, each piece in a key of its
own, in which some voices move early. The network hears the keys that sound, x_t in {0, 1}^88, frame by frame:

    h_t = cell(x_{t-1}, h_{t-1})                  x_0 = 0, so that the first frame is predicted as well
    p(key k sounds at t | x_1 ... x_{t-1}) = σ(V h_t + c)_k

The figure is the one that papers give: nats a frame, -log p of all 88 keys together, the mean over all frames. Pieces
differ in length; a batch is padded, and padding counts nothing. The baseline gives each key the share of frames in
which it sounds.

Own pieces: `--data FILE`, JSON with the parts train, valid and test: in each a list of pieces, a piece a list of
frames, a frame the list of the MIDI numbers, 21 to 108, of the keys that sound; -1 or NaN is a voice at rest. After
each epoch the validation pieces choose the weights.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import Progress, UserError, at_least, command_on_ranks, number, output_folder, picture
from .training import Watch, shared_out

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
KEYS, LOWEST = 88, 21  # of a piano, and the MIDI number of the lowest one
BATCH = 8  # pieces
PARTS = ("train", "valid", "test")

# --- data: each piece is an array (T, 88), 1 where a key sounds -----------------------------------------------------

CHORDS = {"I": (0, 4, 7), "ii": (2, 5, 9), "IV": (5, 9, 12), "V": (7, 11, 14), "vi": (9, 12, 16)}
AFTER = {"I": ("IV", "V", "vi", "ii"), "ii": ("V",), "IV": ("V", "I", "ii"), "V": ("I", "I", "vi"), "vi": ("ii", "IV")}


def hymn(rng: np.random.Generator) -> np.ndarray:
    """Chords of two frames each; in the second one a voice may be in the next chord already."""
    key, name, chords = 48 + int(rng.integers(12)), "I", []
    for _ in range(int(rng.integers(8, 24))):
        root, third, fifth = (key + note for note in CHORDS[name])
        chords.append([root - 12, third, fifth, root + 12])
        name = str(rng.choice(AFTER[name]))
    frames = []
    for chord, following in zip(chords, [*chords[1:], chords[0]]):
        voice = int(rng.integers(8))  # 4 and above: none
        frames += [chord, [b if k == voice else a for k, (a, b) in enumerate(zip(chord, following))]]
    return roll(frames)


def roll(frames: list[list[int]]) -> np.ndarray:
    """The keys (T, 88) that sound in frames of MIDI numbers."""
    keys = np.zeros((len(frames), KEYS), np.float32)
    for row, notes in zip(keys, frames):
        row[[note - LOWEST for note in notes]] = 1
    return keys


def read(path: str) -> dict[str, list[np.ndarray]]:
    """The pieces of each part of a file."""
    try:
        parts = json.loads("\n".join(common.read_lines("--data", path)))
        pieces = {part: [roll([midi(frame) for frame in piece]) for piece in parts[part]] for part in PARTS}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise UserError(f"--data: {path} is not JSON of pieces as --help says ({error})") from error
    for part, found in pieces.items():
        if not found or not all(map(len, found)):
            raise UserError(f"--data: {path}: {part} needs a piece, and each piece a frame")
    return pieces


def midi(frame: list[float]) -> list[int]:
    """The MIDI numbers of a frame, without voices at rest: -1, or NaN."""
    notes = [note for note in frame if note != -1 and note == note]
    if wrong := [note for note in notes if note != int(note) or not 0 <= note - LOWEST < KEYS]:
        raise ValueError(f"{wrong[0]} is no MIDI number of 21 to 108")
    return [int(note) for note in notes]


# --- model ----------------------------------------------------------------------------------------------------------


class Listener(nn.Module):
    """Keys (T, B, 88) -> the logits of those that sound in each frame, from the frames before it, (T, B, 88)."""

    def __init__(self, shares: np.ndarray, o: Any, rng: np.random.Generator) -> None:
        self.recurrent = CELLS[o.cell](KEYS, o.hidden, rng=rng)
        self.dropout = nn.Dropout(o.dropout, rng)
        self.output = nn.Linear(o.hidden, KEYS, rng=rng)
        self.output.b.data = np.log(shares / (1 - shares))  # at first each key has its share

    def forward(self, xs: np.ndarray, lengths: Any = None) -> Any:
        before = np.concatenate([np.zeros_like(xs[:1]), xs[:-1]])
        return self.output(self.dropout(self.recurrent(before, lengths=lengths)[0]))


def nats(logits: Any, xs: Any, lengths: Any) -> Any:
    """-log p of all keys of a frame, the mean over all frames of a padded batch."""
    return KEYS * nn.binary_cross_entropy_with_logits(logits, xs, lengths=lengths)


def nats_a_frame(model: Any, pieces: list[np.ndarray]) -> float:
    """The same over pieces, of a model, or of logits that are the same in each frame."""
    if not isinstance(model, Listener):
        xs = np.concatenate(pieces)
        return float(KEYS * nn.binary_cross_entropy_with_logits(np.broadcast_to(model, xs.shape), xs))
    model = model.eval()
    batches = [nn.pad_sequences(pieces[k : k + BATCH]) for k in range(0, len(pieces), BATCH)]

    @mg.no_grad()
    def totals(some: list[Any]) -> list[float]:
        return [nats(model(xs, own), xs, own).item() * own.sum() for xs, own in some]

    return float(sum(shared_out(batches, totals)) / sum(map(len, pieces)))


# --- training -------------------------------------------------------------------------------------------------------


def train(pieces: dict[str, list[np.ndarray]], shares: np.ndarray, o: Any, progress: Progress) -> Listener:
    """Train on batches of pieces of similar lengths, with a rate that is halved when the validation is no better."""
    rng = np.random.default_rng(o.seed)
    model = Listener(shares, o, rng)
    plateau = nn.plateau_decay(o.lr, factor=0.5, patience=3)
    optimizer = nn.Adam(model.parameters(), plateau)
    lengths = [len(piece) for piece in pieces["train"]]
    rng = np.random.default_rng([o.seed, 1])  # of the order, the same on all ranks
    with Watch(
        model, nats_a_frame(np.log(shares / (1 - shares)), pieces["train"]), o, baseline="the share of each key has"
    ) as watch:
        for epoch in range(1, o.epochs + 1):
            model.train()
            for batch in nn.bucket_by_length(lengths, BATCH, rng):
                optimizer.zero_grad()
                mine, loss, count = watch.share(batch), None, 0
                if len(mine):
                    xs, own = nn.pad_sequences([pieces["train"][n] for n in mine])
                    loss, count = nats(model(xs, own), xs, own), int(own.sum())
                    loss.backward()
                loss = watch.average(loss, count)
                nn.clip_grad_norm(optimizer.params, o.clip)
                optimizer.step()
            held = nats_a_frame(model, pieces["valid"])
            progress.update(epoch / o.epochs, f"epoch {epoch}", f"validation {held:.3f} nats a frame")
            plateau.update(held)
            if watch.validated(held):
                break
    watch.use_best(progress.say)
    return model


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, model: Listener, piece: np.ndarray) -> None:
    """A piece, and the probability of each of its keys."""
    with mg.no_grad():
        p = mg.sigmoid(model.eval()(piece[:, None])).data[:, 0]
    with picture(path, 9.2, 4.2) as figure:
        keys = np.flatnonzero(piece.any(axis=0)) if piece.any() else np.arange(KEYS)  # a silent piece has all
        low, high = keys[[0, -1]]
        for axes, (title, shown) in zip(
            figure.subplots(1, 2, sharey=True), {"the piece": piece, "probabilities": p}.items()
        ):
            axes.imshow(shown[:64].T, "Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest", origin="lower")
            axes.set(title=title, xlabel="frame", ylim=(low - 2.5, high + 2.5))
            axes.grid(False)
        figure.axes[0].set(ylabel="key")


@command_on_ranks
def main(argv: list[str]) -> None:
    """Predict the keys of pieces that training did not hear."""
    parser = common.example_parser(__doc__, hidden=64, epochs=60, lr=5e-3, clip=5.0, dropout=0.2)
    parser.add_argument("--data", metavar="FILE", help="JSON of pieces (default: generated ones)")
    parser.add_argument("--cell", choices=CELLS, default="gru", help="(default: %(default)s)")
    parser.add_argument("--patience", type=at_least(1), metavar="N", help="stop when the validation has not been "
                        "better for N epochs (default: all epochs)")  # fmt: skip
    o = common.parse_example(parser, argv, epochs=12, hidden=32, lr=1e-2)
    if o.data:
        pieces = read(o.data)
    else:
        rng = np.random.default_rng(o.seed)
        pieces = {part: [hymn(rng) for _ in range(n)] for part, n in zip(PARTS, (160, 20, 20))}
    folder = output_folder(o.out)
    sounding = np.concatenate(pieces["train"])
    shares = ((sounding.sum(axis=0) + 0.5) / (len(sounding) + 1)).astype(np.float32)
    with Progress() as progress:
        progress.say(", ".join(f"{number(len(pieces[part]))} pieces in {part}" for part in PARTS))
        model = train(pieces, shares, o, progress)
    found = {
        part: {o.cell.upper(): nats_a_frame(model, pieces[part]),
               "shares of the keys": nats_a_frame(np.log(shares / (1 - shares)), pieces[part])} for part in PARTS
    }  # fmt: skip
    common.write_json(folder / "result.json", found)
    draw(folder / "notes.png", model, pieces["test"][0])
    for part, of in found.items():
        print(f"result: {part} nats a frame: " + ", ".join(f"{title} {value:.3f}" for title, value in of.items()))
    print(f"picture: {folder / 'notes.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
