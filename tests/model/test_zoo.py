"""Published shapes: sizes add up to the published ones, sources are there, mistakes are refused."""

from dataclasses import replace
from fractions import Fraction

import pytest

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw.complaints import validate
from bitsim.hw.source import Source
from bitsim.hw.yaml_file import read_yaml
from bitsim.model.checkpoint import load_model, random_model
from bitsim.model.rope_scaling import Llama3Scaling
from bitsim.model.zoo import Shape, load_shape, zoo_config, zoo_names
from bitsim.model.zoo.reader import members
from bitsim.parallel.parallel import parallel
from bitsim.serving.serve import serve
from bitsim.study import estimate
from bitsim.study.array_size import array_sizes

# N_lin in units of 1e9, facts/papers.md sections 2.1, 3.2 and 5
N_LIN = {
    "bitnet-b158-700m": 0.6795,
    "bitnet-b158-1.3b": 1.2078,
    "bitnet-b158-3b": 3.2215,
    "bitnet-b158-3.9b": 4.2598,
    "bitnet-b158-7b": 6.4760,
    "bitnet-b158-13b": 12.6878,
    "bitnet-b158-70b": 64.760,
}
B1 = ("125m", "350m", "760m", "1.3b", "2.7b", "6.7b", "13b", "30b", "70b")
BITNET_CPP = ("125m", "350m", "700m", "1b", "1.5b", "2.5b", "3.8b", "7b", "13b", "30b", "70b", "100b")
LLAMA = ("700m", "1.3b", "3b", "3.9b", "7b", "13b", "70b")


def test_every_size_of_the_papers_has_a_shape():
    expected = [f"{v}-{s}" for v in ("bitnet", "fp16") for s in B1]
    expected += [f"{v}-{s}" for v in ("llama", "bitnet-b158") for s in LLAMA]
    expected += [f"bitnet-a48-{s}" for s in ("700m", "1.3b", "3b", "7b")]
    expected += [f"bitnet-v2-{s}" for s in ("400m", "1.3b", "3b", "7b")]
    expected += [f"bitnetcpp{v}-{s}" for v in ("", "-f16") for s in BITNET_CPP]
    assert {*expected, "bitnet-b158-2b4t"} <= set(zoo_names())


@pytest.mark.parametrize("size", ["700m", "1.3b", "3b", "7b"])
def test_a48_has_the_shapes_of_b158(size):
    config, twin = zoo_config(f"bitnet-a48-{size}"), zoo_config(f"bitnet-b158-{size}")
    assert list(config.linear_shapes()) == list(twin.linear_shapes())
    assert config.default_numerics == "a48"


@pytest.mark.parametrize("size", ["400m", "1.3b", "3b", "7b"])
def test_v2_transforms_powers_of_two(size):
    shapes = {name: k for name, _, k in zoo_config(f"bitnet-v2-{size}").linear_shapes()}
    assert all(k & (k - 1) == 0 for k in (shapes["self_attn.o_proj"], shapes["mlp.down_proj"]))


def test_2b4t():
    config = zoo_config("bitnet-b158-2b4t")
    assert config.linear_weights == 2_084_044_800
    assert config.embedding_weights == 328_335_360
    norms = config.num_layers * (3 * config.hidden_size + config.intermediate_size) + config.hidden_size
    assert config.linear_weights + config.embedding_weights + norms == 2_412_820_480
    assert config.default_numerics == "hf_autobitlinear"


@pytest.mark.parametrize(("name", "billions"), N_LIN.items())
def test_linear_weights(name, billions):
    config = zoo_config(name)
    assert config.linear_weights == pytest.approx(billions * 1e9, rel=1e-4)
    twin = zoo_config(name.replace("bitnet-b158", "llama"))
    assert twin.linear_weights == config.linear_weights
    assert (twin.weight_bits_per_weight, config.weight_bits_per_weight) == (16, 2)


