"""What compiling costs: the first step of a fresh model, and training where the lengths of batches differ."""

from __future__ import annotations

import gc
import statistics
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import by_hand, compilers, language_model
from benchmarks.by_hand import Setting
from benchmarks.workers import now

FRAMEWORKS = ("minigrad", "minigrad compiled", "jax")
#: V, H, B, T and layers of the models whose first step is measured.
FIRSTS = (
    *((65, 100, 1, 25, 1), (65, 128, 32, 50, 1), (65, 256, 64, 64, 1), (65, 128, 32, 50, 2), (65, 128, 32, 50, 4)),
    *((65, 128, 8, 400, 1), (65, 64, 1, 400, 1), (65, 64, 1, 1600, 1)),
)


class First:
    """The first training step of a fresh model, which makes its program; of plain minigrad a later, usual step."""

    def __init__(self, framework: str, setting: Setting, sizes: tuple[tuple[int, ...], ...] = FIRSTS) -> None:
        self.framework = framework
        fields = ("V", "H", "B", "T", "layers")
        settings = [replace(setting, cell="lstm", **dict(zip(fields, size))) for size in sizes]
        self.settings = {",".join(map(str, size)): grown for size, grown in zip(sizes, settings)}

    def _model(self, setting: Setting) -> Any:
        return language_model.MODELS[self.framework](setting, by_hand.initial_parameters(setting))

    def check(self) -> dict[str, np.ndarray]:
        return language_model.Training(self.framework, next(iter(self.settings.values()))).check()

    def measure(self) -> dict[str, float]:
        """Milliseconds, for each size."""
        found = {}
        for name, setting in self.settings.items():
            model, batch, times = self._model(setting), by_hand.batches(setting, 1)[0], []
            if self.framework == "minigrad":
                model.step(*batch)
            gc.collect()
            while not times or (self.framework == "minigrad" and len(times) < 3):
                start = now()
                model.step(*batch)
                times.append(now() - start)
            found[name] = statistics.median(times) * 1e3
        return found


class TorchPacked(compilers.TorchFused):
    """The sequences packed, as torch takes those of different lengths."""

    def outputs(self, one_hot: Any) -> Any:
        rnn = self.torch.nn.utils.rnn
        lengths = self.torch.full((one_hot.shape[1],), len(one_hot))
        packed, _ = self.recurrent(rnn.pack_padded_sequence(one_hot, lengths))
        return rnn.pad_packed_sequence(packed)[0]


class JaxPadded(compilers.Jax):
    """Every batch padded to the longest one, so that all share a program."""

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        padding = ((0, Ragged.lengths[-1] - len(ids)), (0, 0))
        return super().step(np.pad(ids, padding), np.pad(targets, padding), len(ids))


RAGGED: dict[str, Any] = {
    "minigrad": language_model.Minigrad,
    "minigrad compiled": language_model.MinigradCompiled,
    "torch": TorchPacked,
    "jax": JaxPadded,
}


class Ragged:
    """Training a fresh model by batches of which each has one of 40 lengths, in any order."""

    lengths = range(5, 45)
    counts = (200, 2000)

    def __init__(self, framework: str, setting: Setting) -> None:
        self.framework = framework
        self.setting = replace(setting, cell="lstm", H=64, B=16)

    def _batches(self, setting: Setting, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(0)
        lengths = rng.permutation([self.lengths[k % len(self.lengths)] for k in range(count)])
        return [by_hand.batches(replace(setting, T=int(T)), 1, seed=n)[0] for n, T in enumerate(lengths)]

    def check(self) -> dict[str, np.ndarray]:
        """Losses and parameters of three steps."""
        setting = replace(self.setting, dtype="float64")
        model = RAGGED[self.framework](setting, by_hand.initial_parameters(setting))
        losses = [model.step(*batch) for batch in self._batches(setting, 3)]
        return {"losses": np.array(losses)} | {name: np.array(array) for name, array in model.parameters().items()}

    def measure(self) -> dict[str, float]:
        """Seconds for the first 200 batches, and for 2 000."""
        model = RAGGED[self.framework](self.setting, by_hand.initial_parameters(self.setting))
        batches, found = self._batches(self.setting, self.counts[-1]), {}
        gc.collect()
        start = now()
        for n, batch in enumerate(batches, 1):
            model.step(*batch)
            if n in self.counts:
                found[f"{n} batches"] = now() - start
        return found
