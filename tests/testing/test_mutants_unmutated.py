"""The mutation command on tests that fail before anything is mutated, or that look at how they are run."""

from __future__ import annotations

from pathlib import Path

from mutation_suites import Suite

FAILING = """
    def test_right():
        pass

    def test_a():
        assert 1 == 3

    def test_b():
        raise ValueError("no file")
"""
SHRINKING = """
    import numpy as np
    import minigrad as mg
    from hypothesis import find
    from hypothesis import strategies as st
    from own import double

    def test_shrinks():
        mg.vjp(double, 1.0)[1](1.0)
        assert find(st.integers(0, 10**9), lambda x: x > 1000) == 1001
"""
FREEING = """
    import gc, weakref
    import numpy as np
    import minigrad as mg
    from own import double

    def test_an_array_that_no_rule_reads_is_freed():
        x = mg.tensor(np.ones(3), requires_grad=True) * 3.0
        array = weakref.ref(x._array)
        y = double(x)
        y.sum().backward()
        del x
        gc.collect()
        assert array() is None

    def test_shape():
        x = mg.tensor(np.ones(3), requires_grad=True)
        double(x).sum().backward()
        assert x.grad.shape == (3,)
"""


def test_every_test_that_fails_unmutated_is_named_with_the_reason(tmp_path: Path) -> None:
    code, _, err = Suite(tmp_path, FAILING).mutate("--primitive", "tanh")
    assert code == 2
    assert "test_a fails without any mutant; mend it first: assert 1 == 3\n" in err
    assert "test_b fails without any mutant; mend it first: ValueError: no file\n" in err
    assert "test_right" not in err


def test_a_test_that_looks_at_what_shrinks_is_run_as_it_is_alone_with_and_without_mutants(tmp_path: Path) -> None:
    code, out, err = Suite(tmp_path, SHRINKING).mutate("--primitive", "own:double")
    assert "unmutated: all passed" in out, out + err
    assert "double: 0 of 8 killed" in out  # as it checks no derivative
    assert code == 1


def test_a_test_that_looks_at_memory_is_not_what_kills_a_mutant(tmp_path: Path) -> None:
    code, out, err = Suite(tmp_path, FREEING).mutate("--primitive", "own:double")
    assert "unmutated: all passed" in out, out + err
    assert "1 of them look at how a rule is written or what is kept, and meet no mutant" in out
    assert "double: 0 of 8 killed" in out
    assert code == 1
