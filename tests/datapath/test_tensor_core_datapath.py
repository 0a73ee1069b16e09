"""Tensor cores on a chip: padding, fetches, overflows like `bitsim.mma`'s, and when floating point is exact."""

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitsim
from bitsim.datapath.registry import build_datapath
from bitsim.datapath.tensor_core.blocks import codes_and_scales, scaled_words
from bitsim.datapath.tensor_core.encode import encode
from bitsim.datapath.tensor_core.float_formats import OPERAND_FORMATS, decode
from bitsim.errors import OperandError
from bitsim.hw import chip_names, load_chip
from bitsim.hw.datapaths import TensorCoreSpec
from bitsim.hw.tensor_core import tensor_core_names
from bitsim.quant.fp4 import E2M1
from tests.chips import has_fp4_multipliers

INT8 = {
    "kind": "tensor_core",
    "arch": "ampere",
    "format": "int8",
    "instruction": "m16n8k32",
    "units": 3,
    "unit_macs": 512,
    "weights": "ternary",
    "row_tiles": 2,
}
FP16 = INT8 | {"format": "fp16", "instruction": "m16n8k16", "unit_macs": 256}


def cores(fields: dict[str, Any], **changes: Any) -> Any:
    return build_datapath(TensorCoreSpec.model_validate(fields | changes))


def test_one_product_pads_a_whole_instruction() -> None:
    done = cores(INT8).execute(np.array([[-128]], np.int8), np.array([[-1]], np.int8))
    assert (done.y.item(), done.cycles) == (128, 8)
    assert done.events["mma.ampere_int8_acc32.mac"] == 16 * 8 * 32
    assert done.events["mma.ampere_int8_acc32.padding"] == 16 * 8 * 32 - 1
    assert done.events["dequant.int8"] == 8 * 32


def test_row_tiles_share_each_dequantisation_and_units_each_fetch_of_activations() -> None:
    """M = 48 is three row tiles, in blocks of two; N = 32 four tiles, in groups of three; K = 64 two instructions."""
    datapath = cores(INT8)
    events, streams = datapath.count(48, 64, 32), datapath.streams(48, 64, 32)
    assert events["dequant.int8"] == 2 * 64 * 32
    assert streams.weight_reads == 2 * 64 * 32 * 2
    assert streams.act_reads == 2 * 48 * 64 * 8
    assert events["mma.ampere_int8_acc32.mac"] == 48 * 64 * 32
    assert "mma.ampere_int8_acc32.padding" not in events
    assert datapath.cycles(48, 64, 32) == 2 * 3 * 2 * 8
    instructions = 3 * 4 * 2
    fragments = 16 * 32 * 8 + 32 * 8 * 8 + 16 * 8 * 32
    assert events["regfile.read_bits"] == instructions * fragments + 2 * events["dequant.int8"]


def test_a_unit_holds_its_row_tiles_their_sums_and_weights_packed_and_dequantised() -> None:
    """Two tiles of 16 x 32 int8 and 16 x 8 int32 are 16 384 bits; 32 x 8 weights of 8 bits, and of 2 if ternary."""
    assert cores(INT8).parts() == {"mma.ampere_int8_acc32.mac": 3 * 512, "regfile.bit": 3 * (16_384 + 256 * (8 + 2))}
    assert cores(INT8, weights="full").parts()["regfile.bit"] == 3 * (16_384 + 256 * 8)


def test_weights_in_the_format_are_not_dequantised() -> None:
    datapath = cores(INT8, weights="full")
    assert datapath.weight_range == (-128, 127)
    assert "dequant.int8" not in datapath.count(48, 64, 32)
    assert datapath.streams(48, 64, 32).weight_writes == 64 * 32 * 8


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_int32_sums_that_overflow_are_those_of_mma(overflow: Any) -> None:
    """2^17 products of 2^14 are 2^31, one too many; then the sum comes back below it."""
    k = 2**17
    x = np.full((2, k + 64), -128, np.int8)
    w = np.full((2, k + 64), -128, np.int8)
    x[:, k:], x[1, ::2] = 127, 127
    done = cores(INT8, weights="full", overflow=overflow).execute(x, w)
    expected = bitsim.mma(
        x, w.T, np.zeros((2, 2), np.int32), a_format="int8", overflow=overflow, arch="ampere", instruction_k=32
    )
    np.testing.assert_array_equal(done.y, expected)
    assert done.events["overflow.acc"] >= 2
    assert str(done.first_overflow) == f"token 0, k {k - 32}, output 0"


