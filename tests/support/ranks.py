"""Programs on several ranks, with a time limit: in processes of their own, or on ranks that stay for the session."""

import atexit
import functools
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

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


@functools.cache
def _copies() -> str:
    """The socket of `rank_copies.py`, which is started when it is first asked for, and ends with this process."""
    folder = tempfile.TemporaryDirectory()
    path = str(Path(folder.name) / "copies")
    server = subprocess.Popen(  # whose streams are pipes, as those of ranks are: Python asks once what a stream is
        [sys.executable, str(HERE / "rank_copies.py"), path], env=environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    atexit.register(lambda: (server.communicate(), folder.cleanup()))
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", server.communicate()
    return path


def copies(n: int, *arguments: str) -> list[str]:
    """As `command`, in 0.1 s less of each rank, where these need not be the very processes that mpiexec names.

    All copies put the strings of a set in one order, where each process has its own.
    """
    if not hasattr(os, "pidfd_open"):  # Linux
        return command(n, *arguments)
    return [str(MPIEXEC), "-n", str(n), sys.executable, "-IS", str(HERE / "rank_copy.py"), _copies(), *arguments]


def launch(n: int, *arguments: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run to the end; subprocess.TimeoutExpired if that does not come."""
    return subprocess.run(
        copies(n, *arguments), capture_output=True, text=True, timeout=seconds, env=environment(), check=False
    )


def example(name: str, before: str = "") -> str:
    """An example as a program without matplotlib, which writes on rank 0 alone; `before` is done before it runs."""
    return f"""
import sys, nn, pictures
pictures.leave_matplotlib_out()
from examples import {name}
pictures.prepare_rank(nn.distributed.world().rank)
{before}
sys.exit({name}.main())
"""


class SharedRanks:
    """Ranks that run one program after the other: `rank_server.py`.

    They are started when the first is to be run, and anew after one that did not end in time.
    """

    SIZE = 4

    def __init__(self) -> None:
        self.program: subprocess.Popen[bytes] | None = None
        self.ranks: list[Connection] = []

    def __call__(self, n: int, program: str, *arguments: str, seconds: float = 60) -> Any:
        """A CompletedProcess of a program's source on the first n ranks, in whose order stands what they print."""
        if self.program is None:
            self.start()
        for connection in self.ranks[:n]:
            connection.send((n, program, list(arguments)))
        until, answers = time.monotonic() + seconds, []
        try:
            for connection in self.ranks[:n]:
                if not connection.poll(max(0, until - time.monotonic())):
                    raise subprocess.TimeoutExpired(f"{program} on {n} ranks", seconds)
                answers.append(connection.recv())
        except BaseException:
            self.stop(kill=True)
            raise
        codes, out, err = zip(*answers)
        return subprocess.CompletedProcess([program, *arguments], max(codes), "".join(out), "".join(err))

    def start(self) -> None:
        socket.setdefaulttimeout(60)  # of the wait for all of them
        try:
            with Listener() as listener:
                server = command(self.SIZE, str(HERE / "rank_server.py"), str(listener.address))
                self.program = subprocess.Popen(server, env=environment(), stdin=subprocess.DEVNULL)
                connections = [listener.accept() for _ in range(self.SIZE)]
        finally:
            socket.setdefaulttimeout(None)
        by_rank = {connection.recv(): connection for connection in connections}
        self.ranks = [by_rank[rank] for rank in range(self.SIZE)]

    def stop(self, kill: bool = False) -> None:
        if self.program is None:
            return
        if kill:
            self.program.terminate()  # mpiexec, which ends the ranks
        for connection in self.ranks:
            connection.close()
        self.program.wait(30)
        self.program, self.ranks = None, []
