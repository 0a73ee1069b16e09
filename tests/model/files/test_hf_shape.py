"""Shapes from a config.json alone: the sizes are those of the published model, and what is set aside is said."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitsim.errors import CheckpointError, ConfigError
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.files.hf_shape import HEAD_DIM, TIED_BY_DEFAULT
from bitsim.model.zoo import zoo_config
from bitsim.parallel.parallel import parallel
from bitsim.serving.serve import serve
from bitsim.study import estimate, run
from bitsim.study.compare import compare

# As published (tiiuae/Falcon3-3B-Instruct, unsloth/Llama-3.2-1B, Qwen/Qwen2.5-1.5B, google/gemma-3-1b-it).
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "hidden_act": "silu", "initializer_range": 0.02,
    "mlp_bias": False, "model_type": "llama", "rope_scaling": None, "torch_dtype": "bfloat16", "use_cache": True,
}  # fmt: skip
FALCON = LLAMA | {
    "head_dim": 256, "hidden_size": 3072, "intermediate_size": 9216, "max_position_embeddings": 32768,
    "num_attention_heads": 12, "num_hidden_layers": 22, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
    "rope_theta": 1000042, "tie_word_embeddings": False, "vocab_size": 131072, "eos_token_id": 11,
}  # fmt: skip
QWEN = {
    "attention_dropout": 0.0, "hidden_act": "silu", "hidden_size": 1536, "intermediate_size": 8960,
    "max_position_embeddings": 131072, "max_window_layers": 28, "model_type": "qwen2", "num_attention_heads": 12,
    "num_hidden_layers": 28, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 131072, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_sliding_window": False,
    "vocab_size": 151936,
}  # fmt: skip
GEMMA = {
    "attn_logit_softcapping": None, "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_size": 1152,
    "hidden_activation": "gelu_pytorch_tanh", "intermediate_size": 6912, "max_position_embeddings": 32768,
    "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1,
    "rms_norm_eps": 1e-06, "rope_parameters": {"full_attention": {"rope_theta": 1000000.0}}, "sliding_window": 512,
    "torch_dtype": "bfloat16", "vocab_size": 262144,
}  # fmt: skip
TINY = LLAMA | {
    "hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 128, "num_attention_heads": 4,
    "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
    "tie_word_embeddings": True, "vocab_size": 256,
}  # fmt: skip
LLAMA_3_2 = LLAMA | {
    "head_dim": 64, "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072,
    "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0, "tie_word_embeddings": True, "vocab_size": 128256,
    "rope_scaling": {
        "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
}  # fmt: skip
FP16 = "fp16-ws-64x64"


def written(folder: Path, values: dict[str, Any], name: str = "config.json") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_a_config_json_is_the_published_shape_under_its_own_name(tmp_path: Path) -> None:
    for values, name in ((FALCON, "falcon3-3b"), (LLAMA_3_2, "llama-3.2-1b"), (QWEN, "qwen2.5-1.5b")):
        assert load_model(written(tmp_path / "own", values)).config.digest == zoo_config(name).digest
    path = written(tmp_path / "my-falcon", FALCON)
    for place in (path, str(path), path.parent, f"{path.parent}/"):
        model = load_model(place)
        assert (model.name, model.weights, model.origin) == ("my-falcon", None, "shape")
        assert model.config.digest == zoo_config("falcon3-3b").digest
        assert model.notes == (f"model shape from {path}; the model has no weights",)
    assert load_model(written(tmp_path, FALCON, "other.json")).name == "other"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (GEMMA, ("final_logit_softcapping = 30.0", "tie_word_embeddings: absent", "would not execute the model")),
        ({"model_type": "gemma3", "text_config": GEMMA}, ("text_config only", "norms behind attention")),
    ],
)
def test_sizes_are_read_of_models_that_are_not_executed(
    tmp_path: Path, values: dict[str, Any], said: tuple[str, ...]
) -> None:
    model = load_model(written(tmp_path / "own", values))
    assert model.config.digest == zoo_config("gemma-3-1b").digest
    for part in said:
        assert any(part in note for note in model.notes)
    assert not any("not modelled: attn_logit_softcapping" in note for note in model.notes)
    longer = estimate(model, FP16, prefill=600, decode=0).notes
    assert any("layers of the model attend at most 512" in note for note in longer)


def test_a_size_that_is_not_there_is_asked_for_where_transformers_would_not_be(tmp_path: Path) -> None:
    sizes = {key: value for key, value in GEMMA.items() if key != "num_key_value_heads"}
    with pytest.raises(CheckpointError, match="num_key_value_heads: expected a positive integer, got no such key"):
        load_model(written(tmp_path / "own", sizes))
    absent = {key: value for key, value in FALCON.items() if key != "tie_word_embeddings"}
    model = load_model(written(tmp_path / "own", absent))
    assert any("absent keys as transformers takes them: tie_word_embeddings = False" in n for n in model.notes)


def test_every_type_that_is_listed_can_be_read(tmp_path: Path) -> None:
    sizes = {key: value for key, value in TINY.items() if key not in ("tie_word_embeddings", "head_dim")}
    for kind, tied in TIED_BY_DEFAULT.items():
        path = written(tmp_path / kind, sizes | {"model_type": kind, "soft_cap": 30})
        config = load_model(path).config
        assert (config.tie_embeddings, config.head_dim) == (tied, HEAD_DIM.get(kind, 16))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "gpt2", "n_embd": 768}, "model_type: expected one of "),
        (QWEN | {"hidden_size": 1.5}, "hidden_size: expected a positive integer, got 1.5"),
        (GEMMA | {"sliding_window": False}, "sliding_window: expected null or a positive integer, got False"),
        (QWEN | {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantization_config"),
        ({"text_config": {"model_type": "t5"}}, "model_type: expected one of .*, got 't5'; or write a YAML shape"),
        ({"text_config": 5}, "model_type: expected one of .*, got None"),
        ([], "expected a JSON object, got list"),
    ],
)
def test_what_is_no_shape_is_refused_with_file_and_key(tmp_path: Path, values: Any, message: str) -> None:
    path = written(tmp_path / "own", values)
    with pytest.raises(CheckpointError, match=rf"own/config\.json: .*{message}"):
        load_model(path)


def test_a_directory_with_a_pickle_is_refused_as_before(tmp_path: Path) -> None:
    folder = written(tmp_path / "own", TINY).parent
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="a pickle"):
        load_model(folder)


def test_a_shape_of_ones_own_works_wherever_a_model_does(tmp_path: Path) -> None:
    path = written(tmp_path / "own", TINY)
    model = load_model(path)
    results = [
        estimate(path, FP16, prefill=4, decode=1),
        serve(path, "a100-80gb", prompt=8, new_tokens=8, batch=2),
        parallel(path, FP16, devices=[1, 2], context=8),
        *compare([(path, FP16)], prompt="a", new_tokens=1, random_weights=0).results,
    ]
    for result in results[:3]:
        assert (result.inputs["model"], result.inputs["model_sha256"]) == ("own", model.digest)
        assert any(str(path) in note for note in result.notes)
    assert results[3].inputs["model"] == "own"
    with pytest.raises(ConfigError, match="shapes only, no weights"):
        run(path, FP16, prompt="a")


def test_a_yaml_shape_like_one_of_the_zoo_has_its_own_name_and_hash(tmp_path: Path) -> None:
    own = tmp_path / "deep.yaml"
    own.write_text("kind: shape\nlike: llama-3.2-1b\nnum_layers: 20\n", encoding="utf-8")
    deep, base = load_model(own), load_model("llama-3.2-1b")
    assert isinstance(deep, Model)
    assert (deep.name, deep.config.num_layers, base.config.num_layers) == ("deep", 20, 16)
    assert deep.digest != base.digest


KEYS = (*GEMMA, *QWEN, "rope_scaling", "layer_norm_eps", "text_config", "head_dim")
ODD = st.one_of(
    *(st.none(), st.booleans(), st.integers(-3, 1 << 40), st.floats(allow_nan=False, allow_infinity=False)),
    *(st.text(max_size=6), st.lists(st.integers(0, 3), max_size=2)),
    st.dictionaries(st.sampled_from(["rope_theta", "full_attention"]), st.integers(0, 9)),
)


@given(
    base=st.sampled_from([GEMMA, QWEN, FALCON, {"text_config": GEMMA}]),
    changes=st.dictionaries(st.sampled_from(KEYS), ODD, max_size=3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_law_no_config_json_is_a_traceback(tmp_path: Path, base: dict[str, Any], changes: dict[str, Any]) -> None:
    with suppress(CheckpointError):
        assert load_model(written(tmp_path / "own", base | changes)).weights is None
