"""Law 8 for Hugging Face's packing, and bfloat16."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsim.errors import OperandError
from bitsim.quant import repack
from bitsim.quant.packing import TernaryWeight, bf16_to_f32, f32_to_bf16, pack_hf, unpack_hf

shapes = st.tuples(st.integers(1, 21), st.integers(1, 13))


@settings(deadline=None)
@given(arrays(np.int8, shapes, elements=st.integers(-1, 1)))
def test_unpack_of_pack_is_identity(codes):
    n, k = codes.shape
    packed = pack_hf(codes)
    assert packed.shape == (-(-n // 4), k)
    np.testing.assert_array_equal(unpack_hf(packed, n), codes)
    weight = TernaryWeight(packed=packed, n=n, k=k, scale=np.float32(1))
    assert weight.bits == 8 * -(-n // 4) * k
    np.testing.assert_array_equal(weight.codes(), codes)


def test_all_81_bytes():
    valid = [b for b in range(256) if all((b >> s) & 3 < 3 for s in (0, 2, 4, 6))]
    assert len(valid) == 81
    packed = np.array([valid], np.uint8)
    np.testing.assert_array_equal(pack_hf(unpack_hf(packed, 4)), packed)
    for byte in set(range(256)) - set(valid):
        with pytest.raises(OperandError, match=rf"\[1, 2\].*code 3 in byte {byte:#04x}"):
            unpack_hf(np.array([[0, 0, 0], [0, 0, byte]], np.uint8), 8)


@pytest.mark.parametrize("row", [0, 255, 256, 511, 512, 699])
def test_code_3_is_found_in_the_first_and_the_last_row_of_many(row):
    packed = np.zeros((700, 2), np.uint8)
    packed[row, 1] = 0x30
    with pytest.raises(OperandError, match=rf"\[{row}, 1\].*code 3 in byte 0x30"):
        unpack_hf(packed, 2800)


@pytest.mark.parametrize("block", [1, 20, 10**6])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 11, 42])
def test_rows_that_come_a_few_at_a_time_are_packed_as_the_whole_and_asked_for_once(n, block, monkeypatch):
    monkeypatch.setattr(repack, "_BLOCK_CODES", block)
    codes, asked = np.random.default_rng(n).integers(-1, 2, (n, 7)).astype(np.int8), []

    def rows(low, high):
        asked.extend(range(low, high))
        return codes[low:high]

    np.testing.assert_array_equal(repack.pack_hf_rows(rows, n, 7), pack_hf(codes))
    assert sorted(asked) == list(range(n))


def test_bytes_equal_transformers(layer):
    vectors = layer("weight_vectors")
    np.testing.assert_array_equal(pack_hf(vectors["pack.tern"]), vectors["pack.packed"])
    for n in (1, 2, 3, 5, 6, 7, 9):
        codes, packed = vectors[f"pack.odd{n}.tern"], vectors[f"pack.odd{n}.packed"]
        np.testing.assert_array_equal(pack_hf(codes), packed)
        np.testing.assert_array_equal(unpack_hf(packed, n), codes)
        np.testing.assert_array_equal(unpack_hf(packed, 4 * len(packed)), vectors[f"pack.odd{n}.unpacked"])


def test_errors_say_where():
    with pytest.raises(OperandError, match=r"ternary codes\[1, 0\]: expected -1, 0 or 1, got 2"):
        pack_hf(np.array([[0], [2]], np.int8))
    with pytest.raises(OperandError, match="int8"):
        pack_hf(np.zeros((2, 2), np.int16))
    with pytest.raises(OperandError, match=r"expected uint8 \(2, K\)"):
        unpack_hf(np.zeros((1, 3), np.uint8), 5)
    with pytest.raises(OperandError, match=r"expected uint8 \(2, 3\)"):
        TernaryWeight(packed=np.zeros((1, 3), np.uint8), n=5, k=3, scale=np.float32(1))


def test_every_bf16_survives():
    bits = np.arange(65536, dtype=np.uint32).astype(np.uint16)
    values = bf16_to_f32(bits)
    finite = ~np.isnan(values)
    np.testing.assert_array_equal(f32_to_bf16(values)[finite], bits[finite])
    assert np.isnan(bf16_to_f32(f32_to_bf16(values[~finite]))).all()


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (0x3F808000, 0x3F80),  # tie to even, down
        (0x3F818000, 0x3F82),  # tie to even, up
        (0x3F808001, 0x3F81),
        (0x7F7FFFFF, 0x7F80),  # rounds to infinity
        (0x00008001, 0x0001),
        (0x7F800001, 0x7FC0),  # signalling NaN becomes quiet
    ],
)
def test_bf16_rounds_to_nearest_even(value, bits):
    assert f32_to_bf16(np.array([value], np.uint32).view(np.float32))[0] == bits
