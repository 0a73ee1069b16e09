"""The laws of the design, on every kind of datapath."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.base import Statistics, arithmetic_events
from bitsim.datapath.registry import DATAPATHS, build_datapath
from bitsim.errors import OperandError
from bitsim.events import Events, is_data_dependent, total
from bitsim.hw import chip_names, load_chip
from bitsim.testing import laws
from bitsim.testing.design import Design, design_of
from bitsim.testing.models import reference
from tests.datapath.zoo import EXACT, ZOO, Member, int64_matmul, roomy

every = pytest.mark.parametrize("member", ZOO.values(), ids=ZOO)
every_exact = pytest.mark.parametrize("member", EXACT.values(), ids=EXACT)

DATAPATH_OF = {name: build_datapath(load_chip(name).bitlinear) for name in chip_names()}
IN_HALVES = {"binary_lut"}  # kinds whose accumulators hold twice the output
EXACT_CHIPS = [
    name for name, built in DATAPATH_OF.items() if built.exact and load_chip(name).bitlinear.kind not in IN_HALVES
]
NO_ZEROS = [name for name, built in DATAPATH_OF.items() if not built.zero_weights]


def outputs_of(datapath: Any) -> Design:
    return design_of(partial(datapath.execute, toggles="off"))


def toggles(events: Events) -> dict[str, int]:
    return {name: n for name, n in events.items() if name.endswith(".toggle")}


def test_every_registered_kind_is_tested_and_on_a_chip() -> None:
    untested = set(DATAPATHS) - {member.kind for member in ZOO.values()}
    assert not untested, f"tests/datapath/zoo.py: add a Member (small descriptions, twin, operands) for {untested}"
    unshipped = set(DATAPATHS) - {load_chip(name).bitlinear.kind for name in chip_names()}
    assert not unshipped, f"add a chip to hw_models/chips for {unshipped}"


@every_exact
@given(data=st.data())
def test_law_1_every_exact_datapath_equals_the_int64_matmul(member: Member, data: st.DataObject) -> None:
    datapath = build_datapath(roomy(data.draw(member.specs)))
    x, w = data.draw(member.operands(datapath, largest=90))
    assert datapath.exact
    laws.exactness(outputs_of(datapath), x, w, reference=reference())


@pytest.mark.parametrize("chip", chip_names())
@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (1, 257, 3), (5, 67, 131), (3, 1021, 259), (17, 96, 64)])
def test_law_1_holds_on_the_shipped_chips_for_awkward_shapes(chip: str, m: int, k: int, n: int) -> None:
    datapath: Any = build_datapath(load_chip(chip).bitlinear)
    if not datapath.exact:
        pytest.skip("rounds as it sums")
    rng = np.random.default_rng(m * k * n)
    x = rng.integers(datapath.act_range[0], datapath.act_range[1] + 1, (m, k)).astype(np.int8)
    w = rng.integers(-1, 2, (n, k)).astype(np.int8)
    x[x == 0] = 0 if datapath.zero_acts else 1
    w[w == 0] = 0 if datapath.zero_weights else -1
    done = datapath.execute(x, w)
    np.testing.assert_array_equal(done.y, int64_matmul(x, w))
    assert done.events.data_independent() == datapath.count(m, k, n)


@every_exact
@given(data=st.data())
def test_law_1_exhaustive_every_weight_times_every_activation(member: Member, data: st.DataObject) -> None:
    datapath: Any = build_datapath(roomy(data.draw(member.specs)))
    x = np.arange(datapath.act_range[0], datapath.act_range[1] + 1).astype(np.int8)[:, None]
    w = np.arange(datapath.weight_range[0], datapath.weight_range[1] + 1).astype(np.int8)[:, None]
    x, w = legal(x, zero=datapath.zero_acts), legal(w, zero=datapath.zero_weights)
    np.testing.assert_array_equal(datapath.execute(x, w, toggles="off").y, int64_matmul(x, w))


@every_exact
@given(data=st.data(), depth=st.integers(2, 5))
def test_law_2_exhaustive_all_ternary_weights_of_a_few_inputs(member: Member, data: st.DataObject, depth: int) -> None:
    """All 3^depth rows of ternary weights on the ends of the range and around 0: the datapath equals its twin."""
    spec = data.draw(member.specs)
    datapath: Any = build_datapath(spec)
    low, high = datapath.act_range
    w = legal(np.array(list(product((-1, 0, 1), repeat=depth)), np.int8), zero=datapath.zero_weights)
    x = np.array([[low] * depth, [high] * depth, [0] * depth, [-1, 1] * (depth // 2) + [1] * (depth % 2)], np.int8)
    assert_equal(member, spec, legal(x, zero=datapath.zero_acts), w)


def legal(operand: Any, *, zero: bool) -> Any:
    """The rows without zeros, unless `zero` is legal."""
    return operand if zero else operand[(operand != 0).all(axis=1)]


@every
@given(data=st.data())
def test_law_2_datapath_equals_its_twin_in_everything(member: Member, data: st.DataObject) -> None:
    spec = data.draw(member.specs)
    x, w = data.draw(member.operands(build_datapath(spec)))
    assert_equal(member, spec, x, w)


def assert_equal(member: Member, spec: Any, x: Any, w: Any) -> None:
    datapath = build_datapath(spec)
    done, expected = datapath.execute(x, w), member.twin(x, w, spec)
    laws.kernel_equals_twin(design_of(lambda *_: done), x, w, twin=design_of(lambda *_: expected))
    assert datapath.streams(x.shape[0], x.shape[1], w.shape[0]) == expected.streams


@every
@given(data=st.data())
def test_law_3_count_equals_execute_and_expect_gives_the_rest(member: Member, data: st.DataObject) -> None:
    spec = data.draw(member.specs)
    datapath: Any = build_datapath(spec)
    x, w = data.draw(member.operands(datapath))
    shape = x.shape[0], x.shape[1], w.shape[0]
    always = {spec.rates: dict.fromkeys(datapath.chances(*shape), 1.0)}
    zeros = 1 / 3 if datapath.zero_weights else 0.0
    statistics = Statistics(weight_zeros=zeros, rates=always, source="whatever can happen does")
    executed, expected = datapath.execute(x, w).events, datapath.expect(*shape, statistics)
    assert datapath.count(*shape) == executed.data_independent()
    assert all(is_data_dependent(name) for name in expected)
    predictable = {name for name in executed if is_data_dependent(name) and not name.startswith("overflow.")}
    enough = 9 * shape[0]  # a ninth of the weights are zeros behind zeros: with fewer tokens they round to none
    assert predictable <= set(datapath.expect(enough, *shape[1:], statistics))
    for name, flips in toggles(executed).items():
        assert flips <= expected[name]
    clocked = sum(n for name, n in expected.items() if name.endswith(".clock"))
    assert sum(toggles(expected).values()) <= datapath.count(*shape)["reg.clock"] + clocked


@pytest.mark.parametrize("chip", NO_ZEROS)
def test_statistics_of_zeros_where_none_is_legal_raise(chip: str) -> None:
    datapath: Any = build_datapath(load_chip(chip).bitlinear)
    statistics = Statistics(weight_zeros=0.25, rates={}, source="made up for this test")
    with pytest.raises(OperandError, match=r"takes weights of -1 or 1 only, but 25.0% of the weights are 0"):
        datapath.expect(2, 8, 4, statistics)


@every
@given(data=st.data())
def test_law_5_splitting_and_adding_gives_the_same_outputs_and_of_n_the_same_events(
    member: Member, data: st.DataObject
) -> None:
    datapath: Any = build_datapath(data.draw(member.specs))
    x, w = data.draw(member.operands(datapath))
    at = data.draw(st.integers(0, len(x))), data.draw(st.integers(1, x.shape[1]))
    laws.split_and_add(datapath, x, w, columns=datapath.tile_columns, at=at, sums=member.exact)


@every
@given(data=st.data())
def test_law_5_splitting_m_changes_no_arithmetic(member: Member, data: st.DataObject) -> None:
    datapath = build_datapath(data.draw(member.specs))
    x, w = data.draw(member.operands(datapath))
    at = data.draw(st.integers(0, len(x)))
    parts = [datapath.execute(part, w) for part in (x[:at], x[at:]) if len(part)]
    whole = datapath.execute(x, w)
    assert total([part.events for part in parts]).in_ledger("arithmetic") == whole.events.in_ledger("arithmetic")


@every_exact
@given(data=st.data())
def test_law_5_splitting_k_and_adding_gives_the_same_outputs(member: Member, data: st.DataObject) -> None:
    datapath = build_datapath(roomy(data.draw(member.specs)))
    x, w = data.draw(member.operands(datapath))
    at = len(x) // 2, data.draw(st.integers(1, x.shape[1]))
    laws.split_and_add(outputs_of(datapath), x, w, columns=datapath.tile_columns, at=at)


@every
@given(data=st.data())
def test_the_same_operands_give_the_same_again_and_are_left_as_they_were(member: Member, data: st.DataObject) -> None:
    datapath = build_datapath(data.draw(member.specs))
    laws.determinism(datapath, *data.draw(member.operands(datapath)))


@every_exact
@given(data=st.data())
def test_the_arithmetic_is_the_papers_whatever_the_structure(member: Member, data: st.DataObject) -> None:
    datapath: Any = build_datapath(data.draw(member.specs))
    x, w = data.draw(member.operands(datapath))
    multiplies = datapath.weight_range != (-1, 1)
    expected = arithmetic_events("int8", x.shape[0], x.shape[1], w.shape[0], multiplies=multiplies)
    assert datapath.execute(x, w).events.in_ledger("arithmetic") == expected


@every
@given(data=st.data())
def test_toggle_modes_change_only_the_toggles_that_they_name(member: Member, data: st.DataObject) -> None:
    datapath: Any = build_datapath(data.draw(member.specs))
    x, w = data.draw(member.operands(datapath))
    exact, sample, off = (datapath.execute(x, w, toggles=mode, seed=5) for mode in ("exact", "sample", "off"))
    np.testing.assert_array_equal(exact.y, off.y)
    tiles = -(-len(w) // datapath.tile_columns)
    if datapath.has_dear_toggles:
        assert (exact.toggle_columns, off.toggle_columns) == (len(w), 0)
        assert 0 < sample.toggle_columns <= datapath.tile_columns * -(-tiles // 8)
    else:
        assert exact.toggle_columns == sample.toggle_columns == off.toggle_columns == len(w)
        assert exact.events == sample.events == off.events
    dear = set(exact.events) - set(off.events)
    assert all(name.startswith("reg.") for name in dear)
    for events in (exact.events, sample.events):
        assert {name: n for name, n in events.items() if name not in dear} == dict(off.events)
    assert datapath.execute(x, w, toggles="sample", seed=5).events == sample.events


@every_exact
@given(data=st.data(), k=st.integers(1, 300))
def test_bounds_are_reached_by_the_extreme_operands_and_never_left(member: Member, data: st.DataObject, k: int) -> None:
    spec = data.draw(member.specs)
    datapath: Any = build_datapath(spec)
    bounds = datapath.bounds(k)
    x = np.full((1, k), datapath.act_range[0], np.int8)
    w = np.full((1, k), datapath.weight_range[0], np.int8)
    seen = datapath.seen(x, w)
    assert {name: found.high for name, found in seen.items()} == {name: bound.high for name, bound in bounds.items()}
    bits = max(bound.bits for bound in bounds.values())
    for width, overflows in ((bits, False), (bits - 1, True)):
        if width >= min(spec.acc_bits, 32) and width <= 32:
            changed = type(spec).model_validate(spec.model_dump() | spec.accumulators(width))
            done = build_datapath(changed).execute(x, w, toggles="off")
            assert (done.first_overflow is not None) == overflows
    x, w = data.draw(member.operands(datapath, largest=40))
    for name, found in datapath.seen(x, w).items():
        bound = datapath.bounds(x.shape[1])[name]
        assert bound.low <= found.low <= 0 <= found.high <= bound.high


@pytest.mark.parametrize("k", [6912, 16384])
@pytest.mark.parametrize("chip", EXACT_CHIPS)
def test_the_last_accumulator_must_hold_k_of_the_largest_products(chip: str, k: int) -> None:
    datapath: Any = DATAPATH_OF[chip]
    products = [x * w for x in datapath.act_range for w in datapath.weight_range]
    last = list(datapath.bounds(k).values())[-1]
    assert (last.low, last.high) == (min(products) * k, max(products) * k)
    if max(products) == 128:
        assert last.bits == {6912: 21, 16384: 23}[k]  # 884,736 < 2^20; 2^21 itself needs 22 and a sign


@every_exact
@given(data=st.data())
def test_what_a_register_needs_on_these_operands_is_just_enough(member: Member, data: st.DataObject) -> None:
    """Accumulators as wide as `seen` says do not overflow."""
    spec = data.draw(member.specs)
    datapath: Any = build_datapath(spec)
    x, w = data.draw(member.operands(datapath, largest=60))
    bits = max(spec.acc_bits, *(found.bits for found in datapath.seen(x, w).values()))
    changed = type(spec).model_validate(spec.model_dump() | spec.accumulators(min(bits, 32)))
    assert build_datapath(changed).execute(x, w, toggles="off").first_overflow is None


@every_exact
@given(data=st.data())
def test_operands_out_of_range_name_the_first_offender(member: Member, data: st.DataObject) -> None:
    datapath: Any = build_datapath(data.draw(member.specs))
    x, w = (operand.astype(np.int16) for operand in data.draw(member.operands(datapath, largest=5)))
    row, k = data.draw(st.integers(0, len(x) - 1)), data.draw(st.integers(0, x.shape[1] - 1))
    (low, high), (least, most) = datapath.act_range, datapath.weight_range
    acts = rf"{low}\.\.{high}" if datapath.zero_acts else f"{low} or {high}"
    weights = rf"{least}\.\.{most}" if datapath.zero_weights else f"{least} or {most}"
    wrong = x.copy()
    wrong[row, k:] = high + 1
    wrong[row + 1 :] = low - 1
    with pytest.raises(OperandError, match=rf"^x\[{row}, {k}\]: expected {acts}, got {high + 1}$"):
        datapath.execute(wrong, w)
    column = data.draw(st.integers(0, len(w) - 1))
    wrong = w.copy()
    wrong[column, k:] = least - 1
    with pytest.raises(OperandError, match=rf"^w\[{column}, {k}\]: expected {weights}, got {least - 1}$"):
        datapath.execute(x, wrong)