def test_a4_codes_run_on_int4_and_the_first_other_is_named() -> None:
    datapath = cores(INT8, format="int4", instruction="m16n8k64", unit_macs=1024)
    rng = np.random.default_rng(0)
    x, w = rng.integers(-8, 8, (5, 200)).astype(np.int8), rng.integers(-1, 2, (9, 200)).astype(np.int8)
    np.testing.assert_array_equal(datapath.execute(x, w).y, x.astype(np.int64) @ w.T)
    x[3, 77], x[4, 0] = 8, -9
    with pytest.raises(OperandError, match=r"^x\[3, 77\]: expected -8\.\.7, got 8$"):
        datapath.execute(x, w)


@pytest.mark.parametrize("arch", ["ampere", "hopper"])
def test_int8_times_ternary_in_fp16_is_exact_while_fp32_sums_stay_below_2_24(arch: str) -> None:
    datapath = cores(FP16, arch=arch)
    assert not datapath.exact
    rng = np.random.default_rng(0)
    x, w = rng.integers(-128, 128, (20, 6912)).astype(np.int8), rng.integers(-1, 2, (30, 6912)).astype(np.int8)
    np.testing.assert_array_equal(datapath.execute(x, w).y, x.astype(np.int64) @ w.T)
    for k, exact in ((2**24 // 127, True), (2**24 // 127 + 65, False)):  # an odd sum above 2^24
        y = datapath.execute(np.full((1, k), 127, np.int8), np.ones((1, k), np.int8)).y
        assert (int(y.item()) == 127 * k) == exact


def test_int8_times_ternary_in_fp16_is_not_exact_with_fp16_sums() -> None:
    x, w = np.full((1, 32), 127, np.int8), np.ones((1, 32), np.int8)
    assert cores(FP16, acc_bits=16).execute(x, w).y.item() == 4064
    x[0, 0] = 126
    assert cores(FP16, acc_bits=16).execute(x, w).y.item() == 4064  # 4063 is odd, above 2048


def test_the_instruction_decides_how_many_products_are_summed_at_once() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(0, 1, (20, 64)).astype(np.float16), rng.normal(0, 1, (30, 64)).astype(np.float16)
    found = []
    for k in (8, 16):
        datapath = cores(FP16, arch="hopper", instruction=f"m16n8k{k}", weights="full", unit_macs=256)
        zero, words = np.zeros((20, 30), np.uint32), (x.view(np.uint16), w.view(np.uint16).T)
        found.append(datapath.execute(x, w).y)
        np.testing.assert_array_equal(
            found[-1], bitsim.mma(*words, zero, arch="hopper", instruction_k=k).view(np.float32)
        )
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize(("arch", "number_format"), [("ampere", "fp16"), ("hopper", "bf16"), ("hopper", "fp16")])
def test_zeros_that_pad_k_in_both_operands_move_no_bit(arch: str, number_format: str) -> None:
    """Inside of a block (8 products on hopper, whose blocks have 16) and as blocks of their own."""
    rng = np.random.default_rng(1)
    for low, high in ((0, 2**16), (0, 2**9)):  # all codes; tiny numbers only
        a, b = rng.integers(low, high, (30, 8)).astype(np.uint16), rng.integers(low, high, (8, 30)).astype(np.uint16)
        c = rng.integers(0, 2**32 if high == 2**16 else 2**25, (30, 30)).astype(np.uint32)
        alone = bitsim.mma(a, b, c, arch, number_format, instruction_k=8)
        a_padded, b_padded = np.pad(a, ((0, 0), (0, 24))), np.pad(b, ((0, 24), (0, 0)))
        np.testing.assert_array_equal(alone, bitsim.mma(a_padded, b_padded, c, arch, number_format, instruction_k=16))


def test_outputs_that_are_not_finite_are_overflows() -> None:
    done = cores(FP16, acc_bits=16, weights="full").execute(np.full((2, 5), 3e4), np.eye(3, 5) * 2 + 1)
    assert np.isinf(done.y).all()
    assert done.events["overflow.output"] == 6
    assert str(done.first_overflow) == "token 0, k 4, output 0"


def neighbours_and_ties(name: str) -> Any:
    """Every finite non-negative number of the format, every tie, and the float32 numbers on both sides of it."""
    element = OPERAND_FORMATS[name].element
    numbers = decode(np.arange(1 << (element.bits - 1), dtype=element.dtype), element).value
    numbers = numbers[np.isfinite(numbers)]
    ties = ((numbers[1:].astype(np.float64) + numbers[:-1]) / 2).astype(np.float32)
    up, down = np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(0))
    return np.concatenate([numbers, ties, up, down])


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("fp16", np.float16),
        ("bf16", ml_dtypes.bfloat16),
        ("e4m3", ml_dtypes.float8_e4m3fn),
        ("e5m2", ml_dtypes.float8_e5m2),
    ],
)
def test_operands_are_rounded_as_ml_dtypes_rounds(name: str, dtype: Any) -> None:
    element = OPERAND_FORMATS[name].element
    values = neighbours_and_ties(name)
    for signed in (values, -values):
        np.testing.assert_array_equal(encode(signed, element), signed.astype(dtype).view(element.dtype))


