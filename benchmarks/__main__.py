"""`python -m benchmarks`: one table, every framework checked to compute the same, then timed in turns."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import first, language_model, micro, picture, ranks, scaling, throughput, workers
from benchmarks.by_hand import GATES, SIZES, Setting

# What must be importable for a framework to take part.
REQUIRES = {
    "minigrad": ("minigrad", "nn"),
    "numpy": ("numpy",),
    "autograd": ("autograd", "scipy"),
    "mygrad": ("mygrad",),
    "torch": ("torch",),
    "jax": ("jax",),
}
# What a framework has no model for: torch's GRU is another one, the minimal gated unit is a user's own cell, and only
# such a cell is a matter for torch.compile; by hand there is one layer.
LACKING = {
    "lstm": {"torch compiled cell"},
    "gru": {"torch", "torch compiled cell"},
    "rnn": {"torch compiled cell"},
    "mgu": {"torch", "numpy", "jax", "autograd tuned", "mygrad tuned"},
    "depths": {"numpy"},
}
BASELINES = ("minigrad", "numpy")
# glibc then keeps freed memory instead of giving it back to the system and faulting it in again.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}


@dataclass(frozen=True)
class Row:
    """One comparison: what to make in each worker, and the unit of each quantity it measures."""

    title: str
    make: Callable[..., Any]
    frameworks: tuple[str, ...]
    arguments: tuple[Any, ...]
    unit: Callable[[str], str]


def training(setting: Setting) -> Row:
    """The language model's training step in all frameworks that have the model."""
    present = tuple(name for name in language_model.MODELS if name not in LACKING.get(setting.cell, ()))
    sizes = f"V={setting.V} H={setting.H} B={setting.B} T={setting.T} {setting.dtype}"
    title = f"{setting.cell.upper()} training step, {sizes}"
    return Row(title, language_model.Training, present, (setting,), lambda _: "ms")


def rows(setting: Setting, all_sizes: bool = False) -> dict[str, Row]:
    """All rows by name; the first one is measured first. Those of training may come in all sizes."""
    small = tuple(micro.FRAMEWORKS)
    table = {}
    for cell in GATES:
        if not all_sizes:
            table[cell] = training(replace(setting, cell=cell))
        for V, H, B, T in SIZES if all_sizes else ():
            table[f"{cell} {V},{H},{B},{T}"] = training(replace(setting, cell=cell, V=V, H=H, B=B, T=T))
    table["loop"] = Row(
        f"backward of (x[t] * w).sum() for all t, x (T, {micro.Loop.width}); growth 8 is O(T), 64 is O(T^2)",
        micro.Loop,
        small,
        (),
        lambda quantity: "x" if quantity == "growth" else "ms",
    )
    table["overhead"] = Row(
        "forward and backward of one operation on a (4, 4) array", micro.Overhead, small, (), lambda _: "us"
    )
    n = throughput.Throughput.n
    table["throughput"] = Row(
        f"one operation on ({n}, {n}) arrays, forward and with gradients; numpy: the calls that these need, by hand",
        throughput.Throughput,
        throughput.Throughput.frameworks,
        (),
        lambda _: "us",
    )
    writers, trained = tuple(scaling.WRITERS), ("minigrad", "minigrad compiled", "numpy", "torch", "jax")
    table["writing"] = Row(
        f"writing one character at a time, LSTM V={setting.V} H={setting.H}", scaling.Writing, writers, (setting,),
        lambda _: "/s",
    )  # fmt: skip
    table["ranks"] = Row(
        f"LSTM training step, V,H,B,T, by wall clock; minigrad compiled, on one rank and {ranks.N} of MPI; torch "
        f"with {ranks.N} threads, and {ranks.N} ranks of DistributedDataParallel (gloo)",
        ranks.Ranks, ranks.FRAMEWORKS, (setting,), lambda _: "ms",
    )  # fmt: skip
    table["first"] = Row(
        "first LSTM training step of a fresh model, V,H,B,T,layers; minigrad, not compiled: a later step",
        first.First, first.FRAMEWORKS, (setting,), lambda _: "ms",
    )  # fmt: skip
    table["ragged"] = Row(
        "LSTM training from the start, H=64 B=16, batches of 40 lengths: torch packs them, jax pads to the longest",
        first.Ragged, tuple(first.RAGGED), (setting,), lambda _: "s",
    )  # fmt: skip
    for name, (size, values, differing) in scaling.GROWTHS.items():
        grown = replace(setting, **differing)
        what = [f"growing {size}", *(f"{other}={getattr(grown, other)}" for other in "VHBT" if other not in size)]
        table[name] = Row(
            f"LSTM training step with {' '.join(what)}; peaks of memory in the first steps and in a later one",
            scaling.Growth,
            tuple(framework for framework in trained if framework not in LACKING.get(name, ())),
            (grown, size, values),
            lambda quantity: "MiB" if "peak" in quantity else "ms",
        )
    return table


