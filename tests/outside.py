"""Data that can't be in the repository: vectors of other projects, in the folder `shared` beside the checkout."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("BITSIM_SHARED", Path(__file__).parents[2] / "shared"))


def outside(name: str) -> Path:
    """The path of `shared/NAME`; BITSIM_SHARED names another folder.

    Where it is absent the test skips and says what it needs. With CI=true, as .ci/run sets it, it fails instead, unless
    BITSIM_SHARED=none says that this place has no such folder.
    """
    path = SHARED / name
    if path.exists():
        return path
    missing = f"needs {path}, which can't be part of the repository (tests/golden/README.md)"
    if os.environ.get("CI", "").lower() in ("1", "true") and str(SHARED) != "none":
        pytest.fail(f"{missing}; BITSIM_SHARED names another folder, BITSIM_SHARED=none does without it")
    pytest.skip(missing)
