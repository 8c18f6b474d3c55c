"""Does a sentence praise or blame? A recurrent network reads it in both directions and gives each label a probability.

    python -m examples.sentiment

The default sentences are generated. One to three clauses each say something of a thing, as in "i do not think the film
was very good but the food was not bad". The adjective has a sign, an adverb its strength (slightly 1, nothing 2, very
4), and each negation turns the sign of its own clause only; the label is the sign of the sum. So the same words in
another order may mean the opposite, and no bag of words can tell. The network sees the words x_1 ... x_T in order:

    e_t = E[x_t]                                  a row of E for each word; rare words share one
    h_t = [f_t, b_t]                              f_t = cell(e_t, f_{t-1}), b_t = cell(e_t, b_{t+1})
    p(label = k | x_1 ... x_T) = softmax(V max_t h_t + c)_k

Each fifth of the sentences is held out once (5-fold cross-validation). The baselines are naive Bayes on counts of words
and logistic regression on TF-IDF weights, fitted to the same folds.

Own sentences: `--data FILE ...`, UTF-8, on each line a label and a sentence with a tab between, in either order: the
labels are in the column with fewer different entries (the first, if there are as many).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import BLUE, GREY, Progress, UserError, at_least, command, need, number, output_folder, picture

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

# --- data: pairs of a label and a sentence --------------------------------------------------------------------------

THINGS = ["film", "plot", "music", "food", "service", "room", "staff", "view", "price", "camera", "battery", "screen"]
FRAMES = {"": 1, "i think ": 1, "they say ": 1, "i do not think ": -1}
VERBS = {"was": 1, "seemed": 1, "was not": -1}
DEGREES = {" slightly": 1, " somewhat": 1, "": 2, " rather": 2, " very": 4, " extremely": 4}
ADJECTIVES = {"good": 1, "great": 1, "lovely": 1, "superb": 1, "bad": -1, "awful": -1, "dull": -1, "poor": -1}


def clause(rng: np.random.Generator) -> tuple[str, int]:
    """Something said of a thing, and how much it praises: the product of the parts' values."""
    parts = [list(kind.items())[rng.integers(len(kind))] for kind in (FRAMES, VERBS, DEGREES, ADJECTIVES)]
    (frame, verb, degree, adjective), values = zip(*parts)
    return f"{frame}the {rng.choice(THINGS)} {verb}{degree} {adjective}", int(np.prod(values))


