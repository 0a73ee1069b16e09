"""The pytest plugin, as a user's project sees it, and what is missing without hypothesis."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
LAWS = ("determinism", "exactness", "split and add", "overflow position", "kernel == twin", "replay")
BREAKS = """
from dataclasses import replace
from bitsim.datapath.adder_tree import AdderTree
whole = AdderTree.execute
AdderTree.execute = lambda self, x, w, **how: replace((done := whole(self, x, w, **how)), cycles=done.cycles + 1)
"""


def python(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)


def pytest_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In a project of its own, with warnings as errors and strict markers."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config\n")
    (folder / "test_own.py").write_text("def test_own():\n    pass\n")
    always = ("-m", "pytest", "-p", "bitsim.testing.plugin", "-p", "no:cacheprovider", "-p", "no:random_order")
    return python(*always, *words, cwd=folder)


def test_every_law_of_a_chip_is_a_test(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "-rA", "--bitsim-chip", "adder-tree-16x256", "--bitsim-examples", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    for law in LAWS:
        assert f"PASSED bitsim_chip[adder-tree-16x256]::{law}\n" in done.stdout
    assert "collected 7 items" in done.stdout
    assert "7 passed" in done.stdout


def test_laws_of_chips_are_selected_by_name_and_say_why_they_are_skipped(tmp_path: Path) -> None:
    chips = ("--bitsim-chip", "fp16-ws-64x64", "--bitsim-chip", "adder-tree-16x256")
    done = pytest_in(tmp_path, "-rs", *chips, "--bitsim-examples", "1", "-k", "exactness")
    assert "1 passed, 1 skipped, 11 deselected" in done.stdout, done.stdout + done.stderr
    assert "the datapath rounds" in done.stdout


def test_a_datapath_that_breaks_a_law_fails_with_the_laws_words(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(BREAKS)
    done = pytest_in(tmp_path, "--bitsim-chip", "adder-tree-16x256", "--bitsim-examples", "3", "-k", "twin or split")
    assert done.returncode == 1
    assert "law 'kernel == twin': cycles: expected " in done.stdout
    assert "law 'split and add': cycles of N split at multiples of 256" not in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_an_unknown_chip_ends_the_session_with_one_line(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "--bitsim-chip", "adder-tree-16x25")
    assert done.returncode == 4
    assert "--bitsim-chip adder-tree-16x25: unknown chip" in done.stderr
    assert "adder-tree-16x256" in done.stderr


def test_without_the_option_nothing_is_imported_and_nothing_changes(tmp_path: Path) -> None:
    heavy = "{'numpy', 'numba', 'hypothesis', 'pydantic', 'bitsim.testing.laws'}"
    done = python("-c", f"import sys, bitsim.testing.plugin; print({heavy} & set(sys.modules))")
    assert (done.stdout, done.stderr) == ("set()\n", "")
    ran = pytest_in(tmp_path, "-p", "no:hypothesispytest")
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_without_hypothesis_an_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import bitsim.testing; bitsim.testing.Takes"
    done = python("-c", code)
    assert "MissingExtraError: bitsim.testing: expected the package hypothesis" in done.stderr
    assert "pip install bitsim-hw[test]" in done.stderr
    still = "import sys; sys.modules['hypothesis'] = None; from bitsim.testing import LawError, laws, reference"
    assert python("-c", still).returncode == 0
