"""bitnet.cpp's kernels as datapaths: golden sums, wraps, what is refused, tables and layouts."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitsim
from bitsim.datapath.cpu_simd import CpuSimd
from bitsim.datapath.outcomes import Deviation, Overflow
from bitsim.datapath.reference import cpu_simd, cpu_tables
from bitsim.datapath.reference.common import Ledger
from bitsim.datapath.reference.cpu_machine import Machine
from bitsim.datapath.registry import build_datapath
from bitsim.errors import OperandError
from bitsim.hw import load_chip
from bitsim.hw.datapaths import CpuSimdSpec
from tests.datapath.zoo import cpu_kernels, deep_integers, int64_matmul

I2S = ("i2s_avx2", "i2s_neon")
CHIPS = ("cpu-i2s-avx2", "cpu-i2s-neon", "cpu-tl1", "cpu-tl2")


def kernel(chip: str, **changes: Any) -> CpuSimd:
    spec = load_chip(chip).bitlinear
    return CpuSimd(type(spec).model_validate(spec.model_dump() | changes))


def test_measured_value_of_the_compiled_kernel() -> None:
    """K = 4096, all weights +1, all q = 127: the kernel returns -8192 for 1,040,384 (measured, microsoft/BitNet)."""
    x, w = np.full((1, 4096), 127, np.int8), np.ones((1, 4096), np.int8)
    y, events = bitsim.matmul(x, w, "cpu-i2s-avx2")
    assert y[0, 0] + 127 * 4096 == -8192
    assert events["overflow.lane"] == 16
    done = kernel("cpu-i2s-avx2").execute(x, w)
    assert done.first_overflow == Overflow(m=0, k=0, n=0)
    off = 1_040_384 + 8192
    assert done.deviation == Deviation(
        outputs=1, wrong=1, largest=off, error_squares=float(off) ** 2, exact_squares=float(127 * 4096) ** 2
    )


@pytest.mark.parametrize(("k", "q", "raw"), [(2112, 127, 12160), (2048, -128, 0), (1088, 127, -247_936)])
def test_wraps_of_the_neon_source_with_its_intrinsics_as_loops(k: int, q: int, raw: int) -> None:
    """All weights +1, all activations q: what ggml_vec_dot_i2_i8_s_1x1 of microsoft/BitNet 16da220 returns."""
    y, events = bitsim.matmul(np.full((1, k), q, np.int8), np.ones((1, k), np.int8), "cpu-i2s-neon")
    assert y[0, 0] + q * k == raw
    assert events["overflow.lane"] == 8


@pytest.mark.parametrize("case", ["a", "b"])
def test_golden_sums_of_the_compiled_kernel(golden: Any, case: str) -> None:
    vectors = np.load(golden / "gguf" / "i2s_vectors.npz")
    q, codes = vectors[f"{case}.q"][None], vectors[f"{case}.tern"]
    y, _ = bitsim.matmul(q, codes, "cpu-i2s-avx2")
    np.testing.assert_array_equal(y[0] + q.sum(dtype=np.int64), vectors[f"{case}.rawdot"])


@given(data=st.data())
def test_law_1_i2s_is_exact_unless_it_says_that_a_lane_wrapped(data: st.DataObject) -> None:
    datapath = build_datapath(data.draw(cpu_kernels(*I2S)))
    x, w = data.draw(deep_integers(datapath))
    done = datapath.execute(x, w)
    error = done.y - int64_matmul(x, w)
    assert not datapath.exact
    assert not (error % 2**16).any()
    assert done.events["overflow.lane"] or not error.any()
    assert done.deviation == Deviation.between(done.y, int64_matmul(x, w))


@given(data=st.data())
def test_law_5_i2s_rows_are_independent(data: st.DataObject) -> None:
    datapath = build_datapath(data.draw(cpu_kernels(*I2S)))
    x, w = data.draw(deep_integers(datapath))
    at = data.draw(st.integers(0, len(w)))
    parts = [datapath.execute(x, part) for part in (w[:at], w[at:]) if len(part)]
    whole = datapath.execute(x, w)
    np.testing.assert_array_equal(np.concatenate([part.y for part in parts], axis=1), whole.y)
    for event in whole.events:
        assert sum(part.events[event] for part in parts) == whole.events[event]


@pytest.mark.parametrize("name", CHIPS)
def test_what_the_kernel_has_no_code_for_is_refused_without_padding(name: str) -> None:
    datapath = kernel(name, pad=False)
    step, rows = datapath.spec.step_k, datapath.spec.block_n
    x, w = np.ones((2, 2 * step), np.int8), np.ones((rows, 2 * step), np.int8)
    padded = kernel(name)
    assert datapath.execute(x, w).events == padded.execute(x, w).events
    with pytest.raises(OperandError, match=rf"^w: K = {step + 1}: expected a multiple of {step}, which .* `pad: true`"):
        datapath.execute(x[:, : step + 1], w[:, : step + 1])
    with pytest.raises(OperandError, match=f"K = {step + 1}"):
        datapath.count(1, step + 1, rows)
    if rows > 1:
        with pytest.raises(OperandError, match=rf"^w: N = {rows - 1}: expected a multiple of {rows}"):
            datapath.prepare(w[1:])


def test_a_model_that_does_not_fit_names_the_operator() -> None:
    chip = load_chip("cpu-i2s-avx2")
    chip = chip.model_copy(update={"bitlinear": kernel("cpu-i2s-avx2", pad=False).spec})
    with pytest.raises(OperandError, match=r"^layers\.0\.mlp\.down_proj: w: K = 704: expected a multiple of 128"):
        bitsim.run("tiny-b158", chip, prompt="a")
    with pytest.raises(OperandError, match=r"^layers\.0\.mlp\.down_proj: w: K = 704"):
        bitsim.estimate("tiny-b158", chip, prefill=1, decode=0)


@pytest.mark.parametrize("name", CHIPS)
def test_operands_out_of_range_name_the_first_offender(name: str) -> None:
    datapath = kernel(name)
    x, w = np.zeros((2, 5), np.int16), np.zeros((3, 5), np.int8)
    low = datapath.act_range[0]
    assert low == (-127 if "tl" in name else -128)
    x[1, 2] = low - 1
    with pytest.raises(OperandError, match=rf"^x\[1, 2\]: expected {low}\.\.127, got {low - 1}$"):
        datapath.execute(x, w)
    w[2, 4] = 2
    with pytest.raises(OperandError, match=r"^w\[2, 4\]: expected -1\.\.1, got 2$"):
        datapath.execute(np.zeros((2, 5), np.int8), w)


@pytest.mark.parametrize(("name", "bk"), [("cpu-tl1", 256), ("cpu-tl2", 192)])
def test_int16_holds_the_worst_sum_of_the_longest_block(name: str, bk: int) -> None:
    datapath = kernel(name, bk=bk)
    assert datapath.bounds(16384)["lane"].bits <= datapath.registers()["lane"] == 16
    x, w = np.full((1, 2 * bk), 127, np.int8), np.ones((1, 2 * bk), np.int8)
    for weights in (w, -w):
        twin = cpu_simd.run(x, weights, datapath.spec)  # asserts that no int16 sum wraps
        np.testing.assert_array_equal(twin.y, int64_matmul(x, weights))


@given(data=st.data())
def test_i2s_bounds_are_reached_by_the_extreme_operands_and_never_left(data: st.DataObject) -> None:
    datapath: Any = build_datapath(data.draw(cpu_kernels(*I2S)))
    k = data.draw(st.sampled_from((1, 31, 64, 1000, 2048, 4096, 5000)))
    ones = np.ones((1, k), np.int8)
    found = [datapath.seen(q * ones, ones) for q in (np.int8(-128), np.int8(127))]
    for name, bound in datapath.bounds(k).items():
        assert (found[0][name].low, found[1][name].high) == (bound.low, bound.high)
    x, w = data.draw(deep_integers(datapath))
    seen = datapath.seen(x, w)
    for name, bound in datapath.bounds(x.shape[1]).items():
        assert bound.low <= seen[name].low <= seen[name].high <= bound.high
    assert (seen["lane"].bits > 16) == (datapath.execute(x, w).first_overflow is not None)


@pytest.mark.parametrize("isa", ["avx2", "neon"])
def test_exhaustive_every_pair_of_weights_is_an_entry_of_its_table(isa: str) -> None:
    values = (-127, -1, 0, 1, 64, 127)
    for pairs in np.array_split(list(product(values, repeat=2)), 6):
        q = [int(v) for v in np.resize(pairs, (8, 2)).ravel()]
        tables = cpu_tables.pair_tables(q, Machine(isa, Ledger()), "add_int16")
        for i, (low, high) in enumerate(tables):
            for w in product((-1, 0, 1), repeat=2):
                code = cpu_tables.pair_code(list(w))
                assert 0 <= code < 9
                assert cpu_tables.joined(low[code], high[code]) == w[0] * q[2 * i] + w[1] * q[2 * i + 1]


def test_exhaustive_every_triple_of_weights_is_an_entry_or_its_negative() -> None:
    values = (-127, 0, 1, 127)
    for triples in np.array_split(list(product(values, repeat=3)), 8):
        q = [int(v) for v in triples.ravel()]
        tables = cpu_tables.triple_tables(q, Machine("avx2", Ledger()))
        for i, (low, high) in enumerate(tables):
            for w in product((-1, 0, 1), repeat=3):
                value = cpu_tables.triple_value(list(w))
                assert abs(value) < 14
                entry = cpu_tables.joined(low[abs(value)], high[abs(value)])
                wanted = sum(a * b for a, b in zip(w, q[3 * i : 3 * i + 3], strict=True))
                assert (-entry if value < 0 else entry) == wanted


def test_exhaustive_int16_entries_survive_the_split_into_bytes() -> None:
    for start in range(-32768, 32768, 16):
        low, high = cpu_tables.split(list(range(start, start + 16)))
        assert all(0 <= byte < 256 for byte in low + high)
        assert [cpu_tables.joined(a, b) for a, b in zip(low, high, strict=True)] == list(range(start, start + 16))


@pytest.mark.parametrize(("name", "k", "bits"), [("cpu-tl1", 256, 2.0), ("cpu-tl2", 192, 5 / 3), ("cpu-tl2", 32, 2.0)])
def test_stored_bits_per_weight(name: str, k: int, bits: float) -> None:
    spec = kernel(name).spec
    packed = cpu_tables.Packed([[0] * k for _ in range(spec.block_n)], spec)
    assert packed.bits == kernel(name).streams(1, k, spec.block_n).weight_writes == bits * k * spec.block_n


def test_bytes_of_the_layouts_at_chosen_places() -> None:
    """TL1: two pairs of a row, the first in the high nibble. TL2: indices likewise, signs in their own plane."""
    spec = kernel("cpu-tl1").spec
    weights = [[0] * 64 for _ in range(128)]
    weights[17][4:8] = [1, -1, -1, 1]
    assert cpu_tables.Packed(weights, spec).pairs[5][1] == (3 - 1 + 4) << 4 | (-3 + 1 + 4)
    spec = kernel("cpu-tl2").spec
    weights = [[0] * 96 for _ in range(128)]
    weights[9][6:12] = [1, 1, 1, -1, 0, 1]
    packed = cpu_tables.Packed(weights, spec)
    assert packed.indices[1][17] == 13 << 4 | 8
    assert packed.signs[0][9] == 1 << (15 - 2 * 3)


@pytest.mark.parametrize("name", CHIPS)
def test_a_large_matmul_comes_near_the_kernels_peak(name: str) -> None:
    datapath = kernel(name)
    m, k, n = 1, 9216, 3840
    reached = m * k * n / datapath.cycles(m, k, n)
    assert 0.75 < reached / datapath.spec.macs_per_cycle <= 1


def test_deviations_add_up() -> None:
    exact, y = np.array([[3, -4], [0, 12]]), np.array([[3, -4], [6, 12]])
    whole = Deviation.between(y, exact)
    assert (whole.outputs, whole.wrong, whole.largest) == (4, 1, 6.0)
    assert whole.rms_relative == 6 / 13
    assert Deviation.between(y[:1], exact[:1]) + Deviation.between(y[1:], exact[1:]) == whole
    assert str(whole) == ("1 of 4 sums differ from the exact ones, by 6 at most; root mean square 0.462 of theirs")
    assert Deviation.between(exact, exact).rms_relative == 0


def test_a_run_says_what_the_kernel_does_not_know() -> None:
    result = bitsim.run("tiny-b158", "cpu-i2s-avx2", prompt="In the beginning")
    assert result.priced == ("arithmetic",)
    assert "simd.avx2.load" in (result.unpriced("system") or "")
    notes = "\n".join(result.notes)
    assert "is not exact: it wraps int16 lanes as it sums" in notes
    assert "BitLinear sums: linear: 0 of " in notes
    assert any(constant["constant"].endswith("instructions_per_cycle") for constant in result.assumed())


def test_golden_tl2_planes_tables_and_sums_of_the_compiled_kernel() -> None:
    """Made by codegen_tl2.py of microsoft/BitNet 16da220 (BM 64, BK 96, K 256), compiled and run with these planes."""
    golden = np.load(Path(__file__).parents[1] / "golden" / "bitnetcpp_tl2.npz")
    x, w, datapath = golden["x"], golden["w"], kernel("cpu-tl2", bm=64)
    packed = cpu_tables.Packed(w.tolist(), datapath.spec)
    for name in ("indices", "signs", "pairs"):
        np.testing.assert_array_equal(getattr(packed, name), golden[name])
    machine, q = Machine("avx2", Ledger()), x[0].tolist()
    triples = [table for k in range(0, 192, 24) for table in cpu_tables.triple_tables(q[k : k + 24], machine)]
    pairs = [
        table for k in range(192, 256, 16) for table in cpu_tables.pair_tables(q[k : k + 16], machine, "add_int32")
    ]
    np.testing.assert_array_equal(triples, golden["triple_tables"])
    np.testing.assert_array_equal(pairs, golden["pair_tables"])
    np.testing.assert_array_equal(datapath.execute(x, w).y[0], golden["sums"])
    np.testing.assert_array_equal(cpu_simd.run(x, w, datapath.spec).y[0], golden["sums"])


def test_golden_tl1_plane_tables_and_sums_of_the_generated_kernel() -> None:
    """Made by codegen_tl1.py of microsoft/BitNet 16da220 (BM 128, BK 64, bm 64, K 192), NEON intrinsics as loops."""
    golden = np.load(Path(__file__).parents[1] / "golden" / "bitnetcpp_tl1.npz")
    x, w, datapath = golden["x"], golden["w"], kernel("cpu-tl1")
    np.testing.assert_array_equal(cpu_tables.Packed(w.tolist(), datapath.spec).pairs, golden["pairs"])
    machine, q = Machine("neon", Ledger()), x[0].tolist()
    tables = [table for k in range(0, 192, 16) for table in cpu_tables.pair_tables(q[k : k + 16], machine, "add_int16")]
    high_first = np.array(tables)[:, ::-1, :9]
    np.testing.assert_array_equal(high_first, golden["pair_tables"])
    np.testing.assert_array_equal(datapath.execute(x, w).y[0], golden["sums"])
    np.testing.assert_array_equal(cpu_simd.run(x, w, datapath.spec).y[0], golden["sums"])


COUNTED = {
    "cpu-i2s-avx2": (
        (4224, 1),
        {"load": 165, "shift": 99, "and": 132, "maddubs": 132, "add_int16": 132, "madd": 2, "add_int32": 5}
        | {"extract": 1, "unpack": 1, "shuffle": 1, "move": 1},
    ),
    "cpu-i2s-neon": (
        (2112, 1),
        {"load": 165, "shift": 99, "and": 132, "mlal": 264, "widen": 4, "add_int32": 4, "sum_across": 1},
    ),
    "cpu-tl1": (
        (192, 128),
        {"load": 672, "shift": 384, "and": 432, "tbl": 1728, "zip": 2112, "add_int16": 1632, "widen": 96}
        | {"add_int32": 96, "store": 480},
    ),
    "cpu-tl2": (
        (256, 64),
        {"load": 528, "insert": 384, "shift": 608, "and": 192, "shuffle": 480, "unpack": 768, "xor": 256}
        | {"add_int16": 640, "add_int32": 176, "widen": 32, "extract": 16, "store": 128, "pack": 96, "permute": 768},
    ),
}


@pytest.mark.parametrize("name", CHIPS)
def test_instructions_are_those_counted_in_the_source(name: str) -> None:
    """The sources of microsoft/BitNet 16da220, compiled with a counter at every intrinsic; one token.

    Not counted there either: constants, zeros, casts and the quantisation of floats.
    """
    (k, n), counted = COUNTED[name]
    datapath = kernel(name) if name != "cpu-tl2" else kernel(name, bm=64)
    found = datapath.count(1, k, n)
    assert {event: count for event, count in found.items() if event.startswith("simd.")} == {
        f"simd.{datapath.spec.isa}.{op}": count for op, count in counted.items()
    }


def test_threads_share_rows_in_whole_blocks_and_one_builds_the_tables() -> None:
    """TL1, blocks of 32 rows: 5 blocks on 2 cores are 3 for one of them; 16 activations take 104 for their tables."""
    alone, shared = (
        CpuSimd(
            CpuSimdSpec.model_validate(
                {"kind": "cpu_simd", "kernel": "tl1", "bm": 32, "bk": 64, "bmm": 32, "threads": threads}
                | {"instructions_per_cycle": {"value": 1, "unit": "ratio", "evidence": "assumed", "source": "a test"}}
            )
        )
        for threads in (1, 2)
    )
    assert alone.count(1, 64, 160) == shared.count(1, 64, 160)
    assert shared.cycles(1, 64, 160) == alone.cycles(1, 64, 96)
    built, block = 4 * 104, alone.cycles(1, 64, 32) - 4 * 104
    assert alone.cycles(1, 64, 160) == built + 5 * block
    assert shared.cycles(1, 64, 160) == built + 3 * block
    assert shared.spec.macs_per_cycle == 2 * alone.spec.macs_per_cycle
