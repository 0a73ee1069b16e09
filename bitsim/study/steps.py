"""The steps of an estimate: a prompt in one piece or in chunks, then token by token, summed over growing contexts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Self, TypeVar

from bitsim.datapath.base import Statistics
from bitsim.datapath.tiled import expect_tiles
from bitsim.events import Events
from bitsim.model.build_operators import forward_operators
from bitsim.model.config import ModelConfig
from bitsim.model.operators import Operator, Phase
from bitsim.model.step import Logits
from bitsim.quant.recipes import Recipe
from bitsim.results.ledger import OperatorLedger
from bitsim.results.rows import OperatorRow
from bitsim.results.setup import Workload
from bitsim.schedule import Placed, Placement
from bitsim.schedule.attention import Queries
from bitsim.schedule.growth import grown

Item = TypeVar("Item")
Laid = TypeVar("Laid", Operator, OperatorRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What all steps of an estimate have in common; `config` has one layer, layers are alike."""

    config: ModelConfig
    recipe: Recipe
    workload: Workload
    queries: Queries

    @classmethod
    def of(cls, config: ModelConfig, recipe: Recipe, workload: Workload, placement: Placement) -> Self:
        """The steps of a model with any number of layers."""
        one = replace(config, num_layers=1)
        causal = workload.causal == "triangle"
        queries = Queries(placement=placement, config=one, recipe=recipe, batch=workload.batch, causal=causal)
        return cls(config=one, recipe=recipe, workload=workload, queries=queries)

    def prompt(self, start: int, stop: int) -> list[Operator]:
        """The step of the prompt's tokens `start` to `stop - 1`: unless the prompt goes on, with logits."""
        wanted = self.workload.logits
        logits: Logits = "none" if wanted == "last" and stop < self.workload.prefill else wanted
        return self.operators("prefill", stop - start, stop, logits)

    def operators(self, phase: Phase, tokens: int, context: int, logits: Logits = "last") -> list[Operator]:
        operators = forward_operators(
            self.config,
            phase=phase,
            tokens=tokens,
            context=context,
            batch=self.workload.batch,
            recipe=self.recipe,
            kv=self.recipe.kv or 16,
            merge_heads=self.workload.merge_heads,
            query_block=self.queries.block(tokens, context),
            logits=logits,
        )
        experts = self.workload.experts
        return operators if experts is None else list(experts.operators(self.config, operators))


def book_prefill(
    steps: Steps,
    placement: Placement,
    ledger: OperatorLedger,
    statistics: Statistics,
    chunks: Iterable[tuple[int, int]],
) -> None:
    """Each chunk of the prompt attends all positions up to its own end."""
    for start, stop in chunks:
        for op in steps.prompt(start, stop):
            placed = placement.place(op)
            ledger.add(op, placed, placed.array_events + expected_events(placement, op, placed, statistics))
            book_exchange(op, placement, ledger)


def book_exchange(op: Operator, placement: Placement, ledger: OperatorLedger, times: int = 1) -> None:
    """What a step exchanges with its host at `op`, if that is modelled."""
    if (exchanged := placement.exchange(op)) is not None:
        ledger.add(*exchanged, Events(), times)


def book_decode(
    steps: Steps, placement: Placement, ledger: OperatorLedger, statistics: Statistics, *, first: int, number: int
) -> None:
    """`number` tokens, the first of which attends `first` positions: what does not grow is booked so many times."""
    if not number:
        return

    def expected(op: Operator, placed: Placed) -> Events:
        return expected_events(placement, op, placed, statistics)

    at_ends = zip(*(steps.operators("decode", 1, context) for context in (first, first + number)), strict=True)
    for index, (op, later) in enumerate(at_ends):
        if op == later:
            placed = placement.place(op)
            ledger.add(op, placed, placed.array_events + expected(op, placed), times=number)
            book_exchange(op, placement, ledger, number)
        else:

            def at(context: int, index: int = index) -> Operator:
                return steps.operators("decode", 1, context)[index]

            ledger.add_grown(op, grown(placement, at, first, number, expected))


def expected_events(placement: Placement, op: Operator, placed: Placed, statistics: Statistics) -> Events:
    """The data-dependent events of all calls that a matmul makes, as the statistics predict them."""
    events = Events()
    if placed.tiles is not None:
        statistics = statistics.of_wide_integers if op.is_wide_integer else statistics
        events = expect_tiles(placement.datapath(op), placed.tiles, statistics) * op.repeat
    return events


def all_layers(
    items: Iterable[Item], layers: int, layer_of: Callable[[Item], int | None]
) -> Iterator[tuple[Item, int | None]]:
    """What a model with `layers` layers consists of, from what the same model with one does: (item, its layer).

    Layers are alike: those items that are in one are repeated, all of a layer before the next one.
    """
    for layer, group in groupby(items, key=layer_of):
        pattern = list(group)
        for i in [None] if layer is None else range(layers):
            for item in pattern:
                yield item, i


def at_layer(of_one: Laid, layer: int | None) -> Laid:
    """An operator, or its row, of a model with one layer as that of layer `layer`; None: outside of the layers."""
    if layer is None:
        return of_one
    return replace(of_one, layer=layer, name=of_one.name.replace("layers.0.", f"layers.{layer}.", 1))
