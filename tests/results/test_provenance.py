"""What a result tells of its model and numerics: each note where it applies, and nowhere else."""

from dataclasses import replace

import pytest

from bitsim.hw import load_chip
from bitsim.model.checkpoint import load_model
from bitsim.quant.recipes import recipe_named
from bitsim.results.provenance import inputs_of, notes_on, notes_on_shape

CHIP = "ternary-ws-64x64"


def notes(model: str, chip: str = CHIP, numerics: str | None = None, positions: int = 8) -> str:
    loaded = load_model(model)
    recipe = recipe_named(numerics or loaded.config.default_numerics)
    return "\n".join(notes_on(loaded, load_chip(chip), recipe, positions=positions))


@pytest.mark.parametrize(
    ("model", "chip", "said"),
    [
        ("tiny-a48", CHIP, "4-bit activation codes occupy the datapath's 8-bit registers and adders and are priced"),
        ("tiny-a48", "int4-tensor-ampere", "4-bit activation codes are priced as INT8 by the arithmetic convention"),
        ("tiny-a48", "fp16-ws-64x64", None),  # its BitLinear multiplies floats
        ("tiny-b158", CHIP, None),
        ("tiny-fp16", CHIP, None),
    ],
)
def test_codes_of_4_bits_on_a_wider_integer_datapath_are_said(model: str, chip: str, said: str | None) -> None:
    found = notes(model, chip)
    assert ("4-bit activation codes" in found) == (said is not None)
    assert (said or "") in found


def test_other_numerics_than_the_weights_were_made_for_are_an_experiment() -> None:
    assert "numerics b158_q127_added are an experiment" not in notes("tiny-b158", numerics="b158_q127_added")
    found = notes("tiny-b158", numerics="a48")
    assert "numerics a48 are an experiment on these weights, which were made for hf_autobitlinear" in found
    assert "an experiment" not in notes("tiny-b158")


def test_stored_caches_hosts_random_weights_and_long_contexts_are_said() -> None:
    assert "KV cache" not in notes("tiny-a48")
    assert "assumed: a step of 16 bits per head and position" in notes("tiny-a48", numerics="a48_kv3")
    assert "host I/O is not modelled" in notes("tiny-b158")
    assert "host I/O is not modelled" not in notes("tiny-b158", "ternarycore-a7-100t")
    model = load_model("tiny-b158")
    drawn = replace(model, origin="random")
    recipe = recipe_named(model.config.default_numerics)
    assert any("weights are random" in note for note in notes_on(drawn, load_chip(CHIP), recipe, positions=8))
    assert inputs_of(drawn, load_chip(CHIP), numerics="n")["weights"] == "random"
    assert inputs_of(model, load_chip(CHIP), numerics="n")["weights"] == "checkpoint"
    most = model.config.max_position_embeddings
    assert not any("positions are estimated" in note for note in notes_on_shape(model, positions=most))
    assert f"{most + 1} positions are estimated, the model was made for {most}" in notes_on_shape(
        model, positions=most + 1
    )
