"""Bytes of linears, embedding, head and KV cache against numbers worked out by hand."""

from dataclasses import replace
from fractions import Fraction

import pytest

from bitsim.model.footprint import (
    embedding_bits,
    embedding_row_bits,
    footprint,
    head_bits,
    kv_bits,
    kv_layer_bits,
    linear_bits,
    linears_bits,
    router_bits,
)
from bitsim.model.kv_cache import KVCache
from bitsim.model.zoo import zoo_config
from bitsim.quant.kv import KV_FORMATS, KV_OF_BITS
from bitsim.quant.recipes import recipe_named
from bitsim.serving.memory import kv_storage
from tests.model.tiny_models import CONFIG, FLOAT_CONFIG

# CONFIG: 2 layers, d = 32, ffn 44 with a gate, 4 query and 2 kv heads of 8, vocabulary 50, tied.
ATTENTION, FFN = 32 * 32 + 16 * 32 + 16 * 32 + 32 * 32, 3 * 44 * 32


@pytest.mark.parametrize(
    ("bits", "n", "k", "expected"),
    [
        (Fraction(2), 45, 32, 12 * 32),  # 45 rows are packed as 48, four to a byte
        (Fraction(2), 44, 33, 11 * 33),
        (Fraction(8, 5), 45, 32, 45 * 7),  # five trits per byte: 32 weights in 7
        (Fraction(1), 3, 9, 3 * 2),
        (Fraction(16), 3, 9, 3 * 18),
    ],
)
def test_one_linear_has_whole_bytes(bits: Fraction, n: int, k: int, expected: int) -> None:
    assert linear_bits(replace(CONFIG, weight_bits_per_weight=bits), n, k) == 8 * expected


def test_linears_embedding_and_head_of_a_small_model() -> None:
    assert linears_bits(CONFIG) == 2 * 2 * (ATTENTION + FFN)
    assert linears_bits(FLOAT_CONFIG) == 16 * 2 * (ATTENTION + FFN)
    assert (embedding_row_bits(CONFIG), head_bits(CONFIG)) == (16 * 32, 16 * 50 * 32)
    assert embedding_bits(CONFIG) == 16 * 50 * 32  # tied
    assert embedding_bits(FLOAT_CONFIG) == 2 * 16 * 50 * 32


def test_packed_tables_count_the_bits_of_their_blocks() -> None:
    packed = replace(CONFIG, head_bits=Fraction(9, 2), embedding_bits=Fraction(17, 2))
    assert (embedding_row_bits(packed), head_bits(packed)) == (17 * 16, 50 * 9 * 16)
    assert embedding_bits(packed) == 50 * 16 * (9 + 17)  # tied, in others bits: beside each other
    assert embedding_bits(replace(packed, head_bits=Fraction(17, 2))) == 50 * 16 * 17


def test_experts_repeat_the_ffn_and_add_an_fp16_router_per_layer() -> None:
    assert router_bits(CONFIG, 1) == 0
    assert router_bits(CONFIG, 4) == 16 * 4 * 32
    assert linears_bits(CONFIG, experts=4) == 2 * (2 * (ATTENTION + 4 * FFN) + 16 * 4 * 32)


def test_keys_and_values_by_format() -> None:
    """3 positions of 2 heads of 8 values, keys and values, 2 layers; codes have a 16-bit step per head and position."""
    assert kv_bits(CONFIG, 16, 3) == 2 * 2 * 2 * 3 * 8 * 16
    assert kv_bits(CONFIG, KV_FORMATS["kv8"], 3) == 2 * 2 * 2 * 3 * (8 * 8 + 16)
    assert kv_bits(CONFIG, KV_FORMATS["kv3_bos4"], 3) == 2 * 2 * 2 * (8 * (4 + 3 + 3) + 3 * 16)
    assert kv_bits(CONFIG, KV_FORMATS["kv3_bos8"], 3) == 2 * 2 * 2 * (8 * (8 + 3 + 3) + 3 * 16)
    assert kv_layer_bits(CONFIG, KV_FORMATS["kv3_bos8"], 0, 1) == 2 * (8 * 8 + 16)
    assert kv_layer_bits(CONFIG, KV_FORMATS["kv3_bos8"], 1, 2) == 2 * 2 * (8 * 3 + 16)  # behind BOS


def test_a_footprint_has_whole_bytes_of_all_sequences() -> None:
    found = footprint(CONFIG, recipe_named("a48_kv3"), positions=3, batch=5, experts=4)
    assert found.linears == linears_bits(CONFIG, experts=4) / 8
    assert found.embedding == 2 * 50 * 32
    assert found.kv == 5 * 2 * 2 * 2 * (8 * 10 + 48) / 8
    narrow = replace(CONFIG, head_dim=2, num_heads=1, num_kv_heads=1, num_layers=1, sub_norms=False)
    assert kv_bits(narrow, KV_FORMATS["kv3_bos4"], 2) == 2 * (2 * 7 + 2 * 16)
    assert footprint(narrow, recipe_named("a48_kv3"), positions=2, batch=1).kv == 12  # 92 bits
    assert footprint(narrow, recipe_named("float"), positions=2, batch=1).kv == 16  # FP16 unless the recipe says


def test_the_2b4t_model() -> None:
    """30 layers of 2560, ffn 6912, 20 heads of 128 of which 5 kv, tied vocabulary of 128256."""
    config = zoo_config("bitnet-b158-2b4t")
    found = footprint(config, recipe_named(config.default_numerics), positions=4096, batch=1)
    assert found.linears == 30 * (2 * 2560 * 2560 + 2 * 640 * 2560 + 3 * 6912 * 2560) // 4
    assert found.embedding == 2 * 128256 * 2560
    assert found.kv == 2 * 30 * 640 * 4096 * 2


@pytest.mark.parametrize(("bits", "name"), [(8, "kv8"), (4, "kv4"), (3, "kv3_bos4")])
def test_a_number_of_bits_means_one_format_everywhere(bits: int, name: str) -> None:
    """BitNet a4.8, arXiv 2411.04965 section 2: a 3-bit cache keeps the heads of BOS at 4 bit."""
    recipe = recipe_named("v2_a4_kv3")
    assert KV_OF_BITS[bits].name == KVCache(CONFIG, bits).name == name
    assert kv_storage(bits, recipe) is KV_OF_BITS[bits]
    assert kv_storage(None, recipe) is KV_FORMATS["kv3_bos8"]  # the numerics' own
