"""A technology between two that were synthesised: their constants, joined along the published curves of scaling.

The curves alone miss the synthesised ratio of 45 nm to 7 nm (area of a ternary PE 0.083, curve 0.059; its energy 0.16,
curve 0.046), so they only say how far along the way a node lies: a constant is `at_45^(1 - t) at_7^t` with the t for
which the curve itself has its value at the node. Both ends are kept, nothing beyond them is offered.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitsim.errors import ConfigError
from bitsim.floats.scalars import log, power
from bitsim.hw.complaints import validate
from bitsim.hw.constants import Constant
from bitsim.hw.rules import Rule
from bitsim.hw.scaling import area_factor, energy_factor
from bitsim.hw.source import Source, is_path
from bitsim.hw.technology import Technology, load_technology, technology_names

ENDS = ("45nm", "7nm")
LEVELS = ("low", "nominal", "high")
CURVE = "Stillmaker & Baas 2017"


def technology_at(name: str | Path) -> Technology:
    """A technology by name or file, or `<number>nm` between 45 nm and 7 nm; raises `ConfigError` beyond."""
    node = re.fullmatch(r"(\d+(?:\.\d+)?)nm", str(name))
    if is_path(name) or node is None or str(name) in technology_names():
        return load_technology(name)
    return between(load_technology(ENDS[0]), load_technology(ENDS[1]), float(node[1]))


def between(large: Technology, small: Technology, node_nm: float) -> Technology:
    """The technology of `node_nm`, which lies between those of `large` and `small`.

    Energies go along the energy curve, areas along the area curve; the supply lies on a straight line over log(node),
    which is assumed. Events, parts and rules that one of the two lacks are left out. SRAM has data of its own for more
    nodes (`bitsim.hw.sram`).
    """
    if not small.node_nm < node_nm < large.node_nm:
        raise ConfigError(
            f"technology {node_nm:g}nm: expected a node between {small.node_nm:g} and {large.node_nm:g} nm, where "
            f"{small.name} and {large.name} have been synthesised; beyond them nothing is extrapolated"
        )
    if large.supply is None or small.supply is None:
        missing = large if large.supply is None else small
        raise ConfigError(f"{missing.path}: supply: required to scale to another node")
    u = log(node_nm / large.node_nm) / log(small.node_nm / large.node_nm)
    start_v, end_v = large.supply.nominal, small.supply.nominal
    supply_v = (1 - u) * start_v + u * end_v

    def energy(node: float, volts: float) -> float:
        return log(energy_factor(large.node_nm, start_v, node, volts))

    e = energy(node_nm, supply_v) / energy(small.node_nm, end_v)
    a = log(area_factor(large.node_nm, node_nm)) / log(area_factor(large.node_nm, small.node_nm))
    along = f"on the energy curve of {CURVE} at {supply_v:.3f} V"
    data: dict[str, Any] = {
        "kind": "technology",
        "name": f"{node_nm:g}nm",
        "node_nm": node_nm,
        "summary": f"{node_nm:g} nm: between {large.name} and {small.name} along the curves of {CURVE}",
        "supply": _constant(supply_v, supply_v, supply_v, "V", "assumed", "a straight line over log(node)"),
        "layout_factor": _joined(large.layout_factor, small.layout_factor, a, "between both, as areas"),
        "prices": {
            event: _joined(price, small.prices[event], e, along)
            for event, price in large.prices.items()
            if event in small.prices
        },
        "areas": {
            part: _joined(area, small.areas[part], a, f"on the area curve of {CURVE}")
            for part, area in large.areas.items()
            if part in small.areas
        },
        "rules": _rules(large.rules, small.rules, e, along),
        "area_rules": _rules(large.area_rules, small.area_rules, a, f"on the area curve of {CURVE}"),
    }
    path = f"{large.path} .. {small.path} at {node_nm:g} nm"
    return validate(Technology, Source(path=path, data=data, places={(): (path, 1)}))


def _rules(large: Mapping[str, Rule], small: Mapping[str, Rule], t: float, how: str) -> dict[str, Any]:
    """The rules of both, term by term; those that are not of one form or range are left out."""
    found = {}
    for pattern, rule in large.items():
        other = small.get(pattern)
        if other is None or not rule.is_like(other):
            continue
        joined = rule.model_dump()
        for term, start, end in zip(joined["terms"], rule.terms, other.terms, strict=True):
            term["coefficient"] = _joined(start.coefficient, end.coefficient, t, how)
        joined["error"] = _joined(rule.error, other.error, t, how)
        if rule.spread is not None and other.spread is not None:
            joined["spread"] = _joined(rule.spread, other.spread, t, how)
        found[pattern] = joined
    return found


def _joined(start: Constant, end: Constant, t: float, how: str) -> dict[str, Any]:
    """A constant `t` of the way from one to another, geometrically; it is no better than the worse of the two."""
    low, nominal, high = (power(getattr(start, level), 1 - t) * power(getattr(end, level), t) for level in LEVELS)
    evidence = "assumed" if "assumed" in (start.evidence, end.evidence) else "derived"
    source = f"{t:.3f} of the way from {start.text()} to {end.text()}, {how}"
    return _constant(low, nominal, high, start.unit, evidence, source)


def _constant(low: float, nominal: float, high: float, unit: str, evidence: str, source: str) -> dict[str, Any]:
    # Rounding in the last digit must not put a range out of order.
    ordered = sorted((low, nominal, high))
    return dict(zip(LEVELS, ordered, strict=True)) | {"unit": unit, "evidence": evidence, "source": source}
