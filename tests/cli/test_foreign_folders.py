"""Folders of the user's that are called as ours are: they are neither read nor imported in the place of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with packages `reports` and `hw_models`, which fail when they are imported."""
    for name in ("reports", "hw_models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('imported {name} of the user')")
    (tmp_path / "hw_models" / "chips").mkdir()
    (tmp_path / "hw_models" / "chips" / "ternary-ws-64x64.yaml").write_text("not: ours")
    return tmp_path


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python in `folder`, which comes first where it looks for modules."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(
    ("words", "expected"),
    [("list", "ternary-ws-64x64"), ("show ternary-ws-64x64", "weight"), ("reproduce memory --json", '"kind"')],
)
def test_commands_use_ours(folder: Path, words: str, expected: str) -> None:
    done = python(folder, "-m", "bitsim.cli.main", *words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout


def test_a_foreign_package_that_is_imported_already_is_named_with_the_remedy(folder: Path) -> None:
    (folder / "reports" / "__init__.py").write_text("MINE = True")
    done = python(
        folder, "-c", "import reports; from bitsim.cli.main import main; assert reports.MINE; main(['validate'])"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("bitsim: error: reports: expected the package beside bitsim, ")
    assert f"got {folder / 'reports'}, which was imported before; rename that folder" in done.stderr
