"""Translate: one network reads a sentence, another writes it in a second language and looks back while it writes.

    python -m examples.translation

The sentences are the names of numbers below 10⁹ in English and French, or any two languages that num2words knows. Half
of those drawn, with the shorter English names, are for training, but for 1 000 that are held out; of the other half,
all longer than any that training saw, 1 000 are translated as well. An encoder reads the words x_1 ... x_T in both
directions, a decoder writes y_1 ... y_S:

    k_t = K [GRU(x_1 ... x_t), GRU(x_T ... x_t)]              what was read about word t, with its surroundings
    h_s = GRU(y_{s-1}, h_{s-1}),  h_0 = tanh(B [GRU(x_1 ... x_T), GRU(x_T ... x_1)])
    a_ts = softmax over t of h_s · k_t / √H                   attention: where to look for word s
    c_s = Σ_t a_ts k_t
    p(y_s | y_1 ... y_{s-1}, x) = softmax(V tanh(W [h_s, c_s]))

In training y_{s-1} is the right word (teacher forcing); afterwards a beam search looks for the most probable sentence.
The baseline is the same network without attention, where all that was read must fit into h_0 (attention: Bahdanau, Cho
& Bengio 2015, "additive"; Luong, Pham & Manning 2015, "dot"; without: Sutskever, Vinyals & Le 2014).

Other languages: `--languages es it`, or `de nl --level character`, whose numbers are single words. Own sentences:
`--pairs FILE` with a sentence, a tab and its translation in each line; the first `--held-out` lines are for the test,
by BLEU-4: how many words, and runs of two, three and four words, a translation shares with the one in the file.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import BLUE, GREY, ORANGE, Progress, UserError, at_least, command, need, number, output_folder, picture

ATTENTION: dict[str, Any] = {
    "dot": lambda H, rng: nn.attention.DotAttention(),
    "additive": lambda H, rng: nn.attention.AdditiveAttention(H, H, H, rng),
    "none": lambda H, rng: None,
}
END, UNKNOWN = 0, 1  # the first two of each vocabulary

# --- data: pairs of lists of words ----------------------------------------------------------------------------------


def split(text: str, level: str) -> list[str]:
    """Characters, or words and punctuation marks, where an apostrophe belongs to the word before it: l' eau."""
    return list(text) if level == "character" else re.findall(r"\w+['’]?|[^\w\s]", text)


def draw_numbers(count: int, rng: np.random.Generator) -> list[int]:
    """Different numbers below 10⁹, of all sizes and with many zeros or few, so that names of all lengths come up."""
    digits = rng.integers(1, 10, (count, 9)) * (rng.random((count, 9)) < rng.random((count, 1)))
    digits *= np.arange(9) < rng.integers(1, 10, (count, 1))
    return rng.permutation(np.unique(digits @ 10 ** np.arange(9))).tolist()


def number_names(o: Any) -> tuple[list[Any], dict[str, list[Any]]]:
    """Pairs to train on; pairs held out, and pairs with longer sources, by name."""
    from num2words import num2words

    drawn = draw_numbers(o.numbers, np.random.default_rng(o.seed))
    try:
        names = [[split(num2words(n, lang=language), o.level) for language in o.languages] for n in drawn]
    except (NotImplementedError, OverflowError, TypeError) as error:  # TypeError: some end below 10⁹
        raise UserError(f"--languages {' '.join(o.languages)}: num2words does not know both up to 10⁹") from error
    longest = np.median([len(source) for source, _ in names])
    short, long = ([pair for pair in names if (len(pair[0]) > longest) == longer] for longer in (False, True))
    if not long or len(short) <= o.held_out:
        raise UserError(f"--numbers, --held-out: {len(short)} shorter names and {len(long)} longer do not suffice; "
                        "where a number is one word, choose --level character")  # fmt: skip
    return short[o.held_out :], {"held-out names": short[: o.held_out], "longer names": long[: o.held_out]}


