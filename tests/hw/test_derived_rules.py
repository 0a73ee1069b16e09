"""The rules in the technology files are those that the tool fits, and its fits find what is put into them."""

from math import exp
from typing import Any

import pytest
import yaml

from bitsim.cost.logic import by_rule
from bitsim.hw import load_technology
from bitsim.hw.rules import match
from tools import derive_rules, fits
from tools.derive_rules import families, libraries, rules_of
from tools.study_units import LIBRARIES, study_c


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_the_files_say_what_the_tool_fits(name: str) -> None:
    found = yaml.safe_load(derive_rules.written(derive_rules.FILES / f"{name}.yaml"))
    assert _numbers(found) == pytest.approx(_numbers(rules_of(name)), rel=1e-5)
    assert set(load_technology(name).rules) == set(found["rules"])


def _numbers(data: Any, at: str = "") -> dict[str, float]:
    if isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        return {path: number for key, value in items for path, number in _numbers(value, f"{at}/{key}").items()}
    return {at: float(data)} if isinstance(data, int | float) else {}


def test_a_power_law_is_found_and_its_misses_are_those_of_the_point_that_is_off() -> None:
    """Two series of 3 x^1.5 and 7 x^1.5; then a point that is 10 % above two that are not."""
    exact = [[(x, k * x**1.5) for x in (2, 4, 8)] for k in (3, 7)]
    assert fits.pooled_exponent(exact) == pytest.approx(1.5)
    assert fits.scale_of(exact[1], 1.5) == pytest.approx(7)
    assert fits.power_errors(exact) == pytest.approx((1, 1))
    off = [[(1, 1.0), (exp(1), 1.1), (exp(2), 1.0)]]
    residual, left_out = fits.power_errors(off)
    assert residual == pytest.approx(1.1 ** (2 / 3))
    assert left_out == pytest.approx(1.1**2)  # an end, from the line through the other two


def test_a_straight_line_is_found() -> None:
    assert fits.line([(1, 5.0), (2, 7.0), (4, 11.0)]) == pytest.approx((3, 2))
    assert fits.line_errors([(1, 5.0), (2, 7.0), (4, 11.0)]) == pytest.approx((1, 1))


def test_families_hold_the_points_of_all_studies() -> None:
    """Per library: PEs 2 x 3 (A), 2 x 3 (B), 2 x 9 (C); adders 2 x 3 (B), 2 x 10 (C); trees 2 x 7, popcounts 2 x 9."""
    points = {name: family.points for name, family in families().items()}
    assert points == {
        "ternary PE": 60, "INT8 PE": 24, "adder": 52, "adder, area": 26, "multiplier, area": 18,
        "bit of a tree": 28, "bit of a popcount": 36,
    }  # fmt: skip
    for family in families().values():
        assert 1 < family.residual <= family.left_out


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_ranges_of_rules_hold_the_synthesised_prices(name: str) -> None:
    """At the widths whose prices are exact, rules are not asked; asked all the same, they have them in their range."""
    tech, checked = load_technology(name), set()
    for exact, rules in ((tech.prices, tech.rules), (tech.areas, tech.area_rules)):
        for event, constant in exact.items():
            found = match(rules, event)
            # Between depths 1 and 5 the prices of trees grow with glitches, which the rule for deeper ones does not.
            if found is not None and not event.startswith(("tree", "merge", "lut.b4_t8")):
                price = by_rule("r", *found[1:])
                assert price.low <= constant.low * 1.001, event
                assert price.high >= constant.high * 0.999, event
                checked.add(found[0])
    assert {
        "pe.ternary_a8_acc{acc}.idle",
        "pe.int8_acc{acc}",
        "popcount.depth{depth}.add_bits",
        "add.int{bits}",
    } < checked


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_study_c_agrees_with_study_b_where_both_have_a_unit(name: str) -> None:
    """45 nm: within 11 %, INT4 multipliers apart, which B wrote smaller; 7 nm: C has more cells (docs/costs.md)."""
    b, c = libraries()[name].b, study_c(LIBRARIES[name])
    low, high = {"45nm": (0.9, 1.11), "7nm": (0.57, 0.82)}[name]
    for of_b, of_c in (("add8", "add8"), ("add20", "add20"), ("add32", "add32"), ("mul8", "mul8")):
        for measure in ("um2", "fJ_zero", "fJ_glitch"):
            assert low < c[of_c][measure] / b[of_b][measure] < high, (of_b, measure)


@pytest.mark.parametrize("name", ["7nm", "45nm", "22nm"])
def test_wider_is_dearer_by_rule(name: str) -> None:
    tech = load_technology(name)
    for pattern, rule in (*tech.rules.items(), *tech.area_rules.items()):
        ((width, valid),) = rule.valid.items()
        values = [by_rule("r", rule, {width: x}).nominal for x in range(max(valid.low, 2), valid.high + 1)]
        if "tree.depth" in pattern or pattern.startswith(("merge", "serial.depth")):
            assert max(values) < 1.2 * min(values), pattern  # a bit of a tree hardly depends on the depth
        else:
            assert values == sorted(values), pattern
