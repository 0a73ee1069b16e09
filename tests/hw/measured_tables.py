"""The measured tables behind the technology files, where they are at hand, and the tools that derived the files."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TABLES = ROOT.parent / "shared" / "facts" / "energy_tables.yaml"
needs_tables = pytest.mark.skipif(not TABLES.exists(), reason=f"needs the measured tables at {TABLES}")


def measured_tables() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TABLES.read_text(encoding="utf-8"))
    return loaded


def load_tool(name: str) -> ModuleType:
    """`tools/NAME.py` as a module; its folder is found from the root of the checkout."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return import_module(f"tools.{name}")
