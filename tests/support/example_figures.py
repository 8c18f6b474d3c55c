"""The figures that an example leaves in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def figures(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))