@pytest.mark.parametrize("size", B1)
def test_b1_shapes(size):
    """Two FFN matrices of width 4 d: 12 d^2 weights per layer."""
    config, twin = zoo_config(f"bitnet-{size}"), zoo_config(f"fp16-{size}")
    assert config.linear_weights == twin.linear_weights == 12 * config.hidden_size**2 * config.num_layers
    assert (config.weight_bits_per_weight, twin.weight_bits_per_weight) == (1, 16)
    assert (config.default_numerics, twin.default_numerics) == ("b1", "float")


def test_every_shape_has_a_source():
    for name in zoo_names():
        entry = load_shape(name)
        assert entry.config.name == name
        assert len(entry.source) > 10
    assert {name for name in zoo_names() if load_shape(name).evidence == "assumed"} == {
        *("bitnet-70b", "fp16-70b", "llama-13b", "llama-70b", "bitnet-b158-13b", "bitnet-b158-70b")
    }
    assert "vocab_size" in dict(load_shape("llama-7b").assumed)


def test_mistakes():
    with pytest.raises(UnknownNameError, match="llama-7b"):
        zoo_config("llama-8b")


@pytest.fixture
def shape(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("kind: shape\nlike: bitnet-b158-2b4t\nnum_layers: 2\nmax_position_embeddings: 64\n")
    return file


def test_a_users_shape_is_a_model_under_its_own_name_and_hash(shape):
    model, original = load_model(str(shape)), load_model("bitnet-b158-2b4t")
    assert model.config == replace(original.config, name="my", num_layers=2, max_position_embeddings=64)
    assert (model.name, model.origin, model.weights) == ("my", "shape", None)
    assert model.digest != original.digest
    assert "model shape, published: arXiv 2504.12285; microsoft/BitNet 16da220 gpu/model.py" in original.notes
    # What is said of the original is not said of the changed shape; what is assumed of unchanged fields still is.
    assert f"model shape, assumed: {shape}, like bitnet-b158-2b4t" in model.notes
    assert not any("arXiv 2504.12285" in note or "max_position_embeddings" in note for note in model.notes)
    assert any(note.startswith("model shape, assumed: tie_embeddings: ") for note in model.notes)


def test_a_users_shape_works_where_a_name_does(shape):
    result = estimate(shape, "ternary-ws-64x64", prefill=4, decode=1)
    assert (result.inputs["model"], result.inputs["model_sha256"]) == ("my", load_model(shape).digest)
    assert any(str(shape) in note for note in result.notes)
    assert serve(shape, "a100-80gb", prompt=4, new_tokens=1).model == "my"
    assert parallel(shape, "ternary-ws-64x64", "nvlink", devices=[1], context=4).inputs["model"] == "my"
    assert array_sizes(shape, "ternary-ws-64x64", sizes=[64], prefill=4).inputs["model"] == "my"


def test_a_shape_can_have_what_few_models_have(shape):
    shape.write_text(
        "kind: shape\nlike: bitnet-b158-2b4t\nnum_layers: 2\nqk_norm: true\nattention_bias: qkv\nsliding_window: 512\n"
        "rope_scaling: {kind: llama3, factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_positions: 8192}\n"
    )
    model, plain = load_model(shape), load_model("bitnet-b158-2b4t")
    assert model.config == replace(
        plain.config,
        name="my",
        num_layers=2,
        qk_norm=True,
        attention_bias="qkv",
        sliding_window=512,
        rope_scaling=Llama3Scaling(factor=8, low_freq_factor=1, high_freq_factor=4, original_positions=8192),
    )
    said = load_shape(shape).settings()
    assert (said["qk_norm"], said["attention_bias"]) == ("True", "qkv")
    assert "qk_norm" not in load_shape("bitnet-b158-2b4t").settings()
    result = estimate(shape, "ternary-ws-64x64", prefill=600, decode=0)
    assert any("attention is counted over all 600 positions; layers of the model attend at most 512" in n
               for n in result.notes)  # fmt: skip


def test_random_weights_keep_the_notes_of_a_shape(shape):
    model = load_model(shape)
    small = replace(model.config, hidden_size=64, intermediate_size=64, num_heads=2, num_kv_heads=1, head_dim=32)
    small = replace(small, vocab_size=256)
    assert random_model(small, 1, notes=model.notes).notes == model.notes


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("num_layers: 2", "num_layer: 2", ":3: num_layer: unknown key; did you mean num_layers?"),
        ("num_layers: 2", "num_layers: two", ":3: num_layers: expected an integer (got 'two')"),
        ("num_layers: 2", "num_layers: 0", ":3: num_layers: must be > 0 (got 0)"),
        ("num_layers: 2", "num_kv_heads: 3", ":3: num_kv_heads: must divide num_attention_heads = 20 (got 3)"),
        ("num_layers: 2", "head_dim: 64", ":3: head_dim: with sub norms, num_attention_heads * head_dim must be "),
        (
            "num_layers: 2",
            "hidden_act: swish",
            ":3: hidden_act: must be 'relu2', 'silu', 'gelu' or 'gelu_tanh' (got 'swish')",
        ),
        (
            "num_layers: 2",
            "rope_scaling: {kind: linear, factor: 0}",
            ":3: rope_scaling: factor: must be a finite number",
        ),
        ("num_layers: 2", "rope_scaling: {kind: ntk}", ":3: rope_scaling.kind: must be 'linear', 'llama3', 'yarn' or "),
        ("num_layers: 2", "rope_scaling: {kind: linear, factor: 2, base: 3}", ":3: rope_scaling.base: unknown key"),
        ("num_layers: 2", "attention_bias: true", ":3: attention_bias: must be 'none', 'qkv' or 'qkvo' (got True)"),
        (
            "num_layers: 2",
            "weight_bits_per_weight: 1.6",
            ":3: weight_bits_per_weight: expected bits per weight up to 32",
        ),
        (
            "num_layers: 2",
            "weight_bits_per_weight: 1/0",
            ":3: weight_bits_per_weight: expected bits per weight up to 32",
        ),
    ],
)
def test_mistakes_in_a_shape_have_a_line(shape, old, new, text):
    shape.write_text(shape.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_model(shape)
    assert str(caught.value).startswith(f"{shape}{text}")


def test_fractions_of_bits_are_exact(shape):
    shape.write_text(shape.read_text() + "weight_bits_per_weight: 8/5\n")
    assert load_shape(shape).config.weight_bits_per_weight == Fraction(8, 5)


FAMILY = """\
kind: shapes
title: a family
assumed: {}
common:
  vocab_size: 256
variants:
  - name: mine-{size}
    linear_class: null
    weight_bits_per_weight: 16
    sub_norms: false
shapes:
  - size: 1m
    hidden_sizes: 64
    source: a test
    evidence: assumed
"""


def test_mistakes_in_a_family_have_the_line_of_its_file(tmp_path):
    def loaded(text):
        (tmp_path / "f.yaml").write_text(text)
        data, lines = read_yaml(tmp_path / "f.yaml", "f.yaml")
        return [validate(Shape, source) for source in members(Source.of_file("f.yaml", data, lines))]

    with pytest.raises(ConfigError) as caught:
        loaded(FAMILY)
    assert "f.yaml:13: hidden_sizes: unknown key; did you mean hidden_size or hidden_act?" in str(caught.value)
    with pytest.raises(ConfigError, match=r"^f\.yaml:7: variants\[0\]\.name: expected text"):
        loaded(FAMILY.replace("- name: mine-{size}", "- title: mine-{size}"))
    with pytest.raises(ConfigError, match=r"^f\.yaml:1: kind: expected `kind: shapes`"):
        loaded(FAMILY.replace("kind: shapes", "kind: shape"))
    with pytest.raises(ConfigError, match=r"^f\.yaml:5: surplus: unknown key"):
        loaded(FAMILY.replace("common:", "surplus: 1\ncommon:").replace("assumed: {}\n", "assumed: {}\n\n", 1))
