"""Translate: one network reads a sentence, another writes it in a second language and looks back while it writes.

    python -m examples.translation

The sentences are names of numbers below 10⁹ in English and French, or any two languages that num2words knows (where
names are single words: `--languages de nl --level character`). Half of them, with the shorter English names, are for
training, but for a tenth that is held out; of the other half, all longer than any that training saw, as many are
translated as well. An encoder reads the words x_1 ... x_T in both directions, a decoder writes y_1 ... y_S:

    k_t = K [GRU(x_1 ... x_t), GRU(x_T ... x_t)]              what was read about word t, with its surroundings
    h_s = GRU(y_{s-1}, h_{s-1}),  h_0 = tanh(B [GRU(x_1 ... x_T), GRU(x_T ... x_1)])
    a_ts = softmax over t of v · tanh(W h_s + U k_t)          attention: where to look for word s
    c_s = Σ_t a_ts k_t
    p(y_s | y_1 ... y_{s-1}, x) = softmax(V tanh(C [h_s, c_s]))

In training y_{s-1} is the right word (teacher forcing); afterwards a beam search looks for the most probable sentence.
The baseline is the same network without attention, where all that was read must fit into h_0 (Sutskever, Vinyals & Le
2014; attention: Bahdanau, Cho & Bengio 2015).

Own sentences, judged by BLEU-4: `--pairs FILE`, of which the first tenth (at most 1 000) is the test, or `--train
FILE ... --test FILE ...`, and `--validation FILE ...` to choose weights by; on each line a sentence, a tab and its
translation.
"""

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import GREY, Progress, UserError, at_least, command_on_ranks, number, output_folder, picture
from .training import PARTS, Watch, add_split, given_split, learning_rate, shared_out, tenth

END, RARE = 0, 1  # the first two of each vocabulary
BATCH, DROPOUT = 64, 0.2
TEST = 1000  # pairs at most
NETWORKS = ("no attention", "attention")

# --- data: pairs of lists of words ----------------------------------------------------------------------------------


def split(text: str, level: str) -> list[str]:
    """Characters, or words and punctuation marks, where an apostrophe belongs to the word before it: l' eau."""
    return list(text) if level == "character" else re.findall(r"\w+['’]?|[^\w\s]", text)


def draw_numbers(count: int, rng: np.random.Generator) -> list[int]:
    """Different numbers below 10⁹, of all sizes and with many zeros or few, so that names of all lengths come up."""
    digits = rng.integers(1, 10, (count, 9)) * (rng.random((count, 9)) < rng.random((count, 1)))
    digits *= np.arange(9) < rng.integers(1, 10, (count, 1))
    return rng.permutation(np.unique(digits @ 10 ** np.arange(9))).tolist()


def name_numbers(o: Any) -> tuple[list[Any], list[Any]]:
    """The half of the pairs with the shorter sources, and the others."""
    from num2words import num2words

    numbers = draw_numbers(o.numbers, np.random.default_rng(o.seed))
    try:
        names = [[split(num2words(n, lang=language), o.level) for language in o.languages] for n in numbers]
    except (NotImplementedError, OverflowError, TypeError) as error:  # TypeError: some end below 10⁹
        raise UserError(f"--languages {' '.join(o.languages)}: num2words does not know both up to 10⁹") from error
    median = np.median([len(source) for source, _ in names])
    if median < 2:
        raise UserError(f"--languages {' '.join(o.languages)}: most names are one word; choose --level character")
    return [pair for pair in names if len(pair[0]) <= median], [pair for pair in names if len(pair[0]) > median]


def read_pairs(path: str, level: str, option: str = "--pairs") -> list[Any]:
    """The pairs in a file; columns after the second are not read."""
    lines = common.read_lines(option, path)
    pairs = [[split(part.strip(), level) for part in line.split("\t")[:2]] for line in lines]
    for n, pair in enumerate(pairs, 1):
        if pair != [[]] and (len(pair) < 2 or not all(pair)):
            raise UserError(f"{option}: {path}, line {n}: a sentence, a tab and its translation are needed")
    return [pair for pair in pairs if pair != [[]]]


