"""Fit the rules in hw_models/technology/*.yaml: prices and areas of widths that were not synthesised.

    python -m tools.derive_rules            # fits, residuals, and whether the files say the same
    python -m tools.derive_rules --write    # puts the rules into the files, behind the line that says so

The points are the derived prices and areas (tools/derive_prices.py, tools/derive_areas.py). A fit is of the nominal
values. `spread` reaches from the least `low` to the largest `high` of the points, relative to the fit. `error` is the
largest miss of a point that the fit was not told of (leave one out), over both libraries.

* `pe.ternary_a8_acc{acc}`: a power of the bits. Its exponent is pooled over eight series, each with a scale of its own:
  gates of study A (16, 24, 32 bits; zero and unit delay) and study B (20, 24, 32; zero delay and glitches) in both
  libraries. `idle`: the same exponent. Area: constant + bits (B's 20, 24, 32).
* `acc.add.int{bits}`, `add.int{bits}`: a power, pooled over study B's adders of 8, 20 and 32 bits in both libraries.
* `pe.int8_acc{acc}`: the synthesised PE of 32 bits and study B's adder of 32 (with a flip-flop, as area) per bit more or
  less. error: with the slope that B's INT8 and INT4 PEs less their multipliers have, 16 bits away.
* `tree.depth{depth}`, `merge.*`: the straight line through depths 1 and 5. error: nominal growth per doubling of depth:
  glitches may stop growing, or grow twice as fast.
* `popcount.depth{depth}`, `serial.*`: their one synthesised depth (6 and 7 have the same price), and the slope of the
  tree relative to its depth 1, which is assumed. error: as the tree.
* `lut.b4_t{bits}.read`: in proportion to an entry's bits, each of which has the same multiplexer; assumed, and so is
  its error.
* `mma.*_int8_acc{acc}`, `mma.*_int4_acc{acc}`: the composed unit of 32 bits and 1 / 16 of a bit of `tree.depth5` per
  bit more or less (tools/derive_tensor_cores.py). error: as the adders.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from math import exp, log
from pathlib import Path
from typing import Any

import yaml

from tools import derive_areas, derive_prices
from tools.study_units import (
    HIGH,
    LIBRARIES,
    LOW,
    NOMINAL,
    TERNARY_ACC_BITS,
    TREE_DEPTH,
    Range,
    flip_flops,
    flips_a,
    gates,
    gates_a,
    glitching_gates,
    load_tables,
    study_a,
    study_b,
    whole_a,
)

FILES = Path("hw_models/technology")
MARK = "# Rules: from here on written by tools/derive_rules.py, which tells how they were fitted.\n"
LANES = 16  # of the dot products that tensor cores are put together from
Points = Sequence[tuple[float, float]]
Data = dict[str, Any]
TO_WIDE = "wider sums are not modelled (bitsim/hw/datapaths)"
NO_NARROW = "no source has units of fewer bits; a product of two signs needs as many"
NO_DEEP = "no source has adders in a row beyond 7, and 12 are 2 doublings from the synthesised tree"
TOOL = "tools/derive_rules.py"
INT8_ERROR = "16 bits away, with the slope of study B's INT8 and INT4 PEs less their multipliers"


def pooled_exponent(series: Sequence[Points]) -> float:
    """The exponent of y = scale x^exponent, by least squares of logarithms; each series has its own scale."""
    products = squares = 0.0
    for points in series:
        xs, ys = [log(x) for x, _ in points], [log(y) for _, y in points]
        x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
        products += sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
        squares += sum((x - x_mean) ** 2 for x in xs)
    return products / squares


def scale_of(points: Points, exponent: float) -> float:
    """The scale of one series: the geometric mean."""
    return exp(sum(log(y / x**exponent) for x, y in points) / len(points))


def power_errors(series: Sequence[Points]) -> tuple[float, float]:
    """The largest ratio by which the pooled power law misses a point, fitted to all and to all but it; both >= 1."""
    exponent = pooled_exponent(series)
    residual = left_out = 0.0
    for i, points in enumerate(series):
        for j, (x, y) in enumerate(points):
            residual = max(residual, abs(log(y / (scale_of(points, exponent) * x**exponent))))
            rest = [*points[:j], *points[j + 1 :]]
            without = pooled_exponent([*series[:i], rest, *series[i + 1 :]])
            left_out = max(left_out, abs(log(y / (scale_of(rest, without) * x**without))))
    return exp(residual), exp(left_out)


def line(points: Points) -> tuple[float, float]:
    """Constant and slope of the straight line with the least squares of relative errors."""
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    x_mean = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    y_mean = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    slope = sum(w * (x - x_mean) * (y - y_mean) for w, (x, y) in zip(weights, points, strict=True))
    slope /= sum(w * (x - x_mean) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    return y_mean - slope * x_mean, slope


def line_errors(points: Points) -> tuple[float, float]:
    """As `power_errors`, of a straight line."""
    constant, slope = line(points)
    residual = max(abs(log(y / (constant + slope * x))) for x, y in points)
    left_out = 0.0
    for j, (x, y) in enumerate(points):
        constant, slope = line([*points[:j], *points[j + 1 :]])
        left_out = max(left_out, abs(log(y / (constant + slope * x))))
    return exp(residual), exp(left_out)


def rounded(value: float) -> float:
    return float(f"{value:.6g}")


class Library:
    """The points of one cell library, energies in pJ, and the rules that are fitted to them."""

    def __init__(self, node: str) -> None:
        self.node, self.name, self.tables = node, LIBRARIES[node], load_tables()
        self.a, self.b = study_a(self.tables, self.name), study_b(self.tables, self.name)
        self.flops = flip_flops(self.tables, self.name)
        self.prices = derive_prices.derive(self.tables, self.name)
        self.areas = derive_areas.derive(self.tables, node)

    def pe_series(self) -> list[Points]:
        """Gates of the ternary PE by bits of its accumulator, in fJ: four series."""
        units = {bits: self.a[f"tacc_a8_acc{bits}"] for bits in (16, 24, 32)}
        held = {bits: self.flops.energy(bits, flips_a(bits)) for bits in units}
        found = [[(bits, gates_a(unit, "zd")) for bits, unit in units.items()]]
        found.append([(bits, whole_a(unit, "ud") - held[bits]) for bits, unit in units.items()])
        of_b = {bits: self.b[f"pe_t8_{bits}"] for bits in TERNARY_ACC_BITS}
        found.append([(bits, gates(unit)) for bits, unit in of_b.items()])
        found.append([(bits, glitching_gates(unit)) for bits, unit in of_b.items()])
        return list(found)

    def adder_series(self, *measures: str) -> list[Points]:
        return [[(bits, self.b[f"add{bits}"][measure]) for bits in (8, 20, 32)] for measure in measures]

    def tree_growth(self) -> float:
        """Of the nominal price of a bit, per doubling of the adders in a row."""
        first, last = (self.prices[f"tree.depth{depth}.add_bits"][NOMINAL] for depth in (1, TREE_DEPTH))
        return float((last / first) ** (log(2) / log(TREE_DEPTH)))


@cache
def libraries() -> dict[str, Library]:
    return {node: Library(node) for node in LIBRARIES}


def over_all(series: Callable[[Library], list[Points]]) -> list[Points]:
    """The series of both libraries."""
    return [points for library in libraries().values() for points in series(library)]


@cache
def exponents() -> dict[str, tuple[float, float, float]]:
    """By family: pooled exponent, largest residual and largest miss of a point left out, as ratios."""
    families: dict[str, list[Points]] = {
        "ternary PE, gates": over_all(Library.pe_series),
        "adders, energy": over_all(lambda one: one.adder_series("fJ_zero", "fJ_glitch")),
        "adders, area": over_all(lambda one: one.adder_series("um2")),
    }
    return {name: (rounded(pooled_exponent(found)), *power_errors(found)) for name, found in families.items()}


@cache
def int8_slopes() -> tuple[float, float]:
    """The largest ratios by which a price and an area change 16 bits away with the slope of B's whole PEs."""
    worst = [1.0, 1.0]
    for library in libraries().values():
        units, flop = library.b, derive_areas.FLIP_FLOP[library.name]
        wide, narrow = units["pe_i8_32"], units["pe_i4_20"]
        product = units["mul8"]["fJ_glitch"] - units["mul4"]["fJ_glitch"]
        of_units = (glitching_gates(wide) - glitching_gates(narrow) - product) / 12
        own = units["add32"]["fJ_glitch"] / 32
        base = glitching_gates(wide)
        worst[0] = max(worst[0], (base - 16 * own) / (base - 16 * of_units), (base + 16 * of_units) / (base + 16 * own))
        in_area = (wide["um2"] - narrow["um2"] - units["mul8"]["um2"] + units["mul4"]["um2"] - 4 * flop) / 12
        own, base = units["add32"]["um2"] / 32 + flop, wide["um2"]
        worst[1] = max(worst[1], (base - 16 * own) / (base - 16 * in_area), (base + 16 * in_area) / (base + 16 * own))
    return worst[0], worst[1]


