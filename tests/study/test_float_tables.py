"""W1.58A16 on lookup tables of FP16 sums: the same model as on adders, priced, and with what tables hold by hand."""

import numpy as np
import pytest

import bitsim
from bitsim.datapath.ternary_lut import TernaryLut, float_entries
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.datapaths import TernaryLutSpec

PROMPT = "It was a dark and"


def lut_chip(acc_bits: int = 16) -> Chip:
    chip = load_chip("ternary-lut-g3")
    fields = chip.bitlinear.model_dump() | {"acts": "fp16", "acc_bits": acc_bits}
    return chip.model_copy(update={"bitlinear": TernaryLutSpec.model_validate(fields)})


def test_entries_are_rounded_where_they_are_added() -> None:
    """2048, 1, 1: the sum of the first two is 2048 in FP16, that of all three too; 1, 1, 2048 give 2050."""
    lost, kept = float_entries(np.array([[2048, 1, 1], [1, 1, 2048]], np.float16).view(np.uint16))
    assert (lost[4 - 1], lost[13 - 1]) == (2048, 2048)  # + +, and + + +
    assert (kept[4 - 1], kept[13 - 1]) == (2, 2050)
    assert (kept[2 - 1], kept[5 - 1]) == (0, 2046)  # - + of the first two; - - +


@pytest.mark.parametrize("acc_bits", [16, 32])
def test_sums_of_small_integers_are_those_of_the_integer_engine(acc_bits: int) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.integers(-9, 10, (3, 40)).astype(np.int8), rng.integers(-1, 2, (7, 40)).astype(np.int8)
    done = TernaryLut(lut_chip(acc_bits).bitlinear).execute(x, w)
    np.testing.assert_array_equal(done.y, x.astype(np.int64) @ w.T.astype(np.int64))
    assert done.exact_y is not None


def test_events_of_floats_by_hand() -> None:
    """g = 3: 10 additions build half a table; each lookup is followed by an adder, the accumulator's among them."""
    spec = lut_chip().bitlinear
    events = TernaryLut(spec).count(2, spec.group, 5)
    assert events["lut.build.fp16"] == 2 * spec.tables * 10
    assert events["lut.g3_half_fp16.read"] == events["tree.fp16.add"] == 2 * 5 * spec.tables
    assert not any("add_bits" in name for name in events)


def test_a_ternary_model_runs_on_tables_as_on_adders() -> None:
    ran = bitsim.run("tiny-b158", lut_chip(32), prompt=PROMPT, new_tokens=1, numerics="w158a16")
    adders = load_chip("ternary-fp16-ws-64x64")
    wide = adders.model_copy(update={"bitlinear": adders.bitlinear.model_copy(update={"acc_bits": 32})})
    other = bitsim.run("tiny-b158", wide, prompt=PROMPT, new_tokens=1, numerics="w158a16")
    np.testing.assert_allclose(ran.logits, other.logits, atol=0.05)
    assert ran.energy("datapath") > 0
    assert any("activations rounded to FP16" in note for note in ran.notes)
    guessed = bitsim.estimate("tiny-b158", lut_chip(32), prefill=len(PROMPT), decode=1, numerics="w158a16")
    for real, shape in zip(ran.rows, guessed.rows, strict=True):
        assert real.events.data_independent() == shape.events.data_independent()
