"""bitsim's laws for anybody's hardware: a datapath class, an RTL simulation, a compiled model.

A design is any object with `execute(x_q, w)` (`design`). `laws` says, for one pair of operands, what must hold of it,
and raises a `LawError` otherwise; `operands` and `numbers` generate what breaks hardware; `models` are what to compare
with; `search` looks for the smallest operands that break a law. `checks` puts them together for a design,
`chips` for the BitLinear datapath of a chip file; `plugin` is `pytest --bitsim-chip NAME|FILE`. docs/testing.md.

Names are imported on first use. Those that generate operands need hypothesis: `pip install bitsim-hw[test]`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitsim.testing.checks import Check, check_laws, laws_of
    from bitsim.testing.chips import laws_of_chip
    from bitsim.testing.design import Design, LawError, design_of
    from bitsim.testing.models import accumulator, reference
    from bitsim.testing.operands import Takes, matmuls
    from bitsim.testing.search import hold

_HOMES = {
    "Check": "checks",
    "Design": "design",
    "LawError": "design",
    "Takes": "operands",
    "accumulator": "models",
    "check_laws": "checks",
    "design_of": "design",
    "hold": "search",
    "laws_of": "checks",
    "laws_of_chip": "chips",
    "matmuls": "operands",
    "reference": "models",
}
_MODULES = ("laws", "numbers")

__all__ = [
    "Check",
    "Design",
    "LawError",
    "Takes",
    "accumulator",
    "check_laws",
    "design_of",
    "hold",
    "laws",
    "laws_of",
    "laws_of_chip",
    "matmuls",
    "numbers",
    "reference",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
