"""A model on 1 to many devices: the step of each number of devices, for each way to synchronise quantisers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitsim.errors import ConfigError
from bitsim.hw import load_chip, load_link
from bitsim.hw.chip import Chip
from bitsim.hw.link import Link
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.config import ModelConfig
from bitsim.model.operators import Phase
from bitsim.model.shard import degrees, shard, shared_heads
from bitsim.parallel.allreduce import Algorithm
from bitsim.parallel.communication import ASSUMPTIONS, SYNCS
from bitsim.parallel.step import Refused, Split, Step, Work
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.provenance import inputs_of, notes_on, wide_inputs
from bitsim.schedule import ASSUMPTIONS as SCHEDULE_ASSUMPTIONS
from bitsim.study.numerics import executed_as


@dataclass(frozen=True, kw_only=True, repr=False)
class Parallel(Outcome):
    """The steps for all device counts, each for each `Sync`; `refused`: those that can't share the model, with why."""

    chip: Chip
    link: Link
    phase: Phase
    tokens: int
    context: int
    batch: int
    steps: tuple[Step, ...]
    refused: tuple[Refused, ...] = ()

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

    def assumed(self) -> list[dict[str, Any]]:
        """Those of the link, and those that times on the chip rest on."""
        constants = {f"{self.link.name}: {name}": constant for name, constant in self.link.constants().items()}
        constants |= self.chip.timing_constants()
        return [
            {"constant": name, "value": constant.text(), "source": constant.source}
            for name, constant in sorted(constants.items())
            if constant.evidence == "assumed"
        ]

    def makers(self) -> Makers:
        return {"steps": lambda: [step.record() for step in self.steps] + [row.record() for row in self.refused]}


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
    and are no more than the stages. A number of devices that can't share the model is a row with the reason. Raises
    `ConfigError` if none can, and for micro-batches that don't divide the batch, `UnknownNameError` for an unknown
    link.
    """
    for name, number in (("batch", batch), ("context", context), *(("devices", count) for count in devices)):
        if number < 1:
            raise ConfigError(f"{name}: expected an integer >= 1, got {number}")
    model = model if isinstance(model, Model) else load_model(model)
    chip, link = load_chip(chip), load_link(link)
    model, recipe = executed_as(model, chip)
    tokens = 1 if phase == "decode" else context
    work = Work(model.config, chip, link, recipe, phase, tokens, context, algorithm)
    steps, refused = list[Step](), list[Refused]()
    if micro_batches is not None:
        _pieces(micro_batches, batch, 1)
    single = work.step(Split(tensor=1, stages=1, batch=batch, pieces=1), "grouped", None).time_s
    for count in devices:
        try:
            tensor, stages = _degrees(model.config, count, pipeline)
        except ConfigError as error:
            refused.append(Refused(devices=count, reason=str(error)))
            continue
        split = Split(tensor=tensor, stages=stages, batch=batch, pieces=_pieces(micro_batches, batch, stages))
        steps += [work.step(split, sync, single) for sync in SYNCS]
    if refused and not steps:
        raise ConfigError(refused[0].reason)
    return Parallel(
        chip=chip,
        link=link,
        inputs=inputs_of(model, chip, numerics=recipe.name) | wide_inputs(recipe)
        | {"link": link.name, "link_sha256": link.sha256}
        | {"phase": phase, "batch": batch, "context": context, "algorithm": algorithm},
        phase=phase,
        tokens=tokens,
        context=context,
        batch=batch,
        steps=tuple(steps),
        refused=tuple(refused),
        notes=(
            *notes_on(model, chip, recipe, positions=context),
            *(f"{link.name}: {name}, assumed: {c.text()} ({c.source})" for name, c in link.constants().items()
              if c.evidence == "assumed"),
            f"all-reduce: {algorithm or 'the faster one of ring and tree, for each exchange'}",
            *_uneven(model.config, steps),
            *ASSUMPTIONS,
            *SCHEDULE_ASSUMPTIONS,
        ),
    )  # fmt: skip


def _degrees(config: ModelConfig, count: int, pipeline: int | None) -> tuple[int, int]:
    """Tensor and pipeline degrees of `count` devices; raises `ConfigError` if they can't share the model."""
    if pipeline is None:
        return degrees(config, count)
    if count % pipeline:
        raise ConfigError(f"{config.name}: pipeline {pipeline}: expected a divisor of {count} devices")
    shard(config, tensor=count // pipeline, pipeline=pipeline)
    return count // pipeline, pipeline


def _uneven(config: ModelConfig, steps: Sequence[Step]) -> Iterator[str]:
    """What is not divided evenly, said once for each degree."""
    for tensor in sorted({step.tensor for step in steps}):
        held = sum(map(len, shared_heads(config, tensor)))
        if held != config.num_kv_heads:
            yield (
                f"tensor {tensor}: {config.num_kv_heads} key/value heads are held {held} times, each device has those "
                "that its query heads attend with; time and memory are those of the fullest device"
            )
    for layers in sorted({step.layers for step in steps if len(set(step.layers)) > 1}):
        yield f"pipeline {len(layers)}: stages of {'+'.join(map(str, layers))} layers"


def _pieces(micro_batches: int | None, batch: int, stages: int) -> int:
    if micro_batches is None:
        return max(m for m in range(1, stages + 1) if batch % m == 0)
    if micro_batches < 1 or batch % micro_batches:
        raise ConfigError(f"micro-batches: expected a divisor of the batch of {batch}, got {micro_batches}")
    return micro_batches
