"""What every example needs beside its subject: options, one-line errors, progress, a style of pictures.

Whatever the user can mend is raised as `UserError`.
"""

import argparse
import functools
import importlib
import io
import itertools
import json
import math
import os
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np

import nn
from nn.distributed import MPIError, RankError, Ranks


class UserError(Exception):
    """A mistake that the user can mend: one line on stderr, exit code 2."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `UserError`s and whose options are never abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (--help lists the options)")


def example_parser(doc: str, **training: Any) -> Parser:
    """A parser with the options that every example has, and some of `TRAINING` with these defaults.

    It says what the example's docstring says first, whose third line is the command: `    python -m examples.NAME`,
    and what a paragraph there says of data of one's own.
    """
    title, _, run, *_ = doc.split("\n")
    name = run.strip().rpartition(".")[2]
    own = [part.strip() for part in doc.split("\n\n") if part.strip().startswith(("Own ", "Your own cell:"))]
    parser = Parser(prog=run.strip(), description=title, epilog="\n\n".join(own))
    parser.add_argument("--out", default=f"runs/{name}", help="folder of the results (default: %(default)s)")
    add_options(parser, **training)
    return parser


def add_options(parser: Parser, **training: Any) -> None:
    """The options --seed and --quick, and some of `TRAINING` with these defaults."""
    parser.add_argument(
        "--seed", type=at_least(0, below=2**32), default=0, help="of everything random (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a small run of a few seconds; other options still count")
    for option, default in training.items():
        kind, what = TRAINING[option]
        parser.add_argument(f"--{option}", type=kind, default=default, help=f"{what} (default: %(default)s)")


def parse_example(parser: Parser, argv: Sequence[str], *packages: str, **quick: Any) -> argparse.Namespace:
    """The options, by default `quick` under --quick, once rich, matplotlib and `packages` are known to be there."""
    if "--quick" in argv:
        parser.set_defaults(**quick)
    options = parser.parse_args(argv)
    need("rich", "matplotlib", *packages)
    return options


def at_least(low: float, kind: Callable[[str], Any] = int, below: float = math.inf) -> Callable[[str], Any]:
    """An option's type: a finite number of a kind, `low` or more, less than `below`."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < below:
            what = "a whole number" if kind is int else "a number"
            bounds = f"at least {low:g}" + (f" and below {below:g}" if low <= value < math.inf else "")
            raise argparse.ArgumentTypeError(f"must be {what} of {bounds}, got {text!r}")
        return value

    return read


#: options of training: their type, and what they are
TRAINING: dict[str, Any] = {
    "hidden": (at_least(1, below=32_769), "units of a layer"),
    "steps": (at_least(1, below=10**9), "of training"),
    "epochs": (at_least(1, below=10**5), "of training"),
    "lr": (at_least(1e-9, float), "the largest learning rate of Adam"),
    "clip": (at_least(1e-9, float), "the longest gradient, longer ones are scaled down"),
    "dropout": (at_least(0, float, 1), "the part of the values that training drops"),
}


def read_lines(option: str, path: str) -> list[str]:
    """The lines of a file in UTF-8, which an option names."""
    try:
        return Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"{option}: cannot read {path}: {reason}") from error


