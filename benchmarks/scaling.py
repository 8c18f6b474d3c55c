"""The LSTM language model at its ends: writing one character at a time, and training as one of its sizes grows."""

from __future__ import annotations

import ctypes
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

    without_record = mg.no_grad()(forward)
    step = mg.compile(without_record) if compiled else without_record
    start, symbol = model.recurrent.initial_state(1), np.zeros((1, 1), int)

    def advance(k: int, state: Any) -> Any:
        symbol[0, 0] = k  # a new array would take longer than this, and each call reads anew what it is given
        logits, state = step(symbol, state or start)
        return logits.data[0, 0], state

    return advance


def _numpy(setting: Setting, P: dict[str, np.ndarray]) -> Advance:
    """The others' work in plain expressions, no more and no less.

    The weights are read at each character: a table of U + b, made once, would spare an addition, and be wrong as soon
    as they learn. The gates are cut by slices: `np.split`, a helper written in Python, took 4.4 of 13.6 us.
    """
    H, zeros = setting.H, np.zeros(setting.H, setting.dtype)

    def advance(k: int, state: Any) -> Any:
        h, C = state or (zeros, zeros)
        a = P["U"][k] + P["b"] + h @ P["W"]
        fio = 0.5 * np.tanh(0.5 * a[: 3 * H]) + 0.5
        C = fio[:H] * C + fio[H : 2 * H] * np.tanh(a[3 * H :])
        h = fio[2 * H :] * np.tanh(C)
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


# What grows in a row of its own, through which values, and what differs from the setting.
GROWTHS: dict[str, tuple[str, tuple[Any, ...], dict[str, int]]] = {
    "sizes": ("V,H,B,T", by_hand.SIZES, {}),
    "lengths": ("T", (50, 200, 800, 3200, 12800), {"B": 1}),
    "batches": ("B", (1, 4, 16, 64, 256), {}),
    "widths": ("H", (32, 64, 128, 256, 512), {}),
    "depths": ("layers", (1, 2, 3, 4), {}),
}


def grown(setting: Setting, size: str, value: Any) -> Setting:
    """The setting with `size`, or with several sizes ("H,B") and a tuple of values."""
    return replace(setting, **dict(zip(size.split(","), value if isinstance(value, tuple) else (value,))))


class Growth:
    """The LSTM's training step as one of its sizes grows, and the memory that model and steps add."""

    def __init__(self, framework: str, setting: Setting, size: str, values: tuple[Any, ...]) -> None:
        self.framework = framework
        settings = [grown(replace(setting, cell="lstm"), size, value) for value in values]
        names = [",".join(map(str, value)) if isinstance(value, tuple) else f"{size}={value}" for value in values]
        self.settings = dict(zip(names, settings))
        self.steps: dict[str, Callable[[], float]] = {}
        self.peaks: dict[str, dict[str, float]] = {}

    def check(self) -> dict[str, np.ndarray]:
        """At the two smallest sizes: what grows has an effect, and a check of the largest would take minutes."""
        return {
            f"{name}, {what}": array
            for name, setting in list(self.settings.items())[:2]
            for what, array in language_model.Training(self.framework, setting).check().items()
        }

    def measure(self) -> dict[str, float]:
        """Milliseconds per step, over at least 1 step and 0.1 seconds, and MiB, for each size."""
        found = {}
        for name, setting in self.settings.items():
            if name not in self.steps:
                self.steps[name], self.peaks[name] = self._begin(setting)
            steps, start = 0, now()
            while steps < 1 or now() - start < 0.1:
                self.steps[name]()
                steps += 1
            found[name] = (now() - start) / steps * 1e3
            found |= {f"{name} {what}": peak for what, peak in self.peaks[name].items()}
        return found

    def _begin(self, setting: Setting) -> tuple[Callable[[], float], dict[str, float]]:
        """A model's step, and the most memory held at a time: in the first two steps, where programs are made of
        functions, and in a later one."""
        batch = by_hand.batches(setting, 1)[0]
        gc.collect()
        before = _memory("VmRSS", reset=True)
        model = language_model.MODELS[self.framework](setting, by_hand.initial_parameters(setting))
        for _ in range(2):
            model.step(*batch)
        peaks = {"first peak": _memory("VmHWM") - before}
        gc.collect()
        _memory("VmRSS", reset=True)
        model.step(*batch)
        return lambda: model.step(*batch), peaks | {"peak": _memory("VmHWM") - before}


def _memory(key: str, reset: bool = False) -> float:
    """MiB that the process holds now (VmRSS) or held at most since the last reset (VmHWM); Linux.

    A reset gives back what was freed, or the next model would be made of it and seem to need less.
    """
    if reset:
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)  # glibc's
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024
