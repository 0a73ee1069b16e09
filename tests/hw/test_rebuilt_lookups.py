"""Events times prices rebuild, within 15 %, the lookup tables that study A synthesised, on its own stimuli.

`low` is a lookup into a table that is held, without delays, `high` the dearer of a held and a changing table with unit
delays. Study B's lookup is left out: its selection is written in another style (tools/derive_prices.py).
"""

from typing import Any

import numpy as np
import pytest

from bitsim.datapath.binary_lut import BinaryLut
from bitsim.datapath.ternary_lut import TernaryLut
from bitsim.events import Events, total
from bitsim.hw.datapaths import BinaryLutSpec, TernaryLutSpec
from tests.chips import SYNTHESISED
from tests.hw.rebuilding import (
    CYCLES,
    LIBRARIES,
    OPERATIONS_A,
    RUNS,
    WITHIN,
    fj,
    gaussian,
    signs,
    without_operand_registers,
)

TABLES = [("t", 2), ("t", 3), ("t", 4), ("t", 5), ("b", 4)]


def engine(kind: str, g: int) -> Any:
    """One table in registers and one lane with an accumulator of 24 bits, as study A synthesised them."""
    if kind == "b":
        return BinaryLut(BinaryLutSpec(kind="binary_lut", tables=1, lanes=1, acc_bits=24))
    fields = {"table": "half", "storage": "registers", "tables": 1, "lanes": 1, "acc_bits": 24}
    return TernaryLut(TernaryLutSpec.model_validate({"kind": "ternary_lut", "g": g} | fields))


def lookups(kind: str, g: int, *, held: bool) -> Events:
    """Events of one lookup and addition in each of CYCLES cycles, RUNS times; `held`: all into the same table."""
    rng, table = np.random.default_rng(4), f"lut.{'b4_t10' if kind == 'b' else f'g{g}_half'}.read"
    groups, runs = CYCLES // (2 if kind == "b" else 1), []
    for _ in range(RUNS):
        x = np.tile(gaussian(rng, (1, g)), groups) if held else gaussian(rng, (1, groups * g))
        events = engine(kind, g).execute(x, signs(rng, (1, groups * g))).events
        assert events[table] == CYCLES
        runs.append(without_operand_registers(events, table, "tree.", clocked=CYCLES * 24))
    return total(runs)


@pytest.mark.parametrize("technology", SYNTHESISED)
@pytest.mark.parametrize(("kind", "g"), TABLES)
def test_lookups(kind: str, g: int, technology: str, tables: dict[str, Any]) -> None:
    units, library = tables["pe_costs"]["units"], LIBRARIES[technology]
    held, changing = (units[f"lutread_{kind}_g{g}_{stimulus}"][library] for stimulus in ("TS", "OS"))
    low = fj(lookups(kind, g, held=True), technology, "low", OPERATIONS_A)
    assert low == pytest.approx(1e3 * g * held["pJ_mac_zd"], rel=WITHIN)
    high = fj(lookups(kind, g, held=False), technology, "high", OPERATIONS_A)
    assert high == pytest.approx(1e3 * g * max(held["pJ_mac_ud"], changing["pJ_mac_ud"]), rel=WITHIN)


@pytest.mark.parametrize("technology", SYNTHESISED)
@pytest.mark.parametrize(("kind", "g"), [("t", 2), ("t", 3), ("b", 4)])
def test_table_builders(kind: str, g: int, technology: str, tables: dict[str, Any]) -> None:
    """A new table in every cycle.

    The registers are taken as the study measured them: how many flip-flops its builders have is not told, and what it
    measured is less than our tables, which hold copies of the activations as well, would take.
    """
    unit = tables["pe_costs"]["units"][f"precompute_{kind}_g{g}"][LIBRARIES[technology]]
    if unit is None:
        pytest.skip(f"precompute_{kind}_g{g} was not synthesised to {LIBRARIES[technology]}")
    acts = gaussian(np.random.default_rng(5), (1000, g))
    events = engine(kind, g).execute(acts, np.ones((1, g), np.int8)).events
    built = {event: bits for event, bits in events.items() if event.startswith("lut.build.")}
    for level, run in (("low", "zd"), ("high", "ud")):
        rebuilt = fj(built, technology, level, 1000) + 1e3 * unit["reg_clk_pJ_cycle"]
        assert rebuilt == pytest.approx(1e3 * unit[f"pJ_mac_{run}"], rel=WITHIN), level
