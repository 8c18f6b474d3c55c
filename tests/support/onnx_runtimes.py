"""Runs exported files in every runtime that is installed, and prints how far each is from the model.

    python tests/support/onnx_runtimes.py

The table of docs/onnx.md. Each figure is the worst absolute difference over layers of one and both directions and
reversed, two of them one above the other, over outputs and final states, with random first states, axes free and
fixed, and lengths of 0 ... T.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from onnx_cases import named, normal, random_state, random_weights

import minigrad as mg
import nn

CELLS: dict[str, Callable[[int], Any]] = {
    "RNNCell": lambda I: nn.RNNCell(I, 4),
    "RNNCell, relu": lambda I: nn.RNNCell(I, 4, nonlinearity="relu"),
    "LSTMCell": lambda I: nn.LSTMCell(I, 4),
    "GRUCell, reset before": lambda I: nn.GRUCell(I, 4),
    "GRUCell, reset after": lambda I: nn.GRUCell(I, 4, reset="after", z="old"),
    "PeepholeLSTMCell": lambda I: nn.PeepholeLSTMCell(I, 4),
    "CoupledLSTMCell": lambda I: nn.CoupledLSTMCell(I, 4),
    "ProjectedLSTMCell": lambda I: nn.ProjectedLSTMCell(I, 4, 2),
    "LayerNormLSTMCell": lambda I: nn.LayerNormLSTMCell(I, 4),
    "MGUCell": lambda I: nn.MGUCell(I, 4),
}


def networks(name: str) -> Iterator[Any]:
    """Two layers of a cell forwards, backwards, and in both directions."""
    for options in ({}, {"reverse": True}, {"bidirectional": True}):
        make, sides = CELLS[name], 2 if "bidirectional" in options else 1
        width = sides * (2 if name == "ProjectedLSTMCell" else 4)
        cells = [make(3 if layer == 0 else width) for layer in range(2) for _ in range(sides)]
        yield random_weights(nn.Recurrent(*cells, **options))


def runtimes() -> dict[str, Callable[[Path], Any]]:
    """Those that are installed: each makes of a file a function of named arrays."""
    import onnx
    import onnxruntime
    from onnx.reference import ReferenceEvaluator

    def by_onnxruntime(path: Path) -> Any:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda inputs: session.run(None, inputs)

    def by_reference(path: Path) -> Any:
        evaluator = ReferenceEvaluator(str(path))
        return lambda inputs: evaluator.run(None, inputs)

    found = {f"onnxruntime {onnxruntime.__version__}": by_onnxruntime, f"reference {onnx.__version__}": by_reference}
    try:
        import openvino
    except ModuleNotFoundError:
        return found

    def by_openvino(path: Path) -> Any:
        model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda inputs: list(model(inputs).values())

    return found | {f"OpenVINO {openvino.__version__.split('-')[0]}": by_openvino}


def worst(make: Callable[[Path], Any], name: str, lengths: str | None, fixed: bool, path: Path) -> float:
    """The largest difference; infinite if the file is not run."""
    largest = 0.0
    for net in networks(name):
        example = {"xs": normal(6, 4, 3), "state": random_state(net, 4)}
        if lengths:
            example["lengths"] = np.array([6, 3, 0, 5])
        nn.to_onnx(net, path, example, lengths=lengths or "mask", verify=False, axes={} if fixed else None)
        try:
            found = make(path)(named(example))
        except Exception:
            return np.inf
        for theirs, ours in zip(found, mg.tree_leaves(net(**example)), strict=True):
            largest = max(largest, float(np.abs(theirs - ours.data).max()))
    return largest


def main() -> None:
    made = runtimes()
    print(f"| {'lengths':<13} | axes  | cell {'':<16} | {' | '.join(made)} |")
    with tempfile.TemporaryDirectory() as folder:
        for lengths in (None, "sequence_lens", "mask"):
            for fixed in (False, True):
                for name in CELLS:
                    row = [worst(run, name, lengths, fixed, Path(folder) / "a.onnx") for run in made.values()]
                    figures = " | ".join([f"{x:.1e}" if np.isfinite(x) else "not run" for x in row])
                    print(
                        f"| {lengths or 'none':<13} | {'fixed' if fixed else 'free':<5} | {name:<21} | {figures} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
