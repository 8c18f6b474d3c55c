"""From file to file: `python -m nn.convert INPUT OUTPUT --from CELL --to CELL`, with a table of what went where.

    python -m nn.convert model.keras model.npz                                      a whole model
    python -m nn.convert flax.npz net.npz --from flax.linen.GRUCell --prefix params/cell/
    python -m nn.convert net.npz paddle.npz --from nn.LSTM --to paddle.nn.LSTM

INPUT is a .npz, .safetensors, .h5, .keras or .onnx, OUTPUT a .npz, .safetensors or .h5, or .onnx for a cell or
layers. Where something does not fit, nothing is written.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..module import weights_dtype
from ..protocol import Cell
from ..recurrent import Recurrent
from . import files, modules, table
from .keras_model import from_keras

#: What is said of cells, and of no whole model.
OF_CELLS = ("target", "prefix", "to_prefix", "leave_rest", "bidirectional", "inexact")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 if it fails."""
    options = _parser().parse_args(argv)
    try:
        rich = _rich()
        module, arrays, rows = _converted(options)
        _write(options.output, module, arrays)
    except (ValueError, TypeError, ModuleNotFoundError, OSError) as error:
        text = str(error)
        print(text if text.startswith("nn.convert: ") else f"nn.convert: {text}", file=sys.stderr)
        print(f"nn.convert: {options.output} was not written", file=sys.stderr)
        return 1
    shown = rich.table.Table(title=f"{options.input.name} → {options.output.name}", title_justify="left")
    for heading in ("array", "shape", "holds", "went to"):
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*[cell.replace("[", r"\[") for cell in row])
    console = rich.console.Console()
    console.print(shown)
    console.print(repr(module), markup=False, highlight=False)
    return 0


def _write(path: Path, module: Any, arrays: Any) -> None:
    if path.suffix != ".onnx":
        files.write(path, arrays)
        return
    net = module if isinstance(module, Recurrent) else Recurrent(module) if isinstance(module, Cell) else None
    if net is None:
        raise ValueError(f"{path}: a cell or layers of cells are written as .onnx; for more see nn.to_onnx")
    first: Any = net.cells[0]
    example = np.zeros((3, 2, first.I), weights_dtype(net))
    importlib.import_module("nn.convert.onnx_export").to_onnx(net, path, example)


def _parser() -> argparse.ArgumentParser:
    cli = argparse.ArgumentParser(prog="python -m nn.convert", description="weights of another tool, from file to file")
    cli.add_argument("input", type=Path, help=f"one of {', '.join(files.SUFFIXES)}, .onnx")
    cli.add_argument("output", type=Path, help=".npz, .safetensors, .h5 or .onnx")
    cli.add_argument("--from", dest="source", metavar="CELL", help="whose arrays these are; not for a whole .keras")
    cli.add_argument("--to", dest="target", metavar="CELL", help="whose arrays to write; minigrad's by default")
    cli.add_argument("--prefix", action="append", metavar="PATH", help="take arrays below it; one for each cell if "
                     "there are several, the lowest layer first, forwards before backwards")  # fmt: skip
    cli.add_argument("--to-prefix", action="append", metavar="PATH", help="the same for what is written")
    cli.add_argument("--leave-rest", action="store_true", help="leave out what is below no --prefix")
    cli.add_argument("--bidirectional", action="store_true", help="several --prefix are two for each layer")
    cli.add_argument("--inexact", action="store_true", help="round and negate weights where the tool asks for it")
    cli.add_argument("--list", action=_List, nargs=0, help="print all names of cells, and end")
    return cli


class _List(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        print("\n".join(table.tools()))
        parser.exit()


def _rich() -> Any:
    try:
        importlib.import_module("rich.console")
        importlib.import_module("rich.table")
        return importlib.import_module("rich")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the table that is printed needs the package rich: pip install rich") from error


def _converted(options: argparse.Namespace) -> tuple[Any, Any, list[list[str]]]:
    """The module, the arrays to write, and the rows of the table."""
    if options.output.suffix == ".onnx":
        _refuse(options, ("target", "to_prefix"), f"{options.output}: a .onnx has names of its own")
    if options.source is None:
        if options.input.suffix in (".onnx", ".keras"):
            _refuse(options, OF_CELLS, f"{options.input}: a whole model is read as it is")
        if options.input.suffix == ".onnx":
            model = importlib.import_module("nn.convert.onnx_import").from_onnx(options.input)
            rows = [[path, str(p.shape), "", path] for path, p in model.named_parameters()]
            return model, model.state_dict(), rows
        if options.input.suffix != ".keras":
            raise ValueError("say with --from whose arrays these are; --list prints the names")
        model = from_keras(options.input)
        steps = {step.name: step.kind for step in model.steps}
        rows = []
        for path, p in model.named_parameters():
            _, layer, *_, name = path.split(".")
            rows.append([f"layer {layer}", str(p.shape), f"{name} of {steps[layer]}", path])
        return model, model.state_dict(), rows
    prefix, to_prefix = (_prefixes(paths) for paths in (options.prefix, options.to_prefix))
    arrays = files.read(options.input)
    rest = [f"{name} {a.shape}" for name, a in arrays.items() if not name.startswith(prefix or ("",))]
    if rest and not options.leave_rest:
        raise ValueError(f"{options.input}: arrays below no --prefix (--leave-rest leaves them out):\n  "
                         + "\n  ".join(rest))  # fmt: skip
    module = modules.from_tool(arrays, options.source, prefix, bidirectional=options.bidirectional)
    target = options.target or modules.own_name(module)
    arrays = modules.to_tool(module, target, to_prefix, exact=not options.inexact)
    return module, arrays, modules.where(module, options.source, target, prefix, to_prefix)


def _refuse(options: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Raise for options that would be of no effect."""
    words = {"target": "to"}
    given = ["--" + words.get(name, name).replace("_", "-") for name in names if getattr(options, name)]
    if given:
        raise ValueError(f"{why}; leave out {', '.join(given)}")


def _prefixes(paths: list[str] | None) -> Any:
    return "" if not paths else paths[0] if len(paths) == 1 else tuple(paths)


if __name__ == "__main__":
    sys.exit(main())
