"""Law 8 for every byte layout: lossless at every length, bytes equal to twin and reference, the stated size."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsim.errors import OperandError, UnknownNameError
from bitsim.quant.i2s import i2s_layout, pack_i2s, unpack_i2s
from bitsim.quant.layouts import PACKINGS, packing
from bitsim.quant.tq import pack_tq1_0, pack_tq2_0, unpack_tq1_0, unpack_tq2_0
from bitsim.quant.trits import pack_trits, unpack_trits
from tests.quant.naive_packings import NAIVE

shapes = st.tuples(st.integers(1, 7), st.one_of(st.integers(1, 40), st.integers(250, 262), st.just(513)))
codes_arrays = shapes.flatmap(lambda shape: arrays(np.int8, shape, elements=st.integers(-1, 1)))


@pytest.mark.parametrize("name", PACKINGS)
@given(codes=codes_arrays)
def test_unpack_of_pack_is_identity_and_bytes_equal_the_twin(name, codes):
    layout, (n, k) = packing(name), codes.shape
    if layout.binary:
        codes = np.where(codes > 0, np.int8(1), np.int8(-1))
    data = layout.pack(codes)
    assert data.dtype == np.uint8
    assert data.tobytes() == NAIVE[name](codes.tolist())
    assert data.size == layout.size_bytes(n, k)
    got = layout.unpack(data, n, k)
    assert got.dtype == np.int8
    np.testing.assert_array_equal(got, codes)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("2bit", Fraction(2)),
        ("tq2_0", Fraction("2.0625")),
        ("tq1_0", Fraction("1.6875")),
        ("q2_0", Fraction("2.25")),
        ("pq2_0", Fraction("2.125")),
        ("ptq1_0", Fraction("1.75")),
        ("q1_0", Fraction("1.125")),
        ("i2_s_x86", Fraction(2)),
        ("i2_s_arm", Fraction(2)),
        ("trits5_offset", Fraction("1.6")),
        ("trits5_sign", Fraction("1.6")),
        ("1bit", Fraction(1)),
    ],
)
def test_whole_blocks_have_the_stated_bits(name, bits):
    layout = packing(name)
    assert layout.bits_per_weight == bits
    assert Fraction(8 * layout.size_bytes(4, 1280), 4 * 1280) == bits


def test_ggml_bytes(golden):
    vectors = np.load(golden / "gguf" / "tq_rand_ternary.npz")
    codes, scale = vectors["w.rand_ternary"], np.float16(vectors["w.rand_ternary.absmax"][0])
    for kind, pack, unpack in (("tq1_0", pack_tq1_0, unpack_tq1_0), ("tq2_0", pack_tq2_0, unpack_tq2_0)):
        expected = vectors[f"{kind}.rand_ternary.bytes_c"]
        np.testing.assert_array_equal(pack(codes, scale), expected)
        got, scales = unpack(expected, codes.shape[1])
        np.testing.assert_array_equal(got, codes)
        assert (scales == scale).all()


def test_bitnet_cpp_bytes(golden):
    vectors = np.load(golden / "gguf" / "i2s_vectors.npz")
    for case in ("a", "b"):
        codes, data = vectors[f"{case}.tern"], vectors[f"{case}.bytes_x86"].reshape(-1)
        packed = pack_i2s(codes, "x86")
        assert data.size == packed.size + 32
        np.testing.assert_array_equal(packed, data[: packed.size])
        np.testing.assert_array_equal(unpack_i2s(packed, *codes.shape, "x86"), codes)


def test_all_243_trit_bytes():
    every = np.arange(243, dtype=np.uint8)[None]
    for convention in ("offset", "sign"):
        np.testing.assert_array_equal(pack_trits(unpack_trits(every, 5 * 243, convention), convention), every)
    assert unpack_trits(np.zeros((1, 1), np.uint8), 5, "offset").tolist() == [[-1] * 5]
    assert unpack_trits(np.zeros((1, 1), np.uint8), 5, "sign").tolist() == [[0] * 5]
    with pytest.raises(OperandError, match=r"\[0, 1\]: expected 0..242, got 243"):
        unpack_trits(np.array([[0, 243]], np.uint8), 10, "sign")


def test_all_256_tq1_0_bytes_decode_as_ggml_does():
    for byte in range(256):
        data = np.zeros((1, 54), np.uint8)
        data[0, 7] = byte
        codes = unpack_tq1_0(data, 256)[0]
        expected = [((((byte * 3**i) & 255) * 3) >> 8) - 1 for i in range(5)]
        assert [codes[0, 7 + 32 * i] for i in range(5)] == expected


def test_code_3_is_refused():
    data = np.zeros((2, 132), np.uint8)
    data[1, 66 + 5] = 0x30
    with pytest.raises(OperandError, match=r"TQ2_0: row 1, block 1: .*code 3"):
        unpack_tq2_0(data, 512)
    for layout, size in (("x86", 32), ("arm", 16)):
        flat = np.zeros(size, np.uint8)
        flat[9] = 0x0C
        with pytest.raises(OperandError, match=rf"I2_S {layout}: byte 9: .*code 3 in 0x0c"):
            unpack_i2s(flat, 1, 4 * size, layout)


@pytest.mark.parametrize("name", PACKINGS)
def test_errors_say_where(name):
    layout = packing(name)
    with pytest.raises(OperandError, match=r"ternary codes\[1, 0\]: expected -1, 0 or 1, got 2"):
        layout.pack(np.array([[0], [2]], np.int8))
    with pytest.raises(OperandError, match="expected uint8"):
        layout.unpack(np.zeros((3, 3), np.int8), 5, 7)
    with pytest.raises(OperandError, match="expected uint8"):
        layout.unpack(np.zeros((1, 1, 9), np.uint8), 5, 7)


@pytest.mark.parametrize("name", ["1bit", "q1_0"])
def test_binary_packing_refuses_zeros(name):
    with pytest.raises(OperandError, match=r"binary codes\[1, 0\]: expected -1 or 1, got 0"):
        packing(name).pack(np.array([[1, -1], [0, 1]], np.int8))


def test_names():
    with pytest.raises(UnknownNameError, match=r"unknown packing 'tq2'; did you mean .*tq2_0"):
        packing("tq2")
    with pytest.raises(UnknownNameError, match="unknown I2_S layout"):
        i2s_layout("neon")
    assert (i2s_layout("x86"), i2s_layout("arm")) == ("x86", "arm")
