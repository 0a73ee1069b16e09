"""Small models and files for the tests of bitsim.model."""

import json
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from bitsim.model.config import ModelConfig
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.rope_scaling import YarnScaling
from bitsim.quant.recipes import Recipe, recipe_named
from bitsim.quant.wide import WIDE_CONTRACTS

TINY = Path(__file__).parents[1] / "golden" / "tiny"

CONFIG = ModelConfig(
    name="test",
    hidden_size=32,
    intermediate_size=44,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    vocab_size=50,
    max_position_embeddings=200,
    rope_theta=10000.0,
    rms_norm_eps=1e-5,
    hidden_act="relu2",
    ffn="glu",
    sub_norms=True,
    tie_embeddings=True,
    linear_class="autobitlinear",
    weight_bits_per_weight=Fraction(2),
    dtype="bfloat16",
)
FLOAT_CONFIG = replace(
    CONFIG,
    linear_class=None,
    weight_bits_per_weight=Fraction(16),
    sub_norms=False,
    hidden_act="silu",
    tie_embeddings=False,
    dtype="float16",
)
MLP_CONFIG = replace(
    CONFIG, linear_class="bitlinear", weight_bits_per_weight=Fraction(1), ffn="mlp", hidden_act="gelu", num_kv_heads=4
)
B1_CONFIG = replace(MLP_CONFIG, linear_class="b1", norm="layer")
A48_CONFIG = replace(CONFIG, linear_class="a48")
V2_CONFIG = replace(CONFIG, linear_class="v2", intermediate_size=64, hidden_act="silu")
NORMED_CONFIG = replace(CONFIG, sub_norms=False, head_dim=6, qk_norm=True, attention_bias="qkvo", hidden_act="silu")
BIASED_CONFIG = replace(
    CONFIG,
    linear_class="bitlinear",
    sub_norms=False,
    attention_bias="qkv",
    mlp_bias=True,
    linear_norm_eps=1e-5,
    hidden_act="gelu_tanh",
    rope_scaling=YarnScaling(factor=4.0, original_positions=16),
)
WEIGHT_ONLY_CONFIG = replace(FLOAT_CONFIG, linear_class="w158a16", weight_bits_per_weight=Fraction(9, 4))
CONFIGS = {
    "ternary": CONFIG,
    "float": FLOAT_CONFIG,
    "binary mlp": MLP_CONFIG,
    "b1": B1_CONFIG,
    "a48": A48_CONFIG,
    "v2": V2_CONFIG,
    "qk norms": NORMED_CONFIG,
    "biases": BIASED_CONFIG,
    "weight-only": WEIGHT_ONLY_CONFIG,
}


def in_integers(config: ModelConfig, bits: int) -> Recipe:
    """The model's own numerics, attention and head in integers of so many bits."""
    contract = WIDE_CONTRACTS[bits]
    return replace(recipe_named(config.default_numerics), wide=contract, kv=contract.kv)


class Recorder(ReferenceExecutor):
    """Keeps the codes and sums of every quantised linear, and the operators in the order in which they came."""

    def __init__(self):
        self.linears, self.operators = {}, []

    def bitlinear(self, op, x_q, weight, live=None):
        sums = super().bitlinear(op, x_q, weight)
        self.linears[op.name] = (x_q, sums)
        self.operators.append(op)
        return sums

    def wide(self, op, a, b):
        self.operators.append(op)
        return super().wide(op, a, b)

    def wide_codes(self, op, a, b):
        self.operators.append(op)
        return super().wide_codes(op, a, b)

    def vector(self, op):
        self.operators.append(op)


def tiny_config() -> dict:
    return json.loads((TINY / "config.json").read_text())


def read_tensors() -> dict:
    """name -> (dtype tag, shape, bytes) of the tiny golden model."""
    raw = (TINY / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    return {n: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for n, t in header.items()}


def safetensors_bytes(tensors: dict) -> bytes:
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_checkpoint(directory: Path, config: dict | None = None, tensors: dict | None = None) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(tiny_config() if config is None else config))
    data = (TINY / "model.safetensors").read_bytes() if tensors is None else safetensors_bytes(tensors)
    (directory / "model.safetensors").write_bytes(data)
    return directory


def bf16_bytes(*values: float) -> bytes:
    return (np.array(values, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
