"""The measured tables behind the technology files, where they are at hand."""

from typing import Any

import pytest
import yaml

from tests.outside import outside


@pytest.fixture(scope="session")
def tables() -> dict[str, Any]:
    """The synthesised units, memories and published energies from which tools/derive_*.py made the files."""
    loaded: dict[str, Any] = yaml.safe_load(outside("facts/energy_tables.yaml").read_text(encoding="utf-8"))
    return loaded
