"""Which of a test's three reports, on set-up, call and tear-down, a worker sends to the process that prints."""

import pytest


def tells_something(report: pytest.TestReport) -> bool:
    """All but set-up and tear-down that passed at once; `--durations` shows what takes 5 ms."""
    return report.when == "call" or not report.passed or report.duration >= 0.005
