"""config.json: what changes the numbers is understood or refused, by file and key."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import BitsimError, CheckpointError, ConfigError
from bitsim.model.files.hf_config import FIXED, HARMLESS, describe, from_hf
from bitsim.model.files.hf_keys import Keys
from bitsim.model.files.hf_quantisation import is_kept
from bitsim.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling
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
    assert from_hf(values, PATH).rope_theta == 500000.0  # of a bitnet model that says none


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
        ("attention_bias", 1),
        ("mlp_bias", True),
        ("use_rms_norm", True),
        ("rope_interleaved", True),
        ("use_sliding_window", True),
        ("partial_rotary_factor", 0.5),
        ("is_encoder_decoder", True),
        ("pruned_heads", {"1": [0]}),
        ("weight_bits", 2),
        ("input_bits", 16),
        ("weight_bits", 1),
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "longrope", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "linear", "factor": 2.0, "beta": 1}),
        ("rope_scaling", {"rope_type": "linear", "type": "yarn", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "linear", "factor": 2.0}),
        ("model_type", "hgrn_bit"),
        ("model_type", "minicpm"),
        ("vocab_size", None),
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
        ("linear_class", "w158a16"),
        ("quantization_mode", None),
        ("quantization_mode", "later"),
        ("bitsim_packing", "tq2_0"),
        ("use_rms_norm", 1),
        ("rms_norm_eps", 0),
        ("bits", 4),
        ("modules_to_not_convert", []),
        ("modules_to_not_convert", "lm_head"),
        ("modules_to_not_convert", ["lm_head", 3]),
        ("modules_to_not_convert", ["lm_head"] * 65),
        ("modules_to_not_convert", ["model.norm"]),
        ("modules_to_not_convert", ["lm_head", "model.layers.0"]),
        ("modules_to_not_convert", ["lm_head", "gate_proj"]),
        ("modules_to_not_convert", ["lm_head", r"model.layers.\d+.mlp"]),
        ("modules_to_not_convert", ["lm_head", "(a+)+$"]),
        ("modules_to_not_convert", ["lm_head", ".*" * 4]),
    ],
)
def test_refuses_quantisation(key, value):
    values = tiny_config()
    values["quantization_config"] = {**values["quantization_config"], key: value}
    with pytest.raises(CheckpointError, match=f"quantization_config.{key}"):
        from_hf(values, PATH)


@pytest.mark.parametrize(
    "kept",
    [
        None,
        ["lm_head"],
        ["lm_head$"],
        [".*head"],
        ["model.norm", "lm_head", "model.embed_tokens"],
        ["model.nor", "head"],
    ],
)
def test_lists_of_modules_that_keep_the_head_and_no_projection_mean_the_same(kept):
    values = tiny_config()
    values["quantization_config"]["modules_to_not_convert"] = kept
    assert from_hf(values, PATH) == from_hf(tiny_config(), PATH)


@pytest.mark.parametrize("module", ["model.layers.1.mlp.gate_proj", "model.layers.11.mlp.gate_proj", "lm_head"])
@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("model.layers.1", {"model.layers.1.mlp.gate_proj"}),
        ("model.layers.*", {"model.layers.1.mlp.gate_proj", "model.layers.11.mlp.gate_proj"}),
        ("gate_proj", {"model.layers.1.mlp.gate_proj", "model.layers.11.mlp.gate_proj"}),
        ("mlp.gate", set()),
        ("lm_head", {"lm_head"}),
        ("lm_hea", set()),
        ("head$", set()),
    ],
)
def test_a_pattern_is_a_beginning_a_regex_or_an_end(module, pattern, kept):
    """Cases of the comment in transformers 5.24.0, quantizers/quantizers_utils.py, should_convert_module."""
    assert is_kept(module, [pattern]) is (module in kept)


@pytest.mark.parametrize(
    ("kind", "word"),
    [("gemma3_text", "Gemma 3"), ("hgrn_bit", "HGRN"), ("hunyuan_v1_dense", "levels"), ("maple", "experts"),
     ("minicpm4", "LongRoPE"), ("olmo", "custom code"), ("qwen3_5", "gated delta nets")],
)  # fmt: skip
def test_other_ternary_models_are_refused_in_words(kind, word):
    with pytest.raises(CheckpointError, match=f"model_type: {kind}: a graph that is not executed .*{word}"):
        from_hf({"model_type": kind}, PATH)


def test_keys_that_change_no_number_are_listed():
    values = tiny_config() | {"is_bitnet_config": True, "rope_interleaved": False, "pretraining_tp": 1}
    values["quantization_config"] |= {"bits": 2, "rms_norm_eps": 1e-6, "group_size": 128}
    said = describe(values, PATH)
    assert said.config == from_hf(tiny_config(), PATH)
    assert set(said.ignored) - set(describe(tiny_config(), PATH).ignored) == {
        "is_bitnet_config", "rope_interleaved", "pretraining_tp", "quantization_config.bits",
        "quantization_config.group_size",
    } | ({"quantization_config.rms_norm_eps"} - set(describe(tiny_config(), PATH).ignored))  # fmt: skip


# facts/checkpoints.md section 2, from configuration_*.py of transformers 5.24.0
DEFAULTS = {
    "llama": {"kv": 32, "dim": 128, "theta": 1e4, "eps": 1e-6, "act": "silu", "positions": 2048,
              "sizes": (32000, 4096, 11008, 32, 32)},
    "bitnet": {"kv": 5, "dim": 128, "theta": 5e5, "eps": 1e-5, "act": "relu2", "positions": 2048,
               "sizes": (128256, 2560, 6912, 30, 20)},
    "qwen3": {"kv": 32, "dim": 128, "theta": 1e4, "eps": 1e-6, "act": "silu", "positions": 32768,
              "sizes": (151936, 4096, 22016, 32, 32)},
}  # fmt: skip


@pytest.mark.parametrize("kind", DEFAULTS)
def test_absent_keys_mean_what_transformers_takes_them_for(kind):
    config, want = from_hf({"model_type": kind, "dtype": "bfloat16"}, PATH), DEFAULTS[kind]
    sizes = (config.vocab_size, config.hidden_size, config.intermediate_size, config.num_layers, config.num_heads)
    assert sizes == want["sizes"]
    assert (config.num_kv_heads, config.head_dim, config.max_position_embeddings) == (
        want["kv"], want["dim"], want["positions"],
    )  # fmt: skip
    assert (config.rope_theta, config.rms_norm_eps, config.hidden_act) == (want["theta"], want["eps"], want["act"])
    assert not config.tie_embeddings
    assert (config.sub_norms, config.qk_norm) == (kind == "bitnet", kind == "qwen3")
    assert from_hf({"model_type": kind, "dtype": "bfloat16", "num_key_value_heads": None}, PATH).num_kv_heads == (
        config.num_heads
    )
    quantised = {"model_type": kind, "dtype": "bfloat16", "quantization_config": {"quant_method": "bitnet"}}
    assert from_hf(quantised, PATH).linear_class == "bitlinear"


def test_a_config_without_a_type_takes_that_of_the_tensors():
    with pytest.raises(CheckpointError, match="dtype: expected one of bfloat16, float16, float32, got no such key"):
        from_hf({"model_type": "llama"}, PATH)
    assert describe({"model_type": "llama"}, PATH, stored="float16").config.dtype == "float16"


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        ({"type": "linear", "factor": 4.0}, LinearScaling(factor=4.0)),
        ({"rope_type": "linear", "factor": 1.0}, None),
        ({"rope_type": "default"}, None),
        (
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
            Llama3Scaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_positions=96),
        ),
        (
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24, "beta_fast": None},
            YarnScaling(factor=4.0, original_positions=24),
        ),
        ({"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 24, "truncate": False},
         YarnScaling(factor=4.0, original_positions=24, truncate=False)),
        ({"rope_type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 1.0},
         YarnScaling(factor=4.0, original_positions=96, attention_factor=1.0)),
    ],
)  # fmt: skip
def test_scaling_is_the_same_under_old_and_new_keys(old, expected):
    values = {**tiny_config(), "max_position_embeddings": 96}
    theta = values.pop("rope_parameters")["rope_theta"]
    before = from_hf({**values, "rope_theta": theta, "rope_scaling": old}, PATH)
    after = from_hf({**values, "rope_parameters": {"rope_theta": theta, **old}}, PATH)
    assert before == after
    assert before.rope_scaling == expected


def test_a_window_counts_where_it_is_switched_on():
    values = {"model_type": "qwen3", "dtype": "bfloat16", "sliding_window": 512, "max_window_layers": 3}
    assert from_hf(values, PATH).sliding_window is None
    assert from_hf({**values, "use_sliding_window": True}, PATH).sliding_window == 512
    assert from_hf({**values, "use_sliding_window": True, "sliding_window": None}, PATH).sliding_window is None
    with pytest.raises(CheckpointError, match="layer_types"):
        from_hf({**values, "layer_types": ["chunked_attention"]}, PATH)


def test_the_page_on_checkpoints_counts_the_keys(monkeypatch):
    taken = set()

    def recording(method):
        def recorded(self, key, *default):
            place = self.where.removeprefix(f"{PATH}: ")
            taken.add(place.replace("rope_scaling.", "rope_parameters.") + key)
            return method(self, key, *default)

        return recorded

    for name in ("take", "is_null"):
        monkeypatch.setattr(Keys, name, recording(getattr(Keys, name)))
    full = {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"]}
    ropes = [{"type": "linear", "factor": 2.0}, {"rope_type": "yarn", "factor": 2.0},
             {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}]  # fmt: skip
    for kind in ("llama", "bitnet", "qwen3", "qwen2"):
        for rope in ropes:
            values = {"model_type": kind, "torch_dtype": "float16", "dtype": "float16", "rope_scaling": rope}
            from_hf({**values, "quantization_config": full}, PATH)
            from_hf({**values, "rope_parameters": rope, "head_dim": 128}, PATH)
    from_hf({"model_type": "llama", "dtype": "float16", "weight_bits": 1, "input_bits": 8}, PATH)
    read = taken - set(FIXED) - HARMLESS
    page = (Path(__file__).parents[3] / "docs" / "checkpoints.md").read_text().replace("\n", " ")
    said = re.search(r"Of the keys, (\d+) are executed or checked .*?\), (\d+) are ignored and (\d+) must have", page)
    assert said is not None
    assert [int(number) for number in said.groups()] == [len(read), len(HARMLESS), len(FIXED)]


NEW_KEYS = {
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "attention_bias": True, "use_sliding_window": True, "sliding_window": 16, "layer_types": ["full_attention"],
    "weight_bits": 1, "input_bits": 8, "mlp_bias": True, "rope_interleaved": False, "model_type": "qwen3",
    "pretraining_tp": 1, "is_bitnet_config": True,
    "quantization_config": {"quant_method": "bitnet", "use_rms_norm": True, "rms_norm_eps": 1e-6, "bits": 2,
                            "modules_to_not_convert": ["lm_head$"]},
}  # fmt: skip
SCALINGS = (
    {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 16, "attention_factor": 1.0,
     "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0, "truncate": True},
    NEW_KEYS["rope_scaling"],
)  # fmt: skip
ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.lists(st.integers() | st.text(max_size=5), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(sorted(NEW_KEYS)), ANYTHING, st.sets(st.sampled_from(sorted(NEW_KEYS))))
def test_any_value_of_a_published_key_is_read_or_refused(key, value, others):
    with suppress(BitsimError):
        from_hf(tiny_config() | {other: NEW_KEYS[other] for other in others} | {key: value}, PATH)


@settings(deadline=None)
@given(st.sampled_from(SCALINGS), st.data(), ANYTHING)
def test_any_value_of_a_nested_key_is_read_or_refused(scaling, data, value):
    inner = data.draw(st.sampled_from(sorted(scaling)))
    quantisation = NEW_KEYS["quantization_config"]
    key = data.draw(st.sampled_from(sorted(quantisation)))
    with suppress(BitsimError):
        from_hf({**tiny_config(), "rope_parameters": {"rope_theta": 1e4, **scaling, inner: value}}, PATH)
    with suppress(BitsimError):
        from_hf({**tiny_config(), "quantization_config": {**quantisation, key: value}}, PATH)


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
