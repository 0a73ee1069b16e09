"""What pages show as a command's output is what the command prints."""

from typing import Any

import pytest

from bitsim.cli.main import main
from tests.docs.blocks import blocks, commands


def squeezed(text: str) -> list[str]:
    """Lines without their padding; rules are left out, their length is that of a terminal."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not set(line) <= {"─"}]


SHOWN = [block for block in blocks() if block.page.name == "commands.md" and block.lines[0].startswith("$ bitsim")]


def test_the_page_of_commands_shows_a_comparison() -> None:
    assert len(SHOWN) == 1


@pytest.mark.parametrize("block", SHOWN, ids=[block.where for block in SHOWN])
def test_the_table_that_is_shown_is_printed(
    block: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (words,) = commands(block)
    monkeypatch.setenv("COLUMNS", "200")
    main(list(words[1:]))
    expected = squeezed("\n".join(block.lines[1:]))
    assert len(expected) == 2 + sum("@" in word for word in words)
    assert squeezed(capsys.readouterr().out)[: len(expected)] == expected
