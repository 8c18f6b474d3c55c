"""examples.translation: its numbers, words and measures."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import translation
from examples.translation import END, RARE, bleu, draw_numbers, exact, numbered, split

# --- data -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(0, 99))
def test_numbers_are_different_and_below_a_milliard(count: int, seed: int) -> None:
    numbers = draw_numbers(count, np.random.default_rng(seed))
    assert 1 <= len(numbers) == len(set(numbers)) <= count
    assert all(0 <= n < 10**9 for n in numbers)


def test_numbers_have_all_sizes() -> None:
    assert {len(str(n)) for n in draw_numbers(1000, np.random.default_rng(0))} == set(range(1, 10))


def test_words_are_split_at_apostrophes_and_punctuation() -> None:
    assert split("N'est-ce pas l’eau ?", "word") == ["N'", "est", "-", "ce", "pas", "l’", "eau", "?"]
    assert split("eau !", "character") == ["e", "a", "u", " ", "!"]


@given(st.text(max_size=30))
def test_nothing_but_space_is_lost_when_a_text_is_split(text: str) -> None:
    assert "".join(split(text, "word")) == "".join(c for c in text if not c.isspace() or re.match(r"\w", c))
    assert "".join(split(text, "character")) == text


def test_vocabulary_has_the_words_that_occur_twice_after_the_two_marks() -> None:
    found = translation.vocabulary([["b", "a", "c"], ["c", "b"], ["d"]])
    assert found == {"(end)": END, "(rare)": RARE, "b": 2, "c": 3}


@given(st.lists(st.text("abcd", min_size=1, max_size=9), min_size=1, max_size=5))
def test_words_are_numbered_and_filled_up_to_a_multiple_of_four(sentences: list[str]) -> None:
    xs, lengths = numbered([list(words) for words in sentences], {"a": 5, "b": 6, "c": 7})
    assert lengths.tolist() == [len(words) for words in sentences]
    assert len(xs) % 4 == 0
    assert len(xs) - max(lengths) < 4
    for column, words in zip(xs.T.tolist(), sentences):
        assert column[: len(words)] == [{"a": 5, "b": 6, "c": 7, "d": RARE}[word] for word in words]
        assert set(column[len(words) :]) <= {RARE}


# --- BLEU -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "found", "expected"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 100.0),
        # 5/6 of the words, 3/5 of the pairs, 2/4 of the triples, 1/3 of the quadruples; the product is 1/12
        ("the cat sat on the mat", "the cat sat on a mat", 100 * (1 / 12) ** 0.25),
        # the second a counts nothing: 5/6, 4/5, 3/4, 2/3
        ("a b c d e f", "a a b c d e", 100 * (1 / 3) ** 0.25),
        ("a b c d e f", "a b c d e", 100 * np.exp(1 - 6 / 5)),  # too short
        ("a b c d e", "a b c d e f", 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25),  # too long: no more than that
        ("a b c d", "a b c e", 0.0),  # no quadruple
        ("a b c d", "", 0.0),
    ],
)
def test_bleu_of_one_sentence(reference: str, found: str, expected: float) -> None:
    assert bleu([(reference.split(), found.split())]) == pytest.approx(expected)


def test_bleu_counts_over_all_sentences_and_never_across_them() -> None:
    references, found = [list("abcde"), list("fg")], [list("abcdx"), list("ff")]
    # words 4/5 + 1/2, pairs 3/4 + 0/1, triples 2/3, quadruples 1/2; 7 words in each
    assert bleu(list(zip(references, found))) == pytest.approx(100 * (5 / 7 * 3 / 5 * 2 / 3 * 1 / 2) ** 0.25)


def test_exact_match_is_of_whole_sentences() -> None:
    assert exact([(["a", "b"], ["a", "b"]), (["c"], ["c", "c"])]) == 0.5
