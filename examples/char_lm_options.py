"""The options of `char_lm`. One dataclass is the table that the parser, the checks and the checkpoint are made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .common import Parser, UserError, at_least

PROGRAM = "python -m examples.char_lm"

DESCRIPTION = "Train a recurrent network to predict a text character by character, then let it write."

NOTES = f"""
how the text is split:
  tail   The last --val-fraction of the text is for validation. The text before it is laid out in --batch-size rows,
         each a contiguous stretch, read --seq-length characters at a time. The state is carried from batch to batch,
         an epoch starts from zero. The validation text is laid out in up to 16 rows, so that it is quick; every
         character of it but the first is predicted once.
  rows   The whole text is laid out in --batch-size rows, and cut into batches of --seq-length columns (what does not
         fill a batch is left out). The last --val-fraction of these batches is for validation. The state is carried
         from batch to batch, and on into the next epoch.
  Where a test is held out, it comes after the validation. --split 80 10 10 is --val-fraction 0.1 --test-fraction 0.1,
  --split rows 80 10 10 the same in rows. Validation and test start from a zero state. The weights that validated best
  are tested. --train, --validation and --test name files of a text that is split already: nothing else is held out.

commands:
  {PROGRAM}                                   Python's language reference, about two minutes
  {PROGRAM} novel.txt --out runs/novel        your own text
  {PROGRAM} --resume runs/novel/checkpoint.safetensors --steps 6000
  {PROGRAM} sample runs/novel --prime "Once " --temperature 0.7
  {PROGRAM} explore runs/novel
  {PROGRAM} export runs/novel model.onnx
  {PROGRAM} compare novel.txt --cells lstm gru --layers 1 2
  The last four write text from a checkpoint, make a page that shows what its units do, make an ONNX file, and train
  one network after the other; with --help they list their options.

what is saved, in the folder --out, at each validation:
  checkpoint.safetensors  the run as it is, to go on from
  best.safetensors        the same as it was when its validation was best: `sample` and `explore` take it from a folder
  loss.png                the losses, at the end
  Files of an earlier run are renamed to previous.NAME, previous-2.NAME, ... Once training diverges, nothing is saved.

the settings of char-rnn (two layers, RMSProp):
  {PROGRAM} shakespeare.txt --split rows --layers 2 --hidden 128 --batch-size 50 \\
      --optimizer rmsprop --lr 2e-3 --rms-decay 0.95 --schedule constant --clip-value 5 --init uniform --steps 21150
