"""Fit the rules in hw_models/technology/*.yaml: prices and areas of widths that were not synthesised.

    python -m tools.derive_rules            # fits, residuals, and whether the files say the same
    python -m tools.derive_rules --write    # puts the rules into the files, behind the line that says so

The values at synthesised widths are the derived prices and areas (tools/derive_prices.py, tools/derive_areas.py). How
they follow the width is fitted to all studies together: a power of the width whose exponent is pooled over series (one
per study, library, and way to count glitches), each with a scale of its own; the scale of the rule is that of the
nominal prices. `spread` reaches from the least `low` to the largest `high` of these, relative to the fit. `error` is
the largest miss of a point that the fit was not told of, over all series of the family.

* `pe.ternary_a8_acc{acc}`: gates of studies A (16 to 32 bits), B (20 to 32) and C (10 to 64). `idle`: likewise. Area:
  the straight line of study C's gates and a flip-flop per bit, through B's nominal areas.
* `acc.add.int{bits}`, `add.int{bits}`: adders of studies B (8, 20, 32 bits) and C (4 to 64).
* `pe.int8_acc{acc}`: PEs of study C (16 to 64 bits), whose product is extended to the accumulator's width. Area: as
  above, with the slope of study C.
* `tree.depth{depth}`, `merge.*`, `serial.depth{depth}`: a bit of study C's trees of 2 to 128 lanes (2 to 8 adders in a
  row), which hardly depends on the depth. error: at least what the straight line through the prices of depths 1 and 5,
  where glitches grow, gives at 8.
* `popcount.depth{depth}`, `serial.popcount_depth{depth}`: a bit of study C's popcounts of 2 to 512 lanes (2 to 10).
* `lut.b4_t{bits}.read`: in proportion to an entry's bits, each of which has the same multiplexer; assumed, and so is
  its error.
* `mma.*_int8_acc{acc}`, `mma.*_int4_acc{acc}`: the composed unit of 32 bits and 1 / 16 of a bit of `tree.depth5` per
  bit more or less (tools/derive_tensor_cores.py). error: as the adders.
* `mul.int{bits}` (area): multipliers of studies B (4, 8 bits) and C (2 to 8).
"""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools import derive_areas, derive_prices
from tools.fits import Points, line, line_errors, pooled_exponent, power_errors, scale_of
from tools.study_units import (
    ACT_BITS,
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
    study_c,
    whole_a,
)

FILES = Path("hw_models/technology")
MARK = "# Rules: from here on written by tools/derive_rules.py, which tells how they were fitted.\n"
LANES = 16  # of the dot products that tensor cores are put together from
Data = dict[str, Any]
WIDEST = "above: no source has synthesised more"
NARROWEST = "below: no source has synthesised less"
DEEPEST = "above: no source has more adders in a row than 8 in a tree and 10 in a popcount; 16 is twice 8"
TOOL = "tools/derive_rules.py"
TREE_LANES, POPCOUNT_LANES = (2, 4, 8, 16, 32, 64, 128), (2, 4, 8, 16, 32, 64, 128, 256, 512)


def rounded(value: float) -> float:
    return float(f"{value:.6g}")


