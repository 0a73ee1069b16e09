"""The room of a KV cache: it grows as it is needed, keeps what it holds, and never beyond the model's positions."""

from dataclasses import replace

import numpy as np
import pytest

from bitsim.errors import OperandError
from bitsim.model.kv_cache import KVCache
from tests.model.tiny_models import CONFIG


def test_a_cache_doubles_its_room_or_takes_what_is_asked_for_up_to_the_models_positions() -> None:
    cache = KVCache(replace(CONFIG, max_position_embeddings=1000), 32)
    found = [cache.capacity]
    for positions in (1, 64, 65, 128, 300, 301, 601, 1000):
        cache.reserve(positions)
        found.append(cache.capacity)
    assert found == [64, 64, 64, 128, 128, 300, 600, 1000, 1000]
    with pytest.raises(OperandError, match="expected at most 1000 positions, got 1001"):
        cache.reserve(1001)
    assert KVCache(replace(CONFIG, max_position_embeddings=7), 32).capacity == 7


@pytest.mark.parametrize("kind", [32, 16])
def test_what_a_cache_holds_stays_when_it_grows(kind: int) -> None:
    rng = np.random.default_rng(0)
    cache = KVCache(replace(CONFIG, max_position_embeddings=1000), kind)  # type: ignore[arg-type]
    keys, values = (rng.standard_normal((2, 300, 8)).astype(np.float16).astype(np.float32) for _ in range(2))
    for start, stop in ((0, 3), (3, 64), (64, 65), (65, 300)):
        cache.reserve(stop)
        for layer in range(2):
            k, v = cache.append(layer, keys[:, start:stop] + layer, values[:, start:stop])
            if kind == 32:
                np.testing.assert_array_equal(k, keys[:, :stop] + layer)
            np.testing.assert_array_equal(v, values[:, :stop])
        cache.advance(stop - start)
    assert cache.length == 300
