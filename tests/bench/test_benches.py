"""Every bench runs, with sizes that say nothing about speed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
WORDS = {"datapaths": ["adder-tree-16x256"]}  # one chip; all of them take minutes


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCH.glob("*.py")))
def test_it_runs_quickly(name: str, tmp_path: Path) -> None:
    command = [sys.executable, BENCH / f"{name}.py", *WORDS.get(name, []), "--quick"]
    environment = os.environ | {"PYTHONPATH": str(BENCH.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
