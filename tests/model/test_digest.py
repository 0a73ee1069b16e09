"""Law 15: a model's hash is that of what it is: equal content has an equal one, whatever its name or file, and any
change another one."""

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest

from bitsim.model.checkpoint import Model, load_model, random_model
from bitsim.model.config import ModelConfig
from bitsim.model.convert import convert, random_source
from bitsim.model.files.hf_checkpoint import load_hf
from bitsim.model.rope_scaling import LinearScaling
from bitsim.model.zoo import zoo_config, zoo_names
from bitsim.study import estimate
from tests.model.tiny_models import CONFIG, CONFIGS

CHANGED = {
    "hidden_size": 64, "intermediate_size": 45, "num_layers": 3, "num_heads": 8, "num_kv_heads": 4, "head_dim": 6,
    "vocab_size": 51, "max_position_embeddings": 100, "rope_theta": 10001.0, "rms_norm_eps": 1e-6,
    "hidden_act": "silu", "ffn": "mlp", "norm": "layer", "sub_norms": False, "tie_embeddings": False,
    "linear_class": "bitlinear", "weight_bits_per_weight": Fraction(8, 5), "dtype": "float16",
    "rope_scaling": LinearScaling(factor=2.0), "qk_norm": True, "attention_bias": "qkv", "mlp_bias": True,
    "linear_norm_eps": 1e-6, "sliding_window": 64,
    "head_bits": 8, "embedding_bits": 4, "scale_groups": (("q_proj", 2),),
}  # fmt: skip
LOOSE = replace(CONFIG, sub_norms=False)  # sub norms tie sizes to each other


def test_every_field_but_the_name_decides_the_hash_of_a_config() -> None:
    assert set(CHANGED) == {field.name for field in fields(ModelConfig)} - {"name"}
    assert replace(LOOSE, name="other").digest == LOOSE.digest
    found = {replace(LOOSE, **{name: value}).digest for name, value in CHANGED.items() if name != "sub_norms"}
    assert len(found | {LOOSE.digest, CONFIG.digest}) == len(CHANGED) + 1


def test_equal_numbers_hash_equally_whatever_their_type() -> None:
    assert replace(CONFIG, rope_theta=10000, weight_bits_per_weight=2).digest == CONFIG.digest


def test_shapes_of_the_zoo_hash_equally_only_if_they_are_equal() -> None:
    configs = [replace(zoo_config(name), name="") for name in zoo_names()]
    assert len({config.digest for config in configs}) == len(set(configs)) > 1


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_same_weights_hash_equally_from_memory_and_from_a_file_of_another_name(config, tmp_path) -> None:
    if config.weight_bits_per_weight != 2:
        config = replace(config, weight_bits_per_weight=Fraction(2 if config.quantised else 16))
    model = random_model(config, 5)
    assert random_model(config, 5, keep=False).digest == model.digest != random_model(config, 6).digest
    assert replace(model, name="other", origin="checkpoint").digest == model.digest


def test_a_written_model_is_the_same_model_under_the_files_name(tmp_path) -> None:
    config = zoo_config("bitnet-b158-700m")
    small = replace(config, hidden_size=96, intermediate_size=64, num_layers=2, num_heads=4, num_kv_heads=4,
                    head_dim=24, vocab_size=64)  # fmt: skip
    model = random_model(small, 3)
    source = replace(random_source("bitnet-b158-700m", 3), config=small, weights=model.weights)
    convert(source, tmp_path / "copy", "hf", "2bit")
    loaded = load_model(tmp_path / "copy")
    assert loaded.name != model.name
    assert loaded.digest == model.digest
    assert load_hf(tmp_path / "copy").digest != loaded.digest  # that of the files


def changed_weights(model: Model):
    """Generates the model's weights with one value of one tensor changed."""
    weights = model.weights
    layer = weights.layers[1]
    table = weights.embedding.stored.copy()
    table[3, 5] ^= 1
    yield "embedding", replace(weights, embedding=replace(weights.embedding, stored=table))
    for name in ("q", "k", "v", "o", "gate", "up", "down"):
        linear = getattr(layer, name)
        packed = linear.packed.copy()
        packed[1, 2] ^= 2  # code 1 <-> 3, 0 <-> 2
        for other in (
            type(linear)(packed=packed, n=linear.n, k=linear.k, scale=linear.scale),
            type(linear)(packed=linear.packed, n=linear.n, k=linear.k, scale=linear.scale * np.float32(2)),
        ):
            yield name, replace(weights, layers=(weights.layers[0], replace(layer, **{name: other})))  # fmt: skip
    for name in ("input_norm", "attn_sub_norm", "post_attention_norm", "ffn_sub_norm"):
        norm = getattr(layer, name).copy()
        norm[0] = np.nextafter(norm[0], np.float32(2))
        yield name, replace(weights, layers=(weights.layers[0], replace(layer, **{name: norm})))
    yield "norm", replace(weights, norm=weights.norm * np.float32(2))
    yield "order", replace(weights, layers=weights.layers[::-1])


def test_any_changed_value_of_any_tensor_gives_another_hash() -> None:
    model = random_model(CONFIG, 1)
    found = [replace(model, weights=weights).digest for _, weights in changed_weights(model)]
    assert len({*found, model.digest}) == len(found) + 1 == 1 + 14 + 4 + 2 + 1


def test_a_changed_model_does_not_keep_the_hash_under_its_name() -> None:
    model = load_model("bitnet-b158-3b")
    wider = replace(model, config=replace(model.config, weight_bits_per_weight=Fraction(4)))
    results = [estimate(which, "ternary-ws-64x64", prefill=0, decode=1) for which in (model, wider)]
    a, b = (result.inputs for result in results)
    assert a["model"] == b["model"]
    assert a["model_sha256"] != b["model_sha256"]
    other = replace(load_model("tiny-b158"), tokenizer_class=None)
    assert other.digest != load_model("tiny-b158").digest
