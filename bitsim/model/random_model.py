"""Synthetic weights of any shape: as large as the real ones, cheap to make, the same for the same seed."""

import math
from functools import lru_cache, partial
from statistics import NormalDist
from zlib import crc32

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.on_demand import FloatOnDemand, TernaryOnDemand
from bitsim.model.weights import FloatWeight, LayerWeights, LinearWeight, ModelWeights, Stored
from bitsim.quant.base import Contract
from bitsim.quant.packing import Float32, UInt8, bf16_to_f32, f32_to_bf16
from bitsim.quant.recipes import recipe_named

_BLOCK_BYTES = 1 << 20


def random_weights(config: ModelConfig, seed: int, *, keep: bool = True) -> ModelWeights:
    """Weights for `config`: codes -1, 0, +1 about equally often (binary weights: -1, +1), norms of one, biases of zero.

    The embedding is N(0, 1); unquantised linears and an untied head are N(0, 1 / K). Every tensor depends on `seed` and
    its name alone. Quantised linears are drawn whenever they are used, the rest once; with `keep=False` the rest is
    drawn anew at every use as well, for writing a file in little memory. Raises `ConfigError` for a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"{config.name}: seed: expected an integer >= 0, got {seed}")
    d, f = config.hidden_size, config.intermediate_size
    contract = recipe_named(config.default_numerics).qkv
    floats = _float_weight if keep else _float_on_demand
    embedding = floats(config, seed, "model.embed_tokens", config.vocab_size, d, 1.0)
    layers = []
    for i in range(config.num_layers):
        linears = {
            name: _linear(config, contract, seed, f"model.layers.{i}.{name}", n, k)
            for name, n, k in config.linear_shapes()
        }
        layers.append(
            LayerWeights(
                input_norm=_norm(config, d),
                q=linears["self_attn.q_proj"],
                k=linears["self_attn.k_proj"],
                v=linears["self_attn.v_proj"],
                attn_sub_norm=_norm(config, config.q_size) if config.sub_norms else None,
                o=linears["self_attn.o_proj"],
                post_attention_norm=_norm(config, d),
                gate=linears.get("mlp.gate_proj"),
                up=linears["mlp.up_proj"],
                ffn_sub_norm=_norm(config, f) if config.sub_norms else None,
                down=linears["mlp.down_proj"],
                q_norm=np.ones(config.head_dim, dtype=np.float32) if config.qk_norm else None,
                k_norm=np.ones(config.head_dim, dtype=np.float32) if config.qk_norm else None,
                biases={name: np.zeros(n, np.float32) for name, n, _ in config.linear_shapes() if config.biased(name)},
                linear_norms={}
                if config.linear_norm_eps is None
                else {name: np.ones(k, np.float32) for name, _, k in config.linear_shapes()},
            )
        )
    head = embedding
    if not config.tie_embeddings:
        head = floats(config, seed, "lm_head", config.vocab_size, d, 1 / math.sqrt(d))
    return ModelWeights(embedding=embedding, layers=tuple(layers), norm=_norm(config, d), head=head)


def _norm(config: ModelConfig, size: int) -> Float32 | None:
    return np.ones(size, dtype=np.float32) if config.norm == "rms" else None


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, crc32(name.encode())])))


def _linear(config: ModelConfig, contract: Contract, seed: int, name: str, n: int, k: int) -> LinearWeight:
    if not config.quantised:
        return _float_weight(config, seed, name, n, k, 1 / math.sqrt(k))
    values = 2 if config.binary else 3
    # A sum of K products of unit variance and variance `occupied` comes out near unit variance.
    occupied = 2 / 3 if values == 3 else 1.0
    mean = bf16_to_f32(f32_to_bf16(np.array([1 / math.sqrt(occupied * k)], dtype=np.float32)))[0]
    draw = partial(_packed_codes, values, seed, name, n, k)
    return TernaryOnDemand(packed=draw, n=n, k=k, scale=np.float32(contract.stored_scale(mean)))


def _packed_codes(values: int, seed: int, name: str, n: int, k: int) -> UInt8:
    table, rng, rows = _packed_bytes(values), _generator(seed, name), -(-n // 4)
    packed = np.empty((rows, k), dtype=np.uint8)
    for block in _blocks(packed, 1):
        np.take(table, np.frombuffer(rng.bytes(block.size), dtype=np.uint8), out=block)
    for i in range(4):  # code 0 in the rows beyond N
        packed[max(0, n - i * rows) :] &= np.uint8(255 ^ 3 << 2 * i)
    return packed


def _float_weight(config: ModelConfig, seed: int, name: str, n: int, k: int, std: float) -> FloatWeight:
    return FloatWeight(stored=_normal_matrix(config.dtype, seed, name, (n, k), std), dtype=config.dtype)


def _float_on_demand(config: ModelConfig, seed: int, name: str, n: int, k: int, std: float) -> FloatWeight:
    return FloatOnDemand(partial(_normal_matrix, config.dtype, seed, name, (n, k), std), n=n, k=k, dtype=config.dtype)


def _normal_matrix(dtype: Dtype, seed: int, name: str, shape: tuple[int, int], std: float) -> Stored:
    table, rng = _normal_values(dtype, std), _generator(seed, name)
    stored = np.empty(shape, dtype=table.dtype)
    for block in _blocks(stored, 2):
        np.take(table, np.frombuffer(rng.bytes(2 * block.size), dtype="<u2"), out=block)
    return stored


def _blocks(array: npt.NDArray[np.generic], random_bytes: int) -> list[Stored]:
    """Pieces of a flattened contiguous array that need `_BLOCK_BYTES` random bytes each."""
    flat, size = array.reshape(-1), _BLOCK_BYTES // random_bytes
    return [flat[i : i + size] for i in range(0, flat.size, size)]


@lru_cache(maxsize=2)
def _packed_bytes(values: int) -> UInt8:
    """For each of 256 random bytes a byte of four valid codes: 81 ternary (`values` = 3) or 16 binary ones."""
    codes = (0, 1, 2) if values == 3 else (0, 2)
    valid = [a | b << 2 | c << 4 | d << 6 for a in codes for b in codes for c in codes for d in codes]
    return np.array([valid[i * len(valid) // 256] for i in range(256)], dtype=np.uint8)


@lru_cache(maxsize=8)
def _normal_values(dtype: Dtype, std: float) -> Stored:
    """65536 equally likely values of N(0, std^2) as stored bits: the middles of its quantiles."""
    normal = NormalDist(0.0, std)
    quantiles = np.array([normal.inv_cdf((i + 0.5) / 65536) for i in range(65536)])
    values = quantiles.astype(np.float32)
    if dtype == "bfloat16":
        return f32_to_bf16(values)
    return quantiles.astype(np.float16).view(np.uint16) if dtype == "float16" else values
