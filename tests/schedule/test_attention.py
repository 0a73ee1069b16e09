"""Blocks of a prompt's attention: which sizes are tried, that the best is taken, and what the note says."""

import pytest

from bitsim.hw import load_chip
from bitsim.model.zoo import zoo_config
from bitsim.quant.recipes import recipe_named
from bitsim.schedule import Placement
from bitsim.schedule.attention import Queries, candidates
from bitsim.study import estimate

CHIP, MODEL = "ternary-ws-64x64", "bitnet-b158-2b4t"


def queries(*, causal: bool) -> Queries:
    config = zoo_config(MODEL)
    recipe = recipe_named(config.default_numerics)
    return Queries(placement=Placement(load_chip(CHIP)), config=config, recipe=recipe, causal=causal)


def test_sizes_that_are_tried_by_hand() -> None:
    assert candidates(8) == []
    assert candidates(9) == [8]
    assert candidates(512) == [8, 32, 128]
    assert candidates(1024) == [8, 32, 128]  # 128 blocks of 8
    assert candidates(1025) == [32, 128, 512]


def test_blocks_take_less_time_than_the_rectangle_where_they_are_chosen() -> None:
    blocks, whole = (estimate(MODEL, CHIP, prefill=512, decode=0, causal=causal) for causal in ("triangle", "full"))
    assert 1 < queries(causal=True).block(512, 512) < 512
    for kind in ("qk", "softmax", "pv"):
        cycles = [sum(row.cycles for row in one.rows if row.kind == kind) for one in (blocks, whole)]
        assert cycles[0] < cycles[1], kind


@pytest.mark.parametrize("tokens", [1, 300])
def test_a_rectangle_is_one_block(tokens: int) -> None:
    assert queries(causal=False).block(tokens, 300) == tokens


def test_the_note_counts_pairs_by_hand() -> None:
    """Five tokens in two steps as rectangles: 3 x 3 and 2 x 5 pairs, of which 1 + 2 + 3 and 4 + 5 are not masked."""
    (note,) = queries(causal=False).note([(0, 3), (3, 5)])
    assert note.startswith("attention of a prompt in blocks of 3 or 2 tokens: 19 pairs")
    assert "15 of them are not masked" in note
    assert queries(causal=True).note([]) == ()
