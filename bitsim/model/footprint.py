"""What a model takes in memory: linears, embedding, head, keys and values. Nothing else in bitsim has these formulas.

Everything is exact, in bits, of the whole model unless a function says otherwise; who needs bytes divides by 8 or takes
`footprint`. Embedding and head of floats and the routers of experts are counted as FP16, whatever float they are: every
paper of the family reports them so (arXiv 2402.17764 table 1 among them). Packed ones count what their blocks take.
"""

import math
from dataclasses import dataclass

from bitsim.model.config import ModelConfig
from bitsim.quant.kv import KVStorage, kv_stored_bits
from bitsim.quant.recipes import Recipe

FP16_BITS = 16


def linear_bits(config: ModelConfig, n: int, k: int) -> int:
    """One (N, K) linear without a scale of its own, padding included: a multiple of 8.

    Two-bit codes are packed four rows to a byte (Hugging Face), all others along K in whole bytes.
    """
    if config.quantised and config.weight_bits_per_weight == 2:
        return 8 * -(-n // 4) * k
    return 8 * n * int(-(-k * config.weight_bits_per_weight // 8))


def linears_bits(config: ModelConfig, *, experts: int = 1) -> int:
    """The linears of all layers; with several `experts`, each layer has as many FFNs and a router."""
    shapes = list(config.linear_shapes())
    attention = sum(linear_bits(config, n, k) for name, n, k in shapes if not name.startswith("mlp."))
    ffn = sum(linear_bits(config, n, k) for name, n, k in shapes if name.startswith("mlp."))
    return config.num_layers * (attention + experts * ffn + router_bits(config, experts))


def router_bits(config: ModelConfig, experts: int) -> int:
    """The linear of one layer that chooses among `experts`; a single expert needs none."""
    return FP16_BITS * experts * config.hidden_size if experts > 1 else 0


def embedding_bits(config: ModelConfig) -> int:
    """Embedding and head as they are stored: a tied head once, unless its bits are others.

    Scales of blocks are counted with their weights, those of rows (`--head-bits 8`) are not.
    """
    embedding = config.vocab_size * embedding_row_bits(config)
    shared = config.tie_embeddings and config.head_bits == config.embedding_bits
    return embedding if shared else embedding + head_bits(config)


def embedding_row_bits(config: ModelConfig) -> int:
    """What one token reads of the embedding."""
    return math.ceil(config.embedding_bits * config.hidden_size)


def head_bits(config: ModelConfig) -> int:
    """What one token reads of the head, tied or not."""
    return config.vocab_size * math.ceil(config.head_bits * config.hidden_size)


def kv_layer_bits(config: ModelConfig, storage: KVStorage, first: int, positions: int) -> int:
    """Keys, or values, of all heads of one layer, at `positions` positions of one sequence from `first` on."""
    return config.num_kv_heads * kv_stored_bits(storage, config.head_dim, first, positions)


def kv_bits(config: ModelConfig, storage: KVStorage, positions: int) -> int:
    """Keys and values of all layers of one sequence that has `positions`."""
    return 2 * config.num_layers * kv_layer_bits(config, storage, 0, positions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Whole bytes that a model keeps: packed linears, FP16 embedding and head, keys and values of all sequences."""

    linears: int
    embedding: int
    kv: int


def footprint(config: ModelConfig, recipe: Recipe, *, positions: int, batch: int, experts: int = 1) -> Footprint:
    """What `batch` sequences of `positions` need; keys and values as `recipe` stores them, else in 16 bits.

    All `experts` are stored.
    """
    return Footprint(
        linears=linears_bits(config, experts=experts) // 8,
        embedding=embedding_bits(config) // 8,
        kv=-(-batch * kv_bits(config, recipe.kv or 16, positions) // 8),
    )
