"""Serving on a CPU: `bitsim.serving.cpu`'s token, for a batch, and with keys and values.

    step = layers x overhead + max(weights / memory, operations / vector units) + max(keys and values, attention)

Weights stream once per step for all sequences; keys and values and the attention over them are FP16 or narrower.
"""

import numpy as np
import numpy.typing as npt

from bitsim.hw.cpu import Cpu
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import kv_bits
from bitsim.quant.kv import KVStorage
from bitsim.serving.cpu import Speed, stated_speed, token_bytes
from bitsim.serving.grid import Grid
from bitsim.serving.memory import Needs

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
MODEL = (
    "CPU: peak rates and the memory's efficiency as the description has them; a layer's overhead, then weights and "
    "multiply-adds, the longer of the two, then keys and values and the attention over them"
)
NO_POWER = "energy is not known: the description of a CPU has no power"


def cpu_grid(
    config: ModelConfig, cpu: Cpu, storage: KVStorage, needs: Needs, batches: Int64, *, prompt: int, new_tokens: int
) -> Grid:
    """All batches on one CPU; contexts grow from `prompt` + 1 to `prompt` + `new_tokens` positions, averaged."""
    first, last = prompt + 1, prompt + new_tokens
    kv = sum(kv_bits(config, storage, positions) for positions in (first, last)) / 16
    tokens, one = batches.astype(np.float64), np.ones(1)
    parts = pass_parts(
        config, cpu, tokens=tokens, heads=tokens, kv_bytes=kv * tokens, attended=(first + last) / 2 * tokens
    )
    alone = pass_parts(
        config, cpu, tokens=one * prompt, heads=one, kv_bytes=0 * one, attended=one * prompt * (prompt + 1) / 2
    )
    names = np.array(list(parts))
    return Grid(
        devices=np.asarray([1]),
        batch=batches,
        fits=(needs.total(1, batches) <= cpu.capacity.nominal * 1e9)[None, :],
        step_s=np.asarray(sum(parts.values()))[None, :],
        prompt_s=np.asarray(sum(alone.values())),
        limit=names[np.argmax(np.stack(list(parts.values())), axis=0)][None, :],
        memory_bytes=needs.total(1, batches)[None, :],
        communication_bytes=np.zeros((1, batches.size)),
        parts_s={name: part[None, :] for name, part in parts.items()},
        energy_per_token_j=None,
        new_tokens=new_tokens,
    )


def pass_parts(
    config: ModelConfig, cpu: Cpu, *, tokens: Float64, heads: Float64, kv_bytes: Float64, attended: Float64
) -> dict[str, Float64]:
    """Seconds of one pass of `tokens` tokens, `heads` of which go through the head, by what they are spent on.

    `attended`: pairs of a token and a position that it attends.
    """
    speed: Speed = stated_speed(cpu)
    memory = cpu.bandwidth.nominal * speed.efficiency * 1e9
    wide = cpu.fp16_rate.nominal * 1e12
    rate = cpu.int8_rate.nominal * 1e12 if config.quantised else wide
    streamed = np.full_like(tokens, token_bytes(config) / memory)
    computed = 2 * config.linear_weights * tokens / rate + 2 * config.vocab_size * config.hidden_size * heads / wide
    attention = np.maximum(kv_bytes / memory, 4.0 * config.q_size * config.num_layers * attended / wide)
    return {
        "weight bandwidth": np.where(streamed >= computed, streamed, 0.0),
        "compute": np.where(streamed >= computed, 0.0, computed),
        "attention": attention,
        "layer overhead": np.full_like(tokens, config.num_layers * speed.layer_s),
    }
