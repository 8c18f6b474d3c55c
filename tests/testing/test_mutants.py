"""Wrong rules: each is wrong somewhere, goes away again, and the command tells which of them a suite lets pass."""

from __future__ import annotations

import contextlib
import itertools
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equivalent import EQUIVALENT
from hypothesis import Phase, given, settings
from mutation_suites import Suite
from profiles import long_profile
from table import EQUATIONS, TABLE, sums_of_products
from table_further import FURTHER

import minigrad as mg
from minigrad import At, Primitive, Product, primitive
from minigrad.reads import unread_by
from minigrad.testing import GradientError, Mutant, check_primitive, mutants

# --- mutants(p) -------------------------------------------------------------------------------------------------------

ALL = {**TABLE, **FURTHER}


def seconds(function: Any, inputs: list[Any]) -> None:
    """Calls every rule for the first and second derivatives, the second through the cotangents too."""

    def total(*xs: Any) -> Any:
        ys = mg.tree_leaves(function(*xs))
        return mg.sum(mg.stack([mg.sum(mg.sin(y) * np.cos(np.arange(y.size)).reshape(y.shape)) for y in ys]))

    mg.hvp(total, tuple(inputs), tuple(np.ones(np.shape(x)) for x in inputs))


class EnoughError(Exception):
    """Raised out of a search by hypothesis, to end it."""


@pytest.mark.parametrize(
    "p", [p for p in ALL if isinstance(p, Primitive) and p.name != "checkpoint"], ids=lambda p: p.name
)  # a checkpoint compares its second run with its first, so a wrong rule is refused before it can differ
def test_every_mutant_but_the_equivalent_differs_from_the_right_rule_somewhere(p: Any) -> None:
    expected = {place: names for place, names in EQUIVALENT.items() if place.startswith(f"{p.name}, ")}
    hidden = [m for m in mutants(p) if m.name.partition(": ")[2] in expected.get(m.name.partition(": ")[0], ())]
    assert len(hidden) == sum(map(len, expected.values()))
    left = [m for m in mutants(p) if m.name not in {h.name for h in hidden}]

    three = [equation for equation in EQUATIONS if equation.count(",") == 2]  # the only ones with an input 2
    cases = sums_of_products(three) if p.name == "einsum" else ALL[p]

    looked = itertools.count(1)

    @settings(max_examples=500, phases=[Phase.generate], report_multiple_bugs=False)
    @given(case=cases)
    def run(case: Any) -> None:
        if all(x.size < 2 for x in case.inputs):
            return  # where hardly any of them differs
        for mutant in [*left, *hidden]:
            solved = False
            with contextlib.suppress(np.linalg.LinAlgError), mutant, np.errstate(all="ignore"):
                seconds(case.function, [mg.tensor(x) for x in case.inputs])
                solved = True  # a wrong rule may hand a singular matrix to `solve`
            if (mutant.differed or not solved) and mutant in left:
                left.remove(mutant)
        if not left and next(looked) >= ((10 if long_profile() else 5) if hidden else 1):
            raise EnoughError

    with contextlib.suppress(EnoughError):
        run()
    assert not left
    assert not any(m.differed for m in hidden)


def test_a_mutant_lasts_as_long_as_its_block_even_if_that_raises() -> None:
    rules, x = mg.tanh.rules, np.array([[0.3, -2.0], [0.5, 1.0]])
    for mutant in mutants(mg.tanh):
        with pytest.raises(GradientError), mutant:
            check_primitive(mg.tanh, x)
        assert mg.tanh.rules is rules
    check_primitive(mg.tanh, x)


def test_a_mutant_of_a_joint_rule_lasts_as_long_as_its_block() -> None:
    joint = mg.shapes._stack.joint
    names = set()
    for mutant in mutants(mg.shapes._stack):
        with mutant:
            assert mg.shapes._stack.joint is not joint
        assert mg.shapes._stack.joint is joint
        names.add(mutant.name)
    assert "stack, first input: sign flipped" in names
    assert "stack, last input: sign flipped" in names


def test_mutants_nest() -> None:
    thousandfold, flipped = (m for m in mutants(mg.sin) if m.name.endswith(("times 1000", "sign flipped")))
    with thousandfold, flipped:
        assert mg.grad(mg.sin)(0.0).item() == -1000.0
    assert mg.grad(mg.sin)(0.0).item() == 1.0


