"""Every command and every Python block that README.md and docs/ show works as it stands there."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsim.cli.main import main
from tests.docs.blocks import ROOT, blocks, commands

BLOCKS = list(blocks())
COMMANDS = list(dict.fromkeys((block.where, words) for block in BLOCKS for words in commands(block)))
OURS = [(where, words) for where, words in COMMANDS if words[0] == "bitsim"]
PYTHON = [block for block in BLOCKS if block.language == "python" and any("import bitsim" in x for x in block.lines)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of as the reader's own."""
    monkeypatch.chdir(tmp_path)
    chip = ROOT / "hw_models" / "chips" / "adder-tree-16x256.yaml"  # waits for DRAM, as points to calibrate with must
    for name in ("my_chip", "my-chip"):
        shutil.copy(chip, f"{name}.yaml")
    rows = [f"1,{k},{n},{(k * n / 4) / 17.06e9 / 0.6 + 2e-5}" for k, n in ((2560, 2560), (2560, 6912), (6912, 2560))]
    Path("points.csv").write_text("m,k,n,time_s\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_there_are_commands_and_python_to_try() -> None:
    assert len(OURS) >= 3
    assert PYTHON


@pytest.mark.parametrize(("where", "words"), OURS, ids=[f"{where} {words[1]}" for where, words in OURS])
def test_commands_of_the_pages_work(here: Path, where: str, words: tuple[str, ...]) -> None:
    code: object = 0
    try:
        main(list(words[1:]))
    except SystemExit as done:
        code = done.code
    assert not code, f"{where}: {' '.join(words)}"


def test_makefile_has_the_targets_of_the_pages() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {word for _, words in COMMANDS if words[0] == "make" for word in words[1:] if re.fullmatch("[a-z-]+", word)}
    assert shown
    assert shown <= targets


@pytest.mark.parametrize("block", PYTHON, ids=[block.where for block in PYTHON])
def test_python_of_the_pages_works(here: Path, block: Any) -> None:
    """With the names that the pages leave to the reader: operands of a matmul and of a tensor core."""
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        "x_q": rng.integers(-127, 128, (3, 64)).astype(np.int8),
        "w_ternary": rng.integers(-1, 2, (8, 64)).astype(np.int8),
        "a": rng.integers(0, 0x60, (16, 32)).astype(np.uint8),
        "b": rng.integers(0, 0x60, (32, 8)).astype(np.uint8),
        "c": np.zeros((16, 8), np.uint32),
    }
    exec(compile("\n".join(block.lines), block.where, "exec"), given)
