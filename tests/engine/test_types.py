"""A type checker knows a Tensor from an array: what it takes results for is what they are."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import nn

ROOT = Path(__file__).parents[2]
FILE = "tests/support/typed_results.py"
ROOMS = {"mg": mg, "mg.linalg": mg.linalg, "nn": nn, "nn.attention": nn.attention}
#: Public functions that return no Tensor, but for what is in a tree: then a result is as an argument is.
NO_TENSOR = {
    "mg.compile_as", "mg.explain", "mg.hvp", "mg.jacobian",
    "mg.keep_freed_memory", "mg.label", "mg.scope", "mg.steps", "mg.tape", "mg.traced", "mg.tree_leaves",
    "mg.tree_map", "mg.watched", "nn.batchify", "nn.beam_search", "nn.bucket_by_length",
    "nn.clip_grad_norm", "nn.clip_grad_value", "nn.cosine_decay", "nn.ctc_decode", "nn.detach", "nn.exponential_decay",
    "nn.from_onnx", "nn.from_torch", "nn.functional_call", "nn.lambda_decay", "nn.load", "nn.one_cycle", "nn.one_hot",
    "nn.padding_mask", "nn.plateau_decay", "nn.sample", "nn.save", "nn.step_decay", "nn.tbptt_chunks", "nn.to_onnx",
    "nn.to_torch",
}  # fmt: skip
WRONG = "import minigrad as mg\nt = mg.tensor(1.0)\nmg.tanh(t).permute(0)\n(t + 1).cuda()\nmg.tanh(1.0).backward()\n"
no_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed, which the extra dev brings")


def public() -> Iterator[tuple[str, object]]:
    """The public functions and primitives, by their names."""
    for room, module in ROOMS.items():
        for name in module.__all__:
            x = getattr(module, name)
            if isinstance(x, mg.Primitive) or inspect.isfunction(x):
                yield f"{room}.{name}", x


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a type checker says, in one run, of three files: by file.

    The bodies of what they import, which `.ci/run` has checked, are left out: half the time.
    """
    folder = tmp_path_factory.mktemp("types")
    lines = [
        "from typing import assert_type",
        "import minigrad as mg",
        "from minigrad.typed import Differentiable, Plain",
    ]
    for name, x in public():
        if isinstance(x, mg.Primitive):
            lines.append(f"assert_type({name}, {'Differentiable' if x.differentiable else 'Plain'})")
    (folder / "primitives.py").write_text("\n".join(lines))
    (folder / "wrong.py").write_text(WRONG)
    files = [FILE, str(folder / "primitives.py"), str(folder / "wrong.py")]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # wrong.py is wrong
    said = done.stdout.splitlines()
    return {Path(file).name: [line for line in said if Path(file).name in line] for file in files} | {"all": said}


@no_mypy
def test_results_are_to_a_type_checker_what_they_are(told: dict[str, list[str]]) -> None:
    assert told["typed_results.py"] == []


@no_mypy
def test_every_primitive_is_to_a_type_checker_one_with_rules_or_one_without(told: dict[str, list[str]]) -> None:
    assert told["primitives.py"] == []


@no_mypy
def test_what_a_tensor_has_not_is_an_error_to_a_type_checker(told: dict[str, list[str]]) -> None:
    assert [line for line in told["all"] if "[attr-defined]" in line] == told["wrong.py"]
    assert len(told["wrong.py"]) == 3


def test_results_are_what_a_type_checker_takes_them_for() -> None:
    import typed_results

    assert all(isinstance(x, mg.Tensor) for x in typed_results.TENSORS)
    assert all(isinstance(x, np.ndarray) for x in typed_results.ARRAYS)


def test_every_public_function_that_returns_a_tensor_is_in_the_table_of_types() -> None:
    calls = [node.func for node in ast.walk(ast.parse((ROOT / FILE).read_text())) if isinstance(node, ast.Call)]
    in_table = {ast.unparse(called) for called in calls}
    composed = {name for name, x in public() if not isinstance(x, mg.Primitive)}
    assert composed - in_table == NO_TENSOR
    assert len(composed) > 80