class Library:
    """The points of one cell library, energies in pJ, and the rules that are fitted to them."""

    def __init__(self, node: str) -> None:
        self.node, self.name, self.tables = node, LIBRARIES[node], load_tables()
        self.a, self.b, self.c = study_a(self.tables, self.name), study_b(self.tables, self.name), study_c(self.name)
        self.flops = flip_flops(self.tables, self.name)
        self.flop_area = derive_areas.FLIP_FLOP[self.name]
        self.prices = derive_prices.derive(self.tables, self.name)
        self.areas = derive_areas.derive(self.tables, node)

    def of_c(self, unit: str, *measures: str) -> list[Points]:
        """Series of study C's units by the number in their names."""
        found = [(int(name.removeprefix(unit)), numbers) for name, numbers in self.c.items() if _is(name, unit)]
        return [[(width, numbers[measure]) for width, numbers in found] for measure in measures]

    def ternary_pes(self) -> list[Points]:
        units = {bits: self.a[f"tacc_a8_acc{bits}"] for bits in (16, 24, 32)}
        held = {bits: self.flops.energy(bits, flips_a(bits)) for bits in units}
        of_b = {bits: self.b[f"pe_t8_{bits}"] for bits in TERNARY_ACC_BITS}
        return [
            [(bits, gates_a(unit, "zd")) for bits, unit in units.items()],
            [(bits, whole_a(unit, "ud") - held[bits]) for bits, unit in units.items()],
            [(bits, gates(unit)) for bits, unit in of_b.items()],
            [(bits, glitching_gates(unit)) for bits, unit in of_b.items()],
            *self.of_c("ternary_pe_acc", "fJ_zero", "fJ_glitch"),
        ]

    def adders(self, *measures: str) -> list[Points]:
        of_b: list[Points] = [[(bits, self.b[f"add{bits}"][measure]) for bits in (8, 20, 32)] for measure in measures]
        return of_b + self.of_c("add", *measures)

    def multipliers(self) -> list[Points]:
        return [[(bits, self.b[f"mul{bits}"]["um2"]) for bits in (4, 8)], *self.of_c("mul", "um2")]

    def trees(self) -> list[Points]:
        """Energy of a bit of adder by adders in a row."""
        return [
            [(n.bit_length(), self.c[f"tree{n}_acc24"][measure] / tree_bits(n)) for n in TREE_LANES]
            for measure in ("fJ_zero", "fJ_glitch")
        ]

    def popcounts(self) -> list[Points]:
        return [
            [
                (
                    n.bit_length(),
                    self.c[f"popcount{n}_acc16"][measure] / derive_prices.popcount_bits(n.bit_length() - 1),
                )
                for n in POPCOUNT_LANES
            ]
            for measure in ("fJ_zero", "fJ_glitch")
        ]

    def growing_glitches(self) -> float:
        """The straight line through the nominal prices of trees of depths 1 and 5, at 8, over the price of 5."""
        first, last = (self.prices[f"tree.depth{depth}.add_bits"][NOMINAL] for depth in (1, TREE_DEPTH))
        return float((last + (last - first) * 3 / (TREE_DEPTH - 1)) / last)


def tree_bits(lanes: int) -> int:
    """Bits of the adders of a tree of study C and of its accumulator."""
    levels = range(1, lanes.bit_length())
    return sum((lanes >> level) * (ACT_BITS + level) for level in levels) + 24


def _is(name: str, unit: str) -> bool:
    return name.startswith(unit) and name.removeprefix(unit).isdecimal()


@cache
def libraries() -> dict[str, Library]:
    return {node: Library(node) for node in LIBRARIES}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A fitted power law: its exponent, the range of its points, and its largest misses, as ratios."""

    name: str
    exponent: float
    low: int
    high: int
    points: int
    residual: float
    left_out: float


@cache
def families() -> dict[str, Family]:
    """By name; pooled over both libraries."""
    both = libraries().values()
    found: dict[str, list[Points]] = {
        "ternary PE": [points for one in both for points in one.ternary_pes()],
        "INT8 PE": [points for one in both for points in one.of_c("int8_pe_acc", "fJ_zero", "fJ_glitch")],
        "adder": [points for one in both for points in one.adders("fJ_zero", "fJ_glitch")],
        "adder, area": [points for one in both for points in one.adders("um2")],
        "multiplier, area": [points for one in both for points in one.multipliers()],
        "bit of a tree": [points for one in both for points in one.trees()],
        "bit of a popcount": [points for one in both for points in one.popcounts()],
    }
    result = {}
    for name, series in found.items():
        widths = [int(x) for points in series for x, _ in points]
        residual, left_out = power_errors(series)
        result[name] = Family(
            name=name, exponent=rounded(pooled_exponent(series)), low=min(widths), high=max(widths),
            points=len(widths), residual=residual, left_out=left_out,
        )  # fmt: skip
    return result


@cache
def area_lines() -> dict[str, tuple[float, float, float]]:
    """By PE and library: slope of study C's gates per bit in um2, largest residual and largest miss when left out."""
    found = {}
    for unit in ("ternary_pe_acc", "int8_pe_acc"):
        for node, library in libraries().items():
            (points,) = library.of_c(unit, "um2")
            found[f"{unit} {node}"] = (line(points)[1], *line_errors(points))
    return found


