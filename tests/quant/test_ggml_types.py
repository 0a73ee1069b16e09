"""ggml's block types: decoders equal the plain twin, gguf-py and the samples; sizes and ids are the library's."""

import struct

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize
from hypothesis import given
from hypothesis import strategies as st

from bitsim.errors import OperandError
from bitsim.quant import stq
from bitsim.quant.ggml_types import TYPES, TYPES_OF_ID, kinds_with
from tests.quant import naive_blocks

NEW = {"Q2_0", "PQ2_0", "PTQ1_0", "STQ1_0", "IQ1_BN", "IQ2_BN"}  # gguf-py 0.19 has no such names
BLOCKS = ("Q8_0", "Q4_0", "Q5_0", "Q4_K", "Q5_K", "Q6_K", "STQ1_0")
OF_2_BITS = [name for name, known in TYPES.items() if known.two_bits]


def blocks_of(name, seed, rows=3, blocks=2, *, finite=True):
    """Random rows of a type: any bytes, without code 3 where that is no code, scales finite if asked."""
    known, rng = TYPES[name], np.random.default_rng(seed)
    data = rng.integers(0, 256, (rows, blocks, known.block_bytes), dtype=np.uint8)
    if name in OF_2_BITS:
        part = data[..., known.two_bits]
        part &= ~(part >> 1 & 0x55)
    if finite:
        for at in known.halves:
            data[..., at + 1] &= 0xBF  # an exponent below that of infinity
    rows_of_blocks = data.reshape(rows, -1)
    if not known.row_bytes:
        return rows_of_blocks
    scale = struct.pack({2: "<e", 4: "<f"}[known.row_bytes], 0.375)
    return np.concatenate([np.tile(np.frombuffer(scale, np.uint8), (rows, 1)), rows_of_blocks], axis=1)


@pytest.mark.parametrize("name", BLOCKS)
@given(seed=st.integers(0, 2**32 - 1))
def test_decoders_equal_the_twin(name, seed):
    known, data = TYPES[name], blocks_of(name, seed)
    want = [
        [value for at in range(0, len(row), known.block_bytes) for value in twin(row[at : at + known.block_bytes])]
        for twin in (getattr(naive_blocks, name.lower()),)
        for row in map(bytes, data)
    ]
    np.testing.assert_array_equal(known.decoded(data, 2 * known.block), np.array(want, np.float32))


@pytest.mark.parametrize("name", ["IQ1_BN", "IQ2_BN"])
@given(seed=st.integers(0, 2**32 - 1))
def test_decoders_with_row_scales_equal_the_twin(name, seed):
    known, data = TYPES[name], blocks_of(name, seed)
    twin, size, first = getattr(naive_blocks, name.lower()), known.block_bytes, known.row_bytes
    want = [
        [value for at in range(first, len(row), size) for value in twin(row[at : at + size], 0.375)]
        for row in map(bytes, data)
    ]
    np.testing.assert_array_equal(known.decoded(data, 128), np.array(want, np.float32))


def test_all_bytes_of_iq1_bn_decode_as_base_3_with_wrapping():
    for value in range(3**5):
        trits = [value // 3**n % 3 for n in range(4, -1, -1)]
        byte = -(-value * 256 // 243)
        assert naive_blocks.iq1_bn(bytes([byte] + 12 * [0]), 1.0)[:5] == [trit - 1 for trit in reversed(trits)]


@pytest.mark.parametrize("name", sorted(TYPES.keys() - NEW - {"Q1_0"}))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # theirs, for infinite scales
def test_decoders_equal_gguf_py(name):
    known, data = TYPES[name], blocks_of(name, 7, rows=20, blocks=4, finite=False)
    own = {"F32": np.float32, "F16": np.float16}.get(name, np.uint8)
    want = dequantize(data.view(own), GGMLQuantizationType[name])
    np.testing.assert_array_equal(known.decoded(data, 4 * known.block), want)


def test_ids_and_sizes_are_the_librarys():
    for number, known in ((number, known) for number, types in TYPES_OF_ID.items() for known in types):
        if known.name not in NEW:
            theirs = GGMLQuantizationType(number)
            assert theirs.name == known.name
            assert GGML_QUANT_SIZES[theirs] == (known.block, known.block_bytes)
    assert {theirs.value for theirs in GGMLQuantizationType} <= TYPES_OF_ID.keys()


def test_the_three_types_of_id_42_differ_in_bits_per_weight():
    bits = {known.name: 8 * known.row_size(256) / 256 for known in TYPES_OF_ID[42]}
    assert bits == {"Q2_0": 2.25, "PQ2_0": 2.125, "STQ1_0": 1.3125}


@pytest.mark.parametrize("name", kinds_with("codes"))
@given(seed=st.integers(0, 2**32 - 1))
def test_codes_are_ternary_and_scales_divide_k(name, seed):
    known = TYPES[name]
    k = 2 * known.block
    codes, scales = known.codes(blocks_of(name, seed), k)
    assert codes.dtype == np.int8
    assert codes.shape == (3, k)
    assert set(np.unique(codes)) <= ({-1, 1} if known.binary else {-1, 0, 1})
    assert scales.shape == (3, 1 if known.row_bytes else 2)
    values = known.decoded(blocks_of(name, seed), k)
    np.testing.assert_array_equal(np.sign(values), np.sign(scales).repeat(k // scales.shape[1], axis=1) * codes)


@pytest.mark.parametrize("name", sorted(TYPES.keys() - {"F32", "F16", "BF16", "IQ1_BN", "IQ2_BN"}))
@pytest.mark.filterwarnings("ignore:invalid value encountered in multiply:RuntimeWarning")  # infinity times code 0
def test_values_are_finite_where_all_scales_are(name):
    known, data = TYPES[name], blocks_of(name, 1, rows=1, blocks=1)
    assert np.isfinite(known.decoded(data, known.block)).all()
    for at in known.halves:
        data[:, at % known.block_bytes : at % known.block_bytes + 2] = [0, 0x7C]
        assert not np.isfinite(known.decoded(data, known.block)).all()


@pytest.mark.parametrize("name", OF_2_BITS)
def test_code_3_is_named(name):
    known, data = TYPES[name], blocks_of(name, 0)
    data[2, known.row_bytes + known.block_bytes + known.two_bits.start + 5] |= 0x30
    with pytest.raises(OperandError, match=rf"{name}: row 2, block 1: .* got code 3, which is twice the scale"):
        known.codes(data, 2 * known.block)


@pytest.mark.parametrize("name", sorted(TYPES.keys() - {"F32", "F16", "BF16"}))
def test_wrong_sizes_are_refused(name):
    known = TYPES[name]
    with pytest.raises(OperandError, match=rf"{name}: expected uint8 \(N, "):
        known.decoded(np.zeros((2, known.row_size(known.block) + 1), np.uint8), known.block)


def test_sherrys_codebook_has_every_pattern_with_one_zero():
    patterns = {tuple(pattern) for pattern in stq._patterns().tolist()}
    assert len(patterns) == 32
    assert all(pattern.count(0) == 1 for pattern in patterns)
    np.testing.assert_array_equal(stq._patterns()[16:], -stq._patterns()[:16])


def test_sherrys_sample(golden):
    sample = np.load(golden / "families" / "blocks_stq1_0" / "blocks.npz")
    codes, scales = TYPES["STQ1_0"].codes(sample["data"], sample["codes"].shape[1])
    np.testing.assert_array_equal(codes, sample["codes"])
    np.testing.assert_array_equal(scales, sample["d"])
