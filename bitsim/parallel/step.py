"""One step of a model on 1 to many devices: computing, communication with and without groups, pipeline bubbles.

A pipeline's stages pass micro-batches on, and wait for each other (bubbles).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from bitsim.cost import CONVENTIONS, PriceList, price_operator
from bitsim.cost.energy import OperatorCost, total_energy
from bitsim.errors import ConfigError, UnpricedEventError
from bitsim.hw.chip import Chip
from bitsim.hw.link import Link
from bitsim.model.attention_operators import MIXED, QUERIES
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import footprint
from bitsim.model.operators import Operator, Phase, Tensor
from bitsim.model.shard import Shard, shard, stage_layers
from bitsim.parallel.allreduce import Algorithm
from bitsim.parallel.communication import PARAMETERS, Sync, communication
from bitsim.quant.recipes import Recipe
from bitsim.results.setup import Workload
from bitsim.study.goal import placement_for
from bitsim.study.statistics import statistics_for
from bitsim.study.steps import Steps, expected_events

Part = tuple[float, float | None]  # seconds, joules of one device
NORMS = ("mean", "variance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the whole model on `devices` = `tensor` x `pipeline`, for one `Sync`.

    `compute_s`: of one micro-batch through all stages, `communication_s` likewise; `time_s`: of the step, all
    micro-batches, bubbles included. `messages`, `bytes` and energies: over all devices; `quantiser_*`: the part for
    alpha, beta, gamma and eta, `norm_*`: for mean and variance, `sync_*`: for both. `kv_heads`: key/value heads of the
    device with most of them; `layers`: of each stage. `stored_bytes`: of the fullest device, of `dram_bytes`.
    `compute_j` is system energy, as if all devices were that one; None if the chip has no price for it.
    """

    devices: int
    tensor: int
    pipeline: int
    micro_batches: int
    sync: str
    compute_s: float
    communication_s: float
    sync_s: float
    time_s: float
    bubble_share: float
    speed_up: float
    messages: int
    bytes: int
    sync_calls: int
    quantiser_messages: int
    quantiser_bytes: int
    norm_messages: int
    norm_bytes: int
    communication_j: float
    sync_j: float
    compute_j: float | None
    kv_heads: int
    layers: tuple[int, ...]
    stored_bytes: int
    dram_bytes: int

    @property
    def fits(self) -> bool:
        return self.stored_bytes <= self.dram_bytes

    def record(self) -> dict[str, Any]:
        """The step as a row; `layers` as text."""
        return asdict(self) | {"layers": "+".join(map(str, self.layers)), "fits": self.fits, "reason": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A number of devices that can't share the model, and why."""

    devices: int
    reason: str

    def record(self) -> dict[str, Any]:
        """A row with the columns of `Step`, all but these two empty."""
        names = [field.name for field in fields(Step)]
        return dict.fromkeys(names) | {"devices": self.devices, "fits": False, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Devices as `tensor` x `stages`, and `batch` sequences in `pieces` that follow each other."""

    tensor: int
    stages: int
    batch: int
    pieces: int

    @property
    def micro_batch(self) -> int:
        return self.batch // self.pieces


@dataclass
class Work:
    """What a device does in one step, computed once for each tensor degree and micro-batch."""

    config: ModelConfig
    chip: Chip
    link: Link
    recipe: Recipe
    phase: Phase
    tokens: int
    context: int
    algorithm: Algorithm | None

    def __post_init__(self) -> None:
        self._placement = placement_for(self.chip, "latency")
        self._prices = PriceList(self.chip)
        self._statistics = statistics_for(self.config, self.chip, None)
        self._known: dict[tuple[int, int], dict[str, Part]] = {}

    def step(self, split: Split, sync: Sync, single_s: float | None) -> Step:
        tensor, stages, pieces = split.tensor, split.stages, split.pieces
        held = shard(self.config, tensor=tensor, pipeline=stages)
        parts, link = self.parts(tensor, split.micro_batch), self.link
        rows = split.micro_batch * self.tokens
        said = communication(
            self.config, link, tensor=tensor, pipeline=stages, rows=rows, sync=sync, algorithm=self.algorithm
        )
        layers = stage_layers(self.config, stages)
        compute = [own * parts["layer"][0] for own in layers]
        compute[0] += parts["first"][0]
        compute[-1] += parts["last"][0]
        seconds = [own + count * said.layer_s + said.stage_s for own, count in zip(compute, layers, strict=True)]
        seconds[-1] += said.head_s - said.stage_s
        time_s = pipeline_time(seconds, pieces)
        total, quantiser, norm = said.traffic, said.of(*PARAMETERS), said.of(*NORMS)
        stored = footprint(held, self.recipe, positions=self.context, batch=split.batch)
        return Step(
            devices=tensor * stages,
            tensor=tensor,
            pipeline=stages,
            micro_batches=pieces,
            sync=sync,
            compute_s=sum(compute),
            communication_s=total.time_s,
            sync_s=quantiser.time_s + norm.time_s,
            time_s=time_s,
            bubble_share=bubble_share(seconds, pieces),
            speed_up=single_s / time_s if single_s else 1.0,
            messages=total.messages * pieces,
            bytes=total.bytes * pieces,
            sync_calls=said.sync_calls * pieces,
            quantiser_messages=quantiser.messages * pieces,
            quantiser_bytes=quantiser.bytes * pieces,
            norm_messages=norm.messages * pieces,
            norm_bytes=norm.bytes * pieces,
            communication_j=link.energy_j(total.bytes * pieces),
            sync_j=link.energy_j((quantiser.bytes + norm.bytes) * pieces),
            compute_j=self._joules(parts, tensor, pieces),
            kv_heads=held.num_kv_heads,
            layers=layers,
            stored_bytes=stored.linears + stored.embedding + stored.kv,
            dram_bytes=self.chip.memory.dram.capacity_bytes,
        )

    def _joules(self, parts: dict[str, Part], tensor: int, pieces: int) -> float | None:
        layers = {"first": 1, "layer": self.config.num_layers, "last": 1}
        found = [(energy, times) for name, times in layers.items() if (energy := parts[name][1]) is not None]
        return sum(e * times for e, times in found) * tensor * pieces if len(found) == len(layers) else None

    def parts(self, tensor: int, batch: int) -> dict[str, Part]:
        """Seconds and joules of one device: before the layers, in one layer, and behind the last one."""
        if (tensor, batch) not in self._known:
            held = replace(shard(self.config, tensor=tensor), num_layers=1)
            steps = Steps.of(held, self.recipe, Workload(prefill=0, decode=1, batch=batch), self._placement)
            parts: dict[str, list[Operator]] = {"first": [], "layer": [], "last": []}
            for op in steps.operators(self.phase, self.tokens, self.context):
                where = "layer" if op.layer is not None else "first" if op.kind == "embedding" else "last"
                parts[where].extend(on_device(op, held, tensor))
            self._known[tensor, batch] = {name: self._cost(operators) for name, operators in parts.items()}
        return self._known[tensor, batch]

    def _cost(self, operators: list[Operator]) -> Part:
        cycles, joules, priced = 0, 0.0, True
        for op in operators:
            placed = self._placement.place(op)
            cycles += placed.cycles
            events = (
                placed.events + placed.array_events + expected_events(self._placement, op, placed, self._statistics)
            )
            time_ns = placed.cycles / self.chip.clock.nominal
            cost = OperatorCost(name=op.name, kind=op.kind, events=events, time_ns=time_ns)
            try:
                joules += (
                    total_energy(price_operator(cost, self._prices, CONVENTIONS["system"]).values()).nominal * 1e-12
                )
            except (UnpricedEventError, ConfigError):
                priced = False
        return cycles / self.chip.clock.nominal * 1e-9, joules if priced else None


def on_device(op: Operator, held: Shard, tensor: int) -> Iterator[Operator]:
    """What the device does of an operator that its heads divide unevenly; all others are the device's already."""
    if op.kind == "head":
        yield _share_of_head(op, tensor)
    elif op.kind in ("qk", "softmax", "pv") and len(set(held.sharing)) > 1:
        yield from _unevenly_shared(op, held)
    else:
        yield op


def _unevenly_shared(op: Operator, held: Shard) -> Iterator[Operator]:
    """Attention whose key/value heads have different numbers of query heads: one matmul for each number."""
    even, most = held.num_heads // held.num_kv_heads, max(held.sharing)

    def part(tensors: tuple[Tensor, ...], queries: int) -> tuple[Tensor, ...]:
        """What `queries` of the query heads have of tensors; scores live as long as those of the most shared head."""
        return tuple(
            replace(
                tensor,
                values=tensor.values * queries // held.num_heads,
                alive=tensor.alive if tensor.name in (QUERIES, MIXED) else tensor.alive // even * most,
            )
            for tensor in tensors
        )

    if op.kind == "softmax":
        yield replace(op, reads=part(op.reads, held.num_heads), writes=part(op.writes, held.num_heads))
        return
    for sharing, count in sorted(Counter(held.sharing).items()):
        yield replace(
            op,
            m=op.m // even * sharing,
            repeat=op.repeat // held.num_kv_heads * count,
            kv_read_bits=op.kv_read_bits // held.num_kv_heads * count,
            reads=part(op.reads, sharing * count),
            writes=part(op.writes, sharing * count),
        )


def _share_of_head(op: Operator, tensor: int) -> Operator:
    """The head's columns on the device with most of them; weights are FP16."""
    n = -(-op.n // tensor)
    return replace(op, n=n, weight_bits=op.weight_bits // op.n * n)


def pipeline_time(stages: Sequence[float], micro_batches: int) -> float:
    """Seconds until the last stage has finished the last of equal micro-batches.

    `stages`: seconds of one micro-batch in each stage, sending included. A stage starts a micro-batch when it has
    finished the one before and the stage before has passed this one on: sum + (m - 1) max. With equal stages that is
    (m + P - 1) stages. Source: GPipe, arXiv 1811.06965.
    """
    return sum(stages) + (micro_batches - 1) * max(stages)


def bubble_share(stages: Sequence[float], micro_batches: int) -> float:
    """The share of all stages' time in which they have nothing to do; (P - 1) / (m + P - 1) if they are equal."""
    return 1 - micro_batches * sum(stages) / (len(stages) * pipeline_time(stages, micro_batches))
