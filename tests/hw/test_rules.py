"""Rules by hand: which one a name has, what it is at some widths, how its error grows, and what is refused."""

from pathlib import Path

import pytest
import yaml

from bitsim.cost import PriceList
from bitsim.cost.area import chip_area, part_area
from bitsim.cost.logic import by_rule, logic_price
from bitsim.errors import ConfigError, UnpricedEventError
from bitsim.hw import load_chip, load_technology
from bitsim.hw.datapaths import PEArraySpec
from bitsim.hw.rules import Rule, match
from bitsim.hw.technology import Technology

SAID = {"evidence": "derived", "source": "a book"}
LINE = {
    "terms": [
        {"coefficient": {"low": 1.0, "nominal": 2.0, "high": 4.0, "unit": "pJ"} | SAID},
        {"coefficient": {"value": 0.5, "unit": "pJ"} | SAID, "powers": {"acc": 2}},
    ],
    "origin": {"acc": 4},
    "synthesised": {"acc": {"low": 8, "high": 16}},
    "valid": {"acc": {"low": 4, "high": 64}},
    "ends": "the book ends there",
    "spread": {"low": 0.5, "nominal": 1.0, "high": 3.0, "unit": "ratio"} | SAID,
    "error": {"low": 0.8, "nominal": 1.0, "high": 1.25, "unit": "ratio"} | SAID,
}
HEAD = "kind: technology\nname: mine\nsummary: s\nlike: 7nm\n"


def technology(tmp_path: Path, **rules: object) -> Technology:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + yaml.safe_dump(rules))
    return load_technology(path)


@pytest.mark.parametrize(
    ("acc", "nominal", "power"),
    [
        (8, 2 + 0.5 * 4**2, 1.0),
        (16, 2 + 0.5 * 12**2, 1.0),
        (32, 2 + 0.5 * 28**2, 2.0),  # one doubling above 16
        (64, 2 + 0.5 * 60**2, 3.0),
        (4, 2.0, 2.0),  # half of 8, and at the origin
    ],
)
def test_a_rule_is_the_sum_of_its_terms_and_its_error_grows_by_one_power_per_doubling(
    acc: int, nominal: float, power: float
) -> None:
    price = by_rule("r", Rule.model_validate(LINE), {"acc": acc})
    assert price.nominal == pytest.approx(nominal)
    assert price.low == pytest.approx((nominal - 1) * 0.5 * 0.8**power)
    assert price.high == pytest.approx((nominal + 2) * 3 * 1.25**power)
    assert [name for name, _ in price.constants] == ["r.terms[0]", "r.spread", "r.error", "r.terms[1]"]


def test_names_match_whole_and_without_leading_zeros() -> None:
    rules = {"pe.x_acc{acc}.mac": Rule.model_validate(LINE)}
    assert match(rules, "pe.x_acc24.mac") == ("pe.x_acc{acc}.mac", rules["pe.x_acc{acc}.mac"], {"acc": 24})
    for other in ("pe.x_acc.mac", "pe.x_acc024.mac", "pe.x_acc24.macs", "ape.x_acc24.mac", "pe-x_acc24.mac"):
        assert match(rules, other) is None, other


def test_an_exact_price_wins_over_a_rule_and_a_price_by_rule_has_the_layout_factor(tmp_path: Path) -> None:
    tech = technology(tmp_path, rules={"pe.ternary_a8_acc{acc}.add": LINE})
    exact, ruled = (logic_price(tech, f"pe.ternary_a8_acc{acc}.add") for acc in (24, 16))
    assert exact is not None
    assert ruled is not None
    assert exact.nominal == pytest.approx(1.5 * 0.06217)
    assert ruled.nominal == pytest.approx(1.5 * (2 + 0.5 * 12**2))


