"""Estimate: a model's shapes on a chip, without weights. Same operators, placement and prices as `run`."""

from pathlib import Path

from bitsim.datapath.base import Statistics
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.config import ModelConfig
from bitsim.model.experts import ASSUMPTIONS as EXPERT_ASSUMPTIONS
from bitsim.model.experts import Experts
from bitsim.model.footprint import Footprint, footprint
from bitsim.model.forward import check_numerics
from bitsim.model.generate import chunks
from bitsim.results.ledger import OperatorLedger
from bitsim.results.provenance import inputs_of, notes_on, notes_on_plans, remarks_on, wide_inputs
from bitsim.results.result import Result
from bitsim.results.setup import Causal, PromptLogits, Scheduling, Workload
from bitsim.schedule import ASSUMPTIONS, Objective, Placement
from bitsim.study.capacity import check_capacity, longest_contexts
from bitsim.study.codes import check_codes, check_weights
from bitsim.study.goal import placement_for
from bitsim.study.numerics import chip_for, executed_as
from bitsim.study.statistics import statistics_for
from bitsim.study.steps import Steps, all_layers, at_layer, book_decode, book_prefill

SLOWEST = "cycles of linears are those of activations without zeros and all outputs needed: a run takes no more"


def estimate(
    model: str | Path | Model,
    chip: str | Path | Chip,
    *,
    prefill: int = 512,
    decode: int = 128,
    batch: int = 1,
    merge_heads: bool = False,
    causal: Causal | None = None,
    logits: PromptLogits = "last",
    numerics: str | None = None,
    packing: str | None = None,
    kv_bits: int | None = None,
    head_bits: int | None = None,
    embedding_bits: int | None = None,
    statistics: Statistics | None = None,
    objective: Objective = "latency",
    chunk: int | None = None,
    beyond_capacity: bool = False,
    experts: Experts | None = None,
) -> Result:
    """Events, cycles and energy of `prefill` prompt tokens and `decode` new ones, for `batch` sequences.

    * Data-dependent events come from `statistics` (default: measured on the shipped model of the same kind, see
      `bitsim.study.statistics`); all others are exact and equal those of `run`. A phase of 0 tokens is empty.
    * `numerics`: a contract or recipe by name; None takes the model's own. `packing`, `head_bits`, `embedding_bits`:
      how linears, head and embedding are stored, see `bitsim.model.variants`. `kv_bits`: 16, 8, 4 or 3 per key and
      value, None as the numerics say.
    * `merge_heads`: count attention as one matmul over all heads, as the energy table of arXiv 2310.11453 does.
      `causal`: "triangle" works a prompt's attention off in blocks of tokens that skip what lies behind them, "full"
      computes the whole rectangle and masks it; by default the triangle, with `merge_heads` the rectangle. `logits`:
      of the prompt's "last" position, or of "all".
    * `objective`: what tiles and loop orders are chosen for. `chunk`: most prompt tokens per step (None: all).
      `beyond_capacity`: estimate a model that memory has no room for. `experts`: a mixture of experts, each of which is
      the FFN of the model's shape.
    """
    scheduling = Scheduling(objective=objective, chunk=chunk, beyond_capacity=beyond_capacity)
    workload = Workload(
        prefill=prefill,
        decode=decode,
        batch=batch,
        merge_heads=merge_heads,
        causal=causal or ("full" if merge_heads else "triangle"),
        logits=logits,
        experts=experts,
    )
    model = model if isinstance(model, Model) else load_model(model)
    chip = load_chip(chip)
    model, recipe = executed_as(
        model, chip, numerics=numerics, packing=packing, kv_bits=kv_bits, head_bits=head_bits,
        embedding_bits=embedding_bits, experts=experts,
    )  # fmt: skip
    chip = chip_for(model, chip)
    config = model.config
    check_numerics(config, recipe)
    check_codes(config, chip, recipe)
    used = statistics_for(config, chip, statistics)
    placement, ledger = placement_for(chip, objective), OperatorLedger()
    check_weights(config, placement)
    all_experts = 1 if experts is None else experts.total
    stored = footprint(config, recipe, positions=prefill + decode, batch=batch, experts=all_experts)
    room = check_capacity(placement, config.name, stored, quantised=config.quantised, beyond=beyond_capacity)
    steps = Steps.of(config, recipe, workload, placement)
    book_prefill(steps, placement, ledger, used, chunks(prefill, chunk))
    book_decode(steps, placement, ledger, used, first=prefill + 1, number=decode)
    return Result(
        mode="estimate",
        chip=chip,
        rows=tuple(at_layer(row, i) for row, i in all_layers(ledger.rows(), config.num_layers, lambda row: row.layer)),
        inputs=inputs_of(model, chip, numerics=recipe.name)
        | wide_inputs(recipe)
        | {"prefill": prefill, "decode": decode, "batch": batch, "merge_heads": merge_heads}
        | {"causal": workload.causal, "logits": logits}
        | {"packing": packing, "kv_bits": kv_bits, "head_bits": head_bits, "embedding_bits": embedding_bits}
        | {"objective": objective, "chunk": chunk, "experts": experts and f"{experts.active} of {experts.total}"},
        notes=(
            f"data-dependent events from statistics, taken over for all shapes, phases and tiles: {used.source}",
            *((SLOWEST,) if chip.bitlinear.cycles_vary else ()),
            *notes_on(model, chip, recipe, positions=prefill + decode),
            *room,
            *notes_on_contexts(placement, config, stored, batch),
            *notes_on_experts(config, experts),
            *steps.queries.note(chunks(prefill, chunk)),
            *notes_on_plans(placement),
            *remarks_on(model, placement, recipe),
            *ASSUMPTIONS,
        ),
        workload=workload,
        scheduling=scheduling,
        recipe=recipe,
    )


def notes_on_contexts(placement: Placement, config: ModelConfig, stored: Footprint, batch: int) -> tuple[str, ...]:
    """How long contexts can get, by how keys and values are stored."""
    longest = longest_contexts(placement, config, stored, batch)
    found = ", ".join(f"{positions:,} at {bits}" for bits, positions in longest.items())
    return (f"memory has room for so many positions in each of {batch} sequences, by bits of keys and values: {found}",)


def notes_on_experts(config: ModelConfig, experts: Experts | None) -> tuple[str, ...]:
    """How many weights are stored and how many are active."""
    if experts is None:
        return ()
    stored, active = experts.total_weights(config), experts.active_weights(config)
    return (
        f"experts: {experts.active} of {experts.total} per token; {stored:,} weights in linears are stored, {active:,} "
        f"({active / stored:.1%}) are active",
        *EXPERT_ASSUMPTIONS,
    )
