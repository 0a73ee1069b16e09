"""Whether a model, with its KV cache, has room in the memories that keep it."""

from dataclasses import dataclass

from bitsim.errors import ConfigError
from bitsim.model.config import ModelConfig
from bitsim.quant.kv import kv_stored_bits
from bitsim.quant.recipes import Recipe
from bitsim.schedule import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes that a model keeps: packed linears, FP16 embedding and head, keys and values of all sequences."""

    linears: int
    embedding: int
    kv: int


def stored_bytes(config: ModelConfig, rules: Recipe, *, positions: int, batch: int) -> Stored:
    """What `batch` sequences of `positions` need."""
    linears = sum(config.stored_weight_bits(n, k) for _, n, k in config.linear_shapes()) * config.num_layers
    per_head = kv_stored_bits(rules.kv or 16, config.head_dim, 0, positions)
    kv = 2 * config.num_kv_heads * per_head * config.num_layers * batch
    return Stored(linears=-(-linears // 8), embedding=2 * config.embedding_weights, kv=-(-kv // 8))


def check_capacity(
    placement: Placement, name: str, stored: Stored, *, quantised: bool, beyond: bool
) -> tuple[str, ...]:
    """Raise `ConfigError` if a memory is too small for the model `name`, naming it and the bytes.

    `quantised`: the linears are BitLinear. `beyond`: say it in a note instead.
    """
    chip = placement.chip
    resident = [level for level in chip.memory.chain("weights") if level.resident]
    inside = quantised and placement.bitlinear.holds_weights
    dram = stored.embedding + stored.kv + (0 if resident or inside else stored.linears)
    wanted = {f"memory.levels.{level.name}": (stored.linears, level.capacity_bits // 8) for level in resident}
    wanted["memory.dram"] = dram, chip.memory.dram.capacity_bytes
    notes = []
    for where, (needs, has) in wanted.items():
        if needs <= has:
            continue
        text = (
            f"{chip.name}: {where}: {name} needs {needs:,} bytes, there are {has:,} (linears "
            f"{stored.linears:,}, embedding and head {stored.embedding:,}, KV cache {stored.kv:,})"
        )
        if not beyond:
            raise ConfigError(f"{text}; take a smaller model, batch or context, or allow it with beyond_capacity")
        notes.append(text)
    return tuple(notes)
