"""What is special about lookup tables: codes, entries, building shared by outputs, and SRAM's one write port."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from bitsim.datapath.kernels.grouped_sums import grouped_toggles
from bitsim.datapath.kernels.ternary_lut import table_toggles
from bitsim.datapath.reference.ternary_lut import code_of
from bitsim.datapath.ternary_lut import TernaryLut
from bitsim.hw.datapaths import TernaryLutSpec


def lut(**fields: Any) -> TernaryLutSpec:
    values = {"kind": "ternary_lut", "g": 3, "table": "half", "storage": "registers", "tables": 4, "lanes": 8}
    return TernaryLutSpec.model_validate(values | {"acc_bits": 24} | fields)


def building(spec: TernaryLutSpec, m: int, k: int, n: int) -> dict[str, int]:
    """The bits of adders that build tables, by event."""
    counted = TernaryLut(spec).count(m, k, n)
    return {event: bits for event, bits in counted.items() if event.startswith("lut.build.")}


@pytest.mark.parametrize("table", ["half", "full"])
@pytest.mark.parametrize(
    ("g", "half", "bits", "widths"),
    [(2, 4, 4, (9, 10)), (3, 13, 5, (10, 10)), (4, 40, 7, (10, 11)), (5, 121, 8, (11, 11))],
)
def test_entries_widths_and_codes(g: int, half: int, bits: int, widths: tuple[int, int], table: str) -> None:
    spec = lut(g=g, table=table, tables=1)
    assert spec.entries == (half if table == "half" else 2 * half)
    assert (spec.index_bits, spec.entry_bits) == (bits, widths[table == "full"])
    patterns = np.array(list(product((-1, 0, 1), repeat=g)), np.int8)
    codes = TernaryLut(spec).codes(patterns).ravel().tolist()
    assert len(set(codes)) == 3**g
    assert codes[patterns.tolist().index([0] * g)] == 0
    assert max(codes) < 1 << bits
    assert codes == [code_of(pattern, spec) for pattern in patterns.tolist()]


@pytest.mark.parametrize(
    ("g", "table", "additions"),
    [(2, "half", 2), (3, "half", 10), (4, "half", 36), (5, "half", 116), (2, "full", 6), (3, "full", 23)],
)
def test_an_entry_of_more_than_one_term_is_one_addition(g: int, table: str, additions: int) -> None:
    spec = lut(g=g, table=table, tables=1)
    built = building(spec, 1, g, 1)
    assert sum(built.values()) == additions * spec.entry_bits
    assert len(built) == (
        g - 1 if table == "half" else g
    )  # lengths of rows of adders; -a - b needs one more than a + b


def test_outputs_share_the_tables_that_are_built() -> None:
    """8 lanes x reuse: 96 outputs need 12, 3 or 1 tiles, and each builds all tables once per token."""
    built = {reuse: sum(building(lut(reuse=reuse), 5, 24, 96).values()) for reuse in (1, 4, 12)}
    once = 5 * 2 * 4 * 10 * 10  # tokens, groups of 12, tables, additions, bits
    assert built == {1: 12 * once, 4: 3 * once, 12: once}
    lookups = {reuse: TernaryLut(lut(reuse=reuse)).count(5, 24, 96)["lut.g3_half.read"] for reuse in (1, 12)}
    assert lookups == {1: 5 * 2 * 4 * 96, 12: 5 * 2 * 4 * 96}


def test_lanes_wait_for_an_sram_that_takes_one_entry_per_cycle() -> None:
    in_registers, in_sram = (TernaryLut(lut(storage=storage, reuse=20)) for storage in ("registers", "sram"))
    # 2 tokens x 3 groups; 16 outputs are 2 rounds of 8 lanes, which 13 entries per table outlast.
    assert in_registers.cycles(2, 36, 16) == 1 + 1 + 6 * 2 + 1
    assert in_sram.cycles(2, 36, 16) == 1 + 13 + 5 * 13 + 2 + 1
    # 160 outputs are 20 rounds: the next tables are ready in time.
    assert in_sram.cycles(2, 36, 160) == 1 + 13 + 6 * 20 + 1


def test_half_and_full_tables_compute_the_same() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.integers(-128, 128, (4, 50)).astype(np.int8), rng.integers(-1, 2, (9, 50)).astype(np.int8)
    half, full = (TernaryLut(lut(table=table)).execute(x, w) for table in ("half", "full"))
    np.testing.assert_array_equal(half.y, full.y)
    assert half.events["lut.g3_half.read"] == full.events["lut.g3_full.read"] > 0
    assert half.events["reg.table.toggle"] < full.events["reg.table.toggle"]


def naive_toggles(values: list[int], bits: int) -> int:
    held, flips, mask = 0, 0, (1 << bits) - 1
    for value in [*values, 0]:
        held, flips = value & mask, flips + (held ^ (value & mask)).bit_count()
    return flips


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize(("m", "k", "n", "group"), [(1, 1, 1, 3), (5, 40, 33, 7), (30, 300, 40, 48)])
def test_grouped_accumulators_equal_the_obvious_loops(m: int, k: int, n: int, group: int, saturate: bool) -> None:
    rng = np.random.default_rng(k)
    x, w = rng.integers(-128, 128, (m, k)).astype(np.int8), rng.integers(-1, 2, (n, k)).astype(np.int8)
    bits, expected = 11, 0
    for column in w.astype(np.int64):
        values = []
        for row in x.astype(np.int64):
            total = 0
            for k0 in range(0, k, group):
                total += int(row[k0 : k0 + group] @ column[k0 : k0 + group])
                total = min(max(total, -1024), 1023) if saturate else total
                values.append(total)
        expected += naive_toggles(values, bits)
    assert grouped_toggles(x, w, group, bits, saturate) == expected


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("g", [2, 3, 4, 5])
def test_table_entries_equal_the_obvious_sums(g: int, full: bool) -> None:
    rng = np.random.default_rng(g)
    groups = rng.choice(np.array([-128, -3, 0, 127], np.int8), (9, 50, g))
    expected = 0
    for pattern in product((-1, 0, 1), repeat=g):
        last = next((weight for weight in pattern[::-1] if weight), 0)
        if last == 1 or (full and last == -1):
            sums = groups.astype(np.int64) @ np.array(pattern)
            expected += sum(naive_toggles(column, 11) for column in sums.T.tolist())
    assert table_toggles(groups, full, 11) == expected