def ratio(low: float, high: float, source: str, evidence: str = "derived") -> Data:
    found: Data = {"low": min(1.0, rounded(low)), "nominal": 1.0, "high": max(1.0, rounded(high)), "unit": "ratio"}
    return found | {"evidence": evidence, "source": source}


def error(worst: float, source: str, evidence: str = "derived") -> Data:
    return ratio(1 / worst, worst, source, evidence)


def constant(levels: float | Range, unit: str, source: str, evidence: str = "derived", note: str = "fitted") -> Data:
    if isinstance(levels, float):
        found: Data = {"value": rounded(levels)}
    else:
        found = dict(zip(("low", "nominal", "high"), map(rounded, levels), strict=True))
    return found | {"unit": unit, "evidence": evidence, "source": source, "note": note}


def term(coefficient: Data, **powers: float) -> Data:
    return {"coefficient": coefficient} | ({"powers": dict(powers)} if powers else {})


def rule(
    width: str, known: tuple[int, int], valid: tuple[int, int], ends: str, terms: list[Data], **more: Data
) -> Data:
    extents = {key: {width: dict(zip(("low", "high"), at, strict=True))}
               for key, at in (("synthesised", known), ("valid", valid))}  # fmt: skip
    return {"terms": terms} | extents | {"ends": ends} | more


def power_rule(
    width: str, unit: str, of: str, points: dict[int, Range], valid: tuple[int, int], ends: str, names: str,
    at_least: float = 1.0,
) -> Data:  # fmt: skip
    """A power law through the nominal values of `points`; `at_least`: of its error."""
    family = families()[of]
    scale = scale_of([(x, levels[NOMINAL]) for x, levels in points.items()], family.exponent)

    def fitted(x: int) -> float:
        return float(scale * x**family.exponent)

    low, high = min(v[LOW] / fitted(x) for x, v in points.items()), max(v[HIGH] / fitted(x) for x, v in points.items())
    why = f"{TOOL}: largest miss of a left-out point, {of}"
    why += ", or growth of glitches to depth 8" if at_least > 1 else ""
    return rule(
        width, (family.low, family.high), valid, ends,
        [term(constant(float(scale), unit, f"{names}; exponent: {of}"), **{width: family.exponent})],
        spread=ratio(low, high, f"{names}: least low and largest high over the fit"),
        error=error(max(family.left_out, at_least), why),
    )  # fmt: skip