"""

LEARNING_RATES = {"adam": 5e-3, "adamw": 5e-3, "rmsprop": 2e-3, "adagrad": 3e-2, "sgd": 0.5}


def option(group: str, default: Any, text: str, **rules: Any) -> Any:
    """A field of `Settings`; rules are choices, low, high, open (both bounds excluded), only, free (see `check`)."""
    return dataclasses.field(default=default, metadata={"group": group, "text": text, **rules})


@dataclass(frozen=True)
class Settings:
    """What a run is made of. None stands for "not used"; `complete` fills in defaults that depend on other options."""

    text: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    split: str = option("text", "tail", "how the text is laid out, and what is held out, see below; percentages of "
                        "training, validation and test may follow: 80 10 10", choices=("tail", "rows"))  # fmt: skip
    val_fraction: float = option("text", 0.05, "the part held out to validate on", low=0, high=1, open=True)
    test_fraction: float = option("text", 0.0, "the part held out to test on, at the end", low=0, high=1)
    seq_length: int = option("text", 50, "steps of backpropagation through time", low=1, high=100_000)
    batch_size: int = option("text", 32, "rows of text read in parallel", low=1, high=1_000_000)

    cell: str = option("model", "lstm", "the recurrent cell", choices=("rnn", "lstm", "gru"))
    hidden: int = option("model", 256, "units of a layer", low=1, high=32_768)
    layers: int = option("model", 1, "recurrent layers, one above the other", low=1, high=1000)
    dropout: float = option(
        "model", 0.0, "probability of dropping, between layers and before the output", low=0, high=1
    )
    init: str = option("model", "default", "initial weights: of each layer's own choice, or uniform within ± "
                       "--init-scale", choices=("default", "uniform"))  # fmt: skip
    init_scale: float = option("model", 0.08, "for --init uniform", low=0, high=1e6, only=("init", "uniform"))
    forget_bias: float = option("model", 1.0, "initial bias of the LSTM's forget gate", low=-1e6, high=1e6,
                                only=("cell", "lstm"))  # fmt: skip

    optimizer: str = option("training", "adam", "how weights are updated", choices=tuple(LEARNING_RATES))
    lr: float | None = option("training", None, "learning rate; by default "
                              + ", ".join(f"{lr:g} for {name}" for name, lr in LEARNING_RATES.items()),
                              low=0, high=1e6, open=True)  # fmt: skip
    schedule: str = option("training", "cosine", "the learning rate over time: constant, warmed up and then falling "
                           "as half a cosine, falling exponentially to a hundredth, or by --decay after each epoch",
                           choices=("constant", "cosine", "exponential", "epochs"))  # fmt: skip
    schedule_steps: int | None = option("training", None, "steps over which the schedule runs; by default all",
                                        low=1, high=10**12, free=True, only=("schedule", "cosine", "exponential"),
                                        )  # fmt: skip
    decay: float = option("training", 0.97, "what the rate is multiplied by after an epoch", low=0, high=1, open=True,
                          only=("schedule", "epochs"))  # fmt: skip
    decay_after: int = option("training", 10, "so many epochs have the full rate", low=1, high=10**9,
                              only=("schedule", "epochs"))  # fmt: skip
    rms_decay: float = option(
        "training", 0.95, "decay of the mean square", low=0, high=1, only=("optimizer", "rmsprop")
    )
    momentum: float = option("training", 0.9, "momentum", low=0, high=1, only=("optimizer", "sgd"))
    weight_decay: float = option("training", 0.0, "weight decay", low=0, high=1e6)
    clip_norm: float | None = option("training", None, "longest gradient, longer ones are scaled down, 0 for any; "
                                     "by default 5, or 0 with --clip-value", low=0, high=1e30)  # fmt: skip
    clip_value: float | None = option("training", None, "cut each entry of the gradient to ± this; by default not",
                                      low=0, high=1e30)  # fmt: skip
    steps: int | None = option("training", 3000, "weight updates in all", low=1, high=10**12, free=True)
    minutes: float | None = option("training", None, "train for this time instead of --steps",
                                   low=0, high=1e6, open=True, free=True)  # fmt: skip
    epochs: int | None = option("training", None, "train so often on the whole text instead of for --steps",
                                low=1, high=10**9, free=True)  # fmt: skip
    patience: int | None = option("training", None, "stop when so many validations in a row were not the best so far; "
                                  "by default at the end", low=1, high=10**9, free=True)  # fmt: skip
    eager: bool = option("training", False, "record every step anew instead of compiling it once", low=0, high=2)
    seed: int = option("training", 0, "of initial weights, dropout and samples", low=0, high=2**63)

    validate_every: int = option("reports", 500, "steps between validations, which also save; 0 for the end only",
                                 low=0, high=10**12, free=True)  # fmt: skip
    sample_every: int = option("reports", 1000, "steps between samples, 0 for never", low=0, high=10**12, free=True)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Raises ValueError or TypeError if these are no settings."""
        values = json.loads(text)
        settings = cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
        check(settings, {})
        return settings

    def complete(self) -> Settings:
        """With the defaults that depend on other options."""
        lr = LEARNING_RATES[self.optimizer] if self.lr is None else self.lr
        clip_norm = (5.0 if self.clip_value is None else 0.0) if self.clip_norm is None else self.clip_norm
        return dataclasses.replace(self, lr=lr, clip_norm=clip_norm)


FILES, LAYOUTS = ("text", "validation", "test"), ("tail", "rows")
OPTIONS = {field.name: field for field in dataclasses.fields(Settings) if field.metadata}


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def check(settings: Settings, given: Mapping[str, Any]) -> None:
    """Raise UserError for a value out of its range, or a given option without effect."""
    for name, field in OPTIONS.items():
        rules, value = field.metadata, getattr(settings, name)
        if value is None and field.type.endswith("None"):
            continue
        if "choices" in rules:
            if value not in rules["choices"]:
                raise UserError(f"{flag(name)} must be one of {', '.join(rules['choices'])}, got {value!r}")
        else:
            low, high, is_open = rules["low"], rules["high"], rules.get("open", False)
            if not (low <= value < high) or (is_open and value == low):
                bounds = f"{'above' if is_open else 'at least'} {low:g} and below {high:g}"
                raise UserError(f"{flag(name)} must be {bounds}, got {value}")
        if name in given and "only" in rules:
            other, *values = rules["only"]
            if getattr(settings, other) not in values:
                raise UserError(
                    f"{flag(name)} has no effect with {flag(other)} {getattr(settings, other)}, "
                    f"only with {' or '.join(values)}"
                )


COMPARED = Settings(hidden=128, steps=1500, validate_every=150, sample_every=0)  # the defaults of a comparison
QUICK = {"hidden": 64, "steps": 300, "validate_every": 100}  # and of --quick


