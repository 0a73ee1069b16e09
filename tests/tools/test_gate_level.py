"""Gate-level energy by hand: a library of three cells, two gates, a glitch that is there and one that is too short."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.gate_level import Netlist, bits_of, cells_of, packed
from tools.synthesise_widths import UNITS

LIBERTY = """library (mine) { /* a comment */
  cell (INV) { area : 1.5;
    pin (A) { direction : input; capacitance : 2.0; }
    pin (Y) { direction : output; function : "!A";
      internal_power () { related_pin : "A";
        rise_power (t) { values ("1, 2, 3"); } fall_power (t) { values ("5, 6, 7"); } }
      timing () { cell_rise (t) { values ("0.9, 1.0"); } cell_fall (t) { values ("1.1"); } } } }
  cell (XOR) { area : 3;
    pin (A) { direction : input; capacitance : 1.0; } pin (B) { direction : input; capacitance : 3.0; }
    pin (Y) { direction : output; function : "(A*B') + (A'*B)";
      internal_power () { related_pin : "A"; related_pg_pin : "VDD"; rise_power (t) { values ("1"); } }
      internal_power () { related_pin : "B"; related_pg_pin : "VDD"; rise_power (t) { values ("3"); } }
      internal_power () { related_pin : "A"; related_pg_pin : "VSS"; rise_power (t) { values ("10"); } }
      timing () { cell_rise (t) { values ("%s"); } } } }
  cell (FLOP) { area : 9; ff (q, qn) { clocked_on : "C"; } pin (Q) { direction : output; function : "q"; } }
}"""
# y = a xor not a: always 1, but for a moment after each change of `a`, as long as the inverter takes.
MODULE: dict[str, Any] = {
    "ports": {"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [4]}},
    "cells": {
        "second": {"type": "XOR", "connections": {"A": [2], "B": [3], "Y": [4]}},
        "first": {"type": "INV", "connections": {"A": [2], "Y": [3]}},
    },
}
VOLTS = 2.0
INPUT_FJ = 0.5 * (2.0 + 1.0) * VOLTS**2  # of a: pins A of both cells
INVERTER_FJ = (2 + 6) / 2 + 0.5 * 3.0 * VOLTS**2  # internal, and pin B
XOR_FJ = (1 + 3) / 2 + 10.0  # VDD and VSS; nothing behind it


def netlist(tmp_path: Path, xor_delay: str) -> Netlist:
    path = tmp_path / f"cells{xor_delay}.lib"
    path.write_text(LIBERTY % xor_delay)
    cells = cells_of(path)
    assert set(cells) == {"INV", "XOR"}
    return Netlist(MODULE, cells)


@pytest.mark.parametrize(("xor_delay", "glitches"), [("0.5", 2), ("1.0", 2), ("2.0", 0)])
def test_a_pulse_passes_a_cell_that_is_no_slower_than_the_pulse_is_long(
    tmp_path: Path, xor_delay: str, glitches: int
) -> None:
    """`a` flips in each of 70 cycles; the pulse is 1.0 long, an inertial XOR of 2.0 swallows it."""
    made = netlist(tmp_path, xor_delay)
    assert made.area == 4.5
    stimulus = {"a": (np.arange(71) % 2).astype(np.uint8)[None]}
    zero, delayed = made.energies(stimulus, VOLTS, 0.5)
    assert zero == pytest.approx(INPUT_FJ + INVERTER_FJ)
    assert delayed == pytest.approx(INPUT_FJ + INVERTER_FJ + glitches * XOR_FJ)


def test_outputs_are_those_of_the_functions(tmp_path: Path) -> None:
    made = netlist(tmp_path, "1.0")
    a = np.array([[0, 1, 1, 0, 1]], np.uint8)
    values = made.settled({"a": packed(a)})
    np.testing.assert_array_equal(made.output("y", values, 5), np.ones((1, 5)))


def test_bits_are_twos_complement_from_the_low_end_and_repeat_the_sign() -> None:
    np.testing.assert_array_equal(bits_of([-2, 5], 4), [[0, 1], [1, 0], [1, 1], [1, 0]])
    np.testing.assert_array_equal(bits_of([-1, 1], 66)[62:], [[1, 0]] * 4)


def test_units_of_study_c_compute_what_they_are_called() -> None:
    """Their right outputs, from the operands of the stimulus."""
    rng = np.random.default_rng(0)
    make, sizes = UNITS["product_e4m3"]
    unit = make(rng, *sizes)
    ((a, _),), ((b, _),) = unit.operands["a"], unit.operands["b"]

    def value(code: int) -> float:
        exponent, fraction = code >> 3 & 15, code & 7
        return (-1) ** (code >> 7) * (8 * (exponent > 0) + fraction) * 2.0 ** max(exponent, 1)

    for x, z, y in zip(a.tolist(), b.tolist(), unit.y.tolist(), strict=True):
        sign, exponent, significand = y >> 13, y >> 8 & 31, y & 255
        assert (-1) ** sign * significand * 2.0**exponent == value(x) * value(z)
    make, sizes = UNITS["tree4_acc24"]
    unit = make(np.random.default_rng(0), *sizes)
    weights = [np.array([0, 1, 0, -1])[code] for code, _ in unit.operands["w"]]
    sums = sum(w * x for w, (x, _) in zip(weights, unit.operands["a"], strict=True))
    np.testing.assert_array_equal(unit.y, unit.operands["p"][0][0] + sums)
    make, sizes = UNITS["popcount8_acc16"]
    unit = make(np.random.default_rng(0), *sizes)
    alike = sum((x == w).astype(int) for (x, _), (w, _) in zip(unit.operands["a"], unit.operands["w"], strict=True))
    np.testing.assert_array_equal(unit.y, unit.operands["p"][0][0] + alike)
