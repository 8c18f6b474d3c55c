"""`python -m benchmarks.predict`: how much faster n ranks would be than one, from measured steps and a modelled wire.

    step(n) = compute(B / n rows) + (1 + 1) log2 n · latency + 2 (n - 1) / n · bytes / bandwidth

The compute is measured here, in CPU time, for every number of rows; the exchange is a header and one sum of all
gradients (Thakur, Rabenseifner & Gropp 2005, section 4.5: a sum in this many messages and bytes).
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from time import process_time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from benchmarks import by_hand, language_model  # noqa: E402 - once the threads are set
from benchmarks.by_hand import SIZES, Setting  # noqa: E402

#: latency in seconds, bytes per second
NETWORKS = {"10 Gbit Ethernet": (25e-6, 1.2e9), "100 Gbit InfiniBand": (2e-6, 12e9)}
RANKS = (2, 8, 64, 512)


def compute(setting: Setting) -> tuple[float, int]:
    """Seconds of a compiled step, the fastest of some, and the bytes of its gradients."""
    model = language_model.MinigradCompiled(setting, by_hand.initial_parameters(setting))
    times: list[float] = []
    for batch in by_hand.batches(setting, 2) * 4:
        start = process_time()
        model.step(*batch)
        times.append(process_time() - start)
    return min(times), sum(tensor.grad.nbytes for tensor in model.named.values())


def exchange(n: int, size: int, latency: float, bandwidth: float) -> float:
    """Seconds of a header and a sum of so many bytes on n ranks."""
    return 2 * math.ceil(math.log2(n)) * latency + 2 * (n - 1) / n * size / bandwidth


def main() -> None:
    header = [f"{n} ranks" for n in RANKS]
    print("| V, H, B, T | ms alone | network |", " | ".join(header), "|")
    print("|---" * (3 + len(RANKS)) + "|")
    for V, H, B, T in SIZES:
        setting = Setting(V=V, H=H, B=B, T=T)
        alone, size = compute(setting)
        rows = [math.ceil(B / n) for n in RANKS]
        parts = {B: alone} | {few: compute(replace(setting, B=few))[0] for few in set(rows) - {B}}
        for network, wire in NETWORKS.items():
            gains = [f"{alone / (parts[few] + exchange(n, size, *wire)):.2f}" for n, few in zip(RANKS, rows)]
            print(f"| {V}, {H}, {B}, {T} | {1e3 * alone:.2f} | {network} | {' | '.join(gains)} |", flush=True)


if __name__ == "__main__":
    main()