def read_pairs(o: Any) -> tuple[list[Any], dict[str, list[Any]]]:
    """The same of a file; no source is longer on purpose. Columns after the second are not read."""
    try:
        lines = Path(o.pairs).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {o.pairs}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    pairs = []
    for n, line in enumerate(lines, 1):
        pair = [split(part.strip(), o.level) for part in line.split("\t")[:2]]
        if line.strip() and (len(pair) < 2 or not all(pair)):
            raise UserError(f"{o.pairs}, line {n}: a sentence, a tab and its translation are needed")
        pairs += [pair] * bool(line.strip())
    if len(pairs) <= o.held_out:
        raise UserError(f"{o.pairs}: of {len(pairs)} pairs --held-out {o.held_out} leaves none to train on")
    return pairs[o.held_out :], {"held-out sentences": pairs[: o.held_out]}


def vocabulary(sentences: Sequence[list[str]]) -> dict[str, int]:
    """The number of each word that occurs at least twice."""
    counts = Counter(word for sentence in sentences for word in sentence)
    return {word: k for k, word in enumerate(sorted(w for w in counts if counts[w] > 1), start=UNKNOWN + 1)}


def numbers_of(words: list[str], vocabulary: dict[str, int]) -> list[int]:
    """Each word's number."""
    return [vocabulary.get(word, UNKNOWN) for word in words]


def bleu(references: Sequence[list[str]], found: Sequence[list[str]]) -> float:
    """100 min(1, e^(1 - r/c)) (p_1 p_2 p_3 p_4)^(1/4), for r words in all references and c in all translations.

    p_n is the share of the translations' n-grams that are in their references, each at most as often as there.
    Source: Papineni et al. 2002, section 2.3.
    """
    shared, total = np.zeros((2, 4))
    for sentences in zip(references, found):
        for n in range(1, 5):
            there, here = (Counter(zip(*[words[k:] for k in range(n)])) for words in sentences)
            shared[n - 1] += (there & here).total()
            total[n - 1] += here.total()
    if not shared.all():
        return 0.0
    brevity = min(0.0, 1 - sum(map(len, references)) / sum(map(len, found)))
    return 100 * math.exp(brevity + np.log(shared / total).mean())


def exact(references: Sequence[list[str]], found: Sequence[list[str]]) -> float:
    """The share of translations that are right in every word."""
    return float(np.mean([a == b for a, b in zip(references, found, strict=True)]))


# --- model ----------------------------------------------------------------------------------------------------------


class Translator(nn.Module):
    """Words (T, B) and the translation's words so far (S, B) -> logits (S, B, V) of the word after each of these."""

    def __init__(self, sources: dict[str, int], targets: dict[str, int], kind: str, o: Any) -> None:
        H, V, rng = o.hidden, len(targets) + 2, np.random.default_rng(o.seed)
        self.sources, self.targets, self.words = sources, targets, ["(end)", "?", *targets]
        self.source, self.target = nn.Embedding(len(sources) + 2, H, rng), nn.Embedding(V, H, rng)
        self.encoder = nn.GRU(H, H, rng=rng, bidirectional=True)
        self.bridge, self.keys = nn.Linear(2 * H, H, rng=rng), nn.Linear(2 * H, H, rng=rng)
        self.decoder = nn.GRU(H, H, rng=rng)
        self.attention = ATTENTION[kind](H, rng)
        self.combine = nn.Linear(2 * H if self.attention else H, H, rng=rng)
        self.output = nn.Linear(H, V, rng=rng)
        self.dropout = nn.Dropout(o.dropout, rng)

    def read(self, xs: Any) -> tuple[Any, Any]:
        """The decoder's first state h_0 (B, H), and the keys (T, B, H)."""
        outputs, ends = self.encoder(self.dropout(self.source(xs)))
        return mg.tanh(self.bridge(mg.concatenate(ends, axis=-1))), self.keys(outputs)

    def write(self, words: Any, h: Any, keys: Any) -> tuple[Any, Any, Any]:
        """The logits (S, B, V) of the next words, the last state (B, H), and the attention (T, S, B)."""
        hs, (h,) = self.decoder(self.dropout(self.target(words)), (h,))
        weights = None
        if self.attention:
            context, weights = self.attention(hs, keys)  # (S, B, H)
            hs = mg.concatenate([hs, context], axis=-1)
        return self.output(self.dropout(mg.tanh(self.combine(hs)))), h, weights

    def forward(self, xs: Any, words: Any) -> Any:
        return self.write(words, *self.read(xs))[0]

    @mg.no_grad()
    def translate(self, sentence: list[str], width: int) -> list[str]:
        """The best translation that a beam of this width finds."""

        def step(words: np.ndarray, state: Any) -> Any:
            h, keys = state
            logits, h, _ = self.write(words[None], h, keys.swapaxes(0, 1))
            return logits[0], (h, keys)

        h, keys = self.eval().read(np.array(numbers_of(sentence, self.sources))[:, None])
        start = h, keys.swapaxes(0, 1)  # what a beam carries along has the batch first
        found = nn.beam_search(step, END, 3 * len(sentence) + 10, width, start, end=END, length_penalty=1.0)
        return [self.words[n] for n in found[0][0] if n != END]

    @mg.no_grad()
    def attends(self, sentence: list[str], translation: list[str]) -> np.ndarray:
        """The weights a (S + 1, T) while this translation and END are written."""
        xs, words = numbers_of(sentence, self.sources), [END, *numbers_of(translation, self.targets)]
        _, _, weights = self.eval().write(np.array(words)[:, None], *self.read(np.array(xs)[:, None]))
        return weights.data[:, :, 0].T


