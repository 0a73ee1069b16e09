"""Run: a real model on a modelled chip, bit for bit, everything counted."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bitsim.datapath.base import Toggles
from bitsim.errors import CheckpointError, ConfigError, PromptError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model, load_model, random_model
from bitsim.model.footprint import footprint
from bitsim.model.generate import chunks, generate
from bitsim.model.tokenizer import ByteTokenizer, Tokenizer, tokenizer
from bitsim.quant.kv import KVStorage
from bitsim.results.provenance import inputs_of, notes_on, notes_on_plans, remarks_on, wide_inputs
from bitsim.results.result import Result
from bitsim.results.setup import Causal, Execution, PromptLogits, Scheduling, Wide, Workload, check_count
from bitsim.schedule import Objective
from bitsim.schedule.attention import Queries
from bitsim.schedule.place import ASSUMPTIONS
from bitsim.study.capacity import check_capacity
from bitsim.study.codes import check_weights
from bitsim.study.executor import ChipExecutor, OnOperator
from bitsim.study.goal import placement_for
from bitsim.study.numerics import chip_for, executed_as

SHOWN_OVERFLOWS = 8  # operators whose first overflow is noted; the events of all are in the tables


def run(
    model: str | Path | Model,
    chip: str | Path | Chip,
    *,
    prompt: str | None = None,
    tokens: Sequence[int] | None = None,
    new_tokens: int = 0,
    numerics: str | None = None,
    packing: str | None = None,
    kv_bits: int | None = None,
    head_bits: int | None = None,
    embedding_bits: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    toggles: Toggles = "sample",
    wide: Wide = "float32",
    random_weights: int | None = None,
    objective: Objective = "latency",
    chunk: int | None = None,
    causal: Causal = "triangle",
    logits: PromptLogits = "last",
    beyond_capacity: bool = False,
    on_token: Callable[[int, str], None] | None = None,
    on_operator: OnOperator | None = None,
) -> Result:
    """Prefill a prompt, decode `new_tokens`, one step each, and count what the chip does.

    * `prompt` (text) or `tokens` (ids), one of them; with random weights the ids of a prompt are its bytes.
      `temperature` 0 is greedy, else sampling with `seed`.
    * `numerics`: a contract or recipe by name; None takes what the checkpoint's config says, in float32. `packing`,
      `head_bits`, `embedding_bits`: how linears, head and embedding are stored, see `bitsim.model.variants`; `kv_bits`:
      16, 8, 4 or 3 per key and value, None as the numerics say.
    * On a chip with an integer wide datapath, attention and head are executed in codes, see
      `bitsim.study.numerics.executed_as`.
    * `toggles`: those of registers that see running sums (partial sums, pipelines) counted on all output columns
      ("exact"), on an eighth of the column tiles (at most 8) scaled up ("sample") or not at all ("off"). `wide`: values
      of QK^T, PV and head in the contract's float32 or as the wide datapath rounds them; both are counted on the
      datapath.
    * `random_weights`: a seed; runs a shape that has no checkpoint. `objective`: what tiles and loop orders are for.
      `chunk`: most prompt tokens per step (None: all). `causal`: "triangle" works the prompt's attention off in blocks
      of tokens that skip what lies behind them, "full" as one rectangle; with `wide="float32"` both give the same
      values. `logits`: of the prompt's "last" position, or of "all". `beyond_capacity`: run a model that memory has no
      room for.
    * `on_token`: called with each new token and its text, before the token is executed.
    * `on_operator`: called with each execution of an operator and its place, e.g. `Timeline.add`.

    Returns a `Result` with `tokens` (prompt and new), `logits` (a row for the prompt's last position, or
    for all of it, and for every new token), events and cycles.
    Raises `PromptError`, `ConfigError`, `CheckpointError`, `OperandError`.
    """
    check_count("new_tokens", new_tokens, 0)
    scheduling = Scheduling(objective=objective, chunk=chunk, beyond_capacity=beyond_capacity)
    model = model if isinstance(model, Model) else load_model(model)
    chip = load_chip(chip)
    if model.weights is None and random_weights is None:
        raise ConfigError(
            f"{model.name}: shapes only, no weights; give random_weights (--random-weights SEED) or use estimate"
        )
    ids = prompt_tokens(model, prompt, tokens, as_bytes=random_weights is not None)
    if random_weights is not None:
        model = random_model(model.config, random_weights, notes=model.notes)
    model, recipe = executed_as(
        model, chip, numerics=numerics, packing=packing, kv_bits=kv_bits, head_bits=head_bits,
        embedding_bits=embedding_bits,
    )  # fmt: skip
    chip = chip_for(model, chip)
    workload = Workload(prefill=len(ids), decode=new_tokens, causal=causal, logits=logits)
    execution = Execution(recipe=recipe, toggles=toggles, wide=wide, seed=seed)
    placement = placement_for(chip, scheduling.objective)
    executor = ChipExecutor(placement, execution, on_operator=on_operator)
    config = model.config
    check_weights(config, placement)
    queries = Queries(placement=placement, config=config, recipe=recipe, causal=causal == "triangle")
    stored = footprint(config, recipe, positions=len(ids) + new_tokens, batch=1)
    room = check_capacity(placement, config.name, stored, quantised=config.quantised, beyond=beyond_capacity)
    words, silent = _words(model, needed=prompt is not None)

    kv = recipe.kv or (16 if wide == "datapath" or kv_bits == 16 else 32)

    def announce(token: int) -> None:
        if on_token:
            on_token(token, words.decode([token]) if words else "")

    done, scores = generate(
        model,
        executor,
        ids,
        new_tokens,
        recipe,
        temperature=temperature,
        seed=seed,
        kv=kv,
        chunk=chunk,
        query_block=queries.block,
        logits=logits,
        on_token=announce,
    )
    return Result(
        mode="run",
        chip=chip,
        rows=executor.ledger.rows(),
        inputs=inputs_of(model, chip, numerics=recipe.name)
        | wide_inputs(recipe)
        | {"wide": wide, "toggles": toggles, "seed": seed, "temperature": temperature, "objective": objective}
        | {"packing": packing, "kv_bits": kv_bits, "head_bits": head_bits, "embedding_bits": embedding_bits}
        | {"chunk": chunk, "causal": causal, "logits": logits, "random_weights": random_weights},
        notes=(
            *notes_on(model, chip, recipe, positions=len(done)),
            *room,
            *queries.note(chunks(len(ids), chunk)),
            *notes_on_plans(executor.placement),
            *remarks_on(model, executor.placement, recipe),
            *notes_of(executor, model, execution, kv),
            *silent,
        ),
        workload=workload,
        scheduling=scheduling,
        recipe=recipe,
        text=words.decode(done[len(ids) :]) if words else None,
        tokens=tuple(int(token) for token in done),
        logits=scores,
    )


def prompt_tokens(model: Model, prompt: str | None, tokens: Sequence[int] | None, *, as_bytes: bool) -> Sequence[int]:
    """The ids to start from; exactly one of `prompt` and `tokens` must be given. `as_bytes`: whatever the tokenizer."""
    if (prompt is None) == (tokens is None):
        raise PromptError("give either a prompt or tokens, not both and not neither")
    if tokens is not None:
        return tokens
    if not isinstance(prompt, str):
        raise PromptError(f"prompt: expected text, got {type(prompt).__name__}")
    words = ByteTokenizer() if as_bytes else tokenizer(model.name, model.tokenizer_class, model.vocabulary)
    return [int(token) for token in words.encode(prompt)]


def _words(model: Model, *, needed: bool) -> tuple[Tokenizer | None, tuple[str, ...]]:
    """What turns ids into text, or None and why: token ids run without a tokenizer, unless text was given."""
    if model.tokenizer_class != "ByteTokenizer" and model.vocabulary is None:
        return None, ()
    try:
        return tokenizer(model.name, model.tokenizer_class, model.vocabulary), ()
    except (PromptError, CheckpointError) as error:
        if needed:
            raise
        return None, (f"no text, token ids only: {error}",)


def notes_of(executor: ChipExecutor, model: Model, execution: Execution, kv: KVStorage) -> tuple[str, ...]:
    """What a reader of the result must know about how it was counted; `kv`: how the cache keeps its values."""
    notes = [*executor.toggle_notes()]
    on_bitlinear = model.config.quantised or execution.recipe.ternary_floats
    wide_kinds = "QK^T, PV and head" if execution.recipe.head is None else "QK^T and PV"
    wide_kinds = wide_kinds if on_bitlinear else f"linears, {wide_kinds}"
    if execution.recipe.wide is not None:
        notes.append(f"values of {wide_kinds} are exact sums of codes, as the wide datapath forms them")
    elif execution.wide == "float32":
        notes.append(
            f"values of {wide_kinds} are float32 as the contract says; their events are those of the wide datapath on "
            "the same operands"
        )
        if kv == 32:
            notes.append("values of the KV cache are float32; KV traffic is counted at 16 bits per value")
    if execution.wide == "datapath" or execution.recipe.wide is not None:
        notes += [
            f"the wide datapath {executor.placement.wide!r} {remark}" for remark in executor.placement.wide.remarks
        ]
    notes += [f"BitLinear sums: {kind}: {deviation}" for kind, deviation in executor.deviations.items()]
    for name, (count, first) in list(executor.overflowed.items())[:SHOWN_OVERFLOWS]:
        notes.append(f"overflow: {name}: {count:,} times, first at {first}")
    if len(executor.overflowed) > SHOWN_OVERFLOWS:
        total = sum(count for count, _ in executor.overflowed.values())
        notes.append(f"overflow: {len(executor.overflowed)} operators overflowed, {total:,} times in all")
    return (*notes, *ASSUMPTIONS)