def load(o: Any) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Pairs to learn from, to validate on (if --validation or --patience is given), to test on, and longer ones."""
    if given_split(o, "pairs"):
        training, validation, test = (
            [pair for path in getattr(o, part) or [] for pair in read_pairs(path, o.level, f"--{part}")]
            for part in PARTS
        )
        if len(training) < 10 or not test:
            raise UserError(
                f"--train and --test: at least ten pairs and one are needed, not {len(training)}, {len(test)}"
            )
        longer = []
    else:
        pairs, longer = (read_pairs(o.pairs, o.level), []) if o.pairs else name_numbers(o)
        count = min(len(pairs) // 10, TEST)
        if not count:
            raise UserError(f"{o.pairs or '--numbers'}: at least ten pairs are needed, not {len(pairs)}")
        training, validation, test, longer = pairs[count:], [], pairs[:count], longer[:count]
    if o.patience and not o.validation:
        training, validation = ([training[n] for n in part] for part in tenth(len(training), o.seed))
    return training, validation, test, longer


def vocabulary(sentences: list[list[str]]) -> dict[str, int]:
    """The number of each word that occurs at least twice."""
    words, counts = np.unique(np.concatenate(sentences, dtype=object), return_counts=True)
    return {word: n for n, word in enumerate(["(end)", "(rare)", *words[counts > 1]])}


def numbered(sentences: list[list[str]], vocabulary: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The words' numbers (T, B), and the lengths (B,); T is a multiple of four, for a program serves only one T."""
    xs, lengths = nn.pad_sequences([[vocabulary.get(word, RARE) for word in words] for words in sentences], RARE)
    return np.pad(xs, ((0, -len(xs) % 4), (0, 0)), constant_values=RARE), lengths


def bleu(pairs: list[Any]) -> float:
    """BLEU-4 in percent: words, and runs of 2, 3 and 4, shared with the reference (Papineni et al. 2002, sect. 2.3)."""
    from sacrebleu.metrics.bleu import BLEU

    references, found = [[" ".join("▁" if w.isspace() else w for w in words) for words in side] for side in zip(*pairs)]
    return BLEU(tokenize="none", smooth_method="none", force=True).corpus_score(found, [references]).score


def exact(pairs: list[Any]) -> float:
    """The share of translations that are right in every word."""
    return sum(reference == found for reference, found in pairs) / len(pairs)


# --- model ----------------------------------------------------------------------------------------------------------


class Translator(nn.Module):
    """Sources (T, B) of some lengths (B,), words so far (S, B) -> logits (S, B, V) of the word after each of these."""

    def __init__(self, pairs: list[Any], attention: bool, o: Any) -> None:
        self.sources, self.targets = (vocabulary(side) for side in zip(*pairs))
        H, V, rng = o.hidden, len(self.targets), np.random.default_rng(o.seed)
        self.source, self.target = nn.Embedding(len(self.sources), H, rng), nn.Embedding(V, H, rng)
        self.encoder = nn.GRU(H, H, rng=rng, bidirectional=True)
        self.bridge, self.keys = nn.Linear(2 * H, H, rng=rng), nn.Linear(2 * H, H, rng=rng)
        self.decoder = nn.GRU(H, H, rng=rng)
        self.attention = nn.attention.AdditiveAttention(H, H, H, rng) if attention else None
        self.combine, self.output = nn.Linear(2 * H if attention else H, H, rng=rng), nn.Linear(H, V, rng=rng)
        self.dropout = nn.Dropout(DROPOUT, rng)

    def read(self, xs: Any, lengths: Any) -> tuple[Any, Any]:
        """The decoder's first state h_0 (B, H), and the keys (T, B, H)."""
        hs, ends = self.encoder(self.dropout(self.source(xs)), lengths=lengths)
        return mg.tanh(self.bridge(mg.concatenate(ends, axis=-1))), self.keys(hs)

    def write(self, words: Any, h: Any, keys: Any, mask: Any = None) -> tuple[Any, Any, Any]:
        """The logits (S, B, V) of the next words, the last state (B, H), and the attention (T, S, B)."""
        hs, (h,) = self.decoder(self.dropout(self.target(words)), (h,))
        weights = None
        if self.attention:
            context, weights = self.attention(hs, keys, mask=mask)  # (S, B, H)
            hs = mg.concatenate([hs, context], axis=-1)
        return self.output(self.dropout(mg.tanh(self.combine(hs)))), h, weights

    def forward(self, xs: Any, lengths: Any, words: Any) -> Any:
        return self.write(words, *self.read(xs, lengths), nn.padding_mask(lengths, len(xs)))[0]

    @mg.no_grad()
    def translate(self, sentence: list[str], width: int) -> tuple[list[str], Any]:
        """The best translation that a beam of this width finds, and where it looks for each word and END (T, S, 1)."""
        xs, lengths = numbered([sentence], self.sources)
        h, keys = self.eval().read(xs[: len(sentence)], lengths)

        def step(words: np.ndarray, h: Any) -> Any:
            logits, h, _ = self.write(words[None], h, np.repeat(keys.data, len(words), axis=1))
            return logits[0], h

        best, _ = nn.beam_search(step, END, 3 * len(sentence) + 10, width, h, end=END, length_penalty=1.0)[0]
        _, _, weights = self.write(np.array([END, *best[:-1]])[:, None], h, keys)
        return [list(self.targets)[n] for n in best if n != END], weights


