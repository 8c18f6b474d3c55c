"""The LSTM language model at its ends: writing one character at a time, and sequences of growing length."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import by_hand, language_model
from benchmarks.by_hand import Setting
from benchmarks.workers import now

Advance = Callable[[int, Any], tuple[np.ndarray, Any]]  # (character, state) -> (logits, state)


def _minigrad(setting: Setting, parameters: dict[str, np.ndarray], compiled: bool = False) -> Advance:
    import minigrad as mg

    model = language_model.Minigrad(setting, parameters)

    def forward(x: Any, state: Any) -> Any:
        h, state = model.recurrent(x, state)
        return model.output(h), state

    step = mg.compile(forward) if compiled else forward
    start = model.recurrent.initial_state(1)

    @mg.no_grad()
    def advance(k: int, state: Any) -> Any:
        logits, state = step(np.array([[k]]), state or start)
        return logits.data[0, 0], state

    return advance


def _numpy(setting: Setting, P: dict[str, np.ndarray]) -> Advance:
    H, table, zeros = setting.H, P["U"] + P["b"], np.zeros(setting.H, setting.dtype)

    def advance(k: int, state: Any) -> Any:
        h, C = state or (zeros, zeros)
        a = table[k] + h @ P["W"]
        f, i, o = np.split(0.5 * np.tanh(0.5 * a[: 3 * H]) + 0.5, 3)
        C = f * C + i * np.tanh(a[3 * H :])
        h = o * np.tanh(C)
        return h @ P["V_out"] + P["c"], (h, C)

    return advance


def _torch(setting: Setting, parameters: dict[str, np.ndarray]) -> Advance:
    model = language_model.MODELS["torch"](setting, parameters)
    torch = model.torch

    @torch.no_grad()
    def advance(k: int, state: Any) -> Any:
        one_hot = torch.nn.functional.one_hot(torch.tensor([[k]]), setting.V).to(model.output.weight.dtype)
        h, state = model.recurrent(one_hot, state)
        return model.output(h)[0, 0].numpy(), state

    return advance


WRITERS: dict[str, Any] = {
    "minigrad": _minigrad,
    "minigrad compiled": lambda setting, parameters: _minigrad(setting, parameters, compiled=True),
    "numpy": _numpy,
    "torch": _torch,
}


class Writing:
    """Characters one at a time, each the likeliest after the one before, at batch 1."""

    length = 300

    def __init__(self, framework: str, setting: Setting) -> None:
        setting = replace(setting, B=1, cell="lstm")
        self.V, self.dtype = setting.V, setting.dtype
        self.advance = WRITERS[framework](setting, by_hand.initial_parameters(setting))

    def check(self) -> dict[str, np.ndarray]:
        state, rows = None, []
        for k in range(50):
            logits, state = self.advance(k * 7 % self.V, state)
            rows.append(np.array(logits))
        return {"logits": np.array(rows)}

    def measure(self) -> dict[str, float]:
        """Characters per second."""
        state, k = None, 0
        self.advance(k, state)
        start = now()
        for _ in range(self.length):
            logits, state = self.advance(k, state)
            k = int(logits.argmax())
        return {"characters": self.length / (now() - start)}


class Lengths:
    """A training step at batch 1 for sequences of growing length, and the memory that its first steps add."""

    lengths = (50, 200, 800, 3200)

    def __init__(self, framework: str, setting: Setting) -> None:
        self.framework, self.setting = framework, replace(setting, B=1, cell="lstm")
        self.trainings: dict[int, Any] = {}
        self.peaks: dict[int, float] = {}

    def check(self) -> dict[str, np.ndarray]:
        setting = replace(self.setting, T=self.lengths[0])
        return language_model.Training(self.framework, setting).check()

    def measure(self) -> dict[str, float]:
        """Milliseconds and MiB for each length."""
        found = {}
        for T in self.lengths:
            if T not in self.trainings:
                setting = replace(self.setting, T=T)
                batch = by_hand.batches(setting, 1)[0]
                gc.collect()
                before = _memory("VmRSS", reset=True)
                model = language_model.MODELS[self.framework](setting, by_hand.initial_parameters(setting))
                for _ in range(3):
                    model.step(*batch)
                self.peaks[T] = _memory("VmHWM") - before
                self.trainings[T] = model, batch
            model, batch = self.trainings[T]
            start = now()
            model.step(*batch)
            found[f"T={T}"] = (now() - start) * 1e3
            found[f"T={T}, memory"] = self.peaks[T]
        return found


def _memory(key: str, reset: bool = False) -> float:
    """MiB that the process holds now (VmRSS) or held at most since the last reset (VmHWM); Linux."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024