def test_what_is_too_large_is_infinite_in_16_bits_and_the_largest_in_8() -> None:
    big = np.array([65519, 65520, np.inf, -1e30, np.nan], np.float32)
    fp16, e4m3, e5m2 = (OPERAND_FORMATS[name].element for name in ("fp16", "e4m3", "e5m2"))
    np.testing.assert_array_equal(encode(big, fp16), [0x7BFF, 0x7C00, 0x7C00, 0xFC00, 0x7FFF])
    np.testing.assert_array_equal(decode(encode(big, e4m3), e4m3).value, [448, 448, 448, -448, np.nan])
    np.testing.assert_array_equal(decode(encode(big, e5m2), e5m2).value, [57344, 57344, 57344, -57344, np.nan])


GPUS = {  # tensor cores and clock (GHz) of a GPU of the architecture, and its dense T(FL)OPS by format
    "volta": (640, 1.53, {"fp16": 125}),  # V100
    "turing": (576, 1.56, {"int8": 230, "fp16": 115}),  # T40
    "ampere": (432, 1.41, {"int4": 1248, "int8": 624, "fp16": 312}),  # A100
    "ada": (568, 2.52, {"e4m3": 733, "fp16": 366}),  # L40S
    "hopper": (528, 1.83, {"e4m3": 1979, "fp16": 989}),  # H100 SXM5
    "blackwell": (680, 2.407, {"mxf4": 1676, "nvf4": 1676, "fp16": 209.5}),  # RTX 5090
}


TENSOR_CORES = {name: spec for name in chip_names() if isinstance(spec := load_chip(name).bitlinear, TensorCoreSpec)}


@pytest.mark.parametrize("name", TENSOR_CORES)
def test_presets_have_the_published_rates_of_their_gpus(name: str) -> None:
    chip: Any = load_chip(name)
    for spec in (chip.bitlinear, chip.wide):
        cores, clock, peaks = GPUS[spec.arch]
        assert 2e-3 * cores * clock * spec.unit_macs == pytest.approx(peaks[spec.format], rel=0.01)
        assert spec.macs_per_cycle == 4096 * (spec.unit_macs / chip.bitlinear.unit_macs)


def test_every_architecture_is_on_a_chip() -> None:
    missing = {spec.arch for spec in TENSOR_CORES.values()} - set(GPUS)
    assert not missing, f"add a GPU with its published rates to GPUS for {missing}"
    assert set(tensor_core_names()) == {spec.arch for spec in TENSOR_CORES.values()}


