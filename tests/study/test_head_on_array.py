"""A head on the BitLinear datapath: codes by hand, the reference's logits, law 3, and what is refused."""

import numpy as np
import pytest

import bitsim
from bitsim.errors import ConfigError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import load_model
from bitsim.model.decoded import ScaledIntegers
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.generate import generate
from bitsim.model.variants import ternary_rows
from bitsim.study.numerics import executed_as

PROMPT = "And God said"
CHIPS = {"ternary-ws-64x64": 2, "adder-tree-16x256": 2, "int8-ws-64x64": 8, "ternary-ws-64x64-int8": 2}
every_chip = pytest.mark.parametrize("name", CHIPS)


def with_head(name: str) -> Chip:
    return load_chip(name).model_copy(update={"head": "bitlinear"})


def test_rows_are_divided_by_their_mean_magnitude_rounded_and_clipped() -> None:
    """Means 2, 1 and 0: 3 / 2 rounds to 2, which is clipped, 1 / 2 rounds to 0 (half to even)."""
    codes, scales = ternary_rows(np.array([[3, -3, 1, -1], [1, -1, 1, -1], [0, 0, 0, 0]], np.float32))
    assert codes.tolist() == [[1, -1, 0, 0], [1, -1, 1, -1], [0, 0, 0, 0]]
    assert scales.tolist() == [[2], [1], [1]]


@every_chip
def test_law_3_and_the_head_is_a_matmul_of_the_bitlinear_datapath(name: str) -> None:
    chip = with_head(name)
    executed = bitsim.run("tiny-b158", chip, prompt=PROMPT, new_tokens=2)
    guessed = bitsim.estimate("tiny-b158", chip, prefill=len(PROMPT), decode=2)
    for real, shape in zip(executed.rows, guessed.rows, strict=True):
        assert (real.name, real.cycles) == (shape.name, shape.cycles)
        assert real.events.data_independent() == shape.events.data_independent()
    config = load_model("tiny-b158").config
    head = next(row for row in executed.rows if row.kind == "head")
    assert head.bitlinear
    row_bytes = -(-config.hidden_size * CHIPS[name] // 8)
    assert head.events["dram.weights.read_bits"] == head.calls * 8 * config.vocab_size * row_bytes
    assert any("the head is computed on the BitLinear datapath" in note for note in executed.notes)
    assert any("the head is computed on the BitLinear datapath" in note for note in guessed.notes)


@every_chip
def test_a_chip_gives_the_logits_of_the_reference_bit_for_bit(name: str) -> None:
    """The reference multiplies the same codes in float64; and these are not the logits of the float head."""
    model, recipe = executed_as(load_model("tiny-b158"), with_head(name))
    assert model.weights is not None
    assert isinstance(model.weights.head, ScaledIntegers)
    assert set(np.unique(model.weights.head.values)) >= {-1, 0, 1}
    assert (np.abs(model.weights.head.values).max() > 1) == (CHIPS[name] == 8)
    tokens, logits = generate(
        model, ReferenceExecutor(), np.frombuffer(PROMPT.encode(), np.uint8), 3, recipe, kv=recipe.kv or 32
    )
    done = bitsim.run("tiny-b158", with_head(name), prompt=PROMPT, new_tokens=3)
    assert list(done.tokens) == list(tokens)
    np.testing.assert_array_equal(done.logits, logits)
    floats = bitsim.run("tiny-b158", name, prompt=PROMPT, new_tokens=0, toggles="off")
    assert np.abs(floats.logits[0] - logits[0]).max() > 0


def test_heads_that_the_array_does_not_take_are_refused() -> None:
    with pytest.raises(ConfigError, match="head_bits: expected none, since its weights are ternary, got 8"):
        bitsim.estimate("tiny-b158", with_head("ternary-ws-64x64"), prefill=1, decode=0, head_bits=8)
    with pytest.raises(ConfigError, match="head_bits: expected at most 8, got 16"):
        bitsim.estimate("tiny-b158", with_head("int8-ws-64x64"), prefill=1, decode=0, head_bits=16)
    with pytest.raises(ConfigError, match="expected one that takes integers"):
        bitsim.estimate("tiny-b158", with_head("fp16-ws-64x64"), prefill=1, decode=0)
    with pytest.raises(ConfigError, match="0 among the weights"):
        bitsim.estimate("tiny-b1", with_head("popcount-w1a1"), prefill=1, decode=0)


def test_four_bits_are_enough_if_they_are_asked_for() -> None:
    chip = with_head("int8-ws-64x64")
    bits = {
        asked: bitsim.estimate("tiny-b158", chip, prefill=1, decode=0, head_bits=asked).events["dram.weights.read_bits"]
        for asked in (4, 8)
    }
    config = load_model("tiny-b158").config
    assert bits[8] - bits[4] == 4 * config.vocab_size * config.hidden_size
