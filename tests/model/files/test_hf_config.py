"""config.json: what changes the numbers is understood or refused, by file and key."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import BitsimError, CheckpointError, ConfigError
from bitsim.model.files.hf_config import from_hf
from tests.model.tiny_models import CONFIG, tiny_config

PATH = Path("some/where/config.json")


def test_reads_the_tiny_config():
    config = from_hf(tiny_config(), PATH)
    assert config.name == "where"
    assert (config.hidden_size, config.num_heads, config.num_kv_heads, config.head_dim) == (48, 6, 2, 8)
    assert config.rope_theta == 500000.0
    assert config.linear_class == "autobitlinear"
    assert config.default_numerics == "hf_autobitlinear"
    assert config.weight_bits_per_weight == 2
    assert not config.tie_embeddings
    assert config.sub_norms


def test_both_places_of_rope_theta():
    values = tiny_config()
    del values["rope_parameters"]
    assert from_hf({**values, "rope_theta": 10000}, PATH).rope_theta == 10000.0
    both = {**values, "rope_theta": 10000, "rope_parameters": {"rope_theta": 500000.0}}
    with pytest.raises(CheckpointError, match="rope_theta: expected the same as rope_parameters"):
        from_hf(both, PATH)
    with pytest.raises(CheckpointError, match="rope_theta: expected a positive number, got no such key"):
        from_hf(values, PATH)


def test_float_llama():
    values = {**tiny_config(), "model_type": "llama", "hidden_act": "silu", "torch_dtype": "float16", "head_dim": None}
    del values["quantization_config"], values["dtype"]
    config = from_hf(values, PATH)
    assert config.linear_class is None
    assert config.default_numerics == "float"
    assert not config.sub_norms
    assert config.weight_bits_per_weight == 16


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope_scaling", {"type": "linear"}),
        ("attention_bias", True),
        ("use_rms_norm", True),
        ("sliding_window", 128),
        ("hidden_act", "gelu"),
        ("model_type", "mamba"),
        ("hidden_size", 0),
        ("hidden_size", True),
        ("hidden_size", 49),
        ("hidden_size", "48"),
        ("num_key_value_heads", 4),
        ("rms_norm_eps", None),
        ("rms_norm_eps", float("nan")),
        ("tie_word_embeddings", 1),
        ("dtype", "int8"),
        ("torch_dtype", "float16"),
        ("rope_parameters", []),
        ("rope_parameters", {"rope_theta": 5e5, "rope_type": "yarn"}),
        ("rope_parameters", {"rope_theta": 5e5, "factor": 8}),
        ("quantization_config", 3),
        ("logit_scale", 0.5),
    ],
)
def test_refuses(key, value):
    with pytest.raises(CheckpointError, match=key) as caught:
        from_hf({**tiny_config(), key: value}, PATH)
    assert str(PATH) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("quant_method", "gptq"),
        ("linear_class", "linear"),
        ("linear_class", None),
        ("quantization_mode", None),
        ("quantization_mode", "later"),
        ("bitsim_packing", "tq2_0"),
        ("use_rms_norm", True),
        ("modules_to_not_convert", ["lm_head", "model.layers.0"]),
        ("group_size", 128),
    ],
)
def test_refuses_quantisation(key, value):
    values = tiny_config()
    values["quantization_config"] = {**values["quantization_config"], key: value}
    with pytest.raises(CheckpointError, match=f"quantization_config.{key}"):
        from_hf(values, PATH)


def test_a_scale_that_cannot_be_decided_names_the_two_options():
    values = tiny_config()
    del values["quantization_config"]["linear_class"]
    with pytest.raises(
        CheckpointError, match=r"linear_class: expected bitlinear \(.* divides\) or autobitlinear \("
    ) as e:
        from_hf(values, PATH)
    assert str(PATH) in str(e.value)


def test_missing_keys_have_no_default():
    for key in tiny_config():
        if key in ("architectures", "quantization_config"):
            continue
        values = tiny_config()
        del values[key]
        with pytest.raises(CheckpointError):
            from_hf(values, PATH)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(tiny_config())),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
)
def test_any_value_is_read_or_refused(key, value):
    with suppress(BitsimError):
        from_hf({**tiny_config(), key: value}, PATH)


def test_shapes_must_fit():
    with pytest.raises(ConfigError, match="num_key_value_heads: must divide"):
        replace(CONFIG, num_kv_heads=3)
    with pytest.raises(ConfigError, match="head_dim: must be even"):
        replace(CONFIG, head_dim=7, sub_norms=False)
    with pytest.raises(ConfigError, match="head_dim: with sub norms"):
        replace(CONFIG, head_dim=10)
    with pytest.raises(ConfigError, match=r"num_layers: must be > 0 \(got 0\)"):
        replace(CONFIG, num_layers=0)