def ratio(low: float, high: float, source: str, evidence: str = "derived", note: str = "") -> Data:
    found: Data = {"low": min(1.0, rounded(low)), "nominal": 1.0, "high": max(1.0, rounded(high)), "unit": "ratio"}
    return found | {"evidence": evidence, "source": source} | ({"note": note} if note else {})


def error(worst: float, source: str, evidence: str = "derived", *, a_doubling_away: bool = False) -> Data:
    """`a_doubling_away`: `worst` is meant there, where the exponent is 2."""
    worst = worst**0.5 if a_doubling_away else worst
    return ratio(1 / worst, worst, source + (", to the power 1 / 2" if a_doubling_away else ""), evidence)


def spread(points: dict[int, Range], fitted: Callable[[int], float], source: str) -> Data:
    """From the least low to the largest high of the points, relative to the fit."""
    return ratio(
        min(levels[LOW] / fitted(x) for x, levels in points.items()),
        max(levels[HIGH] / fitted(x) for x, levels in points.items()),
        source,
    )


def constant(levels: float | Range, unit: str, source: str, evidence: str = "derived", note: str = "fitted") -> Data:
    found: Data = (
        {"value": rounded(levels)}
        if isinstance(levels, float)
        else dict(zip(("low", "nominal", "high"), map(rounded, levels), strict=True))
    )
    return found | {"unit": unit, "evidence": evidence, "source": source} | ({"note": note} if note else {})


