"""The PE arrays against their slow twin, the stepped golden model, and the laws of the design."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.base import Statistics
from bitsim.datapath.pe_array import cycle_model
from bitsim.datapath.pe_array.datapath import PEArray
from bitsim.datapath.reference import pe_array as twin
from bitsim.errors import OperandError
from bitsim.events import Events, total
from tests.datapath.strategies import DATAFLOWS, array_spec, array_specs, operands

INTEGER_PES = ("ternary", "int8")
REGISTERS = [f"reg.{name}.toggle" for name in ("act", "weight", "psum")]


@given(st.data(), st.sampled_from(INTEGER_PES), st.sampled_from(DATAFLOWS))
def test_law_1_every_exact_array_equals_the_int64_matmul(data: st.DataObject, pe: str, dataflow: str) -> None:
    spec = array_spec(pe, dataflow, data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70)))
    x, w = data.draw(operands(spec, largest=150))
    array = PEArray(spec)
    assert array.exact
    np.testing.assert_array_equal(array.execute(x, w).y, x.astype(np.int64) @ w.astype(np.int64).T)


def test_law_1_exhaustive_all_ternary_weights_times_all_int8_activations() -> None:
    x = np.arange(-128, 128).astype(np.int8)[:, None]
    w = np.array([[-1], [0], [1]], np.int8)
    for dataflow in DATAFLOWS:
        y = PEArray(array_spec("ternary", dataflow, 4, 4)).execute(x, w).y
        np.testing.assert_array_equal(y, x.astype(np.int64) * np.array([-1, 0, 1]))


@given(st.data(), array_specs())
def test_law_2_array_equals_its_twin_in_outputs_every_event_and_first_overflow(
    data: st.DataObject, spec: object
) -> None:
    x, w = data.draw(operands(spec))
    done = PEArray(spec).execute(x, w)
    expected = twin.run(x, w, spec)
    np.testing.assert_array_equal(done.y, expected.y)
    assert done.events == expected.events
    found = done.first_overflow
    assert (None if found is None else (found.m, found.k, found.n)) == expected.first_overflow


@given(st.data(), array_specs())
def test_stepped_registers_agree_with_the_twin_on_outputs_toggles_clocks_and_cycles(
    data: st.DataObject, spec: object
) -> None:
    x, w = data.draw(operands(spec, largest=8))
    array = PEArray(spec)
    y, stepped, cycles = cycle_model.run_array(x, w, spec)
    expected = twin.run(x, w, spec)
    np.testing.assert_array_equal(y, expected.y)
    assert stepped == Events({name: n for name, n in expected.events.items() if name.startswith("reg.")})
    assert cycles == expected.cycles == array.cycles(x.shape[0], x.shape[1], w.shape[0])


@pytest.mark.parametrize(
    ("size", "tokens", "expected"),
    [
        (8, 20000, (5_122_768, 11_405_812, 287, 20_023)),
        (16, 20000, (20_485_056, 50_561_630, 1_991, 20_047)),
        (64, 5000, (82_088_576, 203_149_624, 116_868, 5_191)),
    ],
)
def test_toggles_and_cycles_equal_those_of_the_systemverilog_array(
    size: int, tokens: int, expected: tuple[int, int, int, int]
) -> None:
    """Counts taken from a Verilator run of the weight-stationary array on the same data, ACC = 20."""
    rng = np.random.default_rng(0)
    g = rng.normal(size=(tokens, size))
    scale = 127 / np.abs(rng.normal(size=(64, 4096))).max(axis=1).mean()
    w = rng.normal(size=(size, size))
    x = np.clip(np.rint(scale * g), -128, 127).astype(np.int8)
    codes = np.clip(np.rint(w / np.abs(w).mean()), -1, 1).astype(np.int8)
    array = PEArray(array_spec("ternary", "weight_stationary", size, size, acc_bits=20))
    done = array.execute(x, np.ascontiguousarray(codes.T))
    counted = tuple(done.events[f"reg.{register}.toggle"] for register in ("act", "psum", "weight"))
    assert (*counted, done.cycles) == expected


@given(st.data(), array_specs())
def test_law_3_count_equals_execute_on_data_independent_events(data: st.DataObject, spec: object) -> None:
    x, w = data.draw(operands(spec))
    array = PEArray(spec)
    counted = array.count(x.shape[0], x.shape[1], w.shape[0])
    assert counted == array.execute(x, w).events.data_independent()


@given(st.data(), array_specs())
def test_law_5_splitting_n_at_tiles_and_adding_gives_the_same_events(data: st.DataObject, spec: object) -> None:
    x, w = data.draw(operands(spec))
    array = PEArray(spec)
    parts = [array.execute(x, w[i : i + spec.cols]).events for i in range(0, len(w), spec.cols)]
    assert total(parts) == array.execute(x, w).events


@given(st.data(), array_specs())
def test_law_5_tiling_changes_neither_outputs_nor_arithmetic_events(data: st.DataObject, spec: object) -> None:
    if not spec.integer:
        return  # rounds in an order that follows the tiles
    wide = spec.model_copy(update={"acc_bits": 32, "column_acc_bits": 32})  # nothing overflows
    x, w = data.draw(operands(wide))
    one, other = (PEArray(wide.model_copy(update={"rows": r, "cols": r})).execute(x, w) for r in (3, 16))
    np.testing.assert_array_equal(one.y, other.y)
    assert one.events.in_ledger("arithmetic") == other.events.in_ledger("arithmetic")


@given(st.data(), array_specs(pes=("ternary", "ternary_fp16", "ternary_bf16")))
def test_adds_subs_skips_and_idles_are_all_the_operations(data: st.DataObject, spec: object) -> None:
    x, w = data.draw(operands(spec))
    events = PEArray(spec).execute(x, w).events
    done = sum(events[f"pe.{spec.unit}.{operation}"] for operation in ("add", "sub", "skip", "idle"))
    assert done == x.shape[0] * x.shape[1] * w.shape[0]


def test_sampled_toggles_scale_the_drawn_columns_and_say_how_many() -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-127, 128, (9, 40)).astype(np.int8)
    w = rng.integers(-1, 2, (64, 40)).astype(np.int8)
    array = PEArray(array_spec("ternary", "weight_stationary", 8, 4))
    exact = array.execute(x, w, toggles="exact")
    sampled = array.execute(x, w, toggles="sample", seed=3)
    assert (exact.toggle_columns, sampled.toggle_columns) == (64, 8)
    ratio = sampled.events["reg.psum.toggle"] / exact.events["reg.psum.toggle"]
    assert 0.8 < ratio < 1.25
    assert sampled.events["reg.psum.toggle"] % 8 == 0
    assert "reg.psum.toggle" not in array.execute(x, w, toggles="off").events


def test_an_output_stationary_pe_is_idle_when_it_skips_again() -> None:
    x, w = np.ones((3, 6), np.int8), np.array([[0, 1, 0, 0, 0, -1], [1, 0, 1, 0, 0, 0]], np.int8)
    unit = "pe.ternary_a8_acc24"
    still, passing = (PEArray(array_spec("ternary", flow, 8, 8)).execute(x, w).events for flow in DATAFLOWS[::-1])
    assert DATAFLOWS == ("weight_stationary", "output_stationary")
    assert (still[f"{unit}.idle"], still[f"{unit}.skip"]) == (3 * (3 + 2), 3 * (1 + 2))  # starts from zero registers
    assert (passing[f"{unit}.idle"], passing[f"{unit}.skip"]) == (0, 3 * (4 + 4))


def test_expectation_follows_the_statistics() -> None:
    half = dict.fromkeys(REGISTERS, 0.5)
    statistics = Statistics(weight_zeros=0.25, rates={"ternary": half}, source="made up for this test")
    events = PEArray(array_spec("ternary", "weight_stationary", 8, 8)).expect(2, 8, 8, statistics)
    unit = "pe.ternary_a8_acc24"
    assert (events[f"{unit}.skip"], events[f"{unit}.add"], events[f"{unit}.sub"]) == (32, 48, 48)
    assert events[f"{unit}.idle"] == 0
    still = PEArray(array_spec("ternary", "output_stationary", 8, 8)).expect(2, 8, 8, statistics)
    assert (still[f"{unit}.skip"], still[f"{unit}.idle"]) == (24, 8)
    assert events["reg.act.toggle"] == 64 * 3 * 8 // 2
    assert events["reg.psum.toggle"] == 64 * 3 * 24 // 2


@given(st.data(), array_specs())
def test_no_register_flips_more_bits_than_are_clocked_nor_is_expected_to(data: st.DataObject, spec: object) -> None:
    x, w = data.draw(operands(spec))
    array = PEArray(spec)
    shape = (x.shape[0], x.shape[1], w.shape[0])
    ones = Statistics(weight_zeros=0.0, rates={spec.rates: dict.fromkeys(REGISTERS, 1.0)}, source="all ones")
    executed, expected = array.execute(x, w).events, array.expect(*shape, ones)
    for register in REGISTERS:
        assert executed[register] <= expected[register]
    assert sum(expected[register] for register in REGISTERS) <= array.count(*shape)["reg.clock"]


@pytest.mark.parametrize("mode", ["wrap", "saturate"])
def test_overflow_is_counted_and_its_first_position_reported(mode: str) -> None:
    x = np.full((2, 6), 100, np.int8)
    x[0] = 1
    w = np.ones((3, 6), np.int8)
    done = PEArray(array_spec("ternary", "output_stationary", 2, 2, acc_bits=9, overflow=mode)).execute(x, w)
    assert done.events["overflow.psum"] == {"wrap": 3, "saturate": 3 * 4}[mode]
    assert (done.first_overflow.m, done.first_overflow.k, done.first_overflow.n) == (1, 2, 0)
    assert done.y[1, 0] == {"wrap": 600 - 512, "saturate": 255}[mode]


@pytest.mark.parametrize(
    ("x", "w", "message"),
    [
        (np.zeros((2, 3), np.int8), np.zeros((2, 4), np.int8), "x has K = 3, but the weights have K = 4"),
        (np.zeros((2, 3), np.int8), np.full((2, 3), 2, np.int8), "w[0, 0]: expected -1..1, got 2"),
        (np.full((1, 3), 128, np.int16), np.zeros((2, 3), np.int8), "x[0, 0]: expected -128..127, got 128"),
        (np.zeros((1, 3)), np.zeros((2, 3), np.int8), "x: expected integers (int8), got float64"),
        (np.zeros((0, 3), np.int8), np.zeros((2, 3), np.int8), "x: expected a non-empty 2-D array, got shape (0, 3)"),
    ],
)
def test_operands_outside_of_the_range_name_the_first_offender(x: object, w: object, message: str) -> None:
    with pytest.raises(OperandError) as caught:
        PEArray(array_spec("ternary", "weight_stationary", 2, 2)).execute(x, w)
    assert str(caught.value) == message


def faults() -> list[tuple[str, int, int]]:
    return [(dataflow, r, c) for dataflow in DATAFLOWS for r, c in product(range(3), range(3))]


@pytest.mark.parametrize(("dataflow", "faulty_row", "faulty_col"), faults())
def test_any_adder_that_is_off_by_one_is_caught(
    monkeypatch: pytest.MonkeyPatch, dataflow: str, faulty_row: int, faulty_col: int
) -> None:
    """Inject +1 into one PE of the stepped array, in one cycle only: outputs must differ from the fast array's."""
    rng = np.random.default_rng(11)
    x = rng.integers(-127, 128, (7, 5)).astype(np.int8)
    w = rng.integers(-1, 2, (4, 5)).astype(np.int8)
    spec = array_spec("ternary", dataflow, 3, 3)
    good = PEArray(spec).execute(x, w)
    latch = cycle_model.SteppedArray.latch
    injected = []

    def off_by_one(self: object, register: str, old: object, new: list, bits: int, clocked: list) -> None:
        arrived = register == "psum" and clocked[faulty_row][faulty_col] and self.act_valid[faulty_row][faulty_col]
        if arrived and not injected:
            new[faulty_row][faulty_col] += 1
            injected.append(True)
        latch(self, register, old, new, bits, clocked)

    monkeypatch.setattr(cycle_model.SteppedArray, "latch", off_by_one)
    y, _, _ = cycle_model.run_array(x, w, spec)
    assert injected
    assert not np.array_equal(y, good.y)
