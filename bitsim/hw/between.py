"""A technology made from others: between two that were synthesised, or one times factors.

Both work on plain data and treat a constant by its unit, whatever it is the constant of. Between two ends it is
`large^(1 - t) small^t` with the t for which the published curve of its unit has its own value at the node, so that both
ends are kept. The curves alone miss the synthesised ratio of 45 nm to 7 nm (area of a ternary PE 0.083, curve 0.059;
its energy 0.16, curve 0.046). Nobody knows where on the way a miss arises: low and high are moved apart by
`miss^(2 t (1 - t))`, which is nothing at the ends, and in the middle what it is if all of it lay on one side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitsim.errors import ConfigError
from bitsim.floats.scalars import exp, log
from bitsim.hw.scaling import area_factor, delay_factor, energy_factor

LEVELS = ("low", "nominal", "high")
CURVE = "Stillmaker & Baas 2017"
_CURVE_OF = {"pJ": "energy", "um2": "area", "mm2": "area", "ns": "delay", "mW": "energy"}
_ASSUMED = ("mW", "V", "ratio")  # of which the curves tell nothing
_NAMES = ("kind", "name", "summary", "like", "node_nm", "between", "scaled", "sram", "unpriced")
Data = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How far a node lies from a large one to a small one: `far` by curve, `u` on log(node).

    `whole`: the ratio of the ends by curve.
    """

    large: str
    small: str
    u: float
    far: Mapping[str, float]
    whole: Mapping[str, float]
    supply_v: float

    @classmethod
    def to(cls, node_nm: float, large: Data, small: Data) -> "Way":
        """From node, supply and name, which both ends must have; the supply lies on a straight line over log(node)."""
        start, end = float(large["node_nm"]), float(small["node_nm"])
        if not end < node_nm < start:
            raise ConfigError(
                f"expected a node between {end:g} and {start:g} nm, those of {small['name']} and {large['name']}; "
                f"beyond them nothing is extrapolated (got {node_nm:g} nm)"
            )
        for described in (large, small):
            if described["supply"] is None:
                raise ConfigError(f"{described['name']}: supply: required to scale to another node")
        u = log(node_nm / start) / log(end / start)
        start_v, end_v = large["supply"]["nominal"], small["supply"]["nominal"]
        supply_v = (1 - u) * start_v + u * end_v
        factors = {
            "energy": [energy_factor(start, start_v, *to) for to in ((node_nm, supply_v), (end, end_v))],
            "delay": [delay_factor(start, start_v, *to) for to in ((node_nm, supply_v), (end, end_v))],
            "area": [area_factor(start, to) for to in (node_nm, end)],
        }
        far = {curve: log(here) / log(whole) for curve, (here, whole) in factors.items()}
        whole = {curve: whole for curve, (_, whole) in factors.items()}
        return cls(large=large["name"], small=small["name"], u=u, far=far, whole=whole, supply_v=supply_v)

    def join(self, large: Data, small: Data) -> Data:
        """A constant on the way between two; it is no better than the worse of them. What is the same in both stays."""
        if all(large[level] == small[level] for level in LEVELS):
            return small if small["evidence"] == "assumed" else large
        unit = large["unit"]
        curve = _CURVE_OF.get(unit)
        t = self.u if curve is None else self.far[curve]
        assumed = unit in _ASSUMED or "assumed" in (large["evidence"], small["evidence"])
        source = f"{t:.3f} of the way from {_text(large)} to {_text(small)}, "
        if curve is None:
            values = [(1 - t) * large[level] + t * small[level] for level in LEVELS]
            source += "a straight line over log(node)"
        else:
            values = [_geometric(large[level], small[level], t) for level in LEVELS]
            source += f"on the {curve} curve of {CURVE} at {self.supply_v:.3f} V"
        if unit in ("pJ", "um2", "ns") and large["nominal"] and small["nominal"]:
            miss = abs(log(small["nominal"] / large["nominal"] / self.whole[str(curve)]))
            apart = exp(2 * t * (1 - t) * miss)
            values = [values[0] / apart, values[1], values[2] * apart]
            source += (
                f"; the curve misses the ratio of both {exp(miss):.2f} times: low / {apart:.2f}, high x {apart:.2f}"
            )
        return constant(values, unit, "assumed" if assumed else "derived", source)


def joined(node_nm: float, large: Data, small: Data) -> Data:
    """What `large` and `small` both have, on the way between them; constants and lists that one lacks are left out."""
    way = Way.to(node_nm, large, small)
    return _without_names(_pairs(large, small, way.join))


def scaled(base: Data, factors: Mapping[str, Data]) -> Data:
    """`base` with its energies, areas and delays multiplied; `factors`: constants by curve. Everything else stays."""
    by_unit = {unit: factors[curve] for unit, curve in _CURVE_OF.items()}

    def times(one: Data, _: Data) -> Data:
        factor = by_unit.get(one["unit"])
        if factor is None:
            return one
        assumed = one["unit"] in _ASSUMED or "assumed" in (one["evidence"], factor["evidence"])
        source = f"{_text(one)} of {base['name']} times {_text(factor)}: {factor['source']}"
        values = [one[level] * factor[level] for level in LEVELS]
        return constant(values, one["unit"], "assumed" if assumed else "derived", source)

    return _without_names(_pairs(base, base, times))


def constant(values: Sequence[float], unit: str, evidence: str, source: str) -> Data:
    """A constant as data; rounding in the last digit must not put its range out of order."""
    return dict(zip(LEVELS, sorted(values), strict=True)) | {"unit": unit, "evidence": evidence, "source": source}


def _pairs(one: Any, other: Any, of: Callable[[Data, Data], Data]) -> Any:
    """Constants of two trees, pair by pair, and what else is equal in both; None where they differ."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one if one == other else None
    if "evidence" in one and "low" in one:
        return of(one, other) if other.get("unit") == one["unit"] else None
    if "terms" in one:
        return _rule(one, other, of)
    found = {key: _pairs(value, other[key], of) for key, value in one.items() if key in other}
    return {key: value for key, value in found.items() if value is not None}


def _rule(one: Data, other: Data, of: Callable[[Data, Data], Data]) -> Data | None:
    """A rule whose constants are joined; None if both are not of one form, range and kinds of uncertainty."""
    forms = [
        ([t["powers"] for t in r["terms"]], r["origin"], r["synthesised"], r["valid"], r["spread"] is None)
        for r in (one, other)
    ]
    if forms[0] != forms[1]:
        return None
    terms = [
        term | {"coefficient": of(term["coefficient"], beside["coefficient"])}
        for term, beside in zip(one["terms"], other["terms"], strict=True)
    ]
    widths = {key: of(one[key], other[key]) for key in ("spread", "error") if one[key] is not None}
    return one | {"terms": terms} | widths


def _without_names(data: Data) -> Data:
    return {key: value for key, value in data.items() if key not in _NAMES}


def _geometric(start: float, end: float, t: float) -> float:
    return exp((1 - t) * log(start) + t * log(end)) if start and end else 0.0


def _text(one: Data) -> str:
    range_ = (one["low"], one["nominal"], one["high"])
    amount = " / ".join(f"{value:g}" for value in range_) if one["low"] < one["high"] else f"{one['nominal']:g}"
    return amount if one["unit"] == "ratio" else f"{amount} {one['unit']}"
