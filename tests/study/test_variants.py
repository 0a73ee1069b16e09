"""Other storage of a model's parts: what is executed and what is counted change together, by hand."""

import numpy as np
import pytest

import bitsim
from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import load_chip
from bitsim.model.checkpoint import load_model
from bitsim.model.variants import stored_as
from bitsim.serving.serve import ServeError
from tests.model.files.gguf_bytes import VOCAB, D, gguf_bytes, metadata, model_tensors

CHIP, PROMPT = "ternary-ws-64x64", "It was a dark and"
CONFIG = load_model("tiny-b158").config


def events(kind: str, **settings: object) -> dict[str, int]:
    rows = bitsim.estimate("tiny-b158", CHIP, prefill=1, decode=1, **settings).rows
    return dict(next(row.events for row in rows if row.phase == "decode" and row.kind == kind))


@pytest.mark.parametrize(("packing", "bits"), [("2bit", 2), ("trits5_offset", 1.6), ("tq1_0", 1.6875)])
def test_packings_change_what_is_read(packing: str, bits: float) -> None:
    rows = bitsim.estimate("tiny-b158", CHIP, prefill=0, decode=1, packing=packing).rows
    read = sum(row.events["dram.weights.read_bits"] for row in rows if row.kind == "linear")
    padded = sum(8 * n * -(-k * bits // 8) for _, n, k in CONFIG.linear_shapes()) * CONFIG.num_layers
    assert read == padded


def test_bits_of_head_embedding_and_cache_change_what_is_read() -> None:
    assert events("head")["dram.weights.read_bits"] == 16 * 256 * 256
    assert events("head", head_bits=8)["dram.weights.read_bits"] == 8 * 256 * 256
    assert events("embedding", embedding_bits=4)["dram.embedding.read_bits"] == 4 * 256
    plain, narrow = events("kv"), events("kv", kv_bits=4)
    heads = 2 * CONFIG.num_kv_heads
    assert plain["dram.kv.write_bits"] == heads * 16 * CONFIG.head_dim
    assert narrow["dram.kv.write_bits"] == heads * (4 * CONFIG.head_dim + 16)
    assert not any(event.startswith("vec.") for event in plain)


@pytest.mark.parametrize("settings", [{"kv_bits": 8}, {"kv_bits": 4, "batch": 3}])
def test_new_keys_and_values_are_quantised_by_the_vector_unit(settings: dict[str, int]) -> None:
    """Per head: absmax of its values, one division, a product and a conversion of each. Float16 needs nothing."""
    heads, size = 2 * CONFIG.num_kv_heads * settings.get("batch", 1), CONFIG.head_dim
    division = load_chip(CHIP).vector.costs["div"]
    work = {"max": size, "cvt": size, "mul": size + division.mul, "add": division.add}
    counted = events("kv", **settings)
    assert {op: counted.get(f"vec.{op}.fp16", 0) for op in work} == {op: heads * n for op, n in work.items()}
    assert counted["sram.acts.read_bits"] == 16 * heads * size


def test_law_3_and_another_text_under_narrow_tables() -> None:
    settings = {"head_bits": 4, "embedding_bits": 8, "kv_bits": 8, "packing": "tq2_0"}
    ran = bitsim.run("tiny-b158", CHIP, prompt=PROMPT, new_tokens=2, **settings)
    guessed = bitsim.estimate("tiny-b158", CHIP, prefill=len(PROMPT), decode=2, **settings)
    for real, shape in zip(ran.rows, guessed.rows, strict=True):
        assert real.events.data_independent() == shape.events.data_independent()
    plain = bitsim.run("tiny-b158", CHIP, prompt=PROMPT, new_tokens=0)
    difference = np.abs(ran.logits[0] - plain.logits[0]).max()
    assert 0 < difference < 2
    assert {
        "head in 4 bits: rows rounded to nearest, a scale each",
        "embedding in 8 bits: rows rounded to nearest, a scale each",
    } <= set(ran.notes)
    assert any("linears are stored as tq2_0, 2.0625 bits" in note for note in ran.notes)


def test_a_tied_head_of_other_bits_is_stored_beside_its_embedding() -> None:
    model = load_model("tiny-b158")
    assert model.config.tie_embeddings
    same, other = stored_as(model, head_bits=8, embedding_bits=8), stored_as(model, head_bits=8)
    assert same.weights.head is same.weights.embedding
    assert other.weights.head is not other.weights.embedding
    assert other.weights.embedding is model.weights.embedding
    np.testing.assert_array_equal(other.weights.head.rows(0, 4), same.weights.embedding.take(np.arange(4)))


def test_what_means_nothing_is_refused() -> None:
    for settings, match in (
        ({"head_bits": 5}, "head_bits: expected one of 16, 8, 4, got 5"),
        ({"kv_bits": 5}, "kv_bits: expected one of 16, 8, 4, 3, got 5"),
        ({"packing": "1bit"}, "packing 1bit: holds -1 and 1, the linears are ternary"),
    ):
        with pytest.raises(ConfigError, match=match):
            bitsim.estimate("tiny-b158", CHIP, **settings)
    with pytest.raises(ConfigError, match="expected a model with ternary or binary linears"):
        bitsim.estimate("tiny-fp16", CHIP, packing="2bit")
    with pytest.raises(UnknownNameError, match="packing"):
        bitsim.estimate("tiny-b158", CHIP, packing="3bit")


# Bytes of a block of 256 weights (32 of Q8_0), scales included: ggml-common.h.
@pytest.mark.parametrize(("kind", "size", "block"), [("Q6_K", 210, 256), ("Q4_K", 144, 256), ("Q8_0", 34, 32)])
def test_packed_embeddings_and_heads_of_gguf_files_count_what_their_blocks_take(tmp_path, kind, size, block) -> None:
    path = tmp_path / "packed.gguf"
    path.write_bytes(gguf_bytes(metadata(), model_tensors("TQ2_0", 0.5, kind, tied=False)))
    row = 8 * size * D // block
    ran = bitsim.run(path, CHIP, tokens=[1, 2, 3], new_tokens=1, toggles="off")
    guessed = bitsim.estimate(path, CHIP, prefill=3, decode=1)
    for result in (ran, guessed):
        read = {row.kind: row.events for row in result.rows if row.phase == "decode"}
        assert read["head"]["dram.weights.read_bits"] == VOCAB * row
        assert read["embedding"]["dram.embedding.read_bits"] == row
        assert read["head"]["dequant.fp16"] == read["head"]["dequant.fp16.scale"] == VOCAB * D
    as_floats = bitsim.run(path, CHIP, tokens=[1, 2, 3], new_tokens=1, head_bits=16, toggles="off")
    np.testing.assert_array_equal(ran.logits[0], as_floats.logits[0])
    assert f"head counted in 16 bits, its values as {8 * size / block:g} bits hold them" in as_floats.notes


def test_a_packed_head_is_rounded_once_more_for_an_integer_wide_datapath(tmp_path) -> None:
    path = tmp_path / "packed.gguf"
    path.write_bytes(gguf_bytes(metadata(), model_tensors("TQ2_0", 0.5, "Q6_K")))
    ran = bitsim.run(path, f"{CHIP}-int8", tokens=[1, 2, 3], new_tokens=1, toggles="off")
    assert "head in 8 bits: rows rounded to nearest, a scale each" in ran.notes
    head = next(row.events for row in ran.rows if row.kind == "head" and row.phase == "decode")
    assert head["dram.weights.read_bits"] == VOCAB * 8 * D
    with pytest.raises(ServeError, match=r"head_bits 6\.5625: no GPU kernel .* or head_bits 16"):
        bitsim.serve(path, "a100-80gb")
