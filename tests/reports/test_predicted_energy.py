"""Which energies a prediction adds up: those of quantised linears, DRAM apart from the rest."""

import pytest

from bitsim.results import Result
from reports.predictions import dram_watts, joules, seconds, waits
from tests.by_hand import chip, result, row
from tests.chips import with_level


def made() -> Result:
    """A linear and a head; no time passes, so that nothing leaks."""
    counted = {"dram.weights.read_bits": 100, "sram.weights.read_bits": 128, "reg.clock": 1000}
    return result(
        row("decode", "q", "linear", 0, bitlinear=True, events=counted),
        row("decode", "head", "head", events={name: 10 * count for name, count in counted.items()}),
        on=with_level(chip(), "weights", capacity=8),
    )


def test_energy_of_linears_is_that_of_dram_or_of_all_else_with_its_range() -> None:
    """100 bits at 4.6 / 8 / 14 pJ; 128 of 512 bits of a read; 1000 bits clocked at 0.0013055 x 1.5 pJ.

    8 kB with 128 ports are 16 banks of 0.5 kB x 512 bit, at 7 nm 0.45 x 2 x 0.79 times CACTI's 6.04794 pJ at 22 nm.
    """
    nominal, (low, high) = joules(made(), dram=True)
    assert (nominal, low, high) == (pytest.approx(8e-10), pytest.approx(4.6e-10), pytest.approx(1.4e-9))
    clocks = 1000 * 0.0013055 * 1.5
    assert joules(made(), dram=False)[0] == pytest.approx((0.25 * 0.9 * 0.79 * 6.04794 + clocks) * 1e-12)
    assert joules(made(), dram=False, buffers=False)[0] == pytest.approx(clocks * 1e-12)


def test_time_waits_and_power_are_those_of_linears() -> None:
    """2 GHz: 3000 + 1000 cycles are 2 us; 2000 bits at 8 pJ in them are 8 mW."""
    found = result(
        row("decode", "q", "linear", 0, bitlinear=True, cycles=3000, bound="dram",
            events={"dram.weights.read_bits": 1500}),
        row("decode", "k", "linear", 0, bitlinear=True, cycles=1000, bound="array",
            events={"dram.acts.read_bits": 500}),
        row("decode", "head", "head", cycles=5000, bound="host", events={"dram.weights.read_bits": 9999}),
    )  # fmt: skip
    assert seconds(found) == pytest.approx(2e-6)
    assert waits(found) == "dram 75 %, array 25 %"
    nominal, (low, high) = dram_watts(found)
    assert (low, nominal, high) == (pytest.approx(4.6e-3), pytest.approx(8e-3), pytest.approx(14e-3))
