"""Fixtures of the quantisers' tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def layer(golden: Path) -> Callable[[str], Any]:
    """Opens `layer/NAME.npz` of the reference vectors."""
    return lambda name: np.load(golden / "layer" / f"{name}.npz")