def installed(framework: str) -> bool:
    """Whether "autograd", or "autograd tuned", can run."""
    return all(importlib.util.find_spec(name) is not None for name in REQUIRES[framework.split()[0]])


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "source tree" if package == "minigrad" else None


def machine(environment: dict[str, str]) -> dict[str, Any]:
    """What a reader needs to repeat the measurement; the environment is the workers'."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    blas: Any = np.show_config(mode="dicts")
    blas = blas["Build Dependencies"]["blas"]
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas": f"{blas['name']} {blas['version']}",
        "environment": {
            key: value
            for key, value in sorted((os.environ | environment).items())
            if key.startswith(("OPENBLAS", "OMP_", "MKL_", "MALLOC_"))
        },
    }


def summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarize(name: str, row: Row, measured: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """One entry per quantity and framework, with the ratios to the baselines taken round by round."""
    entries = []
    first = next(iter(measured.values()), [{}])
    for quantity in first[0]:
        rounds = {framework: [turn[quantity] for turn in turns] for framework, turns in measured.items()}
        for framework, values in rounds.items():
            unit = row.unit(quantity)
            ratios = {
                baseline: summary([value / base for value, base in zip(values, rounds[baseline], strict=True)])
                for baseline in BASELINES
                if baseline in rounds and baseline != framework and unit not in ("x", "MiB")
            }
            entry = {"row": name, "quantity": quantity, "framework": framework, "unit": unit}
            entries.append(entry | {"rounds": values, **summary(values), "ratio_to": ratios})
    return entries


def span(numbers: dict[str, float], unit: str = "") -> str:
    """The median with the range, each in three digits; without the range for memory, which is measured once."""
    median, least, most = (
        f"{numbers[key]:.{0 if numbers[key] >= 100 else 1 if numbers[key] >= 10 else 2}f}"
        for key in ("median", "min", "max")
    )
    return f"{median}{unit}" + (f" [{least} .. {most}]" if unit != " MiB" else "")


def line(entry: dict[str, Any]) -> list[str]:
    """A line of the table: what, framework, time, ratio to each baseline."""
    ratios = [span(entry["ratio_to"][base]) if base in entry["ratio_to"] else "" for base in BASELINES]
    return [
        f"{entry['row']} {entry['quantity']}",
        entry["framework"],
        span(entry, f" {entry['unit']}"),
        *ratios,
    ]


def show(header: list[str], sections: list[list[list[str]]]) -> None:
    """Print one table with a section per row, by rich if it is there."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        everything = [header, *(cells for section in sections for cells in section)]
        widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
        rule = ["-" * width for width in widths]
        for cells in [header, *(cells for section in sections for cells in (rule, *section))]:
            print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        return
    table = Table()
    for column, heading in enumerate(header):
        table.add_column(heading, justify="left" if column < 2 else "right")
    for section in sections:
        table.add_section()
        for cells in section:
            table.add_row(*map(Text, cells))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    defaults = Setting()
    table = rows(defaults)
    names, usual = ["all", *table], ["lstm", "loop", "overhead"]
    listed = "\n".join(f"  {name:10}  {row.title}" for name, row in table.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"rows, here in the default sizes; the whole table is `all --all-sizes`:\n{listed}",
    )  # fmt: skip
    parser.add_argument("rows", nargs="*", metavar="row", help=f"any listed below, or all; default {' '.join(usual)}")
    parser.add_argument("--rounds", type=positive, default=15, help="turns of each framework (default 15)")
    parser.add_argument("--threads", type=positive, default=1, help="BLAS threads of each worker (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save everything measured")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the training steps (needs matplotlib)")
    parser.add_argument("--all-sizes", action="store_true", help="training steps in the sizes that are compared: "
                        + "; ".join(",".join(map(str, size)) for size in SIZES) + " (V,H,B,T)")  # fmt: skip
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="NAME", help="leave frameworks out, as in the table"
    )
    parser.add_argument("--cpu-time", action="store_true", help="measure the worker's CPU time, on a machine that is "
                        "busy with other things; with one thread only")  # fmt: skip
    parser.add_argument("--keep-memory", action="store_true", help="let no worker give freed memory back (glibc)")
    for size, meaning in {"V": "symbols", "H": "hidden units", "B": "batch size", "T": "time steps"}.items():
        default = getattr(defaults, size)
        parser.add_argument(f"--{size}", type=positive, default=default, help=f"{meaning} (default {default})")
    options = parser.parse_args(arguments)
    options.rows = list(dict.fromkeys(options.rows)) or usual
    if unknown := [name for name in options.rows if name not in names]:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(names)}")
    if "all" in options.rows:
        options.rows = names
    if options.cpu_time and options.threads > 1:
        parser.error("--cpu-time adds up the time of all threads: use it with --threads 1")
    chosen = [row for name, row in table.items() if name in options.rows]
    frameworks = dict.fromkeys(framework for row in table.values() for framework in row.frameworks)
    if unknown := [name for name in options.without if name not in frameworks]:
        parser.error(f"--without: no framework {', '.join(unknown)}; there are {', '.join(frameworks)} (rows stand "
                     "before the options)")  # fmt: skip
    for name in ("json", "picture"):
        path = getattr(options, name)
        if path and not path.resolve().parent.is_dir():
            parser.error(f"--{name}: the directory of {path} does not exist")
        if path and path.is_dir():
            parser.error(f"--{name}: {path} is a directory")
    if options.picture and (reason := picture.refused(options.picture)):
        parser.error(f"--picture: {reason}")
    if options.picture and not any(row.make is language_model.Training and "numpy" in row.frameworks for row in chosen):
        parser.error(f"--picture: shows training steps beside numpy's, and {' '.join(options.rows)} has none; choose "
                     "lstm, gru or rnn")  # fmt: skip
    if options.picture and "numpy" in options.without:
        parser.error("--picture: shows training steps beside numpy's, which --without leaves out")
    return options


