"""Does a sentence praise or blame? A recurrent network reads it in both directions and gives each label a probability.

    python -m examples.sentiment

The default sentences are generated. One to three clauses each say something of a thing, as in "i do not think the film
was very good but the food was not bad". The adjective has a sign, an adverb its strength (slightly 1, nothing 2, very
4), and each negation turns the sign of its own clause only; the label is the sign of the sum. So the same words in
another order may mean the opposite, and no bag of words can tell. The network sees the words x_1 ... x_T in order:

    e_t = E[x_t]                                  a row of E for each word; rare words share one
    h_t = [f_t, b_t]                              f_t = cell(e_t, f_{t-1}), b_t = cell(e_t, b_{t+1})
    p(label = k | x_1 ... x_T) = softmax(V max_t h_t + c)_k

Each fifth of the sentences is held out once. The baselines, naive Bayes on counts of words and logistic regression on
TF-IDF weights, are fitted to the same folds.

Own sentences: `--data FILE ...` for folds, or `--train FILE ... --test FILE ...`, and `--validation FILE ...` to choose
weights by; UTF-8, on each line a label and a sentence with a tab between, in either order. `--vectors FILE` has a word
and its numbers on each line, as GloVe's and word2vec's text files do.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import BLUE, ORANGE, Progress, UserError, at_least, command_on_ranks, number, output_folder, picture
from .training import PARTS, Watch, add_split, given_split, learning_rate, mean_loss, shared_out, tenth

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
BATCH = 32

# --- data: pairs of a label and a sentence --------------------------------------------------------------------------

THINGS = ["film", "plot", "music", "food", "service", "room", "staff", "view", "price", "camera", "battery", "screen"]
FRAMES = {"": 1, "i think ": 1, "they say ": 1, "i do not think ": -1}
VERBS = {"was": 1, "seemed": 1, "was not": -1}
DEGREES = {" slightly": 1, " somewhat": 1, "": 2, " rather": 2, " very": 4, " extremely": 4}
ADJECTIVES = {"good": 1, "great": 1, "lovely": 1, "superb": 1, "bad": -1, "awful": -1, "dull": -1, "poor": -1}


def generated(count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Sentences of one to three clauses, no two the same, each positive or negative on the whole."""
    found: dict[str, str] = {}
    while len(found) < count:
        sentence, values = "", [0]
        for _ in range(rng.integers(1, 4)):
            frame, verb, degree, adjective = (
                list(of)[rng.integers(len(of))] for of in (FRAMES, VERBS, DEGREES, ADJECTIVES)
            )
            values.append(FRAMES[frame] * VERBS[verb] * DEGREES[degree] * ADJECTIVES[adjective])
            if sentence:
                sentence += " and " if values[-2] * values[-1] > 0 else " but "
            sentence += f"{frame}the {THINGS[rng.integers(len(THINGS))]} {verb}{degree} {adjective}"
        if sum(values):
            found[sentence] = "positive" if sum(values) > 0 else "negative"
    return [(label, sentence) for sentence, label in found.items()]


def read(path: str, option: str = "--data") -> list[list[str]]:
    """The pairs in a file; the labels are in the column with fewer different entries, or in the first."""
    lines = common.read_lines(option, path)
    for n, line in enumerate(lines, 1):
        if line.strip() and line.count("\t") != 1:
            raise UserError(f"{option}: {path}, line {n}: a label and a sentence with one tab between are needed")
    rows = [[part.strip() for part in line.split("\t")] for line in lines if line.strip()]
    return rows if len({a for a, _ in rows}) <= len({b for _, b in rows}) else [row[::-1] for row in rows]


def load(o: Any, given: bool) -> tuple[list[np.ndarray], list[Any]]:
    """The numbers of the pairs to learn from, to validate and to test on (all are the first, if not given), and all."""
    if given:
        parts = [[pair for path in getattr(o, part) or [] for pair in read(path, f"--{part}")] for part in PARTS]
        if not parts[2]:
            raise UserError("--test: there is no sentence")
    else:
        count, rng = 3000 if o.quick else 6000, np.random.default_rng(o.seed)
        parts = [[pair for path in o.data for pair in read(path)] if o.data else generated(count, rng), [], []]
    ends = np.cumsum([len(part) for part in parts])
    return np.split(np.arange(ends[-1]), ends[:-1]), [pair for part in parts for pair in part]


def tokens(sentence: str) -> list[str]:
    """Words, exclamation and question marks, in small letters; one empty word if there are none."""
    return re.findall(r"[\w']+|[!?]", sentence.lower()) or [""]


