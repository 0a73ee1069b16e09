"""Serving on a chip: the estimate of `bitsim.estimate` at each batch, operator by operator, with its energy."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model
from bitsim.model.footprint import footprint, kv_bits
from bitsim.quant.recipes import Recipe
from bitsim.results.ledger import OperatorLedger
from bitsim.results.priced import PricedRows
from bitsim.results.setup import Workload
from bitsim.schedule import Placement
from bitsim.serving.grid import Grid
from bitsim.serving.memory import Needs
from bitsim.study.capacity import check_capacity, weights_in_dram
from bitsim.study.codes import check_codes, check_weights
from bitsim.study.goal import placement_for
from bitsim.study.statistics import statistics_for
from bitsim.study.steps import Steps, all_layers, at_layer, book_decode, book_prefill

MODEL = (
    "chip: each batch is an estimate, operators follow each other; memory holds weights, keys and values, activations "
    "take none of it; energy is that of the system convention, nominal"
)
PARTS = {"linear": "linears", "qk": "attention", "softmax": "attention", "pv": "attention", "head": "head"}
OTHERS = "other operators"


def chip_needs(model: Model, chip: Chip, recipe: Recipe, positions: int) -> Needs:
    """What one sequence of `positions` needs in DRAM; raises `ConfigError` if it has no room, or another memory not."""
    config, placement = model.config, placement_for(chip, "latency")
    check_codes(config, chip, recipe)
    check_weights(config, placement)
    kept = footprint(config, recipe, positions=positions, batch=1)
    check_capacity(placement, config.name, kept, quantised=config.quantised, beyond=False)
    inside = weights_in_dram(placement, kept, quantised=config.quantised) - kept.embedding
    return Needs(
        linears=inside,
        embedding=kept.embedding,
        kv_per_sequence=kv_bits(config, recipe.kv or 16, positions) / 8,
        prompt_workspace=0.0,
        sequence_workspace=0.0,
        logits_per_sequence=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One new token for each of `batch` sequences, averaged over growing contexts; `group`: of so many at a time."""

    batch: int
    group: int
    time_s: float
    energy_j: float
    parts_s: Counter[str]
    limit: str

    def repeated(self, times: int) -> "_Step":
        """As many groups one after the other."""
        return replace(
            self,
            batch=times * self.batch,
            time_s=times * self.time_s,
            energy_j=times * self.energy_j,
            parts_s=Counter({name: times * seconds for name, seconds in self.parts_s.items()}),
        )

    def then(self, rest: "_Step") -> "_Step":
        """The rest after all groups."""
        return replace(
            self,
            batch=self.batch + rest.batch,
            time_s=self.time_s + rest.time_s,
            energy_j=self.energy_j + rest.energy_j,
            parts_s=self.parts_s + rest.parts_s,
        )


def chip_grid(
    model: Model,
    chip: Chip,
    recipe: Recipe,
    needs: Needs,
    batches: npt.NDArray[np.int64],
    *,
    prompt: int,
    new_tokens: int,
) -> tuple[Grid, list[dict[str, Any]], tuple[str, ...]]:
    """All batches on one chip, the assumed constants that they rest on, and what to know of the batches.

    `recipe` says how keys and values are stored. A batch that takes longer than groups as large as the one before it,
    one after the other, is worked off so: the activations of many sequences leave the chip.
    """
    placement = placement_for(chip, "latency")
    prompts = _rows(model, placement, recipe, Workload(prefill=prompt, decode=0), prompt)
    priced, assumed = True, list[dict[str, Any]]()

    def at_once(batch: int) -> _Step:
        nonlocal priced, assumed
        rows = _rows(model, placement, recipe, Workload(prefill=0, decode=new_tokens, batch=batch), prompt)
        priced, assumed = priced and "system" in rows.priced, assumed or rows.assumed_constants()
        energy = rows.energy("system") / new_tokens if "system" in rows.priced else 0.0
        return _Step(
            batch=batch,
            group=batch,
            time_s=rows.time_s / new_tokens,
            energy_j=energy,
            parts_s=_parts(rows),
            limit=_limit(rows),
        )

    found: list[_Step] = []
    for batch in map(int, batches):
        found.append(_faster(at_once(batch), found[-1] if found else None, at_once))
    grid = Grid(
        devices=np.asarray([1]),
        batch=batches,
        fits=(needs.total(1, batches) <= chip.memory.dram.capacity_bytes)[None, :],
        step_s=np.array([[step.time_s for step in found]]),
        prompt_s=np.array([prompts.time_s]),
        limit=np.array([[step.limit for step in found]]),
        memory_bytes=needs.total(1, batches)[None, :],
        communication_bytes=np.zeros((1, len(found))),
        parts_s={
            name: np.array([[step.parts_s[name] for step in found]])
            for name in (*dict.fromkeys(PARTS.values()), OTHERS)
        },
        energy_per_token_j=np.array([[step.energy_j / step.batch for step in found]]) if priced else None,
        new_tokens=new_tokens,
    )
    apart = {step.batch: step.group for step in found if step.group < step.batch}
    return grid, assumed, _note(apart)


def _faster(whole: _Step, before: _Step | None, at_once: Callable[[int], _Step]) -> _Step:
    """`whole`, or groups of the batch `before` it and a rest of fewer."""
    if before is None:
        return whole
    times, rest = divmod(whole.batch, before.batch)
    groups = before.repeated(times)
    if groups.time_s >= whole.time_s:
        return whole
    if rest:
        groups = groups.then(at_once(rest))
    return groups if groups.time_s < whole.time_s else whole


def _note(apart: Mapping[int, int]) -> tuple[str, ...]:
    if not apart:
        return ()
    listed = ", ".join(f"{batch} of {group}" for batch, group in apart.items())
    return (f"batches worked off in groups one after the other, as their activations leave the chip at once: {listed}",)


def _rows(model: Model, placement: Placement, recipe: Recipe, workload: Workload, prompt: int) -> PricedRows:
    """The prompt of each sequence, or new tokens behind one of `prompt` tokens."""
    used, ledger = statistics_for(model.config, placement.chip), OperatorLedger()
    steps = Steps.of(model.config, recipe, workload, placement)
    if workload.prefill:
        book_prefill(steps, placement, ledger, used, [(0, workload.prefill)])
    book_decode(steps, placement, ledger, used, first=prompt + 1, number=workload.decode)
    layers = all_layers(ledger.rows(), model.config.num_layers, lambda row: row.layer)
    return PricedRows(chip=placement.chip, rows=tuple(at_layer(row, i) for row, i in layers), workload=workload)


def _parts(rows: PricedRows) -> Counter[str]:
    """Seconds of a step by kind of operator."""
    found = Counter[str]()
    for row in rows.rows:
        found[PARTS.get(row.kind, OTHERS)] += row.cycles
    return Counter({name: rows.seconds(cycles) / rows.workload.decode for name, cycles in found.items()})


def _limit(rows: PricedRows) -> str:
    """What most cycles wait for."""
    waits = Counter[str]()
    for row in rows.rows:
        waits[row.bound] += row.cycles
    return waits.most_common(1)[0][0]
