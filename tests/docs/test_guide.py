"""docs/adding_a_datapath.md works as it stands there, in a copy of the checkout."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.follow_guide import GuideError, changed, follow, steps

LAWS = ("tests/datapath/test_laws.py", "tests/hw/test_datapath_errors.py", "-k", "adder_row or registered")


def test_the_guide_gives_a_datapath_that_keeps_all_laws(tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    names = {str(path.relative_to(folder)) for path in follow(folder)}
    assert {"bitsim/datapath/adder_row.py", "hw_models/chips/adder-row-4096.yaml", "tests/datapath/zoo.py"} <= names
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *LAWS], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_edits_must_fit() -> None:
    assert changed("a\nb\n", " a\n+x\n b\n", "file") == "a\nx\nb\n"
    with pytest.raises(GuideError, match=r"file: expected these lines once, found them 0 times"):
        changed("a\nb\n", " c\n+x\n", "file")


def test_blocks_belong_to_the_file_that_was_named_last() -> None:
    text = "`a/b.py`:\n\n```python\nx = 1\n```\n\n```diff\n x = 1\n+y = 2\n```\n"
    assert steps(text) == [("a/b.py", "python", "x = 1\n"), ("a/b.py", "diff", " x = 1\n+y = 2\n")]
