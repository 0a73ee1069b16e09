"""What the comparisons measured, printed at the end of `make test-peers`."""

from collections.abc import Callable

import pytest

_MEASURED: list[str] = []


@pytest.fixture
def measured() -> Callable[[str], None]:
    """Takes a line to print."""
    return _MEASURED.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _MEASURED:
        terminalreporter.section("measured")
    for line in _MEASURED:
        terminalreporter.write_line(line)