@pytest.mark.parametrize(
    ("name", "dtype", "largest", "exponent"),
    [
        ("mxf4", ml_dtypes.float4_e2m1fn, 6, 2),
        ("mxe4m3", ml_dtypes.float8_e4m3fn, 448, 8),
        ("mxe5m2", ml_dtypes.float8_e5m2, 57344, 15),
    ],
)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from((1.0, 3e-5, 127.0, 1e30)))
def test_blocks_have_the_scale_of_ocp_and_elements_as_ml_dtypes_rounds(
    name: str, dtype: Any, largest: float, exponent: int, seed: int, size: float
) -> None:
    block = np.random.default_rng(seed).normal(0, size, (1, 32)).astype(np.float32)
    scale = 2.0 ** (math.floor(math.log2(float(np.abs(block).max()))) - exponent)
    elements = np.clip(block.astype(np.float64) / scale, -largest, largest).astype(dtype).astype(np.float64)
    np.testing.assert_array_equal(numbers_of(scaled_words(block, OPERAND_FORMATS[name]), name), elements * scale)


def numbers_of(words: Any, name: str) -> Any:
    """What words of code and scale stand for."""
    fmt: Any = OPERAND_FORMATS[name]
    codes, scales = codes_and_scales(words, fmt)
    scale = decode(scales, fmt.scale).value.astype(np.float64).repeat(fmt.scale_block, axis=1)
    return decode(codes, fmt.element).value * scale[:, : words.shape[1]]


def test_nvf4_blocks_reach_their_largest_number_within_the_rounding_of_their_scale() -> None:
    """max / 6 as UE4M3 is off by at most 1/16; then 6 is nearest for the largest of the block."""
    x = np.random.default_rng(0).integers(-127, 128, (50, 16)).astype(np.float32)
    found = numbers_of(scaled_words(x, OPERAND_FORMATS["nvf4"]), "nvf4")
    largest = np.abs(x).max(axis=1)
    np.testing.assert_allclose(np.abs(found).max(axis=1), largest, rtol=1 / 16)
    assert (np.sign(found) * np.sign(x) >= 0).all()


def test_blocks_of_zeros_and_of_numbers_that_are_not_finite() -> None:
    x = np.array([[0] * 32 + [1] * 31 + [np.inf], [np.nan] * 32 + [0] * 32], np.float32)
    for name in ("mxf4", "nvf4"):
        found = numbers_of(scaled_words(x, OPERAND_FORMATS[name]), name)
        assert (found[0, :32] == 0).all()
        assert (found[1, 32:] == 0).all()
        assert np.isnan(found[0, 48:]).all()
        assert np.isnan(found[1, :32]).all()


@pytest.mark.parametrize("name", [name for name, spec in TENSOR_CORES.items() if has_fp4_multipliers(spec)])
def test_fp4_reports_how_far_its_sums_are_off(name: str) -> None:
    datapath = build_datapath(load_chip(name).bitlinear)
    rng = np.random.default_rng(0)
    x, w = rng.integers(-127, 128, (9, 200)).astype(np.int8), rng.integers(-1, 2, (20, 200)).astype(np.int8)
    done = datapath.execute(x, w)
    assert not datapath.exact
    assert done.deviation is not None
    assert done.deviation.wrong == np.count_nonzero(done.y != x.astype(np.int64) @ w.T)
    assert 0.01 < done.deviation.rms_relative < 0.2


def test_e2m1_activations_of_a48_are_exact_in_mxf4() -> None:
    datapath = build_datapath(load_chip("mxf4-tensor-blackwell").bitlinear)
    rng = np.random.default_rng(0)
    x, w = (rng.choice(E2M1.grid, (40, 700)) * rng.choice([-1, 1], (40, 700))), rng.integers(-1, 2, (20, 700))
    x, w = x.astype(np.int8), w.astype(np.int8)
    np.testing.assert_array_equal(datapath.execute(x, w).y, x.astype(np.int64) @ w.T)


def test_scales_of_blocks_are_moved_with_the_activations() -> None:
    datapath: Any = build_datapath(load_chip("nvf4-tensor-blackwell").bitlinear)
    spec = datapath.spec
    stored = type(spec).model_validate(spec.model_dump() | {"weights": "full"})
    m, k, n = 3, 100, 5
    assert datapath.streams(m, k, n).act_reads == m * (4 * k + 8 * 7)
    assert datapath.streams(m, k, n).weight_writes == 2 * k * n
    assert build_datapath(stored).streams(m, k, n).weight_writes == n * (4 * k + 8 * 7)
