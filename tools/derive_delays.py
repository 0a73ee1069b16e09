"""Derive the delays in hw_models/technology/*.yaml from study A, the only one whose critical paths were read.

    python -m tools.derive_delays [tools/energy_tables.yaml]

A delay is that of a unit between its registers, before layout. Study A has no PE of 20 bits: the mean of its 16 and 24
bits stands for it. One adder in a row is its ternary PE of 24 bits, five are its 16-lane tree; those of 2, 3 and 4 lie
on a straight line between the two.
"""

import sys
from typing import Any

from tools.study_units import LIBRARIES, TABLES, TREE_DEPTH, load_tables, study_a

UNITS = {
    "pe.ternary_a8_acc16": "tacc_a8_acc16",
    "pe.ternary_a8_acc24": "tacc_a8_acc24",
    "pe.ternary_a8_acc32": "tacc_a8_acc32",
    "pe.int8_acc32": "mac_i8i8_acc32",
    "tree.depth1": "tacc_a8_acc24",
    "tree.depth5": "tdot16_a8_acc24",
    "serial.depth5": "bs16_a8_acc24_8cyc",
    "popcount.depth7": "xnor64_acc16",
}


def derive(tables: dict[str, Any], name: str) -> dict[str, float]:
    """Critical paths of one technology in ns, by the unit that they are in."""
    units = study_a(tables, LIBRARIES[name])
    found = {unit: float(units[synthesised]["crit_ns"]) for unit, synthesised in UNITS.items()}
    found["pe.ternary_a8_acc20"] = (found["pe.ternary_a8_acc16"] + found["pe.ternary_a8_acc24"]) / 2
    first, last = found["tree.depth1"], found[f"tree.depth{TREE_DEPTH}"]
    for depth in range(2, TREE_DEPTH):
        found[f"tree.depth{depth}"] = first + (last - first) * (depth - 1) / (TREE_DEPTH - 1)
    return dict(sorted(found.items()))


def main(arguments: list[str]) -> None:
    tables = load_tables(arguments[0] if arguments else TABLES)
    for name in LIBRARIES:
        print(name)
        for unit, delay in derive(tables, name).items():
            print(f"  {unit}: {delay:.6g} ns")


if __name__ == "__main__":
    main(sys.argv[1:])
