"""Each finding is a script that tells what it shows, installs exact versions, and can fail; the page lists them all."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FINDINGS = ROOT / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))


def test_page_lists_each_script_once_with_versions_and_date() -> None:
    rows = re.findall(
        r"^\| \[(.+?)\]\((.+?)\) \| .*\d+\.\d+.* \| .+ \| (\d{4}-\d\d-\d\d) \|$",
        (FINDINGS / "README.md").read_text(),
        re.M,
    )
    assert [f"{name}.sh" for name, _, _ in rows] == [target for _, target, _ in rows] == [path.name for path in SCRIPTS]
    for _, target, date in rows:
        assert f"Date: {date}." in (FINDINGS / target).read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_tells_what_it_shows_and_can_fail(script: Path) -> None:
    text = script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True)
    positions = [text.index(f"\n# {word}:") for word in ("Versions", "Behaviour", "A good guess", "Seen")]
    assert positions == sorted(positions)
    assert "set -euo pipefail\nwork=$(mktemp -d)\ntrap 'rm -rf \"$work\"' EXIT\n" in text
    assert re.search(r'sys\.exit\(f?"CHANGED: ', text) or re.search(
        r"console\.error\(`CHANGED: .+\n +process\.exit\(1\)", text
    )
    assert "import minigrad" not in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_installs_exact_versions_that_its_header_names(script: Path) -> None:
    text = script.read_text()
    header = text[: text.index("# Seen:")]
    by_pip = re.findall(r"pip\" install --quiet (.+)", text)
    by_npm = re.findall(r"npm install --silent --no-fund --no-audit --prefix \"\$work\" (.+)", text)
    assert len(by_pip) == text.count('pip" install') <= 1
    assert len(by_npm) == text.count("npm install") <= 1
    assert by_pip + by_npm
    required = [requirement.split("==") for line in by_pip for requirement in line.replace("'", "").split()]
    for name, version in required + [requirement.rsplit("@", 1) for line in by_npm for requirement in line.split()]:
        assert f"{name.partition('[')[0].removesuffix('lib')} {version}" in header


def test_scripts_named_in_the_page_about_peers_exist() -> None:
    named = re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", (ROOT / "docs" / "peers.md").read_text())
    assert named
    assert set(named) <= {path.stem for path in SCRIPTS}
