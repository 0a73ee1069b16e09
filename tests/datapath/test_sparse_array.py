"""What is special about the sparse array: skipped activations, outputs that are left out, imbalance, gates."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.reference import sparse_array as twin
from bitsim.datapath.sparse_array import SparseArray
from bitsim.errors import OperandError
from bitsim.hw import load_chip
from bitsim.hw.datapaths import SparseArraySpec
from bitsim.model.checkpoint import random_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.quant.recipes import recipe_named
from bitsim.results.setup import Execution
from bitsim.schedule.place import Placement
from bitsim.study.executor import ChipExecutor
from tests.datapath.zoo import sparse_arrays
from tests.model.tiny_models import A48_CONFIG


def array(**changes: Any) -> SparseArraySpec:
    fields = {"lanes": 4, "cols": 8, "depth": 16, "lookahead": 4, "acc_bits": 24} | changes
    return SparseArraySpec.model_validate({"kind": "sparse_array", **fields})


def half_zero(m: int, k: int, seed: int = 0) -> Any:
    """4-bit codes -8..7 of which a half, the smaller ones, is masked, as TopK does."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-8, 8, (m, k))
    order = np.argsort(np.abs(x), axis=1, kind="stable")
    np.put_along_axis(x, order[:, : k // 2], 0, axis=1)
    return x.astype(np.int8)


def ternary(n: int, k: int) -> Any:
    return np.random.default_rng(1).integers(-1, 2, (n, k)).astype(np.int8)


@given(
    spec=sparse_arrays(),
    m=st.integers(1, 5),
    k=st.integers(1, 50),
    n=st.integers(1, 15),
    needed=st.sampled_from((0.0, 0.3, 0.9)),
    zeros=st.sampled_from((0.0, 0.5, 0.95)),
    largest=st.sampled_from((3, 127)),
    seed=st.integers(0, 2**32 - 1),
)
def test_law_2_with_zeros_and_outputs_that_are_left_out(
    spec: SparseArraySpec, m: int, k: int, n: int, needed: float, zeros: float, largest: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.integers(-largest, largest + 1, (m, k)) * (rng.random((m, k)) >= zeros)).astype(np.int8)
    w, live = rng.integers(-1, 2, (n, k)).astype(np.int8), rng.random((m, n)) < needed
    done, expected = SparseArray(spec).execute(x, w, live=live), twin.run(x, w, spec, live)
    np.testing.assert_array_equal(done.y, expected.y)
    assert done.events == expected.events
    assert done.cycles == expected.cycles
    found = done.first_overflow
    assert (None if found is None else (found.m, found.k, found.n)) == expected.first_overflow
    chances = SparseArray(spec).chances(m, k, n)
    counted = {event: count for event, count in done.events.items() if event in chances}
    assert all(count <= chances[event] for event, count in counted.items())
    assert done.events.data_independent() == SparseArray(spec).count(m, k, n)


@given(spec=sparse_arrays(), m=st.integers(1, 4), k=st.integers(1, 60), n=st.integers(1, 15))
def test_all_chances_are_taken_by_operands_without_zeros(spec: SparseArraySpec, m: int, k: int, n: int) -> None:
    done = SparseArray(spec).execute(np.full((m, k), 1, np.int8), np.full((n, k), 1, np.int8))
    assert done.cycles == SparseArray(spec).cycles(m, k, n)
    assert done.events["lane.add_bits"] == m * k * n * spec.lane_bits
    for event in ("lane.look_bits", spec.merge_event):
        assert done.events[event] == SparseArray(spec).chances(m, k, n)[event]
    for event in ("sram.weights.read_on_demand_bits", "sram.acts.read_on_demand_bits"):
        assert done.events[event] == SparseArray(spec).chances(m, k, n)[event]


@given(spec=sparse_arrays(), m=st.integers(1, 4), k=st.integers(1, 60), n=st.integers(1, 15), seed=st.integers(0, 99))
def test_a_window_of_one_activation_skips_nothing(spec: SparseArraySpec, m: int, k: int, n: int, seed: int) -> None:
    blind = spec.model_copy(update={"lookahead": 1})
    done = SparseArray(blind).execute(half_zero(m, k, seed), ternary(n, k), toggles="off")
    assert done.cycles == SparseArray(blind).cycles(m, k, n)


def test_half_zero_codes_shorten_the_cycles_but_less_than_the_mean_promises() -> None:
    """Slower than its mean lane, because the slowest one decides; closer to it with longer intervals."""
    x, w, waiting = half_zero(8, 4096), ternary(8, 4096), []
    for depth in (4, 16, 64):
        datapath = SparseArray(array(depth=depth, lookahead=4))
        cycles, dense = datapath.execute(x, w, toggles="off").cycles, datapath.cycles(8, 4096, 8)
        assert cycles < dense
        mean_lane = datapath.schedule(x).steps.sum() / 4
        assert cycles > mean_lane + 3 >= np.count_nonzero(x) / 4
        waiting.append((cycles - 3) / mean_lane)
    assert waiting == sorted(waiting, reverse=True)
    assert waiting[0] > 1.2


def test_one_full_slice_holds_up_all_lanes() -> None:
    spread, piled = np.zeros((1, 64), np.int8), np.zeros((1, 64), np.int8)
    spread[0, 3::4] = 1
    piled[0, 16:32] = 1
    datapath, w = SparseArray(array()), ternary(8, 64)
    assert np.count_nonzero(spread) == np.count_nonzero(piled)
    assert datapath.execute(spread, w).cycles == 4 + 3
    assert datapath.execute(piled, w).cycles == 16 + 3 == datapath.cycles(1, 64, 8)
    np.testing.assert_array_equal(datapath.schedule(piled).steps[0, 0], [4, 16, 4, 4])


def test_a_wider_window_never_takes_longer() -> None:
    x, w = half_zero(4, 640), ternary(8, 640)
    cycles = [SparseArray(array(lookahead=width)).execute(x, w, toggles="off").cycles for width in range(1, 17)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[-1] < cycles[0]


def test_weight_gating_saves_adders_and_clocks_and_no_cycles() -> None:
    x, w = half_zero(3, 128), ternary(8, 128)
    off, on = (SparseArray(array(weight_gating=gated)).execute(x, w) for gated in (False, True))
    met = int(((x != 0).astype(int) @ (w == 0).T).sum())
    bits = array().lane_bits
    assert (off.cycles, on.events["gate.closed"], off.events["gate.closed"]) == (on.cycles, met, 0)
    assert off.events["lane.add_bits"] - on.events["lane.add_bits"] == met * bits
    assert 0 < off.events["reg.gated.clock"] - on.events["reg.gated.clock"] <= met * bits
    for event in ("reg.psum.toggle", "reg.weight.toggle", "sram.weights.read_on_demand_bits"):
        assert off.events[event] == on.events[event]
    np.testing.assert_array_equal(off.y, on.y)


def test_outputs_that_are_left_out_shorten_the_cycles_as_far_as_columns_are_balanced() -> None:
    datapath, x, w = SparseArray(array(outputs=4)), half_zero(1, 64), ternary(32, 64)
    whole = datapath.execute(x, w).cycles - 3
    even, piled = np.zeros((1, 32), np.bool_), np.zeros((1, 32), np.bool_)
    even[0, 8:16] = True
    piled[0, 5::8] = True
    assert datapath.execute(x, w, live=even).cycles - 3 == whole // 4
    assert datapath.execute(x, w, live=piled).cycles - 3 == whole
    nothing = datapath.execute(x, w, live=np.zeros((1, 32), np.bool_))
    assert nothing.cycles == 0
    assert nothing.events == datapath.count(1, 64, 32)
    assert not nothing.y.any()


def test_live_must_say_it_of_every_output() -> None:
    datapath, x, w = SparseArray(array()), half_zero(2, 64), ternary(8, 64)
    for wrong in (np.ones((8, 2), np.bool_), np.ones((2, 8), np.int8)):
        with pytest.raises(OperandError, match=r"live: expected bool \(2, 8\), the outputs, got (bool|int8) "):
            datapath.execute(x, w, live=wrong)


def test_a_run_books_the_cycles_that_its_operands_take() -> None:
    """A random a4.8 model: o_proj has half of its codes masked, up_proj is needed only where the gate is positive."""
    chip = load_chip("sparse-array-16x256")
    spec = chip.bitlinear.model_copy(update={"lanes": 4, "cols": 4, "depth": 4, "outputs": 16})
    model, recipe = random_model(A48_CONFIG, 3), recipe_named("a48")
    placement = Placement(chip.model_copy(update={"bitlinear": spec}))
    dense = ChipExecutor(Placement(load_chip("ternary-ws-64x64")), Execution(recipe=recipe, toggles="off"))
    sparse = ChipExecutor(placement, Execution(recipe=recipe, toggles="exact"))
    found, expected = (
        forward(A48_CONFIG, model.weights, np.arange(9), KVCache(A48_CONFIG), one, recipe) for one in (sparse, dense)
    )
    np.testing.assert_array_equal(found, expected)
    shorter = {}
    for row in sparse.ledger.rows():
        if row.live_macs is None:
            continue
        width = row.macs // 9
        k = A48_CONFIG.intermediate_size if row.name.endswith("down_proj") else A48_CONFIG.hidden_size
        shorter[row.name.rpartition(".")[2]] = row.unit_cycles / placement.bitlinear.cycles(9, k, width // k)
        assert row.events["sram.weights.read_on_demand_bits"] == 2 * row.live_macs
    assert shorter["o_proj"] < 0.9
    assert shorter["up_proj"] < 0.9 * shorter["gate_proj"]


@pytest.mark.parametrize("cols", [16, 20, 35])
@pytest.mark.parametrize("acc_bits", [13, 32])
def test_law_2_on_more_columns_than_the_kernel_takes_side_by_side(cols: int, acc_bits: int) -> None:
    spec = array(lanes=4, cols=cols, outputs=2, depth=4, lookahead=2, acc_bits=acc_bits, overflow="saturate")
    rng = np.random.default_rng(cols)
    x, w = np.abs(half_zero(3, 200)) * np.int8(15), rng.choice(np.array([1, 1, 1, 0], np.int8), (120, 200))
    for live in (None, rng.random((3, 120)) < 0.4):
        done, expected = SparseArray(spec).execute(x, w, live=live), twin.run(x, w, spec, live)
        np.testing.assert_array_equal(done.y, expected.y)
        assert done.events == expected.events
        assert done.cycles == expected.cycles
        assert (done.first_overflow is not None) == (acc_bits == 13)


@pytest.mark.parametrize("toggles", ["exact", "sample", "off"])
def test_needing_all_outputs_is_as_if_nothing_were_said(toggles: Any) -> None:
    datapath, x, w = SparseArray(array(cols=4, outputs=2)), half_zero(3, 70), ternary(90, 70)
    said = datapath.execute(x, w, toggles=toggles, seed=3, live=np.ones((3, 90), np.bool_))
    unsaid = datapath.execute(x, w, toggles=toggles, seed=3)
    np.testing.assert_array_equal(said.y, unsaid.y)
    assert (said.events, said.cycles) == (unsaid.events, unsaid.cycles)
