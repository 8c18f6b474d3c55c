"""The training step on two ranks: minigrad on MPI, and torch with two threads or its DistributedDataParallel on gloo.

Each keeps to one BLAS thread a rank, and all see the same batches, of which a rank takes half of the rows. Wall clock,
since ranks that wait for each other take time of their own.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import by_hand, compilers, language_model
from benchmarks.by_hand import Setting
from benchmarks.workers import UnavailableError

N = 2
#: V, H, B, T
SIZES = ((65, 128, 32, 50), (65, 256, 64, 64), (87, 512, 100, 100))


class MinigradRanks(language_model.MinigradCompiled):
    """A rank's part of the step: the loop of a user, with one line more."""

    def __init__(self, setting: Setting, parameters: dict[str, np.ndarray]) -> None:
        super().__init__(setting, parameters)
        self.parallel = self.nn.distributed.DataParallel(self.named)
        self.parallel.__enter__()
        self.rows = self.parallel.ranks.rows(setting.B)

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        self.adam.zero_grad()
        loss = self.loss_and_gradients(ids[:, self.rows], targets[:, self.rows])
        mean = self.parallel.average_gradients(loss, self.rows.stop - self.rows.start)
        self.nn.clip_grad_norm(self.named.values(), self.clip)
        self.adam.step()
        return float(mean)


class TorchThreads(compilers.TorchFused):
    """torch.nn.LSTM in one process with a thread for each rank of the others."""

    def __init__(self, setting: Setting, parameters: dict[str, np.ndarray]) -> None:
        super().__init__(setting, parameters)
        self.torch.set_num_threads(N)


class TorchRanks(compilers.TorchFused):
    """torch.nn.LSTM in DistributedDataParallel, whose gradients are views into its bucket."""

    def __init__(self, setting: Setting, parameters: dict[str, np.ndarray]) -> None:
        super().__init__(setting, parameters)
        torch = self.torch
        recurrent, output = self.recurrent, self.output

        class Whole(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.recurrent, self.output = recurrent, output

            def forward(self, x: Any) -> Any:
                return self.output(self.recurrent(x)[0])

        self.model = torch.nn.parallel.DistributedDataParallel(Whole(), gradient_as_bucket_view=True)
        rank, each = torch.distributed.get_rank(), setting.B // N
        self.rows = slice(rank * each, (rank + 1) * each)

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        torch, functional = self.torch, self.torch.nn.functional
        ids, targets = (torch.from_numpy(np.array(x[:, self.rows])) for x in (ids, targets))
        logits = self.model(functional.one_hot(ids, self.setting.V).to(self.output.weight.dtype))
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        self.model.zero_grad()
        loss.backward()
        self.adam.step([tensor.grad.numpy() for tensor in self.named.values()])
        mean = loss.detach()
        torch.distributed.all_reduce(mean)
        return float(mean) / N


class Steps:
    """What is asked of a model in turns: is it right, how long does a step take."""

    def __init__(self, make: Callable[..., Any], settings: list[Setting]) -> None:
        self.make, self.settings = make, settings
        self.models: list[Any] = []
        self.batches = [by_hand.batches(setting, 4) for setting in settings]

    def check(self) -> dict[str, np.ndarray]:
        """The losses of two steps of the first size, in float64 with clipping at work, and the weights then."""
        setting = replace(self.settings[0], dtype="float64", clip=0.01)
        model = self.make(setting, by_hand.initial_parameters(setting))
        losses = [model.step(ids, targets) for ids, targets in by_hand.batches(setting, 2)]
        return {"losses": np.array(losses)} | {name: np.array(array) for name, array in model.parameters().items()}

    def measure(self) -> dict[str, float]:
        """Milliseconds of a step at each size: the mean of four, after an untimed one."""
        self.models = self.models or [self.make(s, by_hand.initial_parameters(s)) for s in self.settings]
        found = {}
        for setting, model, batches in zip(self.settings, self.models, self.batches):
            model.step(*batches[0])
            start = time.perf_counter()
            for batch in batches:
                model.step(*batch)
            name = f"{setting.V},{setting.H},{setting.B},{setting.T}"
            found[name] = (time.perf_counter() - start) / len(batches) * 1e3
        return found


ALONE: dict[str, Any] = {"minigrad": language_model.MinigradCompiled, "torch 2 threads": TorchThreads}
TOGETHER: dict[str, Any] = {"minigrad 2 ranks": MinigradRanks, "torch ddp": TorchRanks}
FRAMEWORKS = (*ALONE, *TOGETHER)


class Ranks:
    """A row of the table: in this process, or on ranks that are told by a pipe what to do."""

    def __init__(self, framework: str, setting: Setting, sizes: tuple[tuple[int, ...], ...] = SIZES) -> None:
        self.framework = framework
        self.settings = [replace(setting, cell="lstm", **dict(zip("VHBT", size))) for size in sizes]
        self.steps = Steps(ALONE[framework], self.settings) if framework in ALONE else None
        self.program: Any = None

    def _ask(self, what: str) -> Any:
        if self.program is None:
            mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
            if mpiexec is None:
                raise UnavailableError("pip install mpi4py mpich")
            self.folder = tempfile.TemporaryDirectory()
            command = [
                mpiexec,
                "-n",
                str(N),
                sys.executable,
                "-m",
                "benchmarks.ranks",
                self.framework,
                self.folder.name,
            ]
            self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.program.stdin.write(json.dumps([asdict(setting) for setting in self.settings]) + "\n")
        self.program.stdin.write(what + "\n")
        self.program.stdin.flush()
        if not (answer := self.program.stdout.readline()):
            raise UnavailableError(f"its ranks ended with exit code {self.program.wait()}, see above")
        with np.load(io.BytesIO(bytes.fromhex(answer))) as arrays:
            return dict(arrays)

    def close(self) -> None:
        """End the ranks; they also end with this process."""
        if self.program:
            self.program.communicate(timeout=20)
            self.folder.cleanup()

    def check(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = self.steps.check() if self.steps else self._ask("check")
        return found

    def measure(self) -> dict[str, float]:
        if self.steps:
            return self.steps.measure()
        return {name: float(value) for name, value in self._ask("measure").items()}


def main() -> None:
    """One rank of N: it does what rank 0 reads from its standard input, which answers."""
    framework, folder = sys.argv[1:]
    if framework == "torch ddp":
        import torch

        distributed = torch.distributed
        rank = int(os.environ.get("PMI_RANK") or os.environ["OMPI_COMM_WORLD_RANK"])
        distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=N)
        torch.set_num_threads(1)

        def told(line: str | None) -> str:
            lines = [line]
            distributed.broadcast_object_list(lines)
            return str(lines[0])
    else:
        import nn

        rank, told = nn.distributed.world().rank, nn.distributed.world().broadcast
    read = lambda: told(sys.stdin.readline() if rank == 0 else None)
    steps = Steps(TOGETHER[framework], [Setting(**setting) for setting in json.loads(read())])
    while line := read().strip():
        found: dict[str, Any] = getattr(steps, line)()
        if rank == 0:
            file = io.BytesIO()
            np.savez(file, **found)
            print(file.getvalue().hex(), flush=True)


if __name__ == "__main__":
    main()
