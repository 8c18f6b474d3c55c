"""docs/scaling.md: its program runs alone and on ranks, with the same result."""

import re
import subprocess
import sys
from pathlib import Path

from ranks import environment, launch, needs_mpi

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@needs_mpi
def test_its_program_prints_once_the_same_on_any_number_of_ranks() -> None:
    alone = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment()
    )
    assert re.fullmatch(r"0\.\d{3}\n", alone.stdout)
    together = launch(3, "-c", PROGRAM)
    assert (together.returncode, together.stderr) == (0, "")
    assert abs(float(together.stdout) - float(alone.stdout)) < 0.002  # it is in float32
