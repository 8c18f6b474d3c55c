"""Which profile of hypothesis runs (`conftest.py`): the long one trains as `--quick` does, the fixed one less."""

from hypothesis import settings


def long_profile() -> bool:
    """Known only once the command line is read: ask inside of a test or fixture."""
    return settings.default.max_examples > 8
