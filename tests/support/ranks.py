"""Programs on several ranks, started by mpiexec with a time limit."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")

needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or MPIEXEC is None,
    reason="needs mpi4py and mpiexec: pip install mpi4py mpich",
)


def command(n: int, *arguments: str) -> list[str]:
    """Python on n ranks."""
    return [str(MPIEXEC), "-n", str(n), sys.executable, *arguments]


def environment() -> dict[str, str]:
    """Of the ranks: the packages from here, one thread each, and Open MPI's leave for more ranks than cores."""
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH", "")])
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    allowed |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
    return os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | allowed


def launch(n: int, *arguments: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run to the end; subprocess.TimeoutExpired if that does not come."""
    return subprocess.run(
        command(n, *arguments), capture_output=True, text=True, timeout=seconds, env=environment(), check=False
    )
