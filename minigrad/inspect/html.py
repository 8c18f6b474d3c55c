"""A page that needs nothing around it: a template, with its style, its script and its data in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

WEB = Path(__file__).parent / "web"


def filled(template: Path, data: Any) -> str:
    """The template as one page.

    `{{name}}` stands for the file of that name beside the template or in `web`, `{{DATA}}` for the data, as JSON in
    ASCII without a `<`, so that no text in it can end the script. `{{POLICY}}` allows exactly the scripts and styles
    that are there by then, and nothing from elsewhere.
    """

    def part(match: re.Match[str]) -> str:
        path = template.with_name(match[1])
        return (path if path.exists() else WEB / match[1]).read_text(encoding="utf-8").rstrip("\n")

    text = re.sub(r"\{\{([\w.]+\.(?:css|js))\}\}", part, template.read_text(encoding="utf-8"))
    allowed = "; ".join([
        f"{kind}-src {' '.join([_digest(body) for body in re.findall(rf'<{tag}>(.*?)</{tag}>', text, re.DOTALL)])}"
        for kind, tag in (("style", "style"), ("script", "script"))
    ])  # fmt: skip
    text = text.replace("{{POLICY}}", f"default-src 'none'; {allowed}")
    before, after = text.split("{{DATA}}")
    return before + json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c") + after


def _digest(body: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'"
