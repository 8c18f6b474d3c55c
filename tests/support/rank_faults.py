"""A training loop that goes wrong on its last rank, in a way that is named, for `test_distributed_faults`.

mpiexec -n 2 python tests/support/rank_faults.py WHAT FOLDER
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

import nn
from nn.distributed import DataParallel, data_parallel


def at_once(*error: Any) -> None:
    """In place of Python's own words for an error, which come in pieces: those of two ranks may meet within a name."""
    sys.stderr.write("".join(traceback.format_exception(*error)))


def main() -> None:
    sys.excepthook = at_once
    what, folder = sys.argv[1], Path(sys.argv[2])
    ranks = nn.distributed.world()
    last = ranks.rank == ranks.size - 1
    if what == "raises before" and last:
        raise LookupError("no such text")
    net = nn.Linear(2, 3, rng=0)
    if what == "long step":
        data_parallel.PATIENCE = 0.5
    try:
        with DataParallel(net, ranks=ranks) as parallel:
            for step in range(3 if what != "interrupted" else 10_000):
                if step == 2 and last:
                    fail(what)
                if step == 2 and what == "long step":
                    time.sleep(60)
                net.W.grad = np.ones((2, 3), np.float32)
                parallel.average_gradients(1.0, 1)
                if ranks.rank == 0:
                    save(folder, net, step, full=what == "full disk" and step == 2)
                if what == "interrupted":
                    print(f"step {step}", flush=True)
                    time.sleep(0.01)
    except KeyboardInterrupt:
        if ranks.rank == 0:
            time.sleep(0.5)  # others, who have nothing to save, wait
            with open(folder / "interrupted", "a") as file:
                file.write("saved\n")
        raise
    if what == "raises after" and last:
        raise LookupError("no such picture")
    if what.endswith("after") and not last:
        ranks.gather(1)


def fail(what: str) -> None:
    if what in ("raises", "long step"):
        raise LookupError("no such row")
    if what == "exits":
        sys.exit(3)
    if what == "exits as if done":
        sys.exit(0)
    if what in ("killed", "crashes", "vanishes"):
        time.sleep(0.5)  # rank 0 has saved the step before
    if what == "vanishes":
        os._exit(0)  # without MPI_Finalize
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)


def save(folder: Path, net: nn.Module, step: int, full: bool) -> None:
    if full:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
    nn.save(folder / "net.npz", net, {"step": str(step)})


if __name__ == "__main__":
    main()
