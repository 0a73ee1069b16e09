"""Published shapes: sizes add up to the published ones, sources are there, mistakes are refused."""

import pytest

from bitsim.errors import UnknownNameError
from bitsim.model.zoo import load_shape, zoo_config, zoo_names

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
