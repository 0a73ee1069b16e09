"""What the comparisons measured, printed at the end of `make test-peers`."""

from collections.abc import Callable

import pytest

_MEASURED: list[str] = []
_REDRAWS: list[int] = []


@pytest.fixture
def measured() -> Callable[[str], None]:
    """Takes a line to print."""
    return _MEASURED.append


@pytest.fixture
def redrawn() -> Callable[[int], None]:
    """Takes how many random models of a case were thrown away, because one of their values lies on a tie."""
    return _REDRAWS.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = list(_MEASURED)
    if _REDRAWS:
        lines.append(
            f"{len(_REDRAWS)} random models compared; {sum(_REDRAWS)} others were drawn first and left out, at most "
            f"{max(_REDRAWS)} for one of them, because a value lies too near to a tie between two codes or tokens"
        )
    if lines:
        terminalreporter.section("measured")
    for line in lines:
        terminalreporter.write_line(line)
