"""Law 2 on tensor cores: kernels equal the rational twin. And the laws of fused dot-adds, by hand and at random."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitsim
from bitsim.datapath.tensor_core.float_formats import ACC_FORMATS, OPERAND_FORMATS
from bitsim.errors import OperandError
from bitsim.hw.tensor_core import load_tensor_core
from tests.datapath.tensor_core_cases import BOTH, changed, float_requests, integer_requests, random_codes, twin

NAN = {"fp32": 0x7FFFFFFF, "fp16": 0x7FFF}
INFINITY = {"fp32": 0x7F800000, "fp16": 0x7C00}
SIGN = {"fp32": 0x80000000, "fp16": 0x8000}


def half(*values: float) -> Any:
    return np.array(values, np.float16).view(np.uint16)


def single(*values: float) -> Any:
    return np.array(values, np.float32).view(np.uint32)


def dot(mma: Any, a: list[float], b: list[float], c: Any, arch: str = "ampere", **options: Any) -> int:
    """One output of binary16 operands, the rest of K = 16 is 0."""
    row, column = (half(*values, *[0.0] * (16 - len(values))) for values in (a, b))
    return int(mma(row[None], column[:, None], c.reshape(1, 1), arch, **options)[0, 0])


@given(float_requests())
def test_law_kernel_equals_twin(request: dict[str, Any]) -> None:
    np.testing.assert_array_equal(bitsim.mma(**request), twin(**request))


@given(integer_requests())
def test_law_integer_kernel_equals_twin(request: dict[str, Any]) -> None:
    np.testing.assert_array_equal(bitsim.mma(**request), twin(**request))


@pytest.mark.parametrize("alignment_bits", [10, 25, 26, 40])
@pytest.mark.parametrize("rounding", ["toward_zero", "nearest_even"])
@given(seed=st.integers(0, 2**32 - 1))
def test_law_kernel_equals_twin_for_parameters_that_no_gpu_has(alignment_bits: int, rounding: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    block = int(rng.choice([1, 3, 24, 48]))
    fmt = str(rng.choice(["fp32", "fp16"]))
    output = {"rounding": rounding, "fraction_bits": int(rng.integers(1, 11))}
    core = changed(
        "hopper", "fp16", block_length=block, alignment_bits=alignment_bits, instruction_k=(block,), output=output
    )
    a, b = (random_codes(rng, ACC_FORMATS["fp16"], shape) for shape in ((2, 2 * block), (2 * block, 5)))
    c = random_codes(rng, ACC_FORMATS[fmt], (2, 5))
    np.testing.assert_array_equal(bitsim.mma(a, b, c, core, acc_format=fmt), twin(a, b, c, core, acc_format=fmt))


@pytest.mark.parametrize(
    ("arch", "fmt", "code", "block", "alignment_bits"),
    [
        ("hopper", "fp16", 0x3FFF, 16, 25),
        ("hopper", "fp16", 0x3FFF, 16, 26),
        ("hopper", "fp16", 0x3FFF, 32, 25),
        ("hopper", "fp16", 0x3FFF, 64, 25),
        ("blackwell", "e4m3", 0x3F, 32, 25),
        ("blackwell", "mxe5m2", 0x3F, 32, 25),
    ],
)
def test_the_largest_significands_do_not_overflow(
    arch: str, fmt: str, code: int, block: int, alignment_bits: int
) -> None:
    core = changed(arch, fmt, block_length=block, alignment_bits=alignment_bits, instruction_k=(block,))
    a = np.full((1, block), code, np.uint16 if fmt == "fp16" else np.uint8)
    c = single(1.999)[None]
    scales = {} if fmt != "mxe5m2" else dict.fromkeys(("scale_a", "scale_b"), np.full((1, 1), 127, np.uint8))
    for sign in (0, 0x8000 if fmt == "fp16" else 0x80):
        b = (a ^ a.dtype.type(sign)).T
        assert bitsim.mma(a, b, c, core, fmt, **scales) == twin(a, b, c, core, fmt, **scales)


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_scales_of_zeros(mma: Any) -> None:
    """A zero has the exponent -126 plus that of the other factor and those of the scales; a NaN scale gives NaN."""
    c = single(2.0**-90 * (1.0 + 2.0**-23)).reshape(1, 1)
    zeros, large = np.zeros((1, 32), np.uint8), np.full((1, 1), 127 + 60, np.uint8)
    assert mma(zeros, zeros.T, c, "blackwell", "mxe4m3", scale_a=large, scale_b=large) == c
    assert mma(zeros, zeros.T, c, "blackwell", "mxe5m2", scale_a=large | 255, scale_b=large) == 0x7FFFFFFF
    ones, none, one = np.full((1, 64), 2, np.uint8), np.zeros((1, 4), np.uint8), np.full((4, 1), 0x38, np.uint8)
    assert mma(ones, ones.T, c, "blackwell", "nvf4", scale_a=none, scale_b=one) == c


@given(float_requests())
def test_law_columns_and_rows_are_independent(request: dict[str, Any]) -> None:
    whole = bitsim.mma(**request)
    m, n = whole.shape
    part = request | {"a": request["a"][m - 1 :], "b": request["b"][:, n - 1 :], "c": request["c"][m - 1 :, n - 1 :]}
    if "scale_a" in request:
        part |= {"scale_a": request["scale_a"][m - 1 :], "scale_b": request["scale_b"][:, n - 1 :]}
    assert bitsim.mma(**part)[0, 0] == whole[m - 1, n - 1]


@given(float_requests())
def test_law_instructions_are_chained_over_ascending_k(request: dict[str, Any]) -> None:
    k = request["instruction_k"]
    first, rest = dict(request), dict(request)
    first |= {"a": request["a"][:, :k], "b": request["b"][:k]}
    rest |= {"a": request["a"][:, k:], "b": request["b"][k:]}
    if "scale_a" in request:
        blocks = request["scale_a"].shape[1] * k // request["a"].shape[1]
        first |= {"scale_a": request["scale_a"][:, :blocks], "scale_b": request["scale_b"][:blocks]}
        rest |= {"scale_a": request["scale_a"][:, blocks:], "scale_b": request["scale_b"][blocks:]}
    c = bitsim.mma(**first)
    chained = bitsim.mma(**rest | {"c": c}) if rest["a"].shape[1] else c
    np.testing.assert_array_equal(chained, bitsim.mma(**request))


@given(float_requests(), st.randoms(use_true_random=False))
def test_law_order_within_a_block_does_not_matter(request: dict[str, Any], random: Any) -> None:
    unit = load_tensor_core(request["arch"]).float_unit(request["a_format"], request["b_format"])
    assert unit is not None
    # Neighbours that share a scale or an exact group stay together.
    step = min(unit.block(request["instruction_k"]), 16 if unit.exact_group > 1 else 64)
    order = np.arange(request["a"].shape[1]).reshape(-1, step)
    for block in order:
        random.shuffle(block)
    order = order.ravel()
    shuffled = bitsim.mma(**request | {"a": request["a"][:, order], "b": request["b"][order]})
    np.testing.assert_array_equal(shuffled, bitsim.mma(**request))


def test_order_across_blocks_matters() -> None:
    rng = np.random.default_rng(0)
    a, b = (half(*rng.standard_normal(64 * 40)).reshape(shape) for shape in ((40, 64), (64, 40)))
    c = single(*np.zeros(1600)).reshape(40, 40)
    different = (bitsim.mma(a, b, c) != bitsim.mma(a[:, ::-1], b[::-1], c)).mean()
    assert 0.5 < different < 0.95


@given(float_requests())
def test_law_negation(request: dict[str, Any]) -> None:
    """D(-A, B, -C) = -D(A, B, C), but zero is always +0 and NaN is always one."""
    acc, sign = request["acc_format"], SIGN[request["acc_format"]]
    element_sign = 1 << (OPERAND_FORMATS[request["a_format"]].element.bits - 1)
    d = bitsim.mma(**request)
    a, c = request["a"], request["c"]
    negated = bitsim.mma(**request | {"a": a ^ a.dtype.type(element_sign), "c": c ^ c.dtype.type(sign)})
    keeps = (d == 0) | (d == NAN[acc])
    np.testing.assert_array_equal(negated, np.where(keeps, d, d ^ d.dtype.type(sign)))
    assert not (d == sign).any()


@pytest.mark.parametrize("arch", ["volta", "turing", "ampere", "ada", "hopper", "blackwell"])
@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
def test_law_ternary_times_int8_is_the_integer_matmul(arch: str, fmt: str) -> None:
    """While sums stay below 2^24, whatever the order."""
    if load_tensor_core(arch).float_unit(fmt, fmt) is None:
        pytest.skip(f"{arch} has no {fmt}")
    rng = np.random.default_rng(0)
    x, w = rng.integers(-128, 128, (7, 1024)), rng.integers(-1, 2, (1024, 33))
    a, b = (encode(v, fmt) for v in (x, w))
    d = bitsim.mma(a, b, np.zeros((7, 33), np.uint32), arch, fmt)
    np.testing.assert_array_equal(d.view(np.float32), x @ w)


def encode(values: Any, fmt: str) -> Any:
    """Codes of numbers that the format holds exactly."""
    if fmt == "fp16":
        return values.astype(np.float16).view(np.uint16)
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("convention", ["mmasim", "leeds"])
@pytest.mark.parametrize(
    ("a", "b", "c", "want"),
    [
        ([np.nan], [0.0], 0.0, "nan"),
        ([np.inf], [0.0], 0.0, "nan"),
        ([np.inf, np.inf], [1.0, -1.0], 0.0, "nan"),
        ([np.inf], [1.0], -np.inf, "nan"),
        ([0.0], [0.0], np.nan, "nan"),
        ([np.inf], [-2.0], 5.0, "-inf"),
        ([np.inf, np.inf], [1.0, 2.0], np.inf, "inf"),
        ([1.0], [1.0], -np.inf, "-inf"),
        ([-0.0], [1.0], -0.0, "zero"),
        ([-0.0, 0.0], [0.0, -0.0], -0.0, "zero"),
        ([1.5, -1.5], [1.5, 1.5], -0.0, "zero"),
        ([3.0], [-2.0], 6.0, "zero"),
    ],
)
@pytest.mark.parametrize("acc", ["fp32", "fp16"])
def test_specials_and_signed_zeros(
    mma: Any, convention: str, a: list[float], b: list[float], c: float, want: str, acc: str
) -> None:
    codes = {"nan": NAN[acc], "inf": INFINITY[acc], "-inf": INFINITY[acc] | SIGN[acc], "zero": 0}
    accumulator = single(c) if acc == "fp32" else half(c)
    assert dot(mma, a, b, accumulator, acc_format=acc, convention=convention) == codes[want]


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize(("arch", "kept"), [("volta", 23), ("turing", 24), ("ampere", 24), ("hopper", 25)])
def test_addends_are_cut_at_the_alignment_bits(mma: Any, arch: str, kept: int) -> None:
    """1.5 * 1.5 has exponent 0: the product 2.25 is not normalised before it is aligned to."""
    tiny = 2.0**-12
    for one in (1.0, 1.5):
        last = dot(mma, [one, -one, tiny], [one, one, 2.0 ** (12 - kept)], single(0.0), arch)
        assert last == single(2.0**-kept)[0]
        assert dot(mma, [one, -one, tiny], [one, one, 2.0 ** (11 - kept)], single(0.0), arch) == 0
        # Toward zero on either side, without a sticky bit.
        assert dot(mma, [one, -one, -tiny], [one, one, 2.0 ** (11 - kept)], single(0.0), arch) == 0


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_outputs_are_rounded_once(mma: Any) -> None:
    below_one = single(1.0 - 2.0**-24)[0]
    assert dot(mma, [2.0**-12], [2.0**-12], single(1.0)) == single(1.0)[0]
    assert dot(mma, [2.0**-12], [-(2.0**-12)], single(1.0)) == below_one
    assert dot(mma, [2.0**-11], [1.0], half(1.0), acc_format="fp16") == half(1.0)[0]
    assert dot(mma, [2.0**-11, 2.0**-12], [1.0, 2.0**-12], half(1.0), acc_format="fp16") == half(1.0 + 2.0**-10)[0]
    assert dot(mma, [3 * 2.0**-11], [1.0], half(1.0), acc_format="fp16") == half(1.0 + 2.0**-9)[0]


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_subnormals_are_kept_and_overflow_is_infinity(mma: Any) -> None:
    assert dot(mma, [2.0**-24], [1.0], half(0.0), acc_format="fp16") == 1
    assert dot(mma, [2.0**-24], [-0.5], half(0.0), acc_format="fp16") == 0
    assert dot(mma, [2.0**-24], [-0.5], half(-(2.0**-24)), acc_format="fp16") == 0x8002
    assert dot(mma, [8.0], [1.0], half(65504.0), acc_format="fp16") == half(65504.0)[0]
    assert dot(mma, [16.0], [-1.0], half(-65504.0), acc_format="fp16") == 0xFC00
    zeros = np.zeros((1, 16), np.uint16)
    tiny, power = zeros.copy(), zeros.copy()
    tiny[0, 0], power[0, 0] = 1, (127 - 10) << 7  # 2^-133 * 2^-10
    c = np.zeros((1, 1), np.uint32)
    assert mma(tiny, power.T, c, "ampere", "bf16")[0, 0] == 1 << 6
    tiny[0, 0] = power[0, 0] = (127 + 64) << 7
    assert mma(tiny, power.T, c, "ampere", "bf16")[0, 0] == 0x7F800000


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_an_overflow_in_one_block_reaches_the_next(mma: Any) -> None:
    a = np.zeros((1, 16), np.uint16)
    b = np.zeros((16, 1), np.uint16)
    a[0, 0] = b[0, 0] = (127 + 64) << 7
    c = np.zeros((1, 1), np.uint32)
    a[0, 8], b[8, 0] = 0xFF80, (127 << 7)
    assert mma(a, b, c, "ampere", "bf16")[0, 0] == 0x7FFFFFFF
    assert mma(a, b, c, "hopper", "bf16")[0, 0] == 0xFF800000  # one block: 2^128 is still a finite addend


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_fp8_of_ada_keeps_13_fraction_bits(mma: Any) -> None:
    a, b = np.zeros((1, 16), np.uint8), np.zeros((16, 1), np.uint8)
    c = single(-(1.0 + 2.0**-13 + 2.0**-14)).reshape(1, 1)
    assert mma(a, b, c, "ada", "e4m3")[0, 0] == single(-(1.0 + 2.0**-13))[0]


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("k", [16, 32])
def test_fp8_of_rtx_blackwell_is_one_block_that_keeps_25_bits(mma: Any, k: int) -> None:
    """Chained sums of an RTX 5090 end at 2^25 + 32: of addends beside 2^25, those of 1 are kept at F = 25."""
    a, b = np.zeros((1, k), np.uint8), np.zeros((k, 1), np.uint8)
    one, half = 0b0_0111_000, 0b0_0110_000
    a[0, :], b[:] = one, one
    c = single(2.0**25).reshape(1, 1)
    options = {"instruction_k": k}
    assert mma(a, b, c, "blackwell", "e4m3", **options)[0, 0] == single(2.0**25 + k)[0]
    a[0, :] = half  # half a unit of the last place that is kept: cut
    assert mma(a, b, c, "blackwell", "e4m3", **options)[0, 0] == single(2.0**25)[0]


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_e2m1_goes_with_fp8_in_instructions_of_k_32(mma: Any) -> None:
    """6 * 448 + 31 * 1/2 * 2^-9, and -1.5 * 1.5 * 2^3 * 2^-1 with block scales."""
    a, b = np.full((1, 32), 0b0001, np.uint8), np.full((32, 1), 0b0_0000_001, np.uint8)
    a[0, 0], b[0] = 0b0111, 0b0_1111_110
    c = np.zeros((1, 1), np.uint32)
    assert mma(a, b, c, "blackwell", "e2m1", b_format="e4m3")[0, 0] == single(2688 + 31 * 2.0**-10)[0]
    assert mma(b.T.copy(), a.T.copy(), c, "blackwell", "e4m3", b_format="e2m1")[0, 0] == single(2688 + 31 * 2.0**-10)[0]
    a[:], b[:] = 0, 0
    a[0, 5], b[5] = 0b1011, 0b0011
    assert mma(a, b, c, "blackwell", "e2m1")[0, 0] == single(-2.25)[0]
    scales = {"scale_a": np.array([[130]], np.uint8), "scale_b": np.array([[126]], np.uint8)}
    assert mma(a, b, c, "blackwell", "mxe2m1", **scales)[0, 0] == single(-9.0)[0]
    with pytest.raises(OperandError, match="expected K a multiple of the instruction's, 32, got K = 16"):
        mma(a[:, :16], b[:16], c, "blackwell", "e2m1")


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_a_group_of_fp4_is_one_addend(mma: Any) -> None:
    a, b = np.zeros((1, 64), np.uint8), np.zeros((64, 1), np.uint8)
    a[0, :16], b[:16] = 0b0111, 0b1111  # 16 * 6 * -6
    a[0, 48], b[48] = 0b0001, 0b0001  # 1/2 * 1/2
    c = single(576.0 * 2.0**4).reshape(1, 1)
    ue8m0 = {"scale_a": np.array([[129, 127]], np.uint8), "scale_b": np.array([[129], [128]], np.uint8)}
    assert mma(a, b, c, "blackwell", "mxf4", **ue8m0)[0, 0] == single(0.5)[0]
    # 1.75 * 2^3, 1.0; the sign bit of a UE4M3 scale is ignored.
    scale_a = np.array([[0b1_1010_110, 0, 0, 0b0_0111_000]], np.uint8)
    scale_b = np.array([[0b0_0111_000], [0], [0], [0b0_0000_001]], np.uint8)
    nvf4 = mma(a, b, c, "blackwell", "nvf4", scale_a=scale_a, scale_b=scale_b)[0, 0]
    assert nvf4 == single(576.0 * (2.0**4 - 14.0) + 0.25 * 2.0**-9)[0]
    scale_a[0, 1] = 0x7F
    assert mma(a, b, c, "blackwell", "nvf4", scale_a=scale_a, scale_b=scale_b)[0, 0] == 0x7FFFFFFF


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_the_conventions_differ_where_they_say(mma: Any) -> None:
    """A zero times 2^15 aligns the addends to 2^-111, or not; sums for fp16 are aligned to at least 2^-20, or not."""
    c = single((1.0 + 2.0**-23) * 2.0**-120)
    assert dot(mma, [0.0], [2.0**15], c, "volta", convention="mmasim") == single(2.0**-120)[0]
    assert dot(mma, [0.0], [2.0**15], c, "volta", convention="leeds") == c[0]
    just_above_half = [2.0**-10, 2.0**-21], [2.0**-15, 2.0**-24]
    zero = half(0.0)
    assert dot(mma, *just_above_half, zero, acc_format="fp16", convention="mmasim") == 1
    assert dot(mma, *just_above_half, zero, acc_format="fp16", convention="leeds") == 0


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
def test_a_subnormal_fp16_accumulator_has_exponent_minus_14_or_its_own(mma: Any) -> None:
    """c + 2^-25 + 2^-42, the last just breaks a tie: on a V100 it is below 2^(-14 - 23), but not below 2^(-19 - 23)."""
    a, b = [2.0**-10, 2.0**-20], [2.0**-15, 2.0**-22]
    assert dot(mma, a, b, half(3 * 2.0**-24), "volta", acc_format="fp16", convention="mmasim") == 4
    assert dot(mma, a, b, half(2 * 2.0**-24), "volta", acc_format="fp16", convention="mmasim") == 2
    assert dot(mma, a, b, half(2 * 2.0**-24), "volta", acc_format="fp16", convention="leeds") == 3


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize(
    ("overflow", "options", "want"),
    [
        ("wrap", {}, -(2**31) + 15),
        ("saturate", {}, 2**31 - 1),
        # The first half is clamped, the second one goes down from there.
        ("saturate", {"instruction_k": 16}, 2**31 - 17),
        ("saturate", {"clamp_k": 16}, 2**31 - 17),
    ],
)
def test_where_integers_overflow(mma: Any, overflow: str, options: dict[str, int], want: int) -> None:
    a, b = np.ones((1, 32), np.int8), np.repeat(np.array([[2], [-1]], np.int8), 16, axis=0)
    c = np.array([[2**31 - 1]], np.int32)
    assert mma(a, b, c, "ampere", "int8", overflow=overflow, **options)[0, 0] == want
