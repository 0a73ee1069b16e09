"""What `bitsim --help` shows."""

import re

import pytest

from bitsim.cli.main import COMMANDS, GROUPS, main


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """The commands under each heading of the printed help."""
    main(["--help"])
    sections = re.split(r"^(\S[^\n]*):\n", capsys.readouterr().out, flags=re.MULTILINE)[1:]
    found = dict(zip(sections[::2], sections[1::2], strict=True))
    return {title: re.findall(r"^  (\w+) ", text, flags=re.MULTILINE) for title, text in found.items()}


def test_every_command_is_in_exactly_one_group(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.resources import files

    there = {file.name.removesuffix("_command.py") for file in files("bitsim.cli").iterdir()}
    commands = {name for name in there if not name.endswith(".py") and not name.startswith("__")}
    printed = shown(capsys)
    assert list(printed)[-len(GROUPS) :] == list(GROUPS)
    names = [name for title in GROUPS for name in printed[title]]
    assert sorted(names) == sorted(commands)
    assert sorted(COMMANDS) == sorted(commands)


@pytest.mark.parametrize(
    "option",
    [
        "--new-tokens INTEGER RANGE [default: 64; x>=0]",
        "--temperature FLOAT RANGE 0 is greedy. [default: 0.0; x>=0]",
        "--seed INTEGER RANGE Seed of sampling (tokens and toggle columns). [default: 0; x>=0]",
        "--chip TEXT Name or YAML file of a chip. [default: ternary-ws-64x64]",
    ],
)
def test_options_of_a_run_say_their_defaults_and_limits(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    assert option in " ".join(capsys.readouterr().out.split())


def test_every_command_says_what_it_does() -> None:
    assert all(len(text) > 20 and text.endswith(".") for text in COMMANDS.values())