def generated(count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Sentences of one to three clauses, no two the same, each positive or negative on the whole."""
    found: dict[str, str] = {}
    while len(found) < count:
        sentence, last = clause(rng)
        total = last
        for _ in range(rng.integers(0, 3)):
            words, value = clause(rng)
            sentence += (" and " if value * last > 0 else " but ") + words
            total, last = total + value, value
        if total:
            found[sentence] = "positive" if total > 0 else "negative"
    return [(label, sentence) for sentence, label in found.items()]


def read(path: str) -> list[list[str]]:
    """The pairs in a file."""
    try:
        lines = Path(path).read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--data: cannot read {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
    rows = [[part.strip() for part in line.split("\t")] for line in lines]
    for n, row in enumerate(rows, 1):
        if len(row) != 2 and row != [""]:
            raise UserError(f"--data: {path}, line {n}: a label and a sentence with one tab between are needed")
    rows = [row for row in rows if row != [""]]
    first, second = ({row[k] for row in rows} for k in (0, 1))
    return rows if len(first) <= len(second) else [row[::-1] for row in rows]


def tokens(sentence: str) -> list[str]:
    """Words, exclamation and question marks, in small letters; one empty word if there are none."""
    return re.findall(r"[\w']+|[!?]", sentence.lower()) or [""]


def numbered(sentences: list[list[str]], vocabulary: dict[str, int]) -> list[np.ndarray]:
    """Each word's number, 0 for words that are not in the vocabulary."""
    return [np.array([vocabulary.get(word, 0) for word in words]) for words in sentences]


# --- model ----------------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """Words (T, B) of sentences of some lengths (B,) -> the logits (B, classes) of their labels."""

    def __init__(self, V: int, classes: int, o: Any, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(V, o.hidden, rng=rng)
        self.embedding.W.data = 0.1 * self.embedding.W.data  # a word means little before it is learnt
        self.recurrent = CELLS[o.cell](o.hidden, o.hidden, bidirectional=True, rng=rng)
        self.dropout = nn.Dropout(o.dropout, rng)
        self.output = nn.Linear(2 * o.hidden, classes, rng=rng)

    def forward(self, xs: np.ndarray, lengths: np.ndarray) -> Any:
        h, _ = self.recurrent(self.dropout(self.embedding(xs)), lengths=lengths)  # (T, B, 2H)
        words = nn.padding_mask(lengths, len(xs))[:, :, None]
        return self.output(self.dropout(mg.max(mg.where(words, h, -1.0), axis=0)))  # no h is below -1

    @mg.no_grad()
    def probabilities(self, sentences: list[np.ndarray]) -> np.ndarray:
        """Those of each label, (N, classes)."""
        p = [self.eval()(*nn.pad_sequences(sentences[k : k + 100])) for k in range(0, len(sentences), 100)]
        return mg.softmax(mg.concatenate(p), axis=-1).data


# --- training -------------------------------------------------------------------------------------------------------


def train(xs: list[np.ndarray], labels: np.ndarray, o: Any, progress: Progress, fold: int) -> Reader:
    """Train on batches of sentences of similar lengths."""
    rng = np.random.default_rng(o.seed)
    model = Reader(1 + max(int(x.max()) for x in xs), int(labels.max()) + 1, o, rng)
    lengths = [len(x) for x in xs]
    steps = o.epochs * -(-len(xs) // o.batch_size)
    optimizer = nn.AdamW(model.parameters(), nn.cosine_decay(o.lr, steps, warmup=steps // 20), weight_decay=0.01)
    for epoch in range(o.epochs):
        model.train()
        batches = nn.bucket_by_length(lengths, o.batch_size, rng)
        for k, batch in enumerate(batches):
            loss = nn.cross_entropy(model(*nn.pad_sequences([xs[n] for n in batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.clip_grad_norm(optimizer.params, 1.0)
            optimizer.step()
            if progress.due():
                done = (fold + (epoch + k / len(batches)) / o.epochs) / o.folds
                progress.update(done, f"fold {fold + 1} of {o.folds}, epoch {epoch + 1}", f"loss {loss.item():.3f}")
    return model


def baselines() -> dict[str, Any]:
    """Two classifiers of bags of words, each word of the sentence counted on its own."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    words = {"analyzer": lambda words: words}
    regression = make_pipeline(TfidfVectorizer(sublinear_tf=True, **words), LogisticRegression(C=10, max_iter=1000))
    return {"naive Bayes": make_pipeline(CountVectorizer(**words), MultinomialNB()), "logistic regression": regression}


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, right: dict[str, list[float]], names: Sequence[str], shown: list[Any]) -> None:
    """The accuracies on the folds; sentences, their words in the colour of the label if each were the last."""
    with picture(path) as figure:
        from matplotlib import colormaps

        figure.set_size_inches(9.2, 1.7 + 0.3 * len(shown))
        top, bottom = (part.subplots() for part in figure.subfigures(2, 1, height_ratios=(1.3, 0.4 + 0.3 * len(shown))))
        for y, folds in enumerate(right.values()):
            top.plot(folds, [y] * len(folds), "o", color=GREY if y else BLUE, alpha=0.6)
        top.set_yticks(range(len(right)), [f"{name} {np.mean(folds):.3f}" for name, folds in right.items()])
        top.set(title="accuracy on each part held out", ylim=(len(right) - 0.5, -0.5))
        longest = 1
        for y, (words, mood, verdict) in enumerate(shown):
            start = 0
            for word, colour in zip(words, colormaps["RdBu"](0.2 + 0.6 * mood)):
                bottom.barh(y, len(word) + 1, 0.8, start, color=colour)
                bottom.text(start + len(word) / 2 + 0.5, y, word, ha="center", va="center", family="monospace", size=8)
                start += len(word) + 1
            bottom.text(start + 1, y, verdict, va="center", size=8)
            longest = max(longest, start + len(verdict))
        bottom.set(xlim=(0, longest), ylim=(len(shown) - 0.5, -0.5))
        bottom.set_title(f"what the network would say if it ended there: {names[0]} (red) to {names[-1]} (blue)")
        bottom.axis("off")


@command
def main(argv: Sequence[str]) -> None:
    """Read each fold's sentences by a network that learnt from the others."""
    parser = common.example_parser(__doc__)
    parser.add_argument("--data", nargs="+", help="files of labels and sentences (default: generated ones)")
    parser.add_argument("--folds", type=at_least(2), default=5, help="parts, each held out once (default: %(default)s)")
    parser.add_argument("--cell", choices=CELLS, default="gru", help="(default: %(default)s)")
    parser.add_argument("--hidden", type=at_least(1), default=64, help="units each way (default: %(default)s)")
    parser.add_argument("--epochs", type=at_least(1), default=10, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=at_least(1), default=32, help="(default: %(default)s)")
    parser.add_argument("--lr", type=at_least(1e-9, float), default=3e-3, help="AdamW's (default: %(default)s)")
    parser.add_argument(
        "--dropout", type=at_least(0, float, 1), default=0.5, help="of e_t and max_t h_t (default: %(default)s)"
    )
    o = common.parse_example(parser, argv, folds=2, epochs=8, dropout=0.2)  # fewer sentences, too
    need("rich", "matplotlib", "sklearn")
    from sklearn.model_selection import StratifiedKFold

    if o.data:
        pairs = [pair for path in o.data for pair in read(path)]
    else:
        pairs = generated(3000 if o.quick else 6000, np.random.default_rng(o.seed))
    words = [tokens(sentence) for _, sentence in pairs]
    names, labels, counts = np.unique([label for label, _ in pairs], return_inverse=True, return_counts=True)
    if len(names) < 2 or counts.min() < o.folds:
        raise UserError(f"--data: at least two labels are needed, each on as many sentences as --folds, {o.folds}")
    folder = output_folder(o.out)
    right: dict[str, list[float]] = {}
    with Progress() as progress:
        most = counts.max() / len(words)
        progress.say(f"{number(len(words))} sentences, {len(names)} labels, the most frequent one on {most:.3f}")
        splits = StratifiedKFold(o.folds, shuffle=True, random_state=o.seed).split(labels, labels)
        for fold, (seen, new) in enumerate(splits):
            training, test = ([words[k] for k in part] for part in (seen, new))
            frequency = Counter(word for sentence in training for word in sentence)
            vocabulary = {word: n for n, word in enumerate(sorted(w for w in frequency if frequency[w] > 1), 1)}
            model = train(numbered(training, vocabulary), labels[seen], o, progress, fold)
            found = {o.cell.upper(): model.probabilities(numbered(test, vocabulary)).argmax(axis=1)}
            found |= {name: b.fit(training, labels[seen]).predict(test) for name, b in baselines().items()}
            correct = {name: of == labels[new] for name, of in found.items()}
            for name, of in correct.items():
                right.setdefault(name, []).append(float(of.mean()))
            progress.say(f"fold {fold + 1}: " + ", ".join(f"{name} {of[-1]:.3f}" for name, of in right.items()))
    fits = np.array([sum(len(word) + 1 for word in sentence) < 100 for sentence in test])
    network, bayes, _ = correct.values()
    shown = []
    for n in [*np.flatnonzero(fits & network & ~bayes)[:6], *np.flatnonzero(fits & ~network)[:3]]:
        x = numbered(test, vocabulary)[n]
        p = model.probabilities([x[:t] for t in range(1, len(x) + 1)])  # (T, classes)
        verdict = f"{names[labels[new[n]]]}: {'right' if network[n] else 'WRONG'}"
        shown.append((test[n], p @ np.linspace(0, 1, len(names)), verdict))
    draw(folder / "sentiment.png", right, names, shown)
    common.write_json(folder / "result.json", right)
    figures = ", ".join(f"{name} {np.mean(of):.3f}" for name, of in right.items())
    print(f"result: accuracy over {o.folds} folds: {figures}")
    print(f"picture: {folder / 'sentiment.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
