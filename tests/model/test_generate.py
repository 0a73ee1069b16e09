"""Generation, tokenizer and random models."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.errors import CheckpointError, ConfigError, OperandError, PromptError
from bitsim.model.checkpoint import load_model, random_model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.generate import generate
from bitsim.model.tokenizer import ByteTokenizer, tokenizer, tokenizer_class
from bitsim.model.variants import stored_as
from tests.model.tiny_models import CONFIG, CONFIGS, TINY, in_integers, write_checkpoint


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG, 1)


def test_greedy_takes_the_maximum(model):
    seen = []
    tokens, logits = generate(model, ReferenceExecutor(), [1, 2, 3], 5, logits="all", on_token=seen.append)
    assert tokens.dtype == np.int64
    assert list(tokens[:3]) == [1, 2, 3]
    assert list(tokens[3:]) == seen == list(logits[2:-1].argmax(-1))
    assert logits.shape == (8, CONFIG.vocab_size)
    assert logits.dtype == np.float32


def test_no_new_tokens(model):
    tokens, logits = generate(model, ReferenceExecutor(), np.array([1, 2]), 0)
    assert list(tokens) == [1, 2]
    assert logits.shape == (1, CONFIG.vocab_size)


@pytest.mark.parametrize("chunk", [None, 1, 2, 5])
@pytest.mark.parametrize("block", [None, 1, 2, 3, 9])
@pytest.mark.parametrize("wide", [None, 8, 4])
def test_neither_blocks_of_attention_nor_which_logits_are_wanted_change_a_value(model, chunk, block, wide):
    prompt, settings = [1, 2, 3, 4, 5, 6, 7], {"chunk": chunk}
    if wide:
        model = stored_as(model, head_bits=wide)
    recipe = in_integers(CONFIG, wide) if wide else None
    tokens, wanted = generate(model, ReferenceExecutor(), prompt, 3, recipe, logits="all")
    in_blocks = (lambda tokens, context: block) if block else None
    settings |= {"recipe": recipe, "query_block": in_blocks}
    again, logits = generate(model, ReferenceExecutor(), prompt, 3, logits="all", **settings)
    np.testing.assert_array_equal(again, tokens)
    np.testing.assert_array_equal(logits, wanted)
    again, logits = generate(model, ReferenceExecutor(), prompt, 3, **settings)
    np.testing.assert_array_equal(again, tokens)
    np.testing.assert_array_equal(logits, wanted[6:])


def test_sampling_is_seeded(model):
    def draw(seed):
        return list(generate(model, ReferenceExecutor(), [1], 20, temperature=2.0, seed=seed)[0])

    assert draw(1) == draw(1) != draw(2)
    cold = generate(model, ReferenceExecutor(), [1], 8, temperature=1e-6)[0]
    np.testing.assert_array_equal(cold, generate(model, ReferenceExecutor(), [1], 8)[0])


def test_prompts_that_cannot_run(model):
    for tokens, new, match in (
        ([], 1, "the prompt is empty"),
        ([0, 50], 1, r"tokens\[1\]: expected an id of 0\.\.49 for test, got 50"),
        ([-1], 1, "got -1"),
        ([[1]], 1, "sequence of integers"),
        ([1.5], 1, "sequence of integers"),
        ([1], -1, "new_tokens"),
        ([1] * 150, 51, "150 prompt tokens and 51 new ones need 201 positions, test has 200"),
    ):
        with pytest.raises(PromptError, match=match):
            generate(model, ReferenceExecutor(), tokens, new)
    with pytest.raises(ConfigError, match="temperature"):
        generate(model, ReferenceExecutor(), [1], 1, temperature=float("nan"))


def test_last_position_can_be_used():
    small = random_model(replace(CONFIG, max_position_embeddings=6), 1)
    tokens, _ = generate(small, ReferenceExecutor(), [1, 2, 3], 3)
    assert len(tokens) == 6


def test_shape_without_weights():
    with pytest.raises(ConfigError, match="give a seed for random weights"):
        generate(load_model("bitnet-125m"), ReferenceExecutor(), [1], 1)


def test_nan_logits_are_refused(model):
    broken = replace(model, weights=replace(model.weights, norm=np.full(32, np.nan, np.float32)))
    with pytest.raises(OperandError, match=r"logits\[0\]: expected a finite number"):
        generate(broken, ReferenceExecutor(), [1], 1)


@given(st.text(min_size=1))
def test_bytes_come_back(text):
    tokens = ByteTokenizer().encode(text)
    assert bytes(tokens.astype(np.uint8)) == text.encode()
    assert ByteTokenizer().decode(tokens) == text


def test_text_that_is_not_text():
    with pytest.raises(PromptError, match="empty"):
        ByteTokenizer().encode("")
    with pytest.raises(PromptError, match="not valid UTF-8 at character 1"):
        ByteTokenizer().encode("a\udcff")
    assert ByteTokenizer().decode([0xFF, 65]) == "\ufffdA"
    with pytest.raises(PromptError, match=r"0\.\.255, got 300"):
        ByteTokenizer().decode([1, 300])


def test_tokenizer_choice(tmp_path):
    folder = write_checkpoint(tmp_path / "m")
    assert tokenizer_class(folder) is None
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "ByteTokenizer"}')
    assert load_model(folder).tokenizer_class == "ByteTokenizer"
    assert isinstance(tokenizer("m", "ByteTokenizer"), ByteTokenizer)
    for name in (None, "LlamaTokenizer"):
        with pytest.raises(PromptError, match="give token ids"):
            tokenizer("m", name)
    for text in ("{", "[]", '{"tokenizer_class": 1}'):
        (folder / "tokenizer_config.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
            load_model(folder)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_random_models_repeat(config):
    a, b, c = (random_model(config, seed).weights for seed in (1, 1, 2))
    for x, y, z in zip(a.layers, b.layers, c.layers, strict=True):
        store = "packed" if config.quantised else "stored"
        np.testing.assert_array_equal(getattr(x.up, store), getattr(y.up, store))
        assert not np.array_equal(getattr(x.up, store), getattr(z.up, store))
    np.testing.assert_array_equal(a.embedding.stored, b.embedding.stored)
    assert random_model(config, 1).digest != random_model(config, 2).digest
    with pytest.raises(ConfigError, match="seed"):
        random_model(config, -1)


def test_random_statistics():
    config = replace(CONFIG, hidden_size=256, head_dim=64, intermediate_size=512, vocab_size=1000)
    weights = random_model(config, 0).weights
    codes = weights.layers[0].up.codes()
    assert abs((codes == 0).mean() - 1 / 3) < 0.01
    assert abs(codes.mean()) < 0.01
    rows = weights.embedding.rows(0, 1000)
    assert abs(rows.mean()) < 0.01
    assert abs(rows.std() - 1) < 0.01
    np.testing.assert_array_equal(weights.embedding.take(np.array([7, 7])), rows[[7, 7]])
    binary = random_model(CONFIGS["binary mlp"], 0).weights.layers[0].up.codes()
    assert set(np.unique(binary)) == {-1, 1}


def test_golden_model_has_no_tokenizer():
    assert load_model(TINY).tokenizer_class is None