def term(coefficient: Data, **powers: float) -> Data:
    return {"coefficient": coefficient} | ({"powers": dict(powers)} if powers else {})


def rule(
    width: str, known: tuple[int, int], valid: tuple[int, int], ends: str, terms: list[Data], **more: Data
) -> Data:
    extents = {
        key: {width: dict(zip(("low", "high"), ends_at, strict=True))}
        for key, ends_at in (("synthesised", known), ("valid", valid))
    }
    return {"terms": terms} | extents | {"ends": ends} | more


def power_rule(
    width: str, unit: str, family: str, points: dict[int, Range], valid: tuple[int, int], ends: str, source: str
) -> Data:
    exponent, _, left_out = exponents()[family]
    scale = scale_of([(x, levels[NOMINAL]) for x, levels in points.items()], exponent)
    return rule(
        width,
        (min(points), max(points)),
        valid,
        ends,
        [term(constant(float(scale), unit, source), **{width: exponent})],
        spread=spread(points, lambda x: scale * x**exponent, f"{source}: least low and largest high over the fit"),
        error=error(left_out, f"{TOOL}: largest miss of a point left out of {family}"),
    )


def energy_rules(library: Library) -> dict[str, Data]:
    """Pattern -> rule of a price."""
    prices, name, rules = library.prices, library.name, {}
    source = f"power law through pe.ternary_a8_acc20, 24, 32 ({name}), exponent pooled over studies A and B"
    for action in ("skip", "idle"):
        points = {bits: prices[f"pe.ternary_a8_acc{bits}.{action}"] for bits in TERNARY_ACC_BITS}
        made = power_rule(
            "acc", "pJ", "ternary PE, gates", points, (8, 64), f"below: {NO_NARROW}; above: {TO_WIDE}", source
        )
        made["synthesised"]["acc"]["low"] = 16  # study A's
        for alike in ("add", "sub", "skip") if action == "skip" else ("idle",):
            rules[f"pe.ternary_a8_acc{{acc}}.{alike}"] = made
    adders = {bits: (u["fJ_zero"] / 1e3, u["fJ_glitch"] / 1e3, u["fJ_glitch"] / 1e3)
              for bits in (8, 20, 32) for u in [library.b[f"add{bits}"]]}  # fmt: skip
    source = f"power law through study B's add8, add20, add32, {name}"
    ends = f"below: no source has adders of fewer bits than 8; above: {TO_WIDE}"
    rules["acc.add.int{bits}"] = power_rule("bits", "pJ", "adders, energy", adders, (4, 64), ends, source)
    per_bit = adders[32][LOW] / 32, adders[32][NOMINAL] / 32, adders[32][HIGH] / 32
    rules["pe.int8_acc{acc}.mac"] = anchored(
        prices["pe.int8_acc32.mac"], per_bit, 32, "acc", (16, 64), "pJ", f"pe.int8_acc32.mac and add32, {name}",
        INT8_ERROR, int8_slopes()[0], f"below: the width of a product; above: {TO_WIDE}",
    )  # fmt: skip
    first, last = (prices[f"tree.depth{depth}.add_bits"] for depth in (1, TREE_DEPTH))
    growth: Range = tuple((b - a) / (TREE_DEPTH - 1) for a, b in zip(first, last, strict=True))  # type: ignore[assignment]
    tree = rule(
        "depth", (1, TREE_DEPTH), (1, 12), NO_DEEP,
        [term(constant(first, "pJ", f"tree.depth1.add_bits, {name}")),
         term(constant(growth, "pJ", f"a quarter of tree.depth5 less tree.depth1, {name}"), depth=1)],
        error=error(library.tree_growth(), f"{TOOL}: nominal growth per doubling of depth, none or twice as much", a_doubling_away=True),
    )  # fmt: skip
    tree["origin"] = {"depth": 1}
    rules["tree.depth{depth}.add_bits"] = rules["merge.depth{depth}.add_bits"] = tree
    relative = growth[NOMINAL] / first[NOMINAL]
    for pattern, known in (("popcount.depth{depth}", (6, 7)), ("serial.popcount_depth{depth}", (6, 7)),
                           ("serial.depth{depth}", (5, 5))):  # fmt: skip
        event = f"{pattern}.add_bits"
        levels = prices[event.replace("{depth}", str(known[0]))]
        middle = sum(known) / 2
        at_first = levels[NOMINAL] / (1 + relative * (middle - 1))
        source = f"{event.replace('{depth}', str(known[0]))}, {name}, with the slope of tree.* relative to its depth 1"
        made = rule(
            "depth", known, (1, 12), NO_DEEP,
            [term(constant(at_first, "pJ", source, "assumed")),
             term(constant(relative * at_first, "pJ", source, "assumed"), depth=1)],
            spread=ratio(levels[LOW] / levels[NOMINAL], levels[HIGH] / levels[NOMINAL], source),
            error=error(library.tree_growth(), f"{TOOL}: as tree.depth{{depth}}", "assumed", a_doubling_away=True),
        )  # fmt: skip
        made["origin"] = {"depth": 1}
        rules[event] = made
    rules["lut.b4_t{bits}.read"] = by_bit(prices["lut.b4_t10.read"], "pJ", name)
    return rules | tensor_core_rules(prices, last, "pJ", f"a sixteenth of tree.depth5.add_bits, {name}")


