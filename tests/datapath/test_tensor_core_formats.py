"""Decoding against independent libraries, and small domains of products exhaustively."""

import math
from typing import Any

import numpy as np
import pytest

import bitsim
from bitsim.datapath.tensor_core import float_formats
from bitsim.datapath.tensor_core.blocks import codes_and_scales, scaled_words
from bitsim.datapath.tensor_core.float_formats import BF16, E2M1, E4M3, E5M2, FP16, FP32, TF32, UE4M3, UE8M0, decode
from bitsim.datapath.tensor_core.reference import unpack

SMALL = [FP16, BF16, E4M3, E5M2, E2M1, UE8M0, UE4M3]
FP8 = {"e4m3": E4M3, "e5m2": E5M2}


def all_codes(fmt: float_formats.FloatFormat) -> Any:
    return np.arange(fmt.max_code + 1, dtype=fmt.dtype)


def assert_same(got: Any, want: Any) -> None:
    """Equal bits, NaN to NaN."""
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), nan)
    np.testing.assert_array_equal(got[~nan].view(np.uint32), want[~nan].view(np.uint32))


@pytest.mark.parametrize(
    ("fmt", "oracle"),
    [
        (BF16, "bfloat16"),
        (E4M3, "float8_e4m3fn"),
        (E5M2, "float8_e5m2"),
        (E2M1, "float4_e2m1fn"),
        (UE8M0, "float8_e8m0fnu"),
    ],
)
def test_all_codes_equal_ml_dtypes(fmt: float_formats.FloatFormat, oracle: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    codes = all_codes(fmt)
    assert_same(decode(codes, fmt).value, codes.view(getattr(ml_dtypes, oracle)).astype(np.float32))


def test_all_codes_equal_numpy_and_each_other() -> None:
    assert_same(decode(all_codes(FP16), FP16).value, all_codes(FP16).view(np.float16).astype(np.float32))
    words = np.random.default_rng(0).integers(0, 2**32, 10**5, dtype=np.uint32)
    assert_same(decode(words, FP32).value, words.view(np.float32))
    assert_same(decode(words, TF32).value, (words & np.uint32(0xFFFFE000)).view(np.float32))
    positive = all_codes(UE4M3) & np.uint8(0x7F)
    assert_same(decode(all_codes(UE4M3), UE4M3).value, decode(positive, E4M3).value)


@pytest.mark.parametrize("fmt", SMALL, ids=lambda fmt: fmt.name)
def test_law_tables_equal_the_twin(fmt: float_formats.FloatFormat) -> None:
    numbers = decode(all_codes(fmt), fmt)
    for code, value, exponent in zip(all_codes(fmt).tolist(), numbers.value, numbers.exponent, strict=True):
        number = unpack(code, fmt)
        if number.special is not None:
            assert math.isnan(value) if math.isnan(number.special) else value == number.special
        else:
            assert (value, exponent) == (float(number.significand) * 2.0**number.exponent, number.exponent)


@pytest.mark.parametrize("arch", ["ada", "hopper", "blackwell"])
@pytest.mark.parametrize("a_format", FP8)
@pytest.mark.parametrize("b_format", FP8)
def test_every_product_of_two_fp8_numbers(arch: str, a_format: str, b_format: str) -> None:
    """65,536 single products are exact in every output format; zero is +0, NaN has all bits set."""
    codes = np.arange(256, dtype=np.uint8)
    a, b = np.zeros((256, 32), np.uint8), np.zeros((32, 256), np.uint8)
    a[:, 5], b[5] = codes, codes
    x, y = (decode(codes, FP8[name]).value.astype(np.float64) for name in (a_format, b_format))
    with np.errstate(invalid="ignore"):
        want = (x[:, None] * y + 0.0).astype(np.float32)
    want_bits = np.where(np.isnan(want), np.uint32(0x7FFFFFFF), want.view(np.uint32))
    got = bitsim.mma(a, b, np.zeros((256, 256), np.uint32), arch, a_format, b_format)
    np.testing.assert_array_equal(got, want_bits)


@pytest.mark.parametrize(("fmt", "block", "one"), [("mxf4", 32, 127), ("nvf4", 16, 0x38)])
def test_every_product_of_two_fp4_numbers(fmt: str, block: int, one: int) -> None:
    codes = np.arange(16, dtype=np.uint8)
    a, b = np.zeros((16, 64), np.uint8), np.zeros((64, 16), np.uint8)
    a[:, 20], b[20] = codes, codes
    scales = {
        "scale_a": np.full((16, 64 // block), one, np.uint8),
        "scale_b": np.full((64 // block, 16), one, np.uint8),
    }
    magnitudes = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
    values = np.concatenate([magnitudes, -magnitudes])
    got = bitsim.mma(a, b, np.zeros((16, 16), np.uint32), "blackwell", fmt, **scales)
    np.testing.assert_array_equal(got, (values[:, None] * values + 0.0).view(np.uint32))


@pytest.mark.parametrize(("fmt", "scale_format", "block"), [("mxf4", UE8M0, 32), ("nvf4", UE4M3, 16)])
def test_every_pair_of_scales(fmt: str, scale_format: float_formats.FloatFormat, block: int) -> None:
    """-1.5 * 1 in the second block times 65,536 pairs of scales: toward zero where fp32 has no such number."""
    codes = np.arange(256, dtype=np.uint8)
    a, b = np.zeros((256, 64), np.uint8), np.zeros((64, 256), np.uint8)
    a[:, block], b[block] = 0b1011, 0b0010
    scale_a = np.full((256, 64 // block), 0x38, np.uint8)
    scale_b = np.full((64 // block, 256), 0x38, np.uint8)
    scale_a[:, 1], scale_b[1] = codes, codes
    scale = decode(codes, scale_format).value.astype(np.float64)
    exact = -1.5 * scale[:, None] * scale
    with np.errstate(over="ignore", under="ignore"):
        nearest = exact.astype(np.float32)
    too_large = np.isfinite(nearest) & (np.abs(nearest.astype(np.float64)) > np.abs(exact))
    want = np.where(too_large, np.nextafter(nearest, np.float32(0)), nearest) + np.float32(0)
    got = bitsim.mma(a, b, np.zeros((256, 256), np.uint32), "blackwell", fmt, scale_a=scale_a, scale_b=scale_b)
    np.testing.assert_array_equal(got, np.where(np.isnan(want), np.uint32(0x7FFFFFFF), want.view(np.uint32)))


@pytest.mark.parametrize(("name", "code"), [("mxe4m3", 0xFF), ("mxe5m2", 0xFF), ("mxf4", 0xFF), ("nvf4", 0x7F)])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_block_with_a_number_that_is_not_finite_has_the_scale_nan(name: str, code: int, value: float) -> None:
    """NaN is 0xFF in UE8M0 (OCP MX 1.0) and 0x7F in UE4M3, whose sign bit is unused."""
    fmt = float_formats.OPERAND_FORMATS[name]
    assert fmt.scale is not None
    values = np.ones((2, 2 * fmt.scale_block), np.float32)
    values[1, 3] = value
    _, scales = codes_and_scales(scaled_words(values, fmt), fmt)
    assert scales[1, 0] == code
    assert np.isnan(decode(scales, fmt.scale).value).tolist() == [[False, False], [True, False]]