def written(path: Path | None, write: Callable[[Path], Any]) -> list[str]:
    """Have a file written as a whole or not at all; if that fails the reason, which must not cost the table."""
    if path is None:
        return []
    aside = path.with_name(f".part.{path.name}")
    try:
        write(aside)
        aside.replace(path)
    except OSError as error:
        return [f"cannot write {path}: {error.strerror}"]
    finally:
        aside.unlink(missing_ok=True)
    return []


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    setting = Setting(V=options.V, H=options.H, B=options.B, T=options.T)
    environment = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads))
    if options.cpu_time:
        environment[workers.CPU_TIME] = "1"
    if options.keep_memory:
        environment |= KEEP_MEMORY
    table = rows(setting, options.all_sizes)
    chosen = {name: row for name, row in table.items() if name.split()[0] in options.rows}
    entries, sections, missing = [], [], {}
    for name, row in chosen.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        wanted = [framework for framework in row.frameworks if framework not in options.without]
        present = [framework for framework in wanted if installed(framework)]
        measured, reasons = workers.run(row.make, present, row.arguments, options.rounds, environment)
        entries += (found := summarize(name, row, measured))
        absent = [framework for framework in wanted if framework not in measured]
        sections.append([*map(line, found), *([name, framework, "absent", "", ""] for framework in absent)])
        for package in {framework.split()[0] for framework in absent if framework not in present}:
            missing[package] = f"pip install '{package}'"
        missing |= reasons
    report = {
        "machine": machine(environment),
        "threads": options.threads,
        "keep_memory": options.keep_memory,
        "clock": "cpu time" if options.cpu_time else "wall clock",
        "rounds": options.rounds,
        "versions": {package: version(package) for package in (*REQUIRES, "scipy")},
        "setting": asdict(setting),
        "absent": missing,
        "results": entries,
    }
    text, titles = json.dumps(report, indent=1) + "\n", {name: row.title for name, row in chosen.items()}
    failed = written(options.json, lambda file: file.write_text(text, encoding="utf-8"))
    failed += written(options.picture, lambda file: picture.draw(file, entries, titles))
    show(["what", "framework", "median [range]", *(f"/ {base} [range]" for base in BASELINES)], sections)
    for name, row in chosen.items():
        print(f"{name}: {row.title}")
    for framework, reason in sorted(missing.items()):
        print(f"{framework} is absent: {reason}")
    versions = ", ".join(f"{name} {found}" for name, found in report["versions"].items() if found)
    about = report["machine"]
    print(f"{about['processor']}, {about['cores']} cores, {about['blas']}, Python {about['python']}; {versions}")
    print(f"{report['clock']}, {options.rounds} rounds in turns; median and range, of ratios within a round")
    print("in each worker:", ", ".join(f"{key}={value}" for key, value in about["environment"].items()))
    for reason in failed:
        print(reason, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