def area_rules(library: Library) -> dict[str, Data]:
    """Pattern -> rule of an area."""
    areas, name, rules = library.areas, library.name, {}
    points = {bits: areas[f"pe.ternary_a8_acc{bits}"] for bits in TERNARY_ACC_BITS}
    start, slope = line([(bits, levels[NOMINAL]) for bits, levels in points.items()])
    source = f"straight line through study B's pe_t8_20, pe_t8_24, pe_t8_32, {name}"
    rules["pe.ternary_a8_acc{acc}"] = rule(
        "acc", (20, 32), (8, 64), f"below: {NO_NARROW}; above: {TO_WIDE}",
        [term(constant(start, "um2", source)), term(constant(slope, "um2", source), acc=1)],
        spread=spread(points, lambda x: start + slope * x, f"{source}: least low (study A's) and largest high"),
        error=error(max(pe_area_errors()[node][1] for node in LIBRARIES), f"{TOOL}: largest miss of a point left out"),
    )  # fmt: skip
    adders = {bits: (u["um2"],) * 3 for bits in (8, 20, 32) for u in [library.b[f"add{bits}"]]}
    ends = f"below: no source has adders of fewer bits than 8; above: {TO_WIDE}"
    source = f"power law through study B's add8, add20, add32, {name}"
    rules["add.int{bits}"] = power_rule("bits", "um2", "adders, area", adders, (4, 64), ends, source)
    per_bit = library.b["add32"]["um2"] / 32 + derive_areas.FLIP_FLOP[name]
    rules["pe.int8_acc{acc}"] = anchored(
        areas["pe.int8_acc32"], (per_bit,) * 3, 32, "acc", (16, 64), "um2",
        f"pe.int8_acc32, add32 and a flip-flop, {name}", INT8_ERROR, int8_slopes()[1],
        f"below: the width of a product; above: {TO_WIDE}",
    )  # fmt: skip
    rules["lut.b4_t{bits}.read"] = by_bit(areas["lut.b4_t10.read"], "um2", name)
    return rules | tensor_core_rules(areas, areas["tree.add_bit"], "um2", f"a sixteenth of tree.add_bit, {name}")


