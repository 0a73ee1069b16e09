"""What the command line prints, line by line."""

from collections.abc import Callable
from typing import Any

import pytest

from bitsim.cli.main import main

Lines = Callable[..., list[str]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What a view, or a command line, prints: the lines that hold words, with one space where there are several."""

    def printed(what: Any, *arguments: Any) -> list[str]:
        if callable(what):
            what(*arguments)
        else:
            main([what, *arguments])
        captured = capsys.readouterr()
        assert captured.err == ""
        found = [" ".join(line.split()) for line in captured.out.splitlines()]
        return [line for line in found if line.strip("─ ")]

    return printed
