"""The tools that need torch: they start, and what one recorded can be recorded again."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.peer

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools"


@pytest.mark.parametrize("tool", ["export_tiny", "fake_quant", "tiny_decoder"])
def test_parts_of_the_training_are_imported_beside_it(tool: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {tool}"], cwd=TOOLS, check=True)


def test_training_tells_its_options() -> None:
    done = subprocess.run(
        [sys.executable, TOOLS / "train_tiny.py", "--help"], capture_output=True, text=True, check=True
    )
    assert "--kind" in done.stdout


def test_what_torch_computes_for_the_shipped_models_can_be_recorded_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, TOOLS / "record_tiny.py", tmp_path / "again.npz"], check=True)
    with np.load(tmp_path / "again.npz") as again, np.load(ROOT / "tests" / "golden" / "tiny_family.npz") as kept:
        assert again.files == kept.files
        for key in kept.files:
            room = 0.01 if key.endswith("bits_per_byte") else 2e-6 * np.abs(kept[key]).max()
            np.testing.assert_allclose(again[key], kept[key], rtol=0, atol=room, err_msg=key)


def test_what_transformers_computes_for_rotary_embeddings_can_be_recorded_again(tmp_path: Path) -> None:
    """Another torch, or another CPU, may round a power otherwise: one unit in the last place, times the position."""
    subprocess.run([sys.executable, TOOLS / "record_rotary.py", tmp_path / "again.npz"], check=True)
    with np.load(tmp_path / "again.npz") as again, np.load(ROOT / "tests" / "golden" / "rotary.npz") as kept:
        assert again.files == kept.files
        for key in kept.files:
            room = {"cos": 4e-3, "sin": 4e-3}.get(key.rpartition(".")[2], 0)
            np.testing.assert_allclose(again[key], kept[key], rtol=2e-7, atol=room, err_msg=key)