def read_npz(option: str, path: str, numbers: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of a file, which an option names: numbers, as float64, and what they are labelled with."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            found, labelled = arrays[numbers], arrays[labels]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or f"it must be an npz file with the arrays {numbers} and {labels}"
        raise UserError(f"{option}: cannot read {path}: {reason}") from error
    if found.dtype.kind not in "buif":
        raise UserError(f"{option}: {path}: {numbers} must be finite numbers, got {found.dtype}")
    return found.astype(np.float64), labelled


def set_aside(path: Path) -> None:
    """Rename a file of an earlier run to `previous.NAME`, or `previous-2.NAME` and so on: nothing is overwritten."""
    names = (path.with_name(f"previous{f'-{n}' if n > 1 else ''}.{path.name}") for n in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    os.replace(path, aside)
    print(f"{path} of an earlier run is now {aside}", flush=True)


def silent() -> bool:
    """Whether another rank prints, draws and saves: rank 0 alone does."""
    return nn.distributed.world().rank > 0


@contextmanager
def written_whole(path: Path, keep: bool = True) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place when the block ends: all of it is there, or nothing.

    What was there before is set aside, if it differs and `keep`.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        yield beside
        if keep and path.is_file() and path.read_bytes() != beside.read_bytes():
            set_aside(path)
        os.replace(beside, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, as a whole or not at all."""
    if not silent():
        with written_whole(path) as file:
            file.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def command(main: Callable[[Sequence[str]], int | None], on_ranks: bool = False) -> Callable[..., int]:
    """Make `main(arguments)` a program: it returns an exit code, and no mistake of the user's shows a traceback.

    Under mpiexec rank 0 alone prints, at first the processes of all ranks: who was killed, MPICH tells by its process
    only. A program that is not made for several ranks (`on_ranks`) refuses.
    """

    @functools.wraps(main)
    def program(argv: Sequence[str] | None = None) -> int:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a console without some character shows `?` in its place
        ranks = Ranks()
        try:
            ranks = nn.distributed.world()
            if ranks.rank:
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
            if ranks.size > 1 and not on_ranks:
                raise UserError("this example runs on one rank: start it without mpiexec")
            processes = ", ".join(map(str, ranks.gather(os.getpid())))
            if ranks.size > 1 and "--quiet" not in (argv or sys.argv):
                print(f"{ranks.size} ranks, processes {processes}", flush=True)
            code = main(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()
            return code or 0
        except (UserError, FloatingPointError, RankError, MPIError) as error:
            return _complain(f"error: {error}", 2, ranks, error)
        except MemoryError as error:
            return _complain(f"error: not enough memory: {error or 'choose a smaller model'}", 2, ranks, error)
        except KeyboardInterrupt as error:
            return _complain("interrupted", 128 + signal.SIGINT, ranks, error)
        except BrokenPipeError:  # whoever read our output has had enough, as in `... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13  # as SIGPIPE
        except SystemExit as end:  # --help
            return int(end.code or 0)

    return program


command_on_ranks = functools.partial(command, on_ranks=True)


def _complain(line: str, code: int, ranks: Ranks, error: BaseException) -> int:
    if ranks.rank == 0:
        print(" ".join(line.split()), file=sys.stderr)
    ranks.end(error)  # others may wait, who then complain
    return code


def need(*packages: str) -> None:
    """Import optional packages before any work is done."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            shown = {"sklearn": "scikit-learn"}.get(package, package)
            line = f"this example needs the package {shown}: pip install {shown}"
            raise UserError(f"{line}, or pip install -e '.[examples]' in a clone") from error


def output_folder(path: str) -> Path:
    """The folder, made if need be and known to be writable."""
    folder = Path(path)
    try:
        if not silent():
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"cannot write to the output folder {path}: {error.strerror}") from error
    return folder


class Progress:
    """A live line of progress and figures on a terminal, plain lines now and then elsewhere, nothing if `quiet`.

    Use as a context manager, and call `update` at every step; `start` is the fraction of the work that was done before.
    """

    def __init__(self, start: float = 0.0, quiet: bool = False) -> None:
        self.start, self.quiet = start, quiet
        self.live: Any = None
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stdout.isatty() and not self.quiet:
            from rich.console import Console
            from rich.live import Live

            console = Console()
            if not console.is_dumb_terminal:
                self.live = Live(console=console, auto_refresh=False, transient=True)
                self.live.start()
        self.every = 0.25 if self.live else 10.0  # seconds
        self.next = self.began + (0.0 if self.live else self.every)
        return self

    def __exit__(self, *error: Any) -> None:
        if self.live:
            self.live.stop()

    def due(self) -> bool:
        """Whether it is time to show something."""
        return not self.quiet and time.monotonic() >= self.next

    def update(self, done: float, position: str, figures: str, at_once: bool = False) -> None:
        """Show, when due or `at_once`, the fraction of the work done, the same in words, and figures of the moment."""
        if self.quiet or not (at_once or self.due()):
            return
        now = time.monotonic()
        self.next = now + self.every
        gained = done - self.start
        left = clock((now - self.began) * (1 - done) / gained) + " left" if gained > 0 else ""
        if not self.live:
            print(", ".join(part for part in (position, figures, left) if part), flush=True)
            return
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bar = Table.grid(padding=(0, 2))
        shown = ProgressBar(total=1.0, completed=done, width=30, complete_style="cyan")
        bar.add_row(shown, position, Text(left, style="cyan"))
        self.live.update(Group(bar, Text(figures, style="bold")), refresh=True)

    def say(self, line: str) -> None:
        """A line that stays."""
        if self.live:
            self.live.console.print(line, markup=False, highlight=False)
        elif not self.quiet:
            print(line, flush=True)

    def show(self, title: str, text: str) -> None:
        """A text under its title."""
        if self.live:
            from rich.panel import Panel
            from rich.text import Text

            self.live.console.print(Panel(Text(text), title=title, title_align="left", border_style="dim"))
        elif not self.quiet:
            print(title, *[f"  | {line}" for line in text.split("\n")], sep="\n", flush=True)


def clock(seconds: float) -> str:
    """Minutes and seconds, as 2:05; with hours, as 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(n: int) -> str:
    """n with its digits in groups of three: 4 500."""
    return f"{n:,}".replace(",", " ")


#: Colours that stay apart in print and for the colour-blind (Okabe & Ito 2008).
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#7f7f7f"
COLOURS = {"rnn": ORANGE, "lstm": BLUE, "gru": GREEN}

STYLE: Any = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@contextmanager
def picture(path: Path, width: float = 7.2, height: float = 4.2) -> Iterator[Any]:
    """A matplotlib figure of some inches in the style of all examples, written to `path` when the block ends."""
    import matplotlib.style
    from matplotlib.figure import Figure  # without pyplot: drawn by Agg, no window and no global state

    with matplotlib.style.context(STYLE, after_reset=True):
        yield (figure := Figure((width, height)))
        if not silent():
            with written_whole(path) as file:
                figure.savefig(file, format="png", pil_kwargs={"optimize": True})