def test_every_code_that_has_imported_the_primitive_sees_the_mutant() -> None:
    flipped = next(m for m in mutants(mg.tanh) if m.name == "tanh, input 0: sign flipped")
    x = mg.tensor([0.5], requires_grad=True)
    with flipped:
        x.tanh().backward()
    assert x.grad is not None
    assert x.grad[0] < 0
    assert (flipped.calls, flipped.differed) == (1, 1)


def _by_fault(p: Primitive) -> dict[str, Mutant]:
    return {m.name.partition(": ")[2]: m for m in mutants(p)}


def test_terms_at_an_index_get_the_faults_of_arrays() -> None:
    part = primitive(lambda x: x[1:], lambda g, y, x: At(slice(1, None), g), name="part")
    wrong = _by_fault(part)
    expected = {"sign flipped": [0, -1, -2, -3], "last entry dropped": [0, 1, 2, 0], "last axis rolled": [0, 3, 1, 2]}
    for fault, gradient in expected.items():
        x = mg.tensor(np.zeros(4), requires_grad=True)
        with wrong[fault]:
            part(x).backward([1.0, 2.0, 3.0])
        np.testing.assert_array_equal(x.grad, gradient)


def test_products_get_the_faults_of_arrays() -> None:
    times = primitive(np.matmul, None, lambda g, y, a, b: Product(a, g), name="times")
    a, g = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[7.0, 0.0], [11.0, 13.0]])
    wrong = _by_fault(times)
    for fault, gradient in {"sign flipped": -a.T @ g, "transposed where square": g.T @ a}.items():
        b = mg.tensor(np.eye(2), requires_grad=True)
        with wrong[fault]:
            times(a, b).backward(g)
        np.testing.assert_array_equal(b.grad, gradient)


def test_a_primitive_without_rules_has_no_mutants() -> None:
    with pytest.raises(TypeError, match="no primitive with derivative rules"):
        next(mutants(mg.argmax))
    with pytest.raises(TypeError, match="make one with"):
        next(mutants(np.sin))  # type: ignore[arg-type]


# --- the command ------------------------------------------------------------------------------------------------------

CHECKED = """
    import numpy as np
    from minigrad.testing import check_primitive
    from own import cube

    def test_cube():
        check_primitive(cube, np.array([[0.5, -1.0], [1.5, 2.0]]))
"""
SHAPES_ALONE = """
    import numpy as np
    import minigrad as mg
    from own import double

    def test_shape():
        x = mg.tensor(np.arange(4.0).reshape(2, 2), requires_grad=True)
        y = double(x) * np.array([[1.0, 2.0], [3.0, 4.0]])
        y.sum().backward()
        assert x.grad.shape == x.shape
"""
ENDLESS = """
    import minigrad as mg
    from own import double

    def test_descends():
        x = mg.tensor(1.0, requires_grad=True)
        while x.item() > 0:
            x.grad = None
            double(x).backward()
            x.data = x.data - x.grad
"""
HALF_A_CELL = """
    import numpy as np
    import minigrad as mg
    from minigrad.testing import check_grad
    from own import Cell

    def test_input_weights():
        cell = Cell(1, 2)
        xs, start = np.random.default_rng(0).standard_normal((3, 2, 1)), cell.initial_state(2)

        def f(U):
            cell.U = U
            state = start
            for x in xs:
                _, state = cell(x, state)
            return state

        check_grad(f, np.array([[0.1, 0.4]]), order=2)
"""


def test_a_suite_that_checks_a_gradient_kills_every_mutant_and_no_trace_is_left(tmp_path: Path) -> None:
    suite = Suite(tmp_path, CHECKED)
    before = sorted(p for p in suite.path.rglob("*") if p.is_file())
    code, out, err = suite.mutate("--primitive", "own:cube", "--jobs", "2")
    n = len(list(mutants(primitive(lambda x: x**3, lambda g, y, x: g * (3 * x * x)))))
    assert f"cube: {n} of {n} killed" in out, out + err
    assert out.endswith(f"{n} mutants: {n} killed, 0 survived\n")
    assert (code, err) == (0, "")
    assert sorted(p for p in suite.path.rglob("*") if p.is_file()) == before
    assert not list(suite.scratch.iterdir())


def test_a_suite_that_looks_at_shapes_alone_lets_mutants_survive(tmp_path: Path) -> None:
    code, out, err = Suite(tmp_path, SHAPES_ALONE).mutate("--module", "own")
    assert code == 1, out + err
    assert "double: 0 of 8 killed" in out
    assert "  survived  double, input 0: sign flipped\n            it was wrong at 1 of 1 calls, and yet 1" in out
    assert "constant at second order\n            it gave what the right rule gives at each of 1 calls" in out
    assert "  survived  unused, input 0: sign flipped\n            no test calls this rule" in out