def parse(argv: Sequence[str]) -> tuple[dict[str, Any], Any]:
    """The given settings by name; the other options: `out` (None if not given), `resume`, `quiet`."""
    parser = Parser(prog=PROGRAM, usage="%(prog)s [options] [text ...]", description=DESCRIPTION, epilog=NOTES)
    add_settings(parser, Settings())
    parser.add_argument("--out", metavar="DIR", help="folder for checkpoint and picture; by default runs/char_lm, or "
                        "that of the checkpoint to resume")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a small run of a few seconds; other options still count")
    parser.add_argument("--resume", metavar="CHECKPOINT", help="go on from a checkpoint, with its options; only "
                        "--steps, --minutes, --schedule-steps and the reports may differ")  # fmt: skip
    return given_settings(parser, argv)


def parse_compare(argv: Sequence[str]) -> tuple[dict[str, Any], Any]:
    """The same of `compare`, whose other options are `cells`, `depths` (--layers), `out`, `quiet`."""
    text = "Train one network after the other on the same text, all with the same settings and seed."
    parser = Parser(prog=f"{PROGRAM} compare", usage="%(prog)s [options] [text ...]", description=text)
    cells = OPTIONS["cell"].metadata["choices"]
    parser.add_argument("--cells", nargs="+", choices=cells, default=list(cells), help="each of these (default: all)")
    parser.add_argument("--layers", nargs="+", type=int, default=None, dest="depths", metavar="N", help="with each "
                        "of these numbers of layers (default: 1 2)")  # fmt: skip
    add_settings(parser, COMPARED, leave_out=("cell", "layers"))
    parser.add_argument("--quick", action="store_true", help="one layer, and a small run of a few seconds; other "
                        "options still count")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", default="runs/char_lm_compare", help="folder for the picture and the "
                        "figures (default: %(default)s)")  # fmt: skip
    return given_settings(parser, argv)


def add_settings(parser: Parser, base: Settings, leave_out: Sequence[str] = ()) -> None:
    """Every setting as an option, with the defaults of `base`, and the texts."""
    parser.add_argument("text", nargs="*", help="UTF-8 text files, read one after the other, or - for standard input; "
                        "by default the language reference that comes with Python")  # fmt: skip
    for part, use in (("train", "the same as text"), ("validation", "to validate on"), ("test", "to test on")):
        parser.add_argument(f"--{part}", nargs="+", metavar="FILE", help=f"files, {use}")
    groups: dict[str, Any] = {}
    for name, field in OPTIONS.items():
        if name in leave_out:
            continue
        rules, default = field.metadata, getattr(base, name)
        group = groups.get(rules["group"]) or groups.setdefault(
            rules["group"], parser.add_argument_group(rules["group"])
        )
        if field.type == "bool":
            group.add_argument(flag(name), action="store_true", default=None, help=rules["text"])
            continue
        kind = {"int": int, "float": float}.get(field.type.removesuffix(" | None"), str)
        shown = "" if default is None else f" (default: {default})"
        choices = None if name == "split" else rules.get("choices")  # percentages may follow
        metavar = "{tail,rows}" if name == "split" else None if choices else {int: "N", float: "X"}[kind]
        group.add_argument(flag(name), type=kind, choices=choices, help=rules["text"] + shown, metavar=metavar)
    groups["reports"].add_argument("--quiet", action="store_true", help="show the result only")


def given_settings(parser: Parser, argv: Sequence[str]) -> tuple[dict[str, Any], Any]:
    """The settings that were given, by name, and the parser's other options."""
    options = parser.parse_intermixed_args(split_as_one(argv))
    values = {name: getattr(options, name, None) for name in (*FILES, *OPTIONS)}
    given = {name: value for name, value in values.items() if value not in (None, [])}
    if options.train:
        if options.text:
            raise UserError("give the text to train on once: as --train, or without")
        given["text"] = options.train
    given |= {name: tuple(given[name]) for name in FILES if name in given}
    if any(word[0].isdigit() for word in given.get("split", "").split()):
        given |= fractions(given.pop("split"))
    if "test" in given and "validation" not in given:
        raise UserError("--test goes with --validation")
    clash = given.keys() & {"split", "val_fraction", "test_fraction"} if "validation" in given else set()
    if clash:
        raise UserError(f"{flag(min(clash))} and --validation do not go together: the files are the split")
    return given, options