# --- training -------------------------------------------------------------------------------------------------------


def batches(pairs: list[Any], size: int, rng: np.random.Generator) -> list[tuple[np.ndarray, ...]]:
    """Pairs of numbered words as sources (T, B), the right words to go on from (S, B), and targets (S, B).

    All sources of a batch are equally long, so that the encoder meets no padding. Targets are filled up with UNKNOWN,
    to multiples of four, so that few shapes are to be compiled.
    """
    groups, made = defaultdict(list), []
    for pair in pairs:
        groups[len(pair[0])].append(pair)
    for group in groups.values():
        for batch in nn.bucket_by_length([len(target) for _, target in group], size, rng):
            xs = np.array([group[n][0] for n in batch]).T
            targets, _ = nn.pad_sequences([[*group[n][1], END] for n in batch], UNKNOWN)
            targets = np.pad(targets, ((0, -len(targets) % 4), (0, 0)), constant_values=UNKNOWN)
            made.append((xs, np.concatenate([np.full_like(targets[:1], END), targets[:-1]]), targets))
    return [made[k] for k in rng.permutation(len(made))]


def train(model: Translator, training: Any, o: Any, progress: Progress, name: str, done: float, share: float) -> None:
    """Teacher forcing. Padding, and words not in the vocabulary, are no targets, so that neither is ever written."""
    rng = np.random.default_rng(o.seed)
    pairs = [(numbers_of(source, model.sources), numbers_of(target, model.targets)) for source, target in training]

    def gradients(xs: Any, words: Any, targets: Any) -> Any:
        loss = nn.cross_entropy(model(xs, words), targets, ignore_index=UNKNOWN)
        loss.backward()
        return loss

    steps = o.epochs * len(batches(pairs, o.batch_size, rng))
    optimizer = nn.Adam(model.parameters(), nn.cosine_decay(o.lr, steps, warmup=steps // 20))
    few = len({len(source) for source, _ in pairs}) <= 16  # shapes; each of them then comes again and again
    step = mg.compile(gradients) if few else gradients
    for epoch in range(o.epochs):
        model.train()
        made = batches(pairs, o.batch_size, rng)
        for k, batch in enumerate(made):
            optimizer.zero_grad()
            loss = step(*batch)
            nn.clip_grad_norm(optimizer.params, 1.0)
            optimizer.step()
            if progress.due():
                part = (epoch + k / len(made)) / o.epochs
                progress.update(done + share * part, f"{name}, epoch {epoch + 1}", f"loss {loss.item():.4f}")


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, attention: Any, pairs: list[Any], found: dict[str, Any], measure: Any, longest: int) -> None:
    """Where the network looked in one sentence, and the score over the length of the source."""
    source, target, weights = attention
    by_length = defaultdict(list)
    for n, (words, _) in enumerate(pairs):
        by_length[len(words)].append(n)
    lengths = sorted(length for length in by_length if len(by_length[length]) >= min(10, len(pairs)))
    with picture(path) as figure:
        figure.set_size_inches(9, 4.2)
        left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        left.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        left.set_xticks(range(len(source)), source, rotation=90, fontsize=7)
        left.set_yticks(range(len(target) + 1), [*target, "(end)"], fontsize=7)
        left.set_title("Where it looks (dark) for each word that it writes")
        left.grid(False)
        right.axvspan(0, longest + 0.5, color=GREY, alpha=0.15, linewidth=0, label="lengths in training")
        for name, translations in found.items():
            curve = [measure(*zip(*[(pairs[n][1], translations[n]) for n in by_length[length]])) for length in lengths]
            right.plot(lengths, curve, "o-", color=ORANGE if name == "no attention" else BLUE, label=name)
        title = "BLEU-4" if measure is bleu else "translations right in every word"
        right.set(title=title, xlabel="length of the source", ylim=(0, None), xlim=(0, max([longest, *lengths]) + 1))
        right.legend(loc="lower left")


@command
def main(argv: Sequence[str]) -> None:
    """Train a network with attention and one without, and let them translate what they have not seen."""
    parser = common.example_parser(__doc__)
    parser.add_argument("--languages", nargs=2, help="of num2words, from and to (default: en fr)")
    parser.add_argument("--numbers", type=at_least(1), default=40000, help="to draw (default: %(default)s)")
    parser.add_argument("--pairs", help="a file of sentences and translations, instead of numbers")
    parser.add_argument("--level", choices=("word", "character"), default="word", help="(default: %(default)s)")
    parser.add_argument("--held-out", type=at_least(1), default=1000, help="for the test (default: %(default)s)")
    parser.add_argument("--attention", choices=("dot", "additive"), default="dot", help="(default: %(default)s)")
    parser.add_argument("--no-baseline", action="store_true", help="leave out the network without attention")
    parser.add_argument("--hidden", type=at_least(1), default=128, help="H (default: %(default)s)")
    parser.add_argument("--epochs", type=at_least(1), help="(default: 6; 12 with --pairs)")
    parser.add_argument("--batch-size", type=at_least(1), default=64, help="(default: %(default)s)")
    parser.add_argument("--lr", type=at_least(1e-9, float), default=4e-3, help="Adam's (default: %(default)s)")
    parser.add_argument("--dropout", type=at_least(0, float, 1), default=0.3, help="(default: %(default)s)")
    parser.add_argument("--beam", type=at_least(1), default=4, help="its width; 1 is greedy (default: %(default)s)")
    o = common.parse_example(parser, argv, numbers=4000, held_out=100, hidden=64, epochs=10, lr=0.01, dropout=0.1)
    if o.pairs and o.languages:
        parser.error("--languages is for numbers, not for --pairs")
    o.languages, o.epochs = o.languages or ["en", "fr"], o.epochs or (12 if o.pairs else 6)
    need("rich", "matplotlib", "num2words")
    training, tests = read_pairs(o) if o.pairs else number_names(o)
    folder = output_folder(o.out)
    sources, targets = (vocabulary(side) for side in zip(*training))
    measure, what = (bleu, "BLEU-4") if o.pairs else (exact, "right in every word")
    test = [pair for pairs in tests.values() for pair in pairs]
    found: dict[str, Any] = {}
    with Progress() as progress:
        progress.say(f"{number(len(training))} pairs to learn from, of {len(sources)} and {len(targets)} words")
        kinds = [o.attention] if o.no_baseline else ["none", o.attention]
        for k, kind in enumerate(kinds):
            name = "no attention" if kind == "none" else f"{kind} attention"
            share, found[name] = 1 / len(kinds), []
            model = Translator(sources, targets, kind, o)
            train(model, training, o, progress, name, k * share, 0.8 * share)
            for n, (source, _) in enumerate(test):
                found[name].append(model.translate(source, o.beam))
                if progress.due():
                    progress.update(share * (k + 0.8 + 0.2 * n / len(test)), f"{name}, translation {number(n)}", "")
    n = max(range(len(test)), key=lambda n: len(test[n][0]) if len(test[n][0]) <= 24 else 0)  # fits into the picture
    attention = test[n][0], found[name][n], model.attends(test[n][0], found[name][n])
    draw(folder / "translation.png", attention, test, found, measure, max(len(source) for source, _ in training))
    figures, start = {}, 0
    for part, pairs in tests.items():
        some = slice(start, start := start + len(pairs))
        figures[part] = {name: measure([target for _, target in pairs], of[some]) for name, of in found.items()}
        print(f"result: {part}, {what}: {', '.join(f'{name} {value:.3f}' for name, value in figures[part].items())}")
    common.write_json(folder / "result.json", figures)
    print(f"picture: {folder / 'translation.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
