"""docs/scaling.md: its program runs alone and on ranks, with the same result."""

import re
from pathlib import Path

import pytest
from ranks import SharedRanks, needs_mpi

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@needs_mpi
def test_its_program_prints_once_the_same_on_any_number_of_ranks(
    capsys: pytest.CaptureFixture[str], on_ranks: SharedRanks
) -> None:
    exec(PROGRAM, {"__name__": "__main__"})
    alone = capsys.readouterr().out
    assert re.fullmatch(r"0\.\d{3}\n", alone)
    together = on_ranks(3, PROGRAM)
    assert (together.returncode, together.stderr) == (0, "")
    assert abs(float(together.stdout) - float(alone)) < 0.002  # it is in float32
