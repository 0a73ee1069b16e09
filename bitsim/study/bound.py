"""How wide accumulators must be: the worst case of all operands, and what a model's operands reach."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitsim._version import __version__
from bitsim.datapath.base import Array, Range
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.registry import build_datapath
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.operators import Operator
from bitsim.model.weights import CodedWeight
from bitsim.quant.packing import TernaryWeight
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.setup import Execution, check_count
from bitsim.schedule.place import Placement
from bitsim.study.executor import ChipExecutor
from bitsim.study.held_out import HELD_OUT, byte_level_weights, first_window
from bitsim.study.numerics import executed_as


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
        plain |= {f"seen_{what}": self.seen and getattr(self.seen, what) for what in ("low", "high", "bits")}
        return plain | {"seen_in": self.seen_in or None, "seen_k": self.seen_k or None}


@dataclass(frozen=True, kw_only=True, repr=False)
class AccumulatorBounds(Outcome):
    """The accumulators of a chip's BitLinear datapath at depth `k`; none for floating point."""

    k: int
    bounds: tuple[AccumulatorBound, ...]

    @property
    def kind(self) -> str:
        return "accumulators"

    @property
    def title(self) -> str:
        return f"accumulators of {self.inputs['chip']}, K = {self.k}"

    def headline(self) -> dict[str, Any]:
        """The widest that is needed, and whether all accumulators have it."""
        needed = max((bound.worst.bits for bound in self.bounds), default=None)
        enough = all(bound.bits >= bound.worst.bits for bound in self.bounds) if self.bounds else None
        return {"bits_needed": needed, "never_overflows": enough}

    def makers(self) -> Makers:
        return {"accumulators": lambda: [bound.record() for bound in self.bounds]}


class RangeExecutor(ChipExecutor):
    """Keeps what the sums of every BitLinear reach, by accumulator and operator; `depths`: their K."""

    def __init__(self, placement: Placement, execution: Execution) -> None:
        super().__init__(placement, execution)
        self.seen: dict[str, dict[str, Range]] = {}
        self.depths: dict[str, int] = {}
        self._whole: dict[str, Any] = {}

    def bitlinear(self, op: Operator, x_q: Array, weight: CodedWeight, live: Array | None = None) -> Array:
        y = super().bitlinear(op, x_q, weight, live)
        self.depths[op.name] = op.k
        if op.name not in self._whole:
            assert isinstance(weight, TernaryWeight)  # numerics are the model's own
            packed = PackedTernary.from_hf_bytes(weight.packed, weight.n)
            self._whole[op.name] = self.placement.bitlinear.prepare(packed)
        for register, reached in self.placement.bitlinear.seen(x_q, self._whole[op.name]).items():
            found = self.seen.setdefault(register, {})
            found[op.name] = found[op.name] | reached if op.name in found else reached
        return y


def accumulator_bounds(
    chip: str | Path | Chip, k: int, *, model: str | Path | Model | None = None, limit: int = 256
) -> AccumulatorBounds:
    """The accumulators of `chip`'s BitLinear datapath at depth `k`; none for floating point.

    `model`: a byte-level model, executed on the first `limit` bytes of the held-out text (one window at most), with
    registers of unlimited width for what is seen. Raises `ConfigError` for a model without BitLinear.
    """
    check_count("k", k, 1)
    chip = load_chip(chip)
    model = model if model is None or isinstance(model, Model) else load_model(model)
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
    inputs = {"bitsim": __version__, "chip": chip.name, "chip_sha256": chip.sha256, "k": k}
    inputs |= {"bitlinear": chip.bitlinear.text()}
    notes = [] if worst else [f"{chip.name} sums floating-point numbers, which have no width that they can outgrow"]
    if executor is not None and model is not None:
        inputs |= {"model": model.name, "model_sha256": model.digest, "text": HELD_OUT, "bytes": limit}
        notes.append("seen: the sums of registers of unlimited width; in: the operator that needed most bits")
    return AccumulatorBounds(inputs=inputs, notes=tuple(notes), k=k, bounds=tuple(entries))


def observed(chip: Chip, model: Model, limit: int) -> RangeExecutor:
    """An executor that has prefilled the beginning of the held-out text."""
    model, recipe = executed_as(model, chip)
    weights, tokens = byte_level_weights(model, quantised=True), first_window(model.config, limit)
    executor = RangeExecutor(Placement(chip), Execution(recipe=recipe, toggles="off"))
    forward(model.config, weights, tokens, KVCache(model.config, recipe.kv or 32), executor, recipe)
    return executor


def _union(ranges: list[Range]) -> Range | None:
    if not ranges:
        return None
    return Range(low=min(r.low for r in ranges), high=max(r.high for r in ranges))