@cache
def pe_area_errors() -> dict[str, tuple[float, float]]:
    return {
        node: line_errors([(bits, library.areas[f"pe.ternary_a8_acc{bits}"][NOMINAL]) for bits in TERNARY_ACC_BITS])
        for node, library in libraries().items()
    }


def tensor_core_rules(found: dict[str, Range], adder: Range, unit: str, source: str) -> dict[str, Data]:
    """Units of integers with other accumulators than 32 bits; architectures share their composed units."""
    rules = {}
    per_bit: Range = tuple(level / LANES for level in adder)  # type: ignore[assignment]
    for bits in (8, 4):
        (whole,) = {levels for name, levels in found.items() if f"_int{bits}_acc32.mac" in name}
        family = "adders, energy" if unit == "pJ" else "adders, area"
        made = anchored(
            whole, per_bit, 32, "acc", (1, 64), unit, f"mma.*_int{bits}_acc32.mac; {source}",
            f"as {family}", exponents()[family][2], f"below: a sum has a bit; above: {TO_WIDE}",
        )  # fmt: skip
        for name in found:
            if f"_int{bits}_acc32.mac" in name:
                rules[name.replace("acc32", "acc{acc}")] = made
    return rules


def anchored(
    whole: Range, per_bit: Range, at: int, width: str, valid: tuple[int, int], unit: str, source: str, why: str,
    worst: float, ends: str,
) -> Data:  # fmt: skip
    """The unit of `at` bits with `per_bit` for each bit more or less, in the proportions of its own range."""
    slope = per_bit[NOMINAL]
    return rule(
        width, (at, at), valid, ends,
        [term(constant(float(whole[NOMINAL] - at * slope), unit, source)),
         term(constant(float(slope), unit, source), **{width: 1})],
        spread=ratio(whole[LOW] / whole[NOMINAL], whole[HIGH] / whole[NOMINAL], source),
        error=error(worst, f"{TOOL}: {why}", a_doubling_away=True),
    )  # fmt: skip


def by_bit(whole: Range, unit: str, name: str) -> Data:
    low, nominal, high = (level / 10 for level in whole)
    return rule(
        "bits", (10, 10), (4, 10), "entries have 4 to 10 bits (bitsim/hw/datapaths/binary_lut.py)",
        [term(constant((low, nominal, high), unit, f"lut.b4_t10.read / 10, {name}: a multiplexer per bit", "assumed"),
              bits=1)],
        error=error(1.2, "what is not in proportion to the bits, decoding the code, was not synthesised apart", "assumed"),
    )  # fmt: skip


def rules_of(node: str) -> dict[str, Any]:
    """The keys `rules` and `area_rules` of one technology."""
    library = libraries()[node]
    return {"rules": energy_rules(library), "area_rules": area_rules(library)}


def text_of(node: str) -> str:
    """They as YAML."""
    return MARK + yaml.safe_dump(
        rules_of(node), sort_keys=False, default_flow_style=None, width=118, allow_unicode=True
    )


def written(path: Path) -> str:
    """What stands in a file from the mark on."""
    _, mark, rest = path.read_text(encoding="utf-8").partition(MARK)
    return mark + rest


def main() -> None:
    print("power laws, pooled over both libraries: exponent, largest residual, largest miss of a point left out")
    for family, (exponent, residual, left_out) in exponents().items():
        print(f"  {family:20s} {exponent:.3f}  {residual - 1:6.1%}  {left_out - 1:6.1%}")
    print("ternary PE, area, constant + bits:")
    for node, (residual, left_out) in pe_area_errors().items():
        print(f"  {node:20s}        {residual - 1:6.1%}  {left_out - 1:6.1%}")
    energy, area = int8_slopes()
    print(f"INT8 PE, 16 bits away with the slope of whole PEs: energy {energy - 1:.1%}, area {area - 1:.1%}")
    for node, library in libraries().items():
        print(f"tree, growth of a bit per doubling of depth, {node}: {library.tree_growth() - 1:.1%}")
    for node in LIBRARIES:
        path = FILES / f"{node}.yaml"
        if "--write" in sys.argv:
            head = path.read_text(encoding="utf-8").partition(MARK)[0]
            path.write_text(head.rstrip("\n") + "\n\n" + text_of(node), encoding="utf-8")
        print(f"{path}: {'as derived' if written(path) == text_of(node) else 'differs: run with --write'}")


if __name__ == "__main__":
    main()