def test_stop_ends_at_the_first_survivor(tmp_path: Path) -> None:
    code, out, _ = Suite(tmp_path, SHAPES_ALONE).mutate("--primitive", "own:double", "--stop")
    assert (code, out.splitlines()[-1]) == (1, "1 mutants: 0 killed, 1 survived")


def test_only_and_skip_choose_mutants_by_name(tmp_path: Path) -> None:
    code, out, _ = Suite(tmp_path, SHAPES_ALONE).mutate(
        "--primitive", "own:double", "--only", "times", "--skip", "1.001"
    )
    assert (code, out.splitlines()[-1]) == (1, "1 mutants: 0 killed, 1 survived")
    assert "times 1000" in out


def test_a_test_that_hangs_kills_its_mutant_and_is_named(tmp_path: Path) -> None:
    code, out, err = Suite(tmp_path, ENDLESS).mutate(
        "--primitive", "own:double", "--only", "sign flipped", "--time-limit", "0.1"
    )
    assert code == 0, out + err
    assert "  hung      double, input 0: sign flipped" in out
    assert out.endswith("1 mutants: 1 killed (1 by the time limit), 0 survived\n")


def test_an_interrupt_gives_the_summary_so_far_and_leaves_no_trace(tmp_path: Path) -> None:
    suite = Suite(tmp_path, CHECKED, ENDLESS)
    process = suite.start(
        "--primitive", "own:cube", "--primitive", "own:double", "--only", "sign", "--time-limit", "300"
    )
    assert process.stdout is not None
    seen = ""
    while "cube: 1 of 1 killed" not in seen:
        line = process.stdout.readline()
        assert line, process.communicate()
        seen += line
    process.send_signal(signal.SIGINT)
    try:
        out, _ = process.communicate(timeout=120)
    finally:
        process.terminate()
    assert out.splitlines()[-2:] == ["interrupted; so far:", "1 mutants: 1 killed, 0 survived"]
    assert process.returncode == 130
    assert not list(suite.scratch.iterdir())


def test_paths_of_a_cells_weights_that_no_test_differentiates_are_named(tmp_path: Path) -> None:
    code, out, err = Suite(tmp_path, HALF_A_CELL).mutate("--cell", "own:Cell")
    assert code == 1, out + err
    assert "Cell.step, W: 0 of" in out
    assert "  survived  Cell.step, W: dropped\n            no test calls this rule" in out
    assert "survived  Cell.step, U" not in out
    assert "survived  Cell.step, state: times 1000" not in out
    assert "Cell.project" not in out  # which uses no weight


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--primitive", "tanhh"], "did you mean tanh"),
        (["--primitive", "own:Cell"], "is no primitive with derivative rules"),
        (["--primitive", "own:absent"], "own has no 'absent'"),
        (["--primitive", "absent:absent"], "cannot import 'absent'"),
        (["--module", "textwrap"], "it has no primitive with derivative rules"),
        (["--cell", "own:cube"], "is no class of recurrent cells"),
        (["--primitive", "own:cube", "--only", "nothing"], "there is no mutant to try"),
        (["--jobs", "0"], "must be positive"),
        (["--time-limit", "nan"], "must be positive"),
        (["--", "absent.py"], "file or directory not found: absent.py"),
    ],
    ids=" ".join,
)
def test_misuse_is_named_and_nothing_is_run(tmp_path: Path, arguments: list[str], message: str) -> None:
    code, _, err = Suite(tmp_path, CHECKED).mutate(*arguments)
    assert code == 2
    assert message in err


def test_a_suite_that_fails_unmutated_is_shown(tmp_path: Path) -> None:
    code, _, err = Suite(tmp_path, "def test_wrong():\n    assert 1 + 1 == 3\n").mutate("--primitive", "tanh")
    assert code == 2
    assert "assert (1 + 1) == 3" in err
    assert "test_0.py::test_wrong fails without any mutant; mend it first" in err


def test_a_mutant_gets_the_arrays_that_the_right_rule_does_not_read() -> None:
    swapped = next(m for m in mutants(mg.log) if m.name == "log, input 0: input and output swapped")
    assert mg.grad(mg.log)(3.0).item() == pytest.approx(1 / 3.0)
    with swapped:
        assert mg.grad(mg.log)(3.0).item() == pytest.approx(1 / np.log(3.0))
    assert unread_by(mg.log, 0) == (True, [])
