"""How commands end that are not let finish: one line and 130 after Ctrl-C, silence and 141 when nobody reads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bitsim.cli.leaving import Left, leaving

BITSIM = [sys.executable, "-m", "bitsim.cli.main"]
RUN = ["run", "tiny-b158", "--prompt", "In the beginning", "--new-tokens", "230", "--toggles", "exact"]


def test_an_interrupted_command_says_so_in_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    out, trace = tmp_path / "out", tmp_path / "trace.json"
    words = [*BITSIM, *RUN, "--out", str(out), "--trace", str(trace)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(30)  # it writes text by now
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.decode() == (
        "bitsim: interrupted: bitsim run did not finish; files that it had not completed are not there\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["list"], ["list", "--json"], ["show", "7nm"], RUN, ["estimate", "tiny-b158"]],
)
def test_a_closed_pipe_ends_a_command_quietly(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*BITSIM, *words], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "--json"]])
def test_a_full_disk_behind_stdout_is_one_line(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*BITSIM, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (2, "bitsim: error: No space left on device\n")


def test_commands_work_without_stdout_and_stderr() -> None:
    for closed, words, code in ((">&-", "list", 0), ("2>&-", "show 3nm", 2), (">&- 2>&-", "show 7nm", 0)):
        line = f"{sys.executable} -m bitsim.cli.main {words} {closed}"
        assert subprocess.run(["bash", "-c", line], capture_output=True, timeout=300).returncode == code


def test_an_interruption_names_the_command_if_one_is_running() -> None:
    group = click.Group("bitsim")
    context = click.Context(group)
    for running, invoked, words in (
        (None, None, "bitsim"),
        (context, None, "bitsim"),
        (context, "serve", "bitsim serve"),
    ):
        if running is not None:
            running.invoked_subcommand = invoked
        with pytest.raises(Left) as left, leaving(running):
            raise KeyboardInterrupt
        assert left.value.code == 130
        assert left.value.says.startswith(f"interrupted: {words} did not finish")
