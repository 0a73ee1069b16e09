"""Memory levels: what a chip's file may say of them, and the order in which operands pass through them."""

from pathlib import Path
from textwrap import indent

import pytest

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import load_chip
from tests.schedule.strategies import HIERARCHIES, memory

HW_MODELS = Path(__file__).parents[2] / "hw_models"
DRAM = (HW_MODELS / "dram" / "lpddr4-4266-x32.yaml").read_text(encoding="utf-8")
# The chip with its DRAM written out in its own file.
CHIP = (HW_MODELS / "chips" / "ternary-ws-64x64.yaml").read_text(encoding="utf-8")
CHIP = CHIP.replace(" {like: lpddr4-4266-x32}\n", "\n" + indent(DRAM[DRAM.index("\npins") + 1 :], "    "))
PEAK = "    bandwidth: {value: 17.06, unit: GB/s, evidence: assumed, source: x}\n"
LEVELS = CHIP[: CHIP.index("  levels:")].count("\n") + 1  # the line of this key; those of problems count from it


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        (
            "holds: [psums]",
            "holds: [weights]",
            0,
            "memory.levels: no level holds the psums: each operand needs one",
        ),
        (
            "name: psums",
            "name: acts",
            0,
            "memory.levels: names must differ from each other and from dram (got weights, acts, acts)",
        ),
        (
            "name: psums",
            "name: dram",
            0,
            "memory.levels: names must differ from each other and from dram (got weights, acts, dram)",
        ),
        (
            "name: psums",
            "name: Psums",
            11,
            "memory.levels[2].name: must match ^[a-z][a-z0-9_]*$ (got 'Psums')",
        ),
        (
            "holds: [psums]",
            "holds: [psums, psums]",
            12,
            "memory.levels[2].holds: names an operand twice (got psums, psums)",
        ),
        (
            "holds: [psums]",
            "holds: []",
            12,
            "memory.levels[2].holds: expected weights, acts, psums or several of them (got none)",
        ),
        (
            "holds: [psums]",
            "holds: [psum]",
            12,
            "memory.levels[2].holds[0]: must be 'weights', 'acts' or 'psums' (got 'psum')",
        ),
        (
            "ports: 64",
            "ports: 0",
            15,
            "memory.levels[2].ports: must be >= 1 (got 0)",
        ),
        (
            "double_buffered: false",
            "resident: true",
            16,
            "memory.levels[2].resident: only a level that holds weights and nothing else can be (it holds psums)",
        ),
        (
            "double_buffered: false",
            "double_bufered: false",
            16,
            "memory.levels[2].double_bufered: unknown key; did you mean double_buffered?",
        ),
        (
            "capacity: {value: 128, unit: kB",
            "capacity: {value: 128, unit: GB",
            13,
            "memory.levels[2].capacity.unit: must be 'kB' (got 'GB')",
        ),
        (
            "capacity: {value: 128",
            "capacity: {value: 0",
            13,
            "memory.levels[2].capacity.value: must be > 0 (got 0)",
        ),
        (
            "    pins: 32\n",
            f"    pins: 64\n{PEAK}",
            19,
            "memory.dram.bandwidth: contradicts pins and pin_rate: 64 x 4.266 Gbit/s are 34.128 GB/s (got 17.06); "
            "where the pins are not known, write pins: null, pin_rate: null",
        ),
        (
            "    pins: 32\n",
            PEAK,
            17,
            "memory.dram: expected both pins and pin_rate, or neither",
        ),
        (
            "    pins: 32\n",
            "",
            17,
            "memory.dram.bandwidth: required key is missing",
        ),
        (
            "unit: ns",
            "unit: us",
            30,
            "memory.dram.latency.unit: must be 'ns' (got 'us')",
        ),
    ],
)
def test_bad_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, line: int, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert CHIP.count(old) >= 1
    at = CHIP.rindex(old)
    (tmp_path / "x.yaml").write_text(CHIP[:at] + new + CHIP[at + len(old) :])
    with pytest.raises(ConfigError) as caught:
        load_chip("x.yaml")
    assert str(caught.value) == f"x.yaml:{LEVELS + line}: {text}"


def test_unknown_level() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown memory level 'act'; did you mean acts\?$"):
        load_chip("ternary-ws-64x64").memory.level("act")


def test_a_level_lies_one_rank_outside_of_what_it_feeds() -> None:
    ranks = [[[level.name for level in rank] for rank in memory(hierarchy).ranks()] for hierarchy in HIERARCHIES]
    assert ranks == [
        [["l0", "l1", "l2"]],
        [["l0"]],
        [["l0", "l1"]],
        [["l0", "l1", "l2"], ["l3"]],
        [["l0", "l1"], ["l2"]],
        [["l0"], ["l1"]],
        [["l0", "l1", "l2"], ["l3"]],
        [["l0", "l1", "l2"], ["l3"], ["l4"]],
        [["l0"], ["l1"], ["l2"]],
    ]


def test_a_bandwidth_that_agrees_with_its_pins_within_a_percent_is_accepted(tmp_path: Path) -> None:
    """32 pins at 4.266 Gbit/s are 17.064 GB/s."""
    for given, agrees in ((16.9, True), (17.2, True), (16.8, False), (17.3, False)):
        peak = PEAK.replace("17.06", str(given))
        (tmp_path / "x.yaml").write_text(CHIP.replace("    pins: 32\n", f"    pins: 32\n{peak}"))
        if agrees:
            assert load_chip(tmp_path / "x.yaml").memory.dram.bandwidth.nominal == given
        else:
            with pytest.raises(ConfigError, match="contradicts pins and pin_rate"):
                load_chip(tmp_path / "x.yaml")