def energy_rules(library: Library) -> dict[str, Data]:
    """Pattern -> rule of a price."""
    prices, name, rules = library.prices, library.name, {}
    for action in ("skip", "idle"):
        points = {bits: prices[f"pe.ternary_a8_acc{bits}.{action}"] for bits in TERNARY_ACC_BITS}
        names = f"pe.ternary_a8_acc20, 24, 32.{action}, {name}"
        made = power_rule("acc", "pJ", "ternary PE", points, (8, 64), f"{NARROWEST} than 10; {WIDEST}", names)
        for alike in ("add", "sub", "skip") if action == "skip" else ("idle",):
            rules[f"pe.ternary_a8_acc{{acc}}.{alike}"] = made
    zero, glitch = (dict(points) for points in library.adders("fJ_zero", "fJ_glitch")[:2])
    adders = {bits: (zero[bits] / 1e3, glitch[bits] / 1e3, glitch[bits] / 1e3) for bits in zero}
    ends = f"{NARROWEST} than 4; {WIDEST}"
    rules["acc.add.int{bits}"] = power_rule("bits", "pJ", "adder", adders, (4, 64), ends, f"add8, add20, add32, {name}")
    rules["pe.int8_acc{acc}.mac"] = power_rule(
        "acc", "pJ", "INT8 PE", {32: prices["pe.int8_acc32.mac"]}, (16, 64),
        f"below: the width of a product; {WIDEST}", f"pe.int8_acc32.mac, {name}",
    )  # fmt: skip
    deepest = prices[f"tree.depth{TREE_DEPTH}.add_bits"]
    for event, of, points, least in (
        ("tree.depth{depth}", "bit of a tree", {TREE_DEPTH: deepest}, library.growing_glitches()),
        ("merge.depth{depth}", "bit of a tree", {TREE_DEPTH: deepest}, library.growing_glitches()),
        ("serial.depth{depth}", "bit of a tree", {5: prices["serial.depth5.add_bits"]}, library.growing_glitches()),
        ("popcount.depth{depth}", "bit of a popcount", {d: prices[f"popcount.depth{d}.add_bits"] for d in (6, 7)}, 1.0),
        ("serial.popcount_depth{depth}", "bit of a popcount",
         {d: prices[f"serial.popcount_depth{d}.add_bits"] for d in (6, 7)}, 1.0),
    ):  # fmt: skip
        names = f"{event.replace('{depth}', ' and '.join(str(depth) for depth in points))}.add_bits, {name}"
        rules[f"{event}.add_bits"] = power_rule("depth", "pJ", of, points, (1, 16), DEEPEST, names, least)
    rules["lut.b4_t{bits}.read"] = by_bit(prices["lut.b4_t10.read"], "pJ", name)
    return rules | tensor_core_rules(prices, deepest, "pJ", f"a sixteenth of tree.depth5.add_bits, {name}")


def area_rules(library: Library) -> dict[str, Data]:
    """Pattern -> rule of an area."""
    areas, name, rules = library.areas, library.name, {}
    for part, unit, widths, valid in (
        ("pe.ternary_a8", "ternary_pe_acc", TERNARY_ACC_BITS, (8, 64)), ("pe.int8", "int8_pe_acc", (32,), (16, 64)),
    ):  # fmt: skip
        points = {bits: areas[f"{part}_acc{bits}"] for bits in widths}
        per_bit, _, left_out = area_lines()[f"{unit} {library.node}"]
        slope = float(per_bit + library.flop_area)
        start = float(sum(levels[NOMINAL] - slope * bits for bits, levels in points.items()) / len(points))
        fit = {bits: start + slope * bits for bits in points}
        names = f"{part}_acc{', '.join(str(bits) for bits in points)}, {name}"
        (known,) = library.of_c(unit, "um2")
        rules[f"{part}_acc{{acc}}"] = rule(
            "acc", (int(known[0][0]), int(known[-1][0])), valid, f"{NARROWEST} than {known[0][0]:g}; {WIDEST}",
            [term(constant(start, "um2", f"{names}, less the slope")),
             term(constant(slope, "um2", f"study C {unit}*, {name}: gates, and a flip-flop"), acc=1)],
            spread=ratio(min(levels[LOW] / fit[bits] for bits, levels in points.items()),
                         max(levels[HIGH] / fit[bits] for bits, levels in points.items()),
                         f"{names}: least low and largest high over the fit"),
            error=error(left_out, f"{TOOL}: largest miss of a left-out point of study C's line"),
        )  # fmt: skip
    for part, of, widths in (("add", "adder, area", (8, 20, 32)), ("mul", "multiplier, area", (4, 8))):
        points = {bits: areas[f"{part}.int{bits}"] for bits in widths}
        ends = f"{NARROWEST} than {families()[of].low}; {WIDEST}"
        names = f"{', '.join(f'{part}.int{bits}' for bits in widths)}, {name}"
        valid = families()[of].low, families()[of].high
        rules[f"{part}.int{{bits}}"] = power_rule("bits", "um2", of, points, valid, ends, names)
    rules["lut.b4_t{bits}.read"] = by_bit(areas["lut.b4_t10.read"], "um2", name)
    return rules | tensor_core_rules(areas, areas["tree.add_bit"], "um2", f"a sixteenth of tree.add_bit, {name}")


