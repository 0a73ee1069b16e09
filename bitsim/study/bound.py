"""How wide accumulators must be: the worst case of all operands, and what a model's operands reach."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from bitsim.datapath.base import Array, Range
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.registry import build_datapath
from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.operators import Operator
from bitsim.quant.packing import TernaryWeight
from bitsim.quant.recipes import recipe_named
from bitsim.schedule.place import Placement
from bitsim.study.evaluate import HELD_OUT
from bitsim.study.executor import ChipExecutor
from bitsim.study.threads import kernels_first


@dataclass(frozen=True, slots=True, kw_only=True)
class AccumulatorBound:
    """One accumulator of a datapath: its `bits`, its `worst` sums at depth `k`, and those `seen` in a model.

    `seen_in`: the operator whose sums needed most bits; `seen_k`: that operator's depth.
    """

    register: str
    bits: int
    k: int
    worst: Range
    seen: Range | None = None
    seen_in: str = ""
    seen_k: int = 0

    def record(self) -> dict[str, Any]:
        """Plain values."""
        plain = {"register": self.register, "bits": self.bits, "k": self.k}
        plain |= {"worst_low": self.worst.low, "worst_high": self.worst.high, "worst_bits": self.worst.bits}
        if self.seen is None:
            return plain
        seen = {"seen_low": self.seen.low, "seen_high": self.seen.high, "seen_bits": self.seen.bits}
        return plain | seen | {"seen_in": self.seen_in, "seen_k": self.seen_k}


class RangeExecutor(ChipExecutor):
    """Keeps what the sums of every BitLinear reach, by accumulator and operator; `depths`: their K."""

    def __init__(self, placement: Placement) -> None:
        super().__init__(placement, toggles="off", wide="float32", seed=0)
        self.seen: dict[str, dict[str, Range]] = {}
        self.depths: dict[str, int] = {}
        self._whole: dict[str, Any] = {}

    def bitlinear(self, op: Operator, x_q: Array, weight: TernaryWeight, live: Array | None = None) -> Array:
        y = super().bitlinear(op, x_q, weight, live)
        self.depths[op.name] = op.k
        if op.name not in self._whole:
            packed = PackedTernary.from_hf_bytes(weight.packed, weight.n)
            self._whole[op.name] = self.placement.bitlinear.prepare(packed)
        for register, reached in self.placement.bitlinear.seen(x_q, self._whole[op.name]).items():
            found = self.seen.setdefault(register, {})
            found[op.name] = found[op.name] | reached if op.name in found else reached
        return y


def accumulator_bounds(
    chip: Chip, k: int, *, model: str | Model | None = None, limit: int = 256
) -> list[AccumulatorBound]:
    """The accumulators of `chip`'s BitLinear datapath at depth `k`; none for floating point.

    `model`: a byte-level model, executed on the first `limit` bytes of the held-out text (one window at most), with
    registers of unlimited width for what is seen. Raises `ConfigError` for a model without BitLinear.
    """
    datapath = build_datapath(chip.bitlinear)
    worst, bits = datapath.bounds(k), datapath.registers()
    executor = None if model is None or not worst else observed(chip, model, limit)
    entries = []
    for register, bound in worst.items():
        found = {} if executor is None else executor.seen[register]
        widest = max(found, key=lambda name: found[name].bits, default="")
        entries.append(
            AccumulatorBound(
                register=register,
                bits=bits[register],
                k=k,
                worst=bound,
                seen=_union(list(found.values())),
                seen_in=widest,
                seen_k=executor.depths[widest] if executor else 0,
            )
        )
    return entries


def observed(chip: Chip, model: str | Model, limit: int) -> RangeExecutor:
    """An executor that has prefilled the beginning of the held-out text."""
    model = model if isinstance(model, Model) else load_model(model)
    if model.weights is None or model.config.vocab_size != 256 or not model.config.quantised:
        raise ConfigError(f"{model.name}: expected a quantised byte-level model (vocabulary 256) with weights")
    text = files("bitsim").joinpath("models", HELD_OUT).read_bytes()
    length = min(limit, model.config.max_position_embeddings)
    tokens = np.frombuffer(text, np.uint8)[:length].astype(np.int64)
    executor = RangeExecutor(Placement(chip))
    with kernels_first():
        recipe = recipe_named(model.config.default_numerics)
        forward(model.config, model.weights, tokens, KVCache(model.config, 32), executor, recipe)
    return executor


def _union(ranges: list[Range]) -> Range | None:
    if not ranges:
        return None
    return Range(low=min(r.low for r in ranges), high=max(r.high for r in ranges))
