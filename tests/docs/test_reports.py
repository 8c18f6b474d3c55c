"""Which reports of the tests' own run reach the reader, however many processes share them."""

import pytest
from reports import tells_something


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_what_did_not_pass_is_told_in_each_phase(when: str, outcome: str) -> None:
    assert tells_something(pytest.TestReport("a", ("a", 1, "a"), {}, outcome, None, when, duration=0.0))


@pytest.mark.parametrize(
    ("when", "duration", "told"), [("call", 0.0, True), ("setup", 1.0, True), ("setup", 0.0, False)]
)
def test_of_what_passed_all_calls_are_told_and_else_what_took_time(when: str, duration: float, told: bool) -> None:
    report = pytest.TestReport("a", ("a", 1, "a"), {}, "passed", None, when, duration=duration)
    assert tells_something(report) is told
