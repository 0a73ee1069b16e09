"""One step of a model on 1 to many devices: computing, communication with and without groups, pipeline bubbles.

A pipeline's stages pass micro-batches on, and wait for each other (bubbles).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bitsim.cost import CONVENTIONS, PriceList, price_operator
from bitsim.cost.energy import OperatorCost, total_energy
from bitsim.errors import ConfigError, UnpricedEventError
from bitsim.hw import load_chip, load_link
from bitsim.hw.chip import Chip
from bitsim.hw.link import Link
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import footprint
from bitsim.model.operators import Operator, Phase
from bitsim.model.shard import degrees, shard
from bitsim.parallel.allreduce import Algorithm
from bitsim.parallel.communication import ASSUMPTIONS, PARAMETERS, SYNCS, Sync, communication
from bitsim.quant.recipes import Recipe, recipe_named
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.provenance import inputs_of, notes_on
from bitsim.results.setup import Workload
from bitsim.schedule import ASSUMPTIONS as SCHEDULE_ASSUMPTIONS
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
    alpha, beta, gamma and eta, `norm_*`: for mean and variance, `sync_*`: for both. `stored_bytes`: per device,
    of `dram_bytes`. `compute_j` is system energy, None if the chip has no price for it.
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
    stored_bytes: int
    dram_bytes: int

    @property
    def fits(self) -> bool:
        return self.stored_bytes <= self.dram_bytes


@dataclass(frozen=True, kw_only=True, repr=False)
class Parallel(Outcome):
    """The steps for all device counts, each for each `Sync`."""

    chip: Chip
    link: Link
    phase: Phase
    tokens: int
    context: int
    batch: int
    steps: tuple[Step, ...]

    @property
    def kind(self) -> str:
        return "parallel"

    @property
    def title(self) -> str:
        return (
            f"{self.inputs['model']} on {self.chip.name} over {self.link.name}: one {self.phase} step, batch "
            f"{self.batch}, context {self.context}"
        )

    def headline(self) -> dict[str, Any]:
        """The fastest step whose parts have room, and how much faster it is than one device."""
        fitting = [step for step in self.steps if step.fits]
        best = min(fitting, key=lambda step: step.time_s, default=None)
        names = ("devices", "sync", "time_s", "speed_up")
        return {"fits": bool(fitting)} | {name: best and getattr(best, name) for name in names}

    def assumed(self) -> list[dict[str, str]]:
        """Those of the link, and those that times on the chip rest on."""
        constants = {f"{self.link.name}: {name}": constant for name, constant in self.link.constants().items()}
        constants |= self.chip.timing_constants()
        return [
            {"constant": name, "value": constant.text(), "source": constant.source}
            for name, constant in sorted(constants.items())
            if constant.evidence == "assumed"
        ]

    def makers(self) -> Makers:
        return {"steps": lambda: [asdict(step) | {"fits": step.fits} for step in self.steps]}


def parallel(
    model: str | Path | Model,
    chip: str | Path | Chip,
    link: str | Path | Link = "nvlink",
    *,
    devices: Sequence[int] = (1, 2, 4, 8),
    pipeline: int | None = None,
    batch: int = 1,
    context: int = 512,
    phase: Phase = "decode",
    micro_batches: int | None = None,
    algorithm: Algorithm | None = None,
) -> Parallel:
    """One decode step of `batch` sequences at `context` positions, or their prefill, on each number of devices.

    `pipeline`: stages; None takes the largest tensor degree that divides the model and as many stages as remain.
    `micro_batches`: pieces of the batch that follow each other through the stages; None: the most that divide the batch
    and are no more than the stages. Raises `ConfigError` for degrees that don't divide heads, FFN columns, layers or
    the batch, `UnknownNameError` for an unknown link.
    """
    for name, number in (("batch", batch), ("context", context), *(("devices", count) for count in devices)):
        if number < 1:
            raise ConfigError(f"{name}: expected an integer >= 1, got {number}")
    model = model if isinstance(model, Model) else load_model(model)
    chip, link = load_chip(chip), load_link(link)
    recipe = recipe_named(model.config.default_numerics)
    tokens = 1 if phase == "decode" else context
    work = _Work(model.config, chip, link, recipe, phase, tokens, context, algorithm)
    steps = []
    single = work.step(_Split(tensor=1, stages=1, batch=batch, pieces=1), "grouped", None).time_s
    for count in devices:
        tensor, stages = (count // pipeline, pipeline) if pipeline else degrees(model.config, count)
        if tensor * stages != count:
            raise ConfigError(f"{model.name}: pipeline {stages}: expected a divisor of {count} devices")
        split = _Split(tensor=tensor, stages=stages, batch=batch, pieces=_pieces(micro_batches, batch, stages))
        steps += [work.step(split, sync, single) for sync in SYNCS]
    return Parallel(
        chip=chip,
        link=link,
        inputs=inputs_of(model, chip, numerics=recipe.name) | {"link": link.name, "link_sha256": link.sha256}
        | {"phase": phase, "batch": batch, "context": context, "algorithm": algorithm},
        phase=phase,
        tokens=tokens,
        context=context,
        batch=batch,
        steps=tuple(steps),
        notes=(
            *notes_on(model, chip, recipe, positions=context),
            *(f"{link.name}: {name}, assumed: {c.text()} ({c.source})" for name, c in link.constants().items()
              if c.evidence == "assumed"),
            f"all-reduce: {algorithm or 'the faster one of ring and tree, for each exchange'}",
            *ASSUMPTIONS,
            *SCHEDULE_ASSUMPTIONS,
        ),
    )  # fmt: skip


def _pieces(micro_batches: int | None, batch: int, stages: int) -> int:
    if micro_batches is None:
        return max(m for m in range(1, stages + 1) if batch % m == 0)
    if micro_batches < 1 or batch % micro_batches:
        raise ConfigError(f"micro-batches: expected a divisor of the batch of {batch}, got {micro_batches}")
    return micro_batches


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """Devices as `tensor` x `stages`, and `batch` sequences in `pieces` that follow each other."""

    tensor: int
    stages: int
    batch: int
    pieces: int

    @property
    def micro_batch(self) -> int:
        return self.batch // self.pieces


@dataclass
class _Work:
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

    def step(self, split: _Split, sync: Sync, single_s: float | None) -> Step:
        tensor, stages, pieces = split.tensor, split.stages, split.pieces
        held = shard(self.config, tensor=tensor, pipeline=stages)
        parts, link = self.parts(tensor, split.micro_batch), self.link
        rows = split.micro_batch * self.tokens
        said = communication(
            self.config, link, tensor=tensor, pipeline=stages, rows=rows, sync=sync, algorithm=self.algorithm
        )
        layers = held.num_layers
        compute = [layers * parts["layer"][0]] * stages
        compute[0] += parts["first"][0]
        compute[-1] += parts["last"][0]
        seconds = [own + layers * said.layer_s + said.stage_s for own in compute]
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
            steps = Steps.of(held, self.recipe, Workload(prefill=0, decode=1, batch=batch))
            parts: dict[str, list[Operator]] = {"first": [], "layer": [], "last": []}
            for op in steps.operators(self.phase, self.tokens, self.context):
                where = "layer" if op.layer is not None else "first" if op.kind == "embedding" else "last"
                parts[where].append(_share_of_head(op, tensor) if op.kind == "head" else op)
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
