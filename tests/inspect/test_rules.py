"""The text of a rule is what stands in the source: exactly that lambda's, among others on the same lines."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.inspect.rules import rule_of

first, second = lambda g, y, x: g * 1, lambda g, y, x: g * 2
pair = (lambda g, y, x: (g, lambda h: h), lambda g, y, x: g)
nested = lambda g, y, x: lambda g, y, x: g + 1
same = [lambda g: g, lambda g: g, lambda y: y]
ä = lambda ö, y, x: ö * "é" * x  # letters of two bytes stand before and in it
long = lambda g, y, x: mg.where(
    mg.greater(x, 0),
    g,
    0.0,
)


def whole(g: Any, y: Any, x: Any) -> Any:
    # what it does
    return 2 * g


class Callable_:
    def __call__(self, g: Any, y: Any, x: Any) -> Any:
        return 3 * g


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (first, "g * 1"),
        (second, "g * 2"),
        (pair[0], "(g, lambda h: h)"),
        (pair[1], "g"),
        (same[1], "g"),
        (same[2], "y"),
        (ä, 'ö * "é" * x'),
        (long, "mg.where(\n    mg.greater(x, 0),\n    g,\n    0.0,\n)"),
        (mg.tanh.rules[0], "g * (1 - y * y)"),
        (mg.multiply.rules[0], "g * y"),
        (mg.multiply.rules[1], "g * x"),
        (mg.log.rules[0], "_ratio(g, x)"),
    ],
)
def test_a_lambda_is_cut_out_of_its_lines(rule: Any, text: str) -> None:
    assert rule_of(rule).text == text


def test_the_lambda_inside_of_another_is_its_own() -> None:
    assert rule_of(pair[0](1, 2, 3)[1]).text == "h"
    assert rule_of(nested).text == "lambda g, y, x: g + 1"
    assert rule_of(nested(1, 2, 3)).text == "g + 1"


def test_a_function_is_shown_whole_and_its_call_in_short() -> None:
    rule = rule_of(whole)
    assert rule.text.startswith("def whole(g: Any, y: Any, x: Any) -> Any:\n    # what it does")
    assert rule.call == "whole(g, y, x)"
    assert rule_of(long).call == "mg.where( mg.greater(x, 0), g, 0.0, )"


def test_symbols_are_the_arguments_by_their_numbers() -> None:
    assert rule_of(second).symbols == (("g", 0), (" * 2", None))
    assert rule_of(ä).symbols == (("ö", 0), (' * "é" * ', None), ("x", 2))
    assert [place for _, place in rule_of(long).symbols if place is not None] == [2, 0]
    assert "".join(text for text, _ in rule_of(whole).symbols) == rule_of(whole).text


def test_helpers_that_a_rule_calls_come_with_it() -> None:
    (helper,) = rule_of(mg.log.rules[0]).helpers
    assert helper.startswith("def _ratio(g: Any, d: Any)")


def test_every_rule_of_the_table_has_a_text_made_of_its_symbols() -> None:
    for name in mg.__all__:
        p = getattr(mg, name)
        for rule in () if not isinstance(p, mg.Primitive) else (p.joint,) if p.joint else p.rules:
            found = rule_of(rule)
            assert "lambda" not in found.text.split("(")[0], name
            assert rule is None or "".join(text for text, _ in found.symbols) == found.text


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (np.negative, "negative: no source, it is not written in Python"),
        (eval("lambda g, y, x: g"), "no source text, it was not read from a file"),
        (None, "no rule"),
        (Callable_(), "return 3 * g"),
        (functools.partial(whole, 1), "with 1 arguments given before"),
    ],
)
def test_where_there_is_no_source_it_says_so(rule: Any, words: str) -> None:
    assert words in rule_of(rule).text
