"""Whether a model, with its KV cache, has room in the memories that keep it."""

from dataclasses import dataclass

from bitsim.errors import ConfigError
from bitsim.model.config import ModelConfig
from bitsim.model.experts import Experts
from bitsim.quant.kv import KV_FORMATS, KVStorage, kv_stored_bits
from bitsim.quant.recipes import Recipe
from bitsim.schedule import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes that a model keeps: packed linears, FP16 embedding and head, keys and values of all sequences."""

    linears: int
    embedding: int
    kv: int


def stored_bytes(
    config: ModelConfig, recipe: Recipe, *, positions: int, batch: int, experts: Experts | None = None
) -> Stored:
    """What `batch` sequences of `positions` need; all experts are stored."""
    linears = sum(config.stored_weight_bits(n, k) for _, n, k in config.linear_shapes()) * config.num_layers
    linears += 0 if experts is None else experts.stored_bits(config)
    per_head = kv_stored_bits(recipe.kv or 16, config.head_dim, 0, positions)
    kv = 2 * config.num_kv_heads * per_head * config.num_layers * batch
    return Stored(linears=-(-linears // 8), embedding=2 * config.embedding_weights, kv=-(-kv // 8))


def longest_contexts(placement: Placement, config: ModelConfig, stored: Stored, batch: int) -> dict[str, int]:
    """Positions per sequence that DRAM has room for beside the weights, by how keys and values are stored.

    0 where the weights alone have no room. Source of the formats: `bitsim.quant.kv`.
    """
    room = 8 * (
        placement.chip.memory.dram.capacity_bytes - _weights_in_dram(placement, stored, quantised=config.quantised)
    )
    heads = 2 * config.num_kv_heads * config.num_layers * batch

    def most(storage: KVStorage) -> int:
        low, high = 0, max(0, room // heads)  # a position takes at least a bit per head
        while low < high:
            middle = (low + high + 1) // 2
            fits = heads * kv_stored_bits(storage, config.head_dim, 0, middle) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    stores: dict[str, KVStorage] = {"16 bit": 16, "8 bit": KV_FORMATS["kv8"], "4 bit": KV_FORMATS["kv4"]}
    return {name: most(storage) for name, storage in (stores | {"3 bit": KV_FORMATS["kv3_bos8"]}).items()}


def _weights_in_dram(placement: Placement, stored: Stored, *, quantised: bool) -> int:
    resident = any(level.resident for level in placement.chip.memory.chain("weights"))
    inside = quantised and placement.bitlinear.holds_weights
    return stored.embedding + (0 if resident or inside else stored.linears)


def check_capacity(
    placement: Placement, name: str, stored: Stored, *, quantised: bool, beyond: bool
) -> tuple[str, ...]:
    """Raise `ConfigError` if a memory is too small for the model `name`, naming it and the bytes.

    `quantised`: the linears are BitLinear. `beyond`: say it in a note instead.
    """
    chip = placement.chip
    resident = [level for level in chip.memory.chain("weights") if level.resident]
    dram = stored.kv + _weights_in_dram(placement, stored, quantised=quantised)
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
