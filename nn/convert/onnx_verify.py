"""Runs a file that was written and compares: with onnxruntime, or onnx's own reference evaluator."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .onnx_graph import package

CLOSE = {np.dtype(np.float64): 1e-9, np.dtype(np.float16): 2e-2}
FLOAT32 = 1e-5
MORE = 8  # roundings: a runtime makes one at each operation, not one at each input


class Case(NamedTuple):
    """Inputs by name, the model's results, and by how much these change if inputs and weights are off by a rounding."""

    inputs: dict[str, np.ndarray]
    results: list[np.ndarray]
    rounding: list[float]


class Verified(NamedTuple):
    """Who ran a file, on how many inputs, and by how much results differed at most."""

    by: str
    cases: int
    worst: float
    rounding: float = 0.0

    def __str__(self) -> str:
        if not self.cases:
            return f"not verified: {self.by}"
        text = f"verified by {self.by} on inputs of {self.cases} kinds: results differ by {self.worst:.1e} at most"
        return (
            text
            if self.worst < FLOAT32
            else f"{text}; a rounding of inputs and weights changes them by {self.rounding:.1e}"
        )


def verified(model: Any, cases: list[Case], names: list[str], verify: str | bool) -> Verified:
    """Run the model on each case.

    Raises:
        ValueError: if a result differs, or it cannot be run.
        ModuleNotFoundError: if the one that was asked for is not there.
    """
    if verify is False:
        return Verified("verify=False", 0, 0.0)
    if verify not in (True, "onnxruntime", "reference"):
        raise ValueError(f'to_onnx: verify must be True, False, "onnxruntime" or "reference", got {verify!r}')
    lacking = _lacking(model)
    run: Callable[[dict[str, np.ndarray]], Any]
    if verify != "reference" and (found := _onnxruntime()) is not None:
        by = f"onnxruntime {found.__version__}"
        run = _session(found, model)
    elif verify == "onnxruntime":
        raise ModuleNotFoundError(
            "to_onnx: verify='onnxruntime' needs the package onnxruntime: pip install onnxruntime"
        )
    elif lacking:
        text = f"onnx's reference evaluator {lacking}"
        if verify == "reference":
            raise ValueError(f"to_onnx: {text}, or verify='onnxruntime'")
        return Verified(f"onnxruntime is not installed, and {text}", 0, 0.0)
    else:
        by = f"the reference evaluator of onnx {package().__version__}"
        evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator(model)
        run = lambda inputs: evaluator.run(names, inputs)
    worst = 0.0
    for case in cases:
        try:
            with np.errstate(all="ignore"):
                found = run(case.inputs)
        except Exception as error:
            sizes = ", ".join(f"{name} {a.shape}" for name, a in case.inputs.items())
            hint = "; nodes=False writes layers as Scans, which take float64" if "double" in str(error) else ""
            raise ValueError(f"to_onnx: {by} does not run the file on {sizes}: {error}{hint}") from error
        for name, theirs, ours, rounding in zip(names, found, case.results, case.rounding):
            worst = max(worst, _difference(f"to_onnx: {by}: {name}", np.asarray(theirs), ours, rounding))
    return Verified(by, len(cases), worst, max([x for case in cases for x in case.rounding], default=0.0))


def _lacking(model: Any) -> str:
    """What onnx's reference evaluator does not do with this file, and the remedy; "" if it is right."""
    for node in model.graph.node:
        if node.op_type in ("RNN", "LSTM", "GRU") and len(node.input) > 4 and node.input[4]:
            return "ignores sequence_lens: use lengths='mask'"
        if any([a.name == "activations" and b"Relu" in a.strings for a in node.attribute]):
            return "knows no Relu in an RNN: use nodes=False"
    return ""


def _onnxruntime() -> Any:
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module("onnxruntime")
    return None


def _session(runtime: Any, model: Any) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what it has to say, it raises
    try:
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"to_onnx: onnxruntime {runtime.__version__} does not take the file: {error}") from error
    return lambda inputs: session.run(None, inputs)


def _difference(what: str, theirs: np.ndarray, ours: np.ndarray, rounding: float) -> float:
    """The largest difference; ValueError if it is larger than rounding explains, or shapes or dtypes differ."""
    if (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
        raise ValueError(f"{what} is {theirs.shape} {theirs.dtype}, the model's {ours.shape} {ours.dtype}")
    if not ours.size:
        return 0.0
    if ours.dtype.kind != "f":
        if not np.array_equal(theirs, ours):
            raise ValueError(f"{what} differs from the model's")
        return 0.0
    same = (theirs == ours) | (np.isnan(theirs) & np.isnan(ours))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(theirs.astype(np.float64) - ours))
    close = CLOSE.get(ours.dtype, FLOAT32) * np.maximum(1, np.abs(ours.astype(np.float64))) + MORE * rounding
    far = ~(same | (difference <= close))  # a NaN on one side is far
    if far.any():
        place = np.unravel_index(np.argmax(far), ours.shape)
        raise ValueError(
            f"{what} is {theirs[place]} at {tuple(map(int, place))}, the model's {ours[place]}; nothing was written"
        )
    return float(difference.max())
