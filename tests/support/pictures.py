"""Pictures that nobody looks at are not drawn: half a second of CPU each."""

from pathlib import Path
from typing import Any


def not_drawn(figure: Any, file: Any, **options: Any) -> None:
    """In place of matplotlib's `Figure.savefig`."""
    (file.write if hasattr(file, "write") else Path(file).write_bytes)(b"not drawn")
