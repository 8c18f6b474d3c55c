"""The command of a page that is made from the code: print it, or write it to its file."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(module: str, description: str, path: Path, page: Callable[[], str]) -> None:
    """Run `python -m MODULE [--write]`."""
    cli = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    cli.add_argument("--write", action="store_true", help=f"to {path.relative_to(ROOT)}, not to standard output")
    if cli.parse_args().write:
        path.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
