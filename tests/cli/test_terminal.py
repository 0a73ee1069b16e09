"""What others wrote can't move the cursor of a terminal, turn text around or fill the screen."""

import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.cli.output import print_table
from bitsim.cli.terminal import LONGEST_LINE, MOST_LINES, cut, echo, echo_text, printable
from tests.cli.test_commands import bitsim


@given(st.text(st.characters()))
def test_printable_text_has_no_control_format_or_surrogate_characters(text: str) -> None:
    shown = printable(text)
    assert not {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} & {unicodedata.category(c) for c in shown}
    assert shown.encode().decode() == shown
    assert printable(shown) == shown


def test_what_is_printable_stays_and_what_is_not_is_spelled_out() -> None:
    assert printable("schön, 日本語 µJ\u00a0100 %") == "schön, 日本語 µJ\u00a0100 %"
    assert printable("a\x1b[2Jb\u202ec\n\udcff") == r"a\x1b[2Jb\u202ec\n\udcff"
    assert printable("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\r"


def test_tables_and_lines_show_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("t\x1b[31m", ["n\u202e"], [["v\x07\n"]])
    echo("x\x1b]0;title\x07")
    echo_text("piped \x1b text stays")
    out = capsys.readouterr().out
    for expected in (r"t\x1b[31m", r"n\u202e", r"v\x07\n", r"x\x1b]0;title\x07", "piped \x1b text stays"):
        assert expected in out


def test_text_of_a_model_is_escaped_on_a_terminal_token_by_token() -> None:
    code = "from bitsim.cli.terminal import echo_text; [echo_text(t) for t in ('a', chr(27), '[2J', chr(10), 'b')]"
    reader, writer = pty.openpty()
    done = subprocess.Popen([sys.executable, "-c", code], stdout=writer)
    os.close(writer)
    assert done.wait() == 0
    assert os.read(reader, 1000).replace(b"\r\n", b"\n") == b"a\\x1b[2J\nb"
    os.close(reader)


def test_long_errors_are_cut_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cut("x" * LONGEST_LINE) == "x" * LONGEST_LINE
    assert cut("x" * (LONGEST_LINE + 7)) == "x" * LONGEST_LINE + " ... (7 more characters)"
    assert cut("\n".join("ab" * (MOST_LINES + 3))).splitlines()[-1] == f"... and {MOST_LINES + 6:,} more lines"
    code, _, err = bitsim(capsys, "show", "y" * 100_000)
    assert (code, len(err.splitlines())) == (2, 1)
    assert len(err) < LONGEST_LINE + 100


def test_names_in_errors_are_escaped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = bitsim(capsys, "inspect", str(tmp_path / "a\x1b[2J\u202eb"))
    assert code == 2
    assert r"a\x1b[2J\u202eb" in err