def tensor_core_rules(found: dict[str, Range], adder: Range, unit: str, source: str) -> dict[str, Data]:
    """Units of integers with other accumulators than 32 bits; architectures share their composed units."""
    rules = {}
    slope = float(adder[NOMINAL] / LANES)
    of = "adder" if unit == "pJ" else "adder, area"
    for bits in (8, 4):
        (whole,) = {levels for name, levels in found.items() if f"_int{bits}_acc32.mac" in name}
        names = f"mma.*_int{bits}_acc32.mac; {source}"
        made = rule(
            "acc", (32, 32), (1, 64), f"below: a sum has a bit; {WIDEST}",
            [term(constant(float(whole[NOMINAL] - 32 * slope), unit, names)),
             term(constant(slope, unit, names), acc=1)],
            spread=ratio(whole[LOW] / whole[NOMINAL], whole[HIGH] / whole[NOMINAL], names),
            error=error(families()[of].left_out, f"{TOOL}: as {of}"),
        )  # fmt: skip
        rules |= {name.replace("acc32", "acc{acc}"): made for name in found if f"_int{bits}_acc32.mac" in name}
    return rules


def by_bit(whole: Range, unit: str, name: str) -> Data:
    tenth: Range = (whole[LOW] / 10, whole[NOMINAL] / 10, whole[HIGH] / 10)
    return rule(
        "bits", (10, 10), (4, 10), "entries have 4 to 10 bits (bitsim/hw/datapaths/binary_lut.py)",
        [term(constant(tenth, unit, f"lut.b4_t10.read / 10, {name}: a multiplexer per bit", "assumed"), bits=1)],
        error=error(1.2, "what does not follow the bits, decoding the code, was not synthesised apart", "assumed"),
    )  # fmt: skip


def rules_of(node: str) -> dict[str, Any]:
    """The keys `rules` and `area_rules` of one technology."""
    library = libraries()[node]
    return {"rules": energy_rules(library), "area_rules": area_rules(library)}


def text_of(node: str) -> str:
    """They as YAML."""
    return MARK + yaml.safe_dump(rules_of(node), sort_keys=False, default_flow_style=None, width=118)


def written(path: Path) -> str:
    """What stands in a file from the mark on."""
    _, mark, rest = path.read_text(encoding="utf-8").partition(MARK)
    return mark + rest


def main() -> None:
    print("power laws, pooled: exponent, widths, points, largest residual, largest miss of a point left out")
    for family in families().values():
        misses = f"{family.residual - 1:6.1%}  {family.left_out - 1:6.1%}"
        widths = f"{family.low:2d} to {family.high:3d}  {family.points:3d}"
        print(f"  {family.name:20s} {family.exponent:6.3f}  {widths}  {misses}")
    print("study C, area of gates, constant + bits: um2 per bit, largest residual, largest miss of a point left out")
    for name, (slope, residual, left_out) in area_lines().items():
        print(f"  {name:20s} {slope:6.3f}  {residual - 1:6.1%}  {left_out - 1:6.1%}")
    for node, library in libraries().items():
        print(f"tree, {node}: growing glitches would cost {library.growing_glitches() - 1:.1%} more at depth 8")
    for node in LIBRARIES:
        path = FILES / f"{node}.yaml"
        if "--write" in sys.argv:
            head = path.read_text(encoding="utf-8").partition(MARK)[0]
            path.write_text(head.rstrip("\n") + "\n\n" + text_of(node), encoding="utf-8")
        print(f"{path}: {'as derived' if written(path) == text_of(node) else 'differs: run with --write'}")


if __name__ == "__main__":
    main()
