"""Hostile command lines: whatever is typed, a command ends with 0, or with 2 and one line of text."""

import os
import random
from pathlib import Path

import pytest

from bitsim.cli.terminal import LONGEST_LINE, printable
from tests.cli.test_commands import bitsim

SEED, LINES, GROUPS = 20261130, 240, 8
NUMBERS = (
    *("0", "-1", "-0", "1e9", "1.5", "nan", "inf", "-inf", "0x10", "1_000", "١٢", "", " ", "1,", ",", "2,2,2"),
    *("9" * 400, str(2**63), str(10**12)),
)
NAMES = (
    *("..", ".", "/", "./../../evil", "a/b", "-", "--", "~", "$HOME", "$(id)", "%s%n", "{0}", "a\nb", "a\tb", "\r"),
    *("\x1b[2J", "\u202egnp.exe", "\ufeff", "a\x00b", "\udcff", "😀", "ß" * 300, "x" * 70_000, "tiny-b158@", "@"),
    *("tiny-b158/../tiny-b158", "ternary-ws-64x64.yaml", ".yaml", "8nm", "0nm", "1e400nm", "7nm", "a100-80gb"),
)
# Commands that take about a second, of which one or two words are replaced.
COMMANDS = (
    "run tiny-b158 --chip ternary-ws-64x64 --prompt a --new-tokens 1 --temperature 1 --seed 3 --toggles off",
    "run tiny-b158 --tokens 1,2 --new-tokens 1 --numerics hf_autobitlinear_fp32 --objective energy --chunk 4",
    "run bitnet-125m --random-weights 1 --tokens 1 --new-tokens 0 --toggles off --wide datapath --beyond-capacity",
    "eval tiny-b158 --text ../held_out.txt --bytes 9 --acc-bits 24 --overflow wrap --kv-bits 4",
    "estimate tiny-b158 --prefill 8 --decode 2 --batch 2 --experts 4 --active-experts 2 --trace t.json --out o",
    "estimate bitnet-125m --chip int8-ws-64x64 --prefill 8 --decode 2 --chunk 4 --objective edp --numerics float",
    "compare tiny-b158@ternary-ws-64x64 --prompt a --new-tokens 1 --toggles off --out o",
    "parallel bitnet-125m --chip ternary-ws-64x64 --link nvlink --devices 1,2 --pipeline 1 --batch 2 --context 9",
    "serve bitnet-b158-3b --chip a100-80gb --devices 2 --prompt 9 --new-tokens 9 --batch 2 --kv-bits 8 --link pcie",
    "datapath bound ternary-ws-64x64 --k 99 --model tiny-b158 --bytes 3",
    "datapath sizes bitnet-125m --chip ternary-ws-64x64 --sizes 16,32",
    "datapath compare --model tiny-b158 --node 22nm --chips ternary-ws-64x64 --bytes 2 --toggles off --seed 1",
    "convert tiny-b158 t.gguf --format gguf --packing tq2_0 --i2s-layout x86 --hidden-act silu",
    "inspect tiny-b158 --i2s-layout arm --json",
    "show ternary-ws-64x64 --out o",
    "list chips --json",
    "calibrate nowhere.csv --chip ternary-ws-64x64 --out fitted.yaml",
)


def words(chance: random.Random, special: list[str]) -> list[str]:
    """Generates one command line: one that works, with one or two words replaced, left out or put in."""
    line = chance.choice(COMMANDS).split()
    for _ in range(chance.randint(1, 2)):
        at, hostile = chance.randrange(len(line)), chance.choice(chance.choice([NUMBERS, NAMES, special]))
        values = [i for i, word in enumerate(line) if i and not word.startswith("--")]
        kind = chance.random()
        if kind < 0.7 and values:
            line[chance.choice(values)] = hostile
        elif kind < 0.8:
            del line[at]
        else:
            line.insert(at, hostile)
    return line


@pytest.fixture
def special(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that are no ordinary files; the working directory is a folder that must stay as it is."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "no.gguf").write_bytes(b"GGUF" + bytes(60))
    (tmp_path / "held_out.txt").write_text("In the beginning")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return [
        *(str(path) for path in sorted(tmp_path.iterdir())),
        "/dev/null",
        "/dev/zero",
        "/proc/self/mem",
        "/nowhere/x",
    ]


@pytest.mark.parametrize("group", range(GROUPS))
def test_hostile_command_lines_end_with_one_line(
    capsys: pytest.CaptureFixture[str], special: list[str], tmp_path: Path, group: int
) -> None:
    chance = random.Random(SEED + group)
    refused = 0
    for _ in range(LINES // GROUPS):
        line = words(chance, special)
        code, _, err = bitsim(capsys, *line)
        assert code in (0, 2), (line, err)
        assert "Traceback" not in err, line
        if code == 2:
            refused += 1
            assert err.startswith("bitsim: error: "), (line, err)
            assert err == printable(err, keep="\n"), line
            assert len(err) <= LONGEST_LINE + 100, line
            assert len(err.splitlines()) == 1, (line, err)
    assert refused > LINES // GROUPS // 2
