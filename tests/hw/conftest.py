"""The measured tables behind the technology files."""

from typing import Any

import pytest

from tools.study_units import load_tables


@pytest.fixture(scope="session")
def tables() -> dict[str, Any]:
    """The synthesised units, memories and published energies from which tools/derive_*.py made the files."""
    return load_tables()
