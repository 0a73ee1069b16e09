"""Serving on a chip: the estimate of `bitsim.estimate` at each batch, operator by operator, with its energy."""

from collections import Counter
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


def chip_grid(
    model: Model,
    chip: Chip,
    recipe: Recipe,
    needs: Needs,
    batches: npt.NDArray[np.int64],
    *,
    prompt: int,
    new_tokens: int,
) -> tuple[Grid, list[dict[str, Any]]]:
    """All batches on one chip, and the assumed constants that they rest on.

    `recipe` says how keys and values are stored.
    """
    placement = placement_for(chip, "latency")
    prompts = _rows(model, placement, recipe, Workload(prefill=prompt, decode=0), prompt)
    found = [
        _rows(model, placement, recipe, Workload(prefill=0, decode=new_tokens, batch=int(batch)), prompt)
        for batch in batches
    ]
    parts = [_parts(rows) for rows in found]
    priced = all("system" in rows.priced for rows in found)
    grid = Grid(
        devices=np.asarray([1]),
        batch=batches,
        fits=(needs.total(1, batches) <= chip.memory.dram.capacity_bytes)[None, :],
        step_s=np.array([[rows.time_s / new_tokens for rows in found]]),
        prompt_s=np.array([prompts.time_s]),
        limit=np.array([[_limit(rows) for rows in found]]),
        memory_bytes=needs.total(1, batches)[None, :],
        communication_bytes=np.zeros((1, len(found))),
        parts_s={name: np.array([[part[name] for part in parts]]) for name in (*dict.fromkeys(PARTS.values()), OTHERS)},
        energy_per_token_j=np.array([[rows.energy("system") / rows.phase_tokens("decode") for rows in found]])
        if priced
        else None,
        new_tokens=new_tokens,
    )
    return grid, found[0].assumed_constants()


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
