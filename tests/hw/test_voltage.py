"""A supply of one's own: its range ends where sources end, delay falls with it, and thresholds are fitted."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.cost.prices import PriceList
from bitsim.errors import ConfigError
from bitsim.hw import Chip, load_chip, load_technology
from bitsim.hw.scaling import DELAY
from tests.chips import amount

WINDOWS = {
    65: ((0.7, 1.2), (0.7, 1.1), (0.8, 1.3)),
    45: ((0.6, 1.0), (0.6, 0.9), (0.7, 1.0)),
    7: ((0.4, 0.7), (0.4, 0.8), (0.5, 0.8)),
}


def written(folder: Path, voltage: str, *, technology: str = "7nm") -> Path:
    path = folder / "x.yaml"
    path.write_text(
        f"kind: chip\nlike: ternary-ws-64x64\ntechnology: {technology}\n"
        f"voltage: {{{voltage}, unit: V, evidence: assumed, source: me}}\n"
    )
    return path


def fitted(node: int, least: float, most: float, alpha: float) -> float:
    """The threshold with which V / (V - threshold)^alpha follows the published delays best, to 1 mV."""
    a, b, c, d = DELAY[node]
    volts = np.arange(least, most + 1e-6, 0.05)
    delays = np.log(a * volts**3 + b * volts**2 + c * volts + d)

    def squares(millivolts: int) -> float:
        left = delays - np.log(volts / (volts - millivolts / 1000) ** alpha)
        return float(((left - left.mean()) ** 2).sum())

    return min(range(50, round(1000 * least) - 20), key=squares) / 1000


@pytest.mark.parametrize("node", [65, 45, 7])
def test_thresholds_are_those_that_follow_the_published_delays(node: int) -> None:
    rule = load_technology(f"{node}nm").voltage
    assert rule is not None
    found = [fitted(node, *window, alpha) for window in WINDOWS[node] for alpha in (1.2, 1.3, 1.5)]
    assert (rule.threshold.low, rule.threshold.high) == (min(found), max(found))
    assert rule.threshold.nominal == fitted(node, *WINDOWS[node][0], 1.3) == found[1]


def test_delay_of_a_low_supply_by_hand() -> None:
    """7 nm at 0.5 V: (0.5 / 0.7) ((0.7 - 0.233) / (0.5 - 0.233))^1.3 = 0.7143 * 1.7491^1.3 = 1.4775."""
    rule = load_technology("7nm").voltage
    assert rule is not None
    low, nominal, high = rule.slowdown(0.5, 0.7)
    assert nominal == pytest.approx(0.5 / 0.7 * math.exp(1.3 * math.log(0.467 / 0.267)))
    assert nominal == pytest.approx(1.4775, abs=1e-4)
    assert low < nominal < high
    assert rule.slowdown(0.7, 0.7) == (1, 1, 1)


@given(st.sampled_from(["45nm", "7nm"]), st.data())
def test_less_supply_is_slower(name: str, data: st.DataObject) -> None:
    technology = load_technology(name)
    rule, supply = technology.voltage, technology.supply
    assert rule is not None
    assert supply is not None
    range_v = st.floats(rule.least_v(), rule.most_v(supply.nominal))
    small, large = sorted((data.draw(range_v), data.draw(range_v)))
    slow, fast = rule.slowdown(small, supply.nominal), rule.slowdown(large, supply.nominal)
    assert list(slow) == sorted(slow)
    assert slow[1] >= fast[1] * (1 - 1e-12)


def test_a_chip_has_its_own_supply_or_that_of_its_technology(tmp_path: Path) -> None:
    assert load_chip("ternary-ws-64x64").volts == 0.7
    assert load_chip(written(tmp_path, "low: 0.45, nominal: 0.5, high: 0.6")).volts == 0.5
    with pytest.raises(ConfigError, match=r"voltage: required, since .*fpga-28nm\.yaml says no supply"):
        _ = load_chip("trinity-xc7a100t").volts


@pytest.mark.parametrize(
    ("voltage", "why"),
    [
        ("value: 0.3", r"0\.333 to 0\.77 V, where the threshold of 0\.233 V and 0\.1 V above it end it: the alpha"),
        ("value: 0.8", r"0\.333 to 0\.77 V, where 1\.1 times the nominal 0\.7 V end it: fast corner of ASAP7"),
        ("low: 0.3, nominal: 0.5, high: 0.6", r"alpha-power law has no currents below the threshold.*\(got 0\.3 V\)"),
        ("low: 0.5, nominal: 0.6, high: 0.9", r"fast corner of ASAP7.*\(got 0\.9 V\)"),
    ],
)
def test_beyond_its_range_the_source_that_ends_it_is_named(tmp_path: Path, voltage: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"x\.yaml:4: voltage: logic of 7nm: expected .*{why}"):
        load_chip(written(tmp_path, voltage))


def test_a_supply_of_its_own_goes_with_a_chip_to_a_technology_of_its_node_only(tmp_path: Path) -> None:
    chip = load_chip(written(tmp_path, "value: 0.5"))
    assert chip.with_technology("45nm").volts == 1.1
    (tmp_path / "own.yaml").write_text("kind: technology\nlike: 7nm\n")
    assert chip.with_technology(tmp_path / "own.yaml").volts == 0.5
    (tmp_path / "own.yaml").write_text("kind: technology\nlike: 7nm\nvoltage: null\n")
    with pytest.raises(ConfigError, match=r"voltage on own: .*own\.yaml has no `voltage`"):
        chip.with_technology(tmp_path / "own.yaml")


def test_a_technology_without_a_rule_has_one_supply(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("kind: technology\nlike: 7nm\nvoltage: null\n")
    assert load_chip(written(tmp_path, "value: 0.7", technology="t.yaml")).volts == 0.7
    with pytest.raises(ConfigError, match=r"t\.yaml has no `voltage`: it can't be priced at another supply"):
        load_chip(written(tmp_path, "value: 0.6", technology="t.yaml"))
    (tmp_path / "t.yaml").write_text("kind: technology\nlike: 7nm\nsupply: null\n")
    with pytest.raises(ConfigError, match="expected the supply that this starts from"):
        load_technology(tmp_path / "t.yaml")


def at(volts: float) -> Chip:
    chip = load_chip("ternary-ws-64x64")
    constant = amount(chip.clock, volts).model_copy(update={"unit": "V"})
    return chip.model_copy(update={"voltage": constant})


LOGIC = [
    "pe.ternary_a8_acc24.add",
    "reg.clock",
    "scale.mul.fp16",
    "vec.add.fp16",
    "tree.depth5.add_bits",
    "rom.read_bits",
]


@pytest.mark.parametrize("event", LOGIC)
def test_energy_of_logic_goes_with_the_square_of_the_supply(event: str) -> None:
    usual, half = PriceList(load_chip("ternary-ws-64x64")).price(event), PriceList(at(0.35)).price(event)
    assert usual is not None
    assert half is not None
    levels = (usual.low, usual.nominal, usual.high)
    assert (half.low, half.nominal, half.high) == pytest.approx([level / 4 for level in levels])
    assert "ternary-ws-64x64: voltage" in dict(half.constants)


def test_the_papers_own_prices_have_the_papers_own_supply() -> None:
    for event in ("add.int8", "mul.fp16"):
        assert PriceList(at(0.4)).price(event) == PriceList(load_chip("ternary-ws-64x64")).price(event)


@given(st.floats(0.333, 0.77), st.floats(0.333, 0.77), st.sampled_from(LOGIC))
def test_less_supply_never_takes_more_energy(one: float, other: float, event: str) -> None:
    low, high = (PriceList(at(volts)).price(event) for volts in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low.nominal <= high.nominal
    assert low.low <= low.nominal <= low.high


def test_a_range_of_the_supply_is_squared_too(tmp_path: Path) -> None:
    chip = load_chip(written(tmp_path, "low: 0.5, nominal: 0.6, high: 0.7"))
    price, usual = PriceList(chip).price("reg.clock"), PriceList(load_chip("ternary-ws-64x64")).price("reg.clock")
    assert price is not None
    assert usual is not None
    assert price.low == pytest.approx(usual.low * (5 / 7) ** 2)
    assert price.nominal == pytest.approx(usual.nominal * (6 / 7) ** 2)
    assert price.high == pytest.approx(usual.high)