def read_vectors(path: str, wanted: set[str]) -> dict[str, np.ndarray]:
    """The vectors of these words in a text file: a word and its numbers on each line; a first line may say how many."""
    found: dict[str, np.ndarray] = {}
    size = 0
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            for n, line in enumerate(file, 1):
                word, _, rest = line.rstrip().partition(" ")
                if not size and (n > 1 or not (word + rest).isdecimal()):  # the first line with a word
                    size = len(rest.split())
                if word not in wanted or not size or len(numbers := rest.split()) > size:  # a word with a space in it
                    continue
                found[word] = vector = np.array(numbers, np.float32)
                if len(vector) < size or not np.isfinite(vector).all():
                    raise ValueError
    except OSError as error:
        raise UserError(f"--vectors: cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"--vectors: {path}, line {n}: {size} finite numbers are needed after a word") from error
    if not found:
        raise UserError(f"--vectors: {path}: none of the sentences' words stands there with its numbers")
    return found


# --- model ----------------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """Words (T, B) of sentences of some lengths (B,) -> the logits (B, classes) of their labels."""

    def __init__(
        self,
        sentences: list[list[str]],
        classes: int,
        o: Any,
        rng: np.random.Generator,
        vectors: dict[str, np.ndarray] | None = None,
    ) -> None:
        words, counts = np.unique(np.concatenate(sentences, dtype=object), return_counts=True)
        known = dict.fromkeys([*words[counts > 1].tolist(), *(vectors or {})])
        self.vocabulary = {word: n for n, word in enumerate(known, 1)}
        size = len(next(iter(vectors.values()))) if vectors else o.hidden
        self.embedding = nn.Embedding(1 + len(self.vocabulary), size, rng=rng)
        rows = 0.1 * self.embedding.W.data  # a word means little before it is learnt
        for word, vector in (vectors or {}).items():
            rows[self.vocabulary[word]] = vector
        self.embedding.W.data = rows
        self.recurrent = CELLS[o.cell](size, o.hidden, bidirectional=True, rng=rng)
        self.dropout = nn.Dropout(o.dropout, rng)
        self.output = nn.Linear(2 * o.hidden, classes, rng=rng)

    def numbered(self, sentences: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
        """The words' numbers (T, B), 0 for rare ones, and the lengths (B,)."""
        xs, lengths = nn.pad_sequences([[self.vocabulary.get(word, 0) for word in words] for words in sentences])
        return np.pad(xs, ((0, -len(xs) % 8), (0, 0))), lengths  # a program serves one T: let there be few

    def forward(self, xs: Any, lengths: Any) -> Any:
        h, _ = self.recurrent(self.dropout(self.embedding(xs)), lengths=lengths)  # (T, B, 2H)
        words = nn.padding_mask(lengths, len(xs))[:, :, None]
        return self.output(self.dropout(mg.max(mg.where(words, h, -1.0), axis=0)))  # no h is below -1

    @mg.no_grad()
    def probabilities(self, sentences: list[list[str]]) -> np.ndarray:
        """Those of each label, (N, classes)."""
        p = [self.eval()(*self.numbered(sentences[k : k + 100])) for k in range(0, len(sentences), 100)]
        return mg.softmax(mg.concatenate(p), axis=-1).data


# --- training -------------------------------------------------------------------------------------------------------


def train(seen: Any, held: Any, o: Any, vectors: Any, progress: Progress, fold: int, folds: int) -> Reader:
    """Train on sentences and labels `seen`, in batches of similar lengths; `held` are to validate on, if any."""
    sentences, labels = seen
    rng = np.random.default_rng(o.seed)
    model = Reader(sentences, labels.max() + 1, o, rng, vectors)
    epochs = [nn.bucket_by_length(list(map(len, sentences)), BATCH, rng) for _ in range(o.epochs)]
    steps = sum(map(len, epochs))
    optimizer = nn.AdamW(model.parameters(), learning_rate(o, len(epochs[0]), steps), weight_decay=0.01)

    @mg.compile
    def loss_and_gradients(xs: Any, lengths: Any, labels: Any) -> Any:
        loss = nn.cross_entropy(model(xs, lengths), labels)
        loss.backward()
        return loss

    with Watch(model, np.log(labels.max() + 1), o, f"fold {fold + 1}" if folds > 1 else "") as watch:
        for batches in epochs:
            model.train()
            for batch in batches:
                optimizer.zero_grad()
                mine, loss = watch.share(batch), None
                if len(mine):
                    loss = loss_and_gradients(*model.numbered([sentences[n] for n in mine]), labels[mine])
                loss = watch.average(loss, len(mine))
                nn.clip_grad_norm(optimizer.params, o.clip)
                optimizer.step()
                done = len(watch.losses) / steps
                progress.update((fold + done) / folds, watch.name or f"{done:.0%}", f"loss {loss:.3f}")
            if held[0] and watch.validated(mean_loss(answers(model, held[0]), held[1])):
                break
    watch.use_best(progress.say)
    return model


def answers(model: Reader, sentences: list[list[str]]) -> np.ndarray:
    """The probabilities (N, classes) of the labels of sentences, which all ranks read together."""
    return np.array(shared_out(sentences, model.probabilities))


def bags_of_words(words: list[list[str]], labels: np.ndarray, folds: Any) -> dict[str, list[float]]:
    """The accuracies on each fold of classifiers that count each word on its own."""
    from sklearn import naive_bayes, pipeline
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    bayes = pipeline.make_pipeline(CountVectorizer(analyzer=list), naive_bayes.MultinomialNB())
    tfidf = TfidfVectorizer(analyzer=list, sublinear_tf=True)
    bags = {"naive Bayes": bayes, "logistic regression": pipeline.make_pipeline(tfidf, LogisticRegression(C=10))}
    return {name: cross_val_score(bag, words, labels, cv=folds).tolist() for name, bag in bags.items()}


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, title: str, model: Reader, sentences: list[list[str]], labels: np.ndarray) -> None:
    """Sentences, each word in the colour of the label that the network would give if it were the last; the label."""
    with picture(path, 9.2, 3.6) as figure:
        longest = max(len(" ".join(words)) for words in sentences)
        axes = figure.add_subplot(xlim=(0, max(135, longest + 15)), ylim=(len(labels) - 0.5, -0.5), title=title)
        axes.axis("off")
        for y, (words, label) in enumerate(zip(sentences, labels)):
            p = model.probabilities([words[:t] for t in range(1, len(words) + 1)])  # (T, classes)
            colours = [(BLUE if m > 0 else ORANGE, abs(m)) for m in p @ np.linspace(-0.8, 0.8, p.shape[1])]
            widths = np.array([len(word) + 1 for word in words])
            bars = axes.barh([y] * len(words), widths, left=widths.cumsum() - widths, color=colours)
            axes.bar_label(bars, words, label_type="center", family="monospace", size=7)
            axes.text(widths.sum() + 1, y, label, va="center", size=8)


@command_on_ranks
def main(argv: list[str]) -> None:
    """Read each fold's sentences by a network that learnt from the others."""
    parser = common.example_parser(__doc__, hidden=64, epochs=10, lr=3e-3, clip=1.0, dropout=0.5)
    parser.add_argument("--data", nargs="+", help="files of labels and sentences (default: generated ones)")
    parser.add_argument(
        "--folds", type=at_least(2, below=10_001), default=5, help="parts, each held out once (default: %(default)s)"
    )
    parser.add_argument("--cell", choices=CELLS, default="gru", help="(default: %(default)s)")
    parser.add_argument("--vectors", metavar="FILE", help="of words, to begin with (default: random ones)")
    add_split(parser, "files of labels and sentences")
    o = common.parse_example(parser, argv, "sklearn", folds=2, epochs=8, dropout=0.2)  # fewer sentences, too
    from sklearn.model_selection import StratifiedKFold

    given = given_split(o, "data")
    (first, second, third), pairs = load(o, given)
    words = [tokens(sentence) for _, sentence in pairs]
    names, counts = np.unique([pairs[n][0] for n in first], return_counts=True)
    if len(names) < 2 or (counts.min() < o.folds and not given):
        each = "" if given else f", each on as many sentences as --folds, {o.folds}"
        raise UserError(f"--{'train' if given else 'data'}: at least two labels are needed{each}")
    if unknown := sorted({label for label, _ in pairs} - {*names}):
        raise UserError(f"--train has no sentence that is labelled {' or '.join(unknown[:5])}, as others are")
    labels = np.searchsorted(names, [label for label, _ in pairs])
    vectors = read_vectors(o.vectors, {word for sentence in words for word in sentence}) if o.vectors else None
    folder = output_folder(o.out)
    if given:
        folds, tested = [(first, third)], "on the test data"
    else:
        folds = list(StratifiedKFold(o.folds, shuffle=True, random_state=o.seed).split(labels, labels))
        tested = f"over {o.folds} folds"
    right = {o.cell.upper(): [], **bags_of_words(words, labels, folds)}
    with Progress() as progress:
        frequent = np.bincount(labels).max() / len(words)
        progress.say(f"{number(len(words))} sentences, the most frequent label on {frequent:.3f}")
        if vectors:
            progress.say(f"{number(len(vectors))} words with vectors of {len(next(iter(vectors.values())))} numbers")
        for fold, (seen, new) in enumerate(folds):
            held = second
            if o.patience and not o.validation:
                seen, held = (seen[part] for part in tenth(len(seen), o.seed))
            data = [([words[n] for n in numbers], labels[numbers]) for numbers in (seen, held, new)]
            model = train(data[0], data[1], o, vectors, progress, fold, len(folds))
            hit = answers(model, data[2][0]).argmax(axis=1) == data[2][1]
            right[o.cell.upper()].append(float(hit.mean()))
            name = "test" if given else f"fold {fold + 1}"
            progress.say(f"{name}: " + ", ".join(f"{name} {of[fold]:.3f}" for name, of in right.items()))
    figures = ", ".join(f"{name} {np.mean(of):.3f}" for name, of in right.items())
    colours = f"{names[0]} (orange) to {names[-1]} (blue)"
    title = f"Right: {figures}\nWhat the {o.cell.upper()} would say if a sentence ended there: {colours}; the truth"
    lengths = np.array([len(" ".join(words[n])) for n in new])
    short = lengths < max(120, sorted(lengths)[:9][-1] + 1)
    shown = [*new[short & hit][:6], *new[short & ~hit][:3]]
    common.write_json(folder / "result.json", right)
    draw(folder / "sentiment.png", title, model, [words[n] for n in shown], names[labels[shown]])
    print(f"result: accuracy {tested}: {figures}")
    print(f"picture: {folder / 'sentiment.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
