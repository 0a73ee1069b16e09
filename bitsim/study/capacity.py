"""Whether a model, with its KV cache, has room in the memories that keep it."""

from bitsim.errors import ConfigError
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import Footprint, kv_bits
from bitsim.quant.kv import KV_OF_BITS, KVStorage
from bitsim.schedule import Placement


def longest_contexts(placement: Placement, config: ModelConfig, stored: Footprint, batch: int) -> dict[str, int]:
    """Positions per sequence that DRAM has room for beside the weights, by how keys and values are stored.

    0 where the weights alone have no room. The formats are those of `KV_OF_BITS`.
    """
    room = 8 * (
        placement.chip.memory.dram.capacity_bytes - weights_in_dram(placement, stored, quantised=config.quantised)
    )

    def most(storage: KVStorage) -> int:
        low, high = 0, max(0, room // batch)  # a position takes more than a bit
        while low < high:
            middle = (low + high + 1) // 2
            fits = batch * kv_bits(config, storage, middle) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    storages: dict[int, KVStorage] = {16: 16} | KV_OF_BITS
    return {f"{bits} bit": most(storage) for bits, storage in storages.items()}


def weights_in_dram(placement: Placement, stored: Footprint, *, quantised: bool) -> int:
    """Bytes of embedding and head, and of the linears unless the datapath or a resident memory keeps them."""
    resident = any(level.resident for level in placement.chip.memory.chain("weights"))
    inside = quantised and placement.bitlinear.holds_weights
    return stored.embedding + (0 if resident or inside else stored.linears)


def check_capacity(
    placement: Placement, name: str, stored: Footprint, *, quantised: bool, beyond: bool
) -> tuple[str, ...]:
    """Raise `ConfigError` if a memory is too small for the model `name`, naming it and the bytes.

    `quantised`: the linears are BitLinear. `beyond`: say it in a note instead.
    """
    chip = placement.chip
    resident = [level for level in chip.memory.chain("weights") if level.resident]
    dram = stored.kv + weights_in_dram(placement, stored, quantised=quantised)
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