def split_as_one(argv: Sequence[str]) -> list[str]:
    """The arguments with what follows --split, a word or up to three numbers or both, joined to one."""
    before, found, after = list(argv), [], []
    if "--split" in before:
        k = before.index("--split") + 1
        before, after = before[:k], before[k:]
        while (
            after and len(found) < 4 and (after[0].replace(".", "").isdecimal() or (not found and after[0] in LAYOUTS))
        ):
            found.append(after.pop(0))
    return [*before, *([" ".join(found)] if found else []), *after]


def fractions(split: str) -> dict[str, Any]:
    """What percentages of training, validation and, if there is one, test mean, behind a layout or not."""
    words = split.split()
    layout = words.pop(0) if words[0] in LAYOUTS else None
    parts = [float(word) for word in words]
    if len(parts) not in (2, 3) or abs(sum(parts) - 100) > 1e-9 or not min(parts) > 0:
        raise UserError(
            f"--split {split}: percentages of training, validation and test, as 80 10 10, must add up to 100"
        )
    test = parts[2] / 100 if len(parts) == 3 else 0.0
    return {"val_fraction": parts[1] / 100, "test_fraction": test} | ({"split": layout} if layout else {})


def settle(
    given: Mapping[str, Any], saved: Settings | None, defaults: Settings = Settings(), quick: bool = False
) -> Settings:
    """The settings of a run: what was given, upon those of the checkpoint to resume, or upon the defaults.

    Raises:
        UserError: if an option is out of range, has no effect, or contradicts the checkpoint.
    """
    if quick and saved:
        raise UserError("--quick has no effect with --resume: give --steps")
    budgets = ("steps", "minutes", "epochs")
    if len(given.keys() & budgets) > 1:
        raise UserError("give --steps, --minutes or --epochs, not both")
    base = saved or defaults
    for name, value in given.items():
        if saved and name not in FILES and not OPTIONS[name].metadata.get("free") and value != getattr(base, name):
            raise UserError(
                f"{flag(name)} {value}: the checkpoint to resume was trained with {flag(name)} {getattr(base, name)}, "
                "which cannot be changed"
            )
    if quick:
        base = dataclasses.replace(base, **QUICK, sample_every=base.sample_every and QUICK["steps"])
    budget = dict.fromkeys(budgets) if given.keys() & budgets else {}
    settings = dataclasses.replace(base, **{**budget, **given})
    check(settings, given)
    if settings.val_fraction + settings.test_fraction >= 1:
        raise UserError("--val-fraction and --test-fraction leave nothing to train on")
    return settings.complete()


def add_checkpoint(parser: Parser) -> None:
    """The model that is to write, or to be explored."""
    parser.add_argument("checkpoint", nargs="?", default="runs/char_lm", help="what training has saved, or its folder: "
                        "of that best.safetensors, which validated best (default: runs/char_lm)")  # fmt: skip


def parse_explore(argv: Sequence[str]) -> Any:
    """The options of `explore`: checkpoint, text, length, out, seed."""
    parser = Parser(prog=f"{PROGRAM} explore", description="Write one page that shows what the units of a model do.")
    add_checkpoint(parser)
    parser.add_argument("--text", nargs="+", metavar="FILE", help="what it reads, or - for standard input; by default "
                        "the text that it was trained on, of which the end was held out")  # fmt: skip
    parser.add_argument(
        "--length",
        type=at_least(2, below=20_001),
        default=2000,
        metavar="N",
        help="characters to show, the end of the text; ten times as many are read for the correlations (default: 2000)",
    )
    parser.add_argument("--out", metavar="PAGE", help="by default explore.html beside the checkpoint")
    parser.add_argument("--quick", action="store_true", help="a short text and short samples; --length still counts")
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="of the samples (default: 0)")
    if "--quick" in argv:
        parser.set_defaults(length=400)
    return parser.parse_args(argv)


def parse_sample(argv: Sequence[str]) -> Any:
    """The options of `sample`: checkpoint, temperature, prime, length, seed."""
    parser = Parser(prog=f"{PROGRAM} sample", description="Write text from a checkpoint.")
    add_checkpoint(parser)
    parser.add_argument("--temperature", type=at_least(0, float), default=0.7, metavar="T", help="0: always the "
                        "likeliest character, 1: as the model was trained, above: wilder (default: 0.7)")  # fmt: skip
    parser.add_argument("--prime", default="", metavar="TEXT", help="text to go on from")
    parser.add_argument("--length", type=at_least(0), default=1000, metavar="N", help="characters to write "
                        "(default: 1000)")  # fmt: skip
    parser.add_argument(
        "--seed", type=at_least(0), metavar="S", help="the same seed writes the same text; by default a new one"
    )
    return parser.parse_args(argv)
