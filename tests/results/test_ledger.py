"""Rows of results by hand: executions at places that recur, and sums over contexts."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from bitsim.events import Events
from bitsim.model.operators import Operator
from bitsim.results.ledger import OperatorLedger
from bitsim.schedule.growth import Grown
from bitsim.schedule.place import Placed
from bitsim.schedule.plan import Loops, Plan


def linear(name: str = "q", phase: Any = "decode") -> Operator:
    """2 x 3 x 5: 30 products."""
    return Operator(name=name, kind="linear", phase=phase, layer=0, m=2, k=3, n=5, weight_format="ternary",
                    weight_bits=30)  # fmt: skip


def plan(tile: int) -> Plan:
    return Plan(loops=(Loops(tile=(tile, tile, tile), order=0, keep=0),), searched=0, cut="")


def placed(cycles: int, busy: int, dram: int, least: int, events: dict[str, int], of: Plan | None = None) -> Placed:
    """`busy` cycles of the array and `dram` cycles of DRAM at 2 bits per cycle; `least` cycles at best."""
    return Placed(
        events=Events(events), array_events=Events({"add.int8": 999}), unit="array", unit_cycles=busy, cycles=cycles,
        needs={"array": busy, "dram": 2 * dram}, least={"peak": least, "dram": 2},
        rates={"array": Fraction(1), "peak": Fraction(1), "dram": Fraction(2)}, plan=of,
    )  # fmt: skip


def test_executions_at_all_places_add_up_and_most_cycles_name_the_bound_and_the_plan() -> None:
    near = placed(10, 9, 3, 8, {"sram.acts.read_bits": 5}, plan(1))
    far = placed(100, 20, 90, 70, {"dram.weights.read_bits": 7}, plan(2))
    ledger = OperatorLedger()
    for _ in range(3):
        ledger.add(linear(), near, Events({"add.int8": 1}))
    ledger.add(linear(), far, Events({"add.int8": 11, "mul.fp16": 2}), times=2)
    ledger.add(linear(), near, Events({"add.int8": 1}), times=4)
    (row,) = ledger.rows()
    assert (row.phase, row.name, row.kind, row.layer, row.bitlinear) == ("decode", "q", "linear", 0, True)
    assert (row.calls, row.macs) == (9, 9 * 30)
    assert (row.cycles, row.unit_cycles, row.least_cycles) == (7 * 10 + 200, 7 * 9 + 40, 7 * 8 + 140)
    assert row.events == Events(
        {"add.int8": 7 + 22, "mul.fp16": 4, "sram.acts.read_bits": 35, "dram.weights.read_bits": 14}
    )
    assert (row.bound, row.plan) == ("dram", plan(2).text())
    assert row.live_macs is None


def test_sums_over_contexts_are_added_to_what_was_executed_one_by_one() -> None:
    ledger = OperatorLedger()
    ledger.add(linear(), placed(10, 9, 3, 8, {"sram.acts.read_bits": 5}, plan(1)), Events({"add.int8": 1}))
    grown = Grown(calls=4, macs=400, cycles=44, unit_cycles=40, least_cycles=36, events=Events({"add.int8": 6}),
                  waits=Counter({"array": 4, "dram": 40}), plans=Counter({"mine": 44}))  # fmt: skip
    ledger.add_grown(linear(), grown)
    ledger.add_grown(linear("k"), grown)
    q, k = ledger.rows()
    assert (q.calls, q.macs, q.cycles, q.unit_cycles, q.least_cycles) == (5, 430, 54, 49, 44)
    assert q.events == Events({"add.int8": 7, "sram.acts.read_bits": 5})
    assert (q.bound, q.plan) == ("dram", "mine")
    assert (k.name, k.calls, k.cycles, k.events) == ("k", 4, 44, grown.events)


def test_phases_and_names_have_rows_of_their_own_in_order_and_live_products_add_up() -> None:
    ledger, place = OperatorLedger(), placed(10, 9, 3, 8, {})
    for op in (linear(), linear(phase="prefill"), linear("k"), linear()):
        ledger.add(op, place, Events())
    ledger.add_live_macs(linear(), 12)
    ledger.add_live_macs(linear(), 30)
    rows = ledger.rows()
    assert [(row.phase, row.name, row.calls) for row in rows] == [
        ("decode", "q", 2),
        ("prefill", "q", 1),
        ("decode", "k", 1),
    ]
    assert [row.live_macs for row in rows] == [42, None, None]
    assert [(row.plan, row.bound) for row in rows] == [("", "array")] * 3
    with pytest.raises(KeyError):
        ledger.add_live_macs(linear("v"), 1)
