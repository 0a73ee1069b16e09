"""The measured tables behind the technology files, where they are at hand, and the tools that derived the files."""

import importlib.util
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
    """`tools/NAME.py` as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
