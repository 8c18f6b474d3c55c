"""Ranks that stay for a whole session, and run one program after the other for `on_ranks` in `ranks.py`.

mpiexec -n 4 python tests/support/rank_server.py ADDRESS

What mpiexec starts, each rank imports anew: NumPy, MPI, matplotlib, scikit-learn. Here that is done once. Every rank
has a connection to the tests, on which it waits for a job without using a core, and by which it answers. A job is for
the first n ranks: they have a communicator of their own, which is MPI's world to the program. It ends as a process
would, with the last meeting of the ranks; what ends a process for good needs processes of its own (`launch`).
"""

import contextlib
import io
import os
import signal
import sys
import traceback
from multiprocessing.connection import Client
from typing import Any

from mpi4py import MPI

import nn


def run(comm: Any, program: str, arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, output and errors of a program's source on these ranks."""
    MPI.COMM_WORLD = comm.Dup()  # so that nothing which an earlier program left behind is received
    for name in {*nn.distributed.ranks.STARTED} & {*os.environ}:
        os.environ[name] = str(comm.size)
    nn.distributed.world.cache_clear()
    before, sys.argv = signal.getsignal(signal.SIGINT), ["-c", *arguments]
    code, failure = 0, None
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            code = 1 if isinstance(end.code, str) else end.code or 0
        except BaseException as error:
            traceback.print_exc()
            code, failure = 1, error
        nn.distributed.world().end(failure)
    signal.signal(signal.SIGINT, before)
    return code, out.getvalue(), err.getvalue()


def main() -> None:
    nn.distributed.ranks.BUSY = 0.0  # four ranks share the cores with the tests: awake, they took a quarter more CPU
    world = MPI.COMM_WORLD
    comms = {n: world.Split(world.rank < n) for n in range(1, world.size + 1)}
    with Client(sys.argv[1]) as tests:
        tests.send(world.rank)
        with contextlib.suppress(EOFError):  # the session is over
            while True:
                n, program, arguments = tests.recv()
                tests.send(run(comms[n], program, arguments))
    if "MPICH" in MPI.Get_library_version():  # its Finalize, in which ranks wait awake, and Python's end took 0.6 s
        os._exit(0)


if __name__ == "__main__":
    main()