def translations(model: Translator, width: int, pairs: list[Any]) -> list[Any]:
    """Of each pair's source the translation and where it looks."""
    return [model.translate(source, width) for source, _ in pairs]


# --- training -------------------------------------------------------------------------------------------------------


def loss_of(model: Translator, xs: Any, lengths: Any, ys: Any, reduction: str = "mean") -> Any:
    """Teacher forcing. Padding and rare words are no targets, so that neither is ever written."""
    return nn.cross_entropy(model(xs, lengths, ys[:-1]), ys[1:], ignore_index=RARE, reduction=reduction)


def batch_of(model: Translator, pairs: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources (T, B), their lengths (B,), and targets (S, B) with an END before and after each."""
    ys, _ = numbered([["(end)", *target, "(end)"] for _, target in pairs], model.targets)
    return *numbered([source for source, _ in pairs], model.sources), ys


@mg.no_grad()
def validate(model: Translator, pairs: list[Any]) -> float:
    """The mean cross-entropy of the words of these translations."""
    batches = [batch_of(model.eval(), pairs[k : k + BATCH]) for k in range(0, len(pairs), BATCH)]
    words = sum((ys[1:] != RARE).sum() for _, _, ys in batches)
    sums = shared_out(batches, lambda some: [loss_of(model, *batch, reduction="sum").item() for batch in some])
    return float(sum(sums)) / max(1, int(words))


def train(
    model: Translator, pairs: list[Any], held: list[Any], o: Any, progress: Progress, name: str, at: float
) -> None:
    """Train on pairs in batches of like lengths; the weights become those that validated best, if pairs are held."""
    rng = np.random.default_rng(o.seed)
    lengths = [1000 * len(source) + len(target) for source, target in pairs]  # that both differ little in a batch
    epochs = [nn.bucket_by_length(lengths, BATCH, rng) for _ in range(o.epochs)]
    steps = sum(map(len, epochs))
    optimizer = nn.Adam(model.parameters(), learning_rate(o, len(epochs[0]), steps))

    def loss_and_gradients(xs: Any, lengths: Any, ys: Any) -> Any:
        loss = loss_of(model, xs, lengths, ys)
        loss.backward()
        return loss

    short = max(len(target) for _, target in pairs) <= 32  # each T and S needs a program: too many of them otherwise
    step = mg.compile(loss_and_gradients) if short else loss_and_gradients
    with Watch(model, np.log(len(model.targets)), o, name) as watch:
        for batches in epochs:
            model.train()
            for batch in batches:
                optimizer.zero_grad()
                loss, counted = None, 0
                if len(mine := watch.share(batch)):
                    xs, lengths, ys = batch_of(model, [pairs[n] for n in mine])
                    loss, counted = step(xs, lengths, ys), int((ys[1:] != RARE).sum())
                loss = watch.average(loss, counted)
                nn.clip_grad_norm(optimizer.params, o.clip)
                optimizer.step()
                progress.update(at + len(watch.losses) / steps / len(NETWORKS), name, f"loss {loss:.4f}")
            if held and watch.validated(validate(model, held)):
                break
    watch.use_best(progress.say)


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, source: Any, written: Any, weights: Any, curves: Any, title: str, longest: int) -> None:
    """Where the network looked in one sentence, and the score over the length of the source."""
    with picture(path, 9, 4.2) as figure:
        left, right = figure.subplots(1, 2)
        left.imshow(weights.data[:, :, 0].T, cmap="Blues", aspect="auto")
        left.set_xticks(range(len(source)), source, rotation=90, fontsize=7)
        left.set_yticks(range(len(written) + 1), [*written, "(end)"], fontsize=7)
        left.set_title("Where it looks (dark) for each word that it writes")
        left.grid(False)
        right.axvspan(0.5, longest + 0.5, color=GREY, alpha=0.15, label="lengths in training")
        for name, curve in curves.items():
            right.plot(*zip(*curve), "o-", label=name)
        right.set(title=title, xlabel="length of the source", ylim=(0, None))
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, columnspacing=1.2, fontsize=9)


@command_on_ranks
def main(argv: list[str]) -> None:
    """Train a network with attention and one without, and let them translate what they have not seen."""
    parser = common.example_parser(__doc__, hidden=128, epochs=10, lr=3e-3, clip=1.0)
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--languages", nargs=2, default=["en", "fr"], help="of num2words, from and to (default: en fr)")
    data.add_argument("--pairs", metavar="FILE", help="of sentences and translations, of which the first are the test")
    add_split(parser, "files of sentences and translations")
    parser.add_argument(
        "--numbers", type=at_least(1, below=10**7), default=40000, help="to draw (default: %(default)s)"
    )
    parser.add_argument("--level", choices=("word", "character"), default="word", help="(default: %(default)s)")
    parser.add_argument(
        "--beam", type=at_least(1, below=10_001), default=4, help="its width; 1 is greedy (default: %(default)s)"
    )
    o = common.parse_example(parser, argv, "num2words", "sacrebleu", numbers=4000, hidden=64, lr=0.01)
    training, held, test, longer = load(o)
    folder = output_folder(o.out)
    count, test = len(test), [*test, *longer]
    lengths = [len(source) for source, _ in test]
    measure, what = (bleu, "BLEU-4") if o.pairs or o.train else (exact, "right in every word")
    figures, curves = {}, {}
    with Progress() as progress:
        progress.say(f"{number(len(training))} pairs to learn from")
        for k, name in enumerate(NETWORKS):
            model = Translator(training, name == "attention", o)
            train(model, training, held, o, progress, name, k / len(NETWORKS))
            progress.update((k + 1) / len(NETWORKS), name, "translating", at_once=True)
            found = shared_out(test, functools.partial(translations, model, o.beam))
            results = [(target, words) for (_, target), (words, _) in zip(test, found)]
            parts = {"held out": results[:count], "longer": results[count:]}
            figures[name] = {part: measure(of) for part, of in parts.items() if of}
            by_length = {T: [result for result, of in zip(results, lengths) if of == T] for T in sorted(set(lengths))}
            curves[name] = [(T, measure(of)) for T, of in by_length.items()]
            progress.say(f"result: {name}: {what}: " + ", ".join(f"{at} {of:.3f}" for at, of in figures[name].items()))
    # the longest that is right and fits into the picture
    n = max(range(len(test)), key=lambda n: lengths[n] * (lengths[n] <= 24) * exact([results[n]]))
    common.write_json(folder / "result.json", figures)
    draw(folder / "translation.png", test[n][0], *found[n], curves, what, max(len(source) for source, _ in training))
    print(f"picture: {folder / 'translation.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
