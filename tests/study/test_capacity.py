"""What memory must hold, what traffic costs in it, and what bounds a matmul, against numbers worked out by hand."""

import math

import pytest

from bitsim.cost.sram import buffer_of
from bitsim.errors import ConfigError
from bitsim.hw import Chip, load_chip
from bitsim.model.footprint import footprint
from bitsim.model.operators import lone_linear
from bitsim.model.zoo import zoo_config
from bitsim.quant.recipes import recipe_named
from bitsim.schedule import Placement
from bitsim.study.capacity import check_capacity
from bitsim.study.goal import per_bit
from tests.chips import amount

CHIP = load_chip("ternary-ws-64x64")
LINEARS, EMBEDDING = 26 * (4 * 3200**2 + 3 * 3200 * 8640) // 4, 2 * 2 * 32000 * 3200
KV = 2 * 26 * 3200 * 2 * 100 * 3  # 100 positions of 3 sequences, FP16


def with_dram(gigabytes: float) -> Chip:
    dram = CHIP.memory.dram.model_copy(update={"capacity": amount(CHIP.memory.dram.capacity, gigabytes)})
    return CHIP.model_copy(update={"memory": CHIP.memory.model_copy(update={"dram": dram})})


def test_dram_holds_packed_linears_embedding_head_and_the_cache_of_all_sequences() -> None:
    config = zoo_config("bitnet-b158-3b")
    stored = footprint(config, recipe_named(config.default_numerics), positions=100, batch=3)
    assert (stored.linears, stored.embedding, stored.kv) == (LINEARS, EMBEDDING, KV)
    needs = LINEARS + EMBEDDING + KV
    enough, short = (Placement(with_dram((needs + spare) / 1e9)) for spare in (1, -1000))
    assert check_capacity(enough, "m", stored, quantised=True, beyond=False) == ()
    with pytest.raises(ConfigError, match=rf"memory\.dram: m needs {needs:,} bytes"):
        check_capacity(short, "m", stored, quantised=True, beyond=False)


def test_reading_and_writing_cost_what_each_memory_says_of_them() -> None:
    """Of buffers their own prices (tests/cost/test_sram.py); of LPDDR4 8 pJ per bit either way."""
    found = per_bit(CHIP.with_technology("45nm"))
    for name in ("weights", "acts", "psums"):
        buffer = buffer_of(CHIP.with_technology("45nm"), name)
        assert found[name] == (buffer.bit("read").nominal, buffer.bit("write").nominal)
    assert len({*found.values()}) == 4
    assert found["dram"] == pytest.approx((8, 8))


def test_compulsory_traffic_has_weights_activations_and_outputs_that_live_in_dram() -> None:
    m, k, n = 512, 3200, 8640
    op = lone_linear(name="l", phase="prefill", m=m, k=k, n=n, weight_bits=2 * k * n)
    bits = 2 * k * n + 8 * m * k + 16 * m * n
    bounds = Placement(CHIP).place(op).bounds
    assert bounds["dram"] == math.ceil(bits / (17.064 * 0.85 * 8))
    assert bounds["peak"] == m * k * n // 64**2
