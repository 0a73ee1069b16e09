"""Data that can't be in the repository: vectors and tables of other projects, in `shared` beside the checkout."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def outside(name: str) -> Path:
    """The path of `shared/NAME`.

    Where it is absent the test skips and says what it needs; in CI (CI=true, as CI services set it) it fails instead:
    there the folder has to be.
    """
    path = SHARED / name
    if path.exists():
        return path
    missing = f"needs {path}, which can't be part of the repository (tests/golden/README.md)"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{missing}; in CI it must be there")
    pytest.skip(missing)
