"""Law 2 on the kernels that count accumulators of whole groups, on more columns than they take side by side."""

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.binary_lut import BinaryLut
from bitsim.datapath.bit_serial import BitSerial
from bitsim.datapath.kernels.bit_serial import bit_planes
from bitsim.datapath.kernels.group_toggles import group_toggles
from bitsim.datapath.kernels.lane_schedule import slice_toggles
from bitsim.datapath.reference import binary_lut as lut_twin
from bitsim.datapath.reference import bit_serial as serial_twin
from bitsim.hw.datapaths import BinaryLutSpec, BitSerialSpec

sizes = given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(1, 9),
    n=st.integers(1, 19),
    k=st.integers(1, 40),
    group=st.integers(1, 45),
    chains=st.integers(1, 5),
    acc_bits=st.sampled_from((2, 9, 16, 20, 31, 32)),
)


def naive_group_toggles(x: Any, w: Any, group: int, chains: int, acc_bits: int) -> int:
    mask, toggles = 2**acc_bits - 1, 0
    for column in w.tolist():
        registers = [0] * chains
        for m, row in enumerate(x.tolist()):
            for start in range(0, len(row), group):
                total = sum(
                    a * b for a, b in zip(row[start : start + group], column[start : start + group], strict=True)
                )
                new = (total + (registers[m % chains] if start else 0)) & mask
                toggles += (registers[m % chains] ^ new).bit_count()
                registers[m % chains] = new
        toggles += sum(register.bit_count() for register in registers)
    return toggles


@sizes
def test_law_2_accumulators_of_whole_groups(
    seed: int, m: int, n: int, k: int, group: int, chains: int, acc_bits: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.choice(np.array([-128, -127, -1, 0, 3, 127], np.int8), (m, k))
    w = rng.integers(-128, 128, (n, k)).astype(np.int8)
    assert group_toggles(x, w, group, chains, acc_bits) == naive_group_toggles(x, w, group, chains, acc_bits)


@pytest.mark.parametrize("threads", [1, 2])
def test_teams_count_the_same(threads: int) -> None:
    rng = np.random.default_rng(threads)
    x, w = rng.integers(-128, 128, (37, 70)).astype(np.int8), rng.integers(-1, 2, (533, 70)).astype(np.int8)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        found = group_toggles(x, w, 16, 4, 24)
    finally:
        numba.set_num_threads(before)
    assert found == naive_group_toggles(x, w, 16, 4, 24)


@pytest.mark.parametrize("bits", [4, 7, 8, 9, 10])
@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("acc_bits", [13, 24])
def test_law_2_binary_tables_of_more_outputs_than_side_by_side(bits: int, overflow: Any, acc_bits: int) -> None:
    """-128 everywhere in one token: the largest entries, which are clamped where they are rounded."""
    spec = BinaryLutSpec(
        kind="binary_lut", tables=2, lanes=20, table_bits=bits, acc_bits=acc_bits, overflow=overflow, clock_gating=True
    )
    rng = np.random.default_rng(bits)
    x, w = rng.integers(-128, 128, (6, 45)).astype(np.int8), rng.integers(-1, 2, (37, 45)).astype(np.int8)
    x[2], w[5], w[20] = -128, -1, 1
    done, expected = BinaryLut(spec).execute(x, w), lut_twin.run(x, w, spec)
    np.testing.assert_array_equal(done.y, expected.y)
    assert done.events == expected.events


@pytest.mark.parametrize("lanes", [2, 16, 64])
@pytest.mark.parametrize("rows", [1, 3])
def test_law_2_bit_planes_of_more_columns_than_side_by_side(lanes: int, rows: int) -> None:
    spec = BitSerialSpec(
        kind="bit_serial", act_bits=8, lanes=lanes, rows=rows, cols=20, skip_zero_planes=True, acc_bits=17
    )
    rng = np.random.default_rng(lanes + rows)
    x, w = rng.integers(-9, 10, (5, 150)).astype(np.int8), rng.integers(-1, 2, (37, 150)).astype(np.int8)
    done, expected = BitSerial(spec).execute(x, w), serial_twin.run(x, w, spec)
    np.testing.assert_array_equal(done.y, expected.y)
    assert (done.events, done.cycles) == (expected.events, expected.cycles)


@given(width=st.integers(1, 70), act_bits=st.sampled_from((4, 8)), seed=st.integers(0, 2**32 - 1))
def test_planes_hold_every_bit_of_every_lane(width: int, act_bits: int, seed: int) -> None:
    lanes = np.random.default_rng(seed).integers(0, 256, (2, 3, width)).astype(np.uint8)
    planes = bit_planes(lanes, act_bits).view(np.uint32)
    for m, group, plane in np.ndindex(2, 3, act_bits):
        word = sum(int(part) << 32 * i for i, part in enumerate(planes[m, group, plane]))
        assert word == sum((int(lane) >> plane & 1) << i for i, lane in enumerate(lanes[m, group]))


@given(
    lanes=st.sampled_from((2, 4)),
    depth=st.integers(1, 9),
    m=st.integers(1, 4),
    k=st.integers(1, 50),
    seed=st.integers(0, 2**32 - 1),
)
def test_law_2_registers_of_slices_and_picks(lanes: int, depth: int, m: int, k: int, seed: int) -> None:
    """Up to four passes of a token, some of none."""
    rng = np.random.default_rng(seed)
    x = (rng.integers(0, 256, (m, k)) * (rng.random((m, k)) < 0.6)).astype(np.uint8)
    passes = rng.integers(0, 5, m)
    held, picks, toggles = [0] * (lanes * depth), [0] * lanes, 0
    for row, often in zip(x.tolist(), passes.tolist(), strict=True):
        for start in often * list(range(0, k, lanes * depth)):
            for i in range(lanes * depth):
                value = row[start + i] if start + i < k else 0
                toggles += (held[i] ^ value).bit_count()
                held[i] = value
                if value:
                    toggles += (picks[i // depth] ^ value).bit_count()
                    picks[i // depth] = value
    toggles += sum(register.bit_count() for register in held + picks)
    assert slice_toggles(x, passes, lanes, depth) == toggles
