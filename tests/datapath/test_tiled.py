"""Law 11, datapath by datapath: a matmul in tiles gives and counts what its calls do one by one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.base import Statistics
from bitsim.datapath.registry import build_datapath
from bitsim.datapath.tiled import count_tiles, expect_tiles, layout_of, prepare_tiles
from bitsim.datapath.tiled_execution import execute_tiles, observe_all_tiles, observe_tiles
from bitsim.datapath.tiles import Tiles
from bitsim.events import Events, total
from bitsim.hw.datapaths import PEArraySpec
from tests.datapath.replaying import filled, replay, replay_array, tilings
from tests.datapath.strategies import array_specs, operands
from tests.datapath.zoo import EXACT, ZOO, Member, int64_matmul, roomy

every = pytest.mark.parametrize("member", ZOO.values(), ids=ZOO)
SUM_IN_FLOATS = ("pe_array_fp16", "pe_array_ternary_floats")
SUMMING_NAMES = ("pe_array", "cpu_tables", "rom_array", "tensor_core", "tensor_core_float")
JOINED = {name: member for name, member in ZOO.items() if name not in (*SUMMING_NAMES, *SUM_IN_FLOATS)}
SUMMING = {name: ZOO[name] for name in SUMMING_NAMES}


def in_tiles(datapath: Any, x: Any, w: Any, tiles: Tiles, **how: Any) -> Any:
    return execute_tiles(datapath, x, prepare_tiles(datapath, w, layout_of(datapath, tiles)), tiles, **how)


def without_overflows(events: Events) -> dict[str, int]:
    return {name: n for name, n in events.items() if not name.startswith("overflow.")}


def drawn(member: Member, data: st.DataObject, spec: Any = None) -> tuple[Any, Any, Any, Tiles]:
    datapath: Any = build_datapath(data.draw(member.specs) if spec is None else spec)
    x, w = data.draw(member.operands(datapath))
    return datapath, x, w, data.draw(tilings(datapath, (*x.shape, len(w))))


@pytest.mark.parametrize("member", JOINED.values(), ids=JOINED)
@given(data=st.data())
def test_law_11_tiles_that_an_adder_joins_count_as_their_calls_on_the_twin(member: Member, data: st.DataObject) -> None:
    datapath, x, w, tiles = drawn(member, data)
    done, expected = in_tiles(datapath, x, w, tiles), replay(member, datapath, x, w, tiles)
    np.testing.assert_array_equal(done.y, expected.y)
    assert done.events == expected.events
    found = done.first_overflow
    assert (None if found is None else (found.m, found.k, found.n)) == expected.first
    assert done.cycles == expected.cycles


@pytest.mark.parametrize("member", SUMMING.values(), ids=SUMMING)
@given(data=st.data())
def test_law_11_tiles_that_a_datapath_sums_itself_count_as_their_calls_on_the_twin(
    member: Member, data: st.DataObject
) -> None:
    """Sums and overflows are those of one call in which zeros fill every tile up to whole units of the datapath."""
    datapath, x, w, tiles = drawn(member, data)
    if not datapath.sums_tiles:
        return
    done = in_tiles(datapath, x, w, tiles)
    parts = [member.twin(x[call.m, call.k], w[call.n, call.k], datapath.spec) for call in tiles.walk()]
    joints = {f"add.{datapath.arithmetic}": len(x) * len(w) * (len(tiles.sizes(1)) - 1)}
    expected = total([part.events for part in parts]) + Events(joints)
    assert without_overflows(done.events) == without_overflows(expected)
    assert done.cycles == sum(part.cycles for part in parts)
    unit = datapath.tile_depth
    whole = member.twin(filled(x, tiles, unit), filled(w, tiles, unit), datapath.spec)
    np.testing.assert_array_equal(done.y, whole.y)
    lost = {name: n for name, n in whole.events.items() if name.startswith("overflow.")}
    assert {name: n for name, n in done.events.items() if name.startswith("overflow.")} == lost
    assert (done.first_overflow is None) == (whole.first_overflow is None)


@st.composite
def keeping_arrays(draw: st.DrawFn) -> PEArraySpec:
    """Generates arrays that may keep their weights between tiles."""
    spec = draw(array_specs())
    if spec.dataflow == "output_stationary":
        return spec
    return spec.model_copy(update={"between_tiles": draw(st.sampled_from(("reset", "keep")))})


@given(data=st.data(), spec=keeping_arrays())
def test_law_11_tiles_of_a_pe_array_equal_the_registers_stepped_through_the_plan(
    data: st.DataObject, spec: PEArraySpec
) -> None:
    datapath: Any = build_datapath(spec)
    x, w = data.draw(operands(spec))
    tiles = data.draw(tilings(datapath, (*x.shape, len(w))))
    done, stepped = in_tiles(datapath, x, w, tiles), replay_array(spec, x, w, tiles)
    np.testing.assert_array_equal(done.y, stepped.y)
    registers = {name: n for name, n in done.events.items() if name.startswith("reg.")}
    assert registers == dict(stepped.events.items())
    assert done.cycles == stepped.cycles


@given(data=st.data(), spec=array_specs())
def test_law_11_operations_of_a_pe_array_are_those_of_its_calls(data: st.DataObject, spec: PEArraySpec) -> None:
    member, datapath = ZOO["pe_array"], build_datapath(spec)
    x, w = data.draw(operands(spec))
    tiles = data.draw(tilings(datapath, (*x.shape, len(w))))
    parts = [member.twin(x[call.m, call.k], w[call.n, call.k], spec).events for call in tiles.walk()]
    done, expected = in_tiles(datapath, x, w, tiles).events, total(parts)
    for name in {*done, *expected}:
        if name.startswith("pe."):
            assert done[name] == expected[name]


@every
@given(data=st.data())
def test_law_3_counts_of_tiles_equal_those_of_their_execution(member: Member, data: st.DataObject) -> None:
    datapath, x, w, tiles = drawn(member, data)
    assert count_tiles(datapath, tiles) == in_tiles(datapath, x, w, tiles).events.data_independent()


@every
@given(data=st.data())
def test_law_11_what_is_expected_of_tiles_is_the_sum_over_their_calls(member: Member, data: st.DataObject) -> None:
    datapath, _, _, tiles = drawn(member, data)
    always = {datapath.spec.rates: dict.fromkeys(datapath.chances(*tiles.dims), 0.3)}
    statistics = Statistics(weight_zeros=1 / 3 if datapath.zero_weights else 0.0, rates=always, source="a test")
    calls = [(datapath.staying if call.stays else datapath).expect(*call.size, statistics) for call in tiles.walk()]
    assert expect_tiles(datapath, tiles, statistics) == total(calls)


@pytest.mark.parametrize("member", EXACT.values(), ids=EXACT)
@given(data=st.data())
def test_law_5_tiles_change_neither_outputs_nor_arithmetic_events(member: Member, data: st.DataObject) -> None:
    datapath, x, w, tiles = drawn(member, data, roomy(data.draw(member.specs)))
    done = in_tiles(datapath, x, w, tiles)
    np.testing.assert_array_equal(done.y, int64_matmul(x, w))
    assert done.events.in_ledger("arithmetic") == datapath.count(*tiles.dims).in_ledger("arithmetic")


@pytest.mark.parametrize("member", EXACT.values(), ids=EXACT)
@given(data=st.data())
def test_law_5_sums_that_wrap_are_the_same_in_all_tiles(member: Member, data: st.DataObject) -> None:
    """In the bits of the narrowest accumulator: which sums a bank or column forms first depends on the tiles."""
    spec = data.draw(member.specs).model_copy(update={"overflow": "wrap"})
    datapath, x, w, tiles = drawn(member, data, spec)
    kept = (1 << min(datapath.registers().values())) - 1
    np.testing.assert_array_equal(in_tiles(datapath, x, w, tiles).y & kept, datapath.execute(x, w).y & kept)


@every
@given(data=st.data())
def test_observing_counts_as_executing_does(member: Member, data: st.DataObject) -> None:
    datapath, x, w, tiles = drawn(member, data)
    prepared = prepare_tiles(datapath, w, layout_of(datapath, tiles))
    done, seen = execute_tiles(datapath, x, prepared, tiles), observe_tiles(datapath, x, prepared, tiles)
    assert without_overflows(done.events) == without_overflows(seen.events)
    assert (done.cycles, done.toggle_columns) == (seen.cycles, seen.toggle_columns)
    pairs = observe_all_tiles(datapath, np.stack([x, x]), w[None], tiles)
    assert without_overflows(pairs.events) == without_overflows(seen.events * 2)
    assert (pairs.cycles, pairs.toggle_columns) == (2 * seen.cycles, 2 * seen.toggle_columns)