def test_outside_of_its_range_a_rule_says_where_it_ends_and_why(tmp_path: Path) -> None:
    rules = {"acc.add.int{bits}": _of("bits", "pJ")}
    mine = technology(tmp_path, rules=rules, area_rules={"add.int{bits}": _of("bits", "um2")})
    chip = load_chip("ternary-ws-64x64").with_technology(mine)
    with pytest.raises(UnpricedEventError) as caught:
        PriceList(chip).must_price("acc.add.int65", 7, "q_proj")
    assert str(caught.value) == (
        f"{chip.tech.path}: rules.acc.add.int{{bits}}: bits must be 4 to 64 (got 65): the book ends there "
        "('acc.add.int65' counted 7 times by q_proj)"
    )
    assert part_area(chip.tech, "add.int65") is None
    assert part_area(chip.tech, "add.int64") is not None


def _of(width: str, unit: str) -> dict[str, object]:
    text = yaml.safe_dump(LINE).replace("acc", width).replace("pJ", unit)
    found: dict[str, object] = yaml.safe_load(text)
    return found


def test_a_part_whose_rule_ends_says_so() -> None:
    chip = load_chip("ternary-os-64x64")
    rules = {name: rule.model_copy(update={"valid": {"acc": rule.valid["acc"].model_copy(update={"low": 20})}})
             for name, rule in chip.tech.area_rules.items() if name == "pe.ternary_a8_acc{acc}"}  # fmt: skip
    spec = PEArraySpec(**(chip.bitlinear.model_dump() | {"acc_bits": 17}))
    tech = chip.tech.model_copy(update={"area_rules": rules})
    ended = chip.model_copy(update={"bitlinear": spec}).with_technology(tech)
    (part,) = [p for p in chip_area(ended) if p.component == "bitlinear" and p.area is None]
    assert part.reason.startswith(
        f"{tech.path}: area_rules.pe.ternary_a8_acc{{acc}}: acc must be 20 to 64 (got 17): below: no source"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spread": LINE["spread"] | {"nominal": 1.5}}, "must have a nominal of 1"),  # type: ignore[operator]
        ({"valid": {"acc": {"low": 9, "high": 64}}}, "must hold the range of `synthesised`"),
        ({"valid": {"bits": {"low": 4, "high": 64}}}, "expected the widths of `synthesised`, acc"),
        ({"origin": {"acc": 5}}, "must be <= 4, where `valid` begins"),
        ({"origin": {"bits": 1}}, "expected the widths of `valid`, acc"),
        ({"synthesised": {"acc": {"low": 17, "high": 16}}}, "expected low <= high"),
        ({"terms": []}, "at least 1"),
        ({"slope": 1}, "unknown key"),
    ],
)
def test_what_a_rule_must_say(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        technology(tmp_path, rules={"pe.ternary_a8_acc{acc}.add": LINE | change})
    assert "mine.yaml:" in str(caught.value)
    assert said in str(caught.value)


def test_patterns_must_be_of_events_with_the_rules_widths_and_units(tmp_path: Path) -> None:
    for pattern, said in (
        ("pe.ternary_a8_acc24.add", "expected the widths acc in the name, each once"),
        ("pe.ternary_a{acc}_acc{acc}.add", "expected the widths acc in the name, each once"),
        ("pea.ternary_a8_acc{acc}.add", "unknown event"),
        ("overflow.acc{acc}", "counted but carries no energy"),
    ):
        with pytest.raises(ConfigError, match=said):
            technology(tmp_path, rules={pattern: LINE})
    with pytest.raises(ConfigError, match=r"coefficients must be in 'um2' \(got 'pJ'\)"):
        technology(tmp_path, area_rules={"pe.ternary_a8_acc{acc}": LINE})


def test_nodes_between_have_rules_that_lie_between() -> None:
    middle, ends = load_technology("16nm"), (load_technology("7nm"), load_technology("45nm"))
    assert middle.rules.keys() == ends[0].rules.keys() == ends[1].rules.keys()
    for event in ("pe.ternary_a8_acc12.add", "acc.add.int48", "tree.depth8.add_bits", "mma.hopper_int8_acc20.mac"):
        small, found, large = (logic_price(tech, event) for tech in (ends[0], middle, ends[1]))
        assert small is not None
        assert found is not None
        assert large is not None
        assert small.nominal < found.nominal < large.nominal, event
