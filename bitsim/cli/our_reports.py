"""The package `reports` that comes with bitsim, whatever folder of that name lies in the working directory."""

import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from bitsim.errors import BitsimError

BESIDE = Path(__file__).resolve().parents[2] / "reports"


class ForeignPackageError(BitsimError):
    """A package of somebody else's has the name of one of ours, and is imported already."""


def our_report(module: str) -> ModuleType:
    """The module `reports.<module>` of bitsim; raises `ForeignPackageError`."""
    if "reports" not in sys.modules:
        _import_ours()
    found = sys.modules["reports"]
    places = [Path(place).resolve() for place in getattr(found, "__path__", [])]
    if places != [BESIDE]:
        where = places[0] if places else getattr(found, "__file__", None)
        raise ForeignPackageError(
            f"reports: expected the package beside bitsim, {BESIDE}, got {where}, which was imported before; rename "
            "that folder or import it later"
        )
    return importlib.import_module(f"reports.{module}")


def _import_ours() -> None:
    spec = spec_from_file_location("reports", BESIDE / "__init__.py", submodule_search_locations=[str(BESIDE)])
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    sys.modules["reports"] = package
    spec.loader.exec_module(package)
