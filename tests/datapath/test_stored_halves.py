"""Large float matrices on a binary16 array: nothing that is shared, stacked or rounded in blocks changes a count."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.base import Toggles
from bitsim.datapath.formats import round_to_half
from bitsim.datapath.kernels.half_patterns import half_patterns
from bitsim.datapath.kernels.weight_chain import chain_run, chain_toggles
from bitsim.datapath.registry import build_datapath
from bitsim.events import total
from bitsim.model.config import Dtype
from bitsim.model.weights import FloatWeight, from_float32, to_float32
from tests.datapath.strategies import array_spec, array_specs, operands

TOGGLES = ("exact", "sample", "off")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
@pytest.mark.parametrize("toggles", TOGGLES)
def test_a_stored_matrix_counts_as_one_that_was_laid_out(dtype: Dtype, dataflow: str, toggles: Toggles) -> None:
    rng = np.random.default_rng(7)
    stored = from_float32(rng.normal(0, 1, (2300, 24)).astype(np.float32), dtype)  # more rows than a block
    weight = FloatWeight(stored=stored, dtype=dtype)
    array = build_datapath(array_spec("fp16", dataflow, 8, 16))
    want = array.prepare(to_float32(stored, dtype).astype(np.float16))
    x = rng.normal(0, 1, (3, 24)).astype(np.float32)
    lazy, whole = (array.prepare_stored(weight, whole=whole) for whole in (False, True))
    assert lazy.weight is weight
    assert lazy.operand.size == 0  # no copy
    for prepared in (lazy, whole):
        assert array.observe(x, prepared, toggles=toggles, seed=5) == array.observe(x, want, toggles=toggles, seed=5)
        got, expected = (array.execute(x, w, toggles=toggles, seed=5) for w in (prepared, want))
        np.testing.assert_array_equal(got.y, expected.y)
        assert got.events == expected.events


@given(st.data(), array_specs(), st.sampled_from([(1, 1), (4, 4), (4, 2), (3, 1)]), st.sampled_from(TOGGLES))
def test_many_pairs_at_once_are_the_pairs_one_by_one(data: Any, spec: Any, heads: Any, toggles: Toggles) -> None:
    x, w = data.draw(operands(spec))
    repeat, own = heads
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    xs = np.stack([rng.permutation(x, axis=1) for _ in range(repeat)])
    ws = np.stack([rng.permutation(w, axis=1) for _ in range(own)])
    array = build_datapath(spec)
    one_by_one = [
        array.observe(a, b, toggles=toggles, seed=3)
        for a, b in zip(xs, np.repeat(ws, repeat // own, axis=0), strict=True)
    ]
    at_once = array.observe_all(xs, ws, toggles=toggles, seed=3)
    assert at_once.events == total([one.events for one in one_by_one])
    assert at_once.cycles == sum(one.cycles for one in one_by_one)
    assert at_once.toggle_columns == sum(one.toggle_columns for one in one_by_one)
    overflows = [one.first_overflow for one in one_by_one if one.first_overflow is not None]
    assert at_once.first_overflow == (overflows[0] if overflows else None)


def shifted_in(patterns: Any, rows: int) -> int:
    """Shift every tile into a chain of registers, step by step, and count the bits that flip."""
    toggles = 0
    for column in patterns.tolist():
        for k in range(0, len(column), rows):
            tile = column[k : k + rows] + [0] * (rows - len(column[k : k + rows]))
            held = [0] * rows
            for value in reversed(tile):
                new = [value, *held[:-1]]
                toggles += sum((a ^ b).bit_count() for a, b in zip(held, new, strict=True))
                held = new
            assert held == tile
    return toggles


@given(st.integers(0, 99), st.integers(1, 70), st.integers(1, 40), st.integers(1, 20))
def test_chain_toggles_are_those_of_registers_that_shift(seed: int, n: int, k: int, rows: int) -> None:
    patterns = np.random.default_rng(seed).integers(0, 65536, (n, k)).astype(np.uint16)
    assert chain_toggles(patterns, rows) == chain_run(patterns, rows) == shifted_in(patterns, rows)


def test_long_chains_do_not_wrap() -> None:
    """Alternating all ones and zeros: every pair flips 16 bits, and pair i counts i times."""
    size = 50_000
    patterns = np.where(np.arange(size) % 2, 0, 65535).astype(np.uint16)[None]
    assert chain_toggles(patterns, size) == 16 * size * (size - 1) // 2


def test_every_binary16_number_and_its_neighbours_round_as_ieee_says() -> None:
    centre = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32).view(np.uint32).astype(np.int64)
    # Around the numbers themselves, and around the ties between normal ones.
    for step in (-1, 0, 1, 4095, 4096, 4097):
        bits = ((centre + step) & 0xFFFFFFFF).astype(np.uint32)
        check_halves(bits)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300))
def test_any_float32_rounds_as_ieee_says(patterns: list[int]) -> None:
    check_halves(np.array(patterns, dtype=np.uint32))


def check_halves(bits: Any) -> None:
    halves, values = np.empty(bits.size, dtype=np.uint16), bits.view(np.float32)
    nans = half_patterns(bits, halves)
    with np.errstate(over="ignore", invalid="ignore"):
        want = values.astype(np.float16).view(np.uint16)
    assert nans == np.isnan(values).sum()
    np.testing.assert_array_equal(halves[~np.isnan(values)], want[~np.isnan(values)])


def test_large_matrices_with_nan_round_all_the_same() -> None:
    values = np.random.default_rng(1).normal(0, 1e4, (70, 100)).astype(np.float32)
    values[3, 4] = np.nan
    assert np.isnan(round_to_half(values)[3, 4])
    np.testing.assert_array_equal(round_to_half(values), values.astype(np.float16))
