"""Measure the operand statistics that estimates use, and write bitsim/study/statistics.yaml.

    python -m tools.measure_statistics [MODEL ...] [--chip NAME]

Default: all shipped models on all shipped chips; the statistics of models that are not named are kept. With `--chip`,
only the rates that this chip gives are measured, added or replaced: those of the chips before it in the order of
`measured_chips` that share a kind with it, and all other kinds, stay as they are.

Runs a prompt of 256 held-out bytes with exact toggles on one chip per kind of datapath: a model's BitLinear layers on
the ternary and the INT8 array, the adder trees and so on, its attention matmuls (in blocks of 64 tokens, as causality
allows) and head, of all positions, on the FP16 array, and in integers on arrays that multiply these. A rate is
what was counted over what could have happened (`chances`), so that `expect` on the same operators gives the measured
totals back. Every matmul is one call of its datapath, whatever its plan is: rates are those of a structure, and do not
depend on memories.
Datapaths of 4-bit activations get the INT4 codes of arXiv 2411.04965, unless the model's own are INT4.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml

from bitsim.datapath.base import WIDE
from bitsim.datapath.registry import build_datapath
from bitsim.datapath.template import CountedDatapath
from bitsim.datapath.tiles import Tiles
from bitsim.errors import OperandError
from bitsim.events import Events, total
from bitsim.hw import chip_names, load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.datapaths import PEArraySpec
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.operators import Operator
from bitsim.model.rounded import rounded
from bitsim.model.scaled_linears import without_quantised_activations
from bitsim.quant.recipes import recipe_named
from bitsim.results.rows import OperatorRow
from bitsim.results.setup import Execution
from bitsim.schedule.place import Placement
from bitsim.study.executor import ChipExecutor
from bitsim.study.held_out import text_tokens
from bitsim.study.numerics import executed_as
from bitsim.study.statistics import MEASURED_ON

Rates = dict[str, dict[str, float]]  # kind of datapath -> event -> fraction of its chances

TOKENS, QUERY_BLOCK = 256, 64
STATISTICS = Path(__file__).resolve().parent.parent / "bitsim" / "study" / "statistics.yaml"
HEADER = """\
# Written by tools/measure_statistics.py: by model the zeros of its weights and, by kind of datapath and event, the
# fraction of its chances that it takes (of a toggle: the flipped fraction of register bits per update).
"""
FIRST = ("ternary-ws-64x64", "int8-ws-64x64")  # chips that give the rates of the kinds that they share with others
FLOATS = "ternary-fp16-ws-64x64"
INTEGER_WIDE = "ternary-ws-64x64-int8"
FULL = {"rows": 64, "cols": 64}  # rates of attention and head are of arrays as large as BitLinear's; others take them
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("adder-tree-64x64-pipelined", {"lanes": 128, "trees": 32, "pipeline": 7}),
    *(("ternary-lut-g3", {"g": g, "table": table}) for g in range(2, 6) for table in ("half", "full")),
    *(("ternary-lut-g3", {"acts": "fp16", "acc_bits": bits, "overflow": "wrap"}) for bits in (16, 32)),
    *(
        ("bit-serial-16x2048", {"weights": weights, "act_bits": bits, "skip_zero_planes": skip})
        for weights in ("ternary", "binary")
        for bits in (8, 4)
        for skip in (True, False)
    ),
    *(("sparse-array-16x256", {"lanes": lanes}) for lanes in (2, 4, 8)),
    *((name, {"between_tiles": "keep"}) for name in (*FIRST, FLOATS)),
    *(
        (FLOATS, {"pe": pe, "acc_bits": 32, "between_tiles": between})
        for pe in ("ternary_fp16", "ternary_bf16")
        for between in ("reset", "keep")
    ),
]
FOUR_BITS = "a48_int4"  # the numerics under which 4-bit datapaths are measured, if the model's own are wider


def numerics_on(model: Model, chip: Chip) -> str | None:
    """The numerics under which `model` is measured on `chip`, None if the chip can't compute its linears."""
    own = model.config.default_numerics
    if not model.config.quantised:
        return own if chip.wide.wide_bits is None else None
    if model.config.wide_weights and build_datapath(chip.bitlinear).weight_range == (-1, 1):
        return None
    if not model.config.binary and not chip.bitlinear.zero_weights:
        return None
    widest = max(contract.activation_bits for contract in recipe_named(own).contracts)
    return own if widest <= chip.bitlinear.widest_act else FOUR_BITS


def matmuls(model: Model, chip: Chip, kind: str) -> list[Operator]:
    """The matmuls of the prompt that this chip computes on a datapath with the rates of `kind`."""
    model, recipe = executed_as(model, chip)
    operators = forward_operators(
        model.config,
        phase="prefill",
        tokens=TOKENS,
        context=TOKENS,
        recipe=recipe,
        kv=recipe.kv or 16,
        query_block=QUERY_BLOCK,
    )
    on = {True: chip.bitlinear.rates, False: wide_kind(chip)}
    return [op for op in operators if op.is_matmul and on[op.is_bitlinear] == kind]


class WholeCalls(ChipExecutor):
    """Calls the datapath once for every matmul."""

    def tiles(self, op: Operator) -> Tiles:
        return Tiles.whole(op.m, op.k, op.n)


def executed(model: Model, chip: Chip, numerics: str, toggles: Literal["exact", "off"]) -> tuple[OperatorRow, ...]:
    """The prompt on this chip. Raises `OperandError` where its datapath does not take the codes."""
    text, _ = text_tokens(limit=TOKENS)
    model, recipe = executed_as(model, chip, numerics=numerics)
    assert model.weights is not None
    executor = WholeCalls(Placement(chip), Execution(recipe=recipe, toggles=toggles))
    cache = KVCache(model.config, recipe.kv or 32)
    forward(model.config, model.weights, text, cache, executor, recipe, query_block=QUERY_BLOCK)
    return executor.ledger.rows()


def measure(model: Model, chip: Chip, numerics: str) -> dict[str, tuple[Events, Events]]:
    """By kind of datapath on this chip, what was counted and what could have happened."""
    rows, placement = executed(model, chip, numerics, "exact"), Placement(chip)
    found = {}
    for kind in kinds_of(chip):
        chosen = matmuls(model, chip, kind)
        names, chances = {op.name for op in chosen}, []
        for op in chosen:
            datapath = placement.datapath(op)
            assert isinstance(datapath, CountedDatapath)
            chances.append(Events(datapath.chances(op.m, op.k, op.n)) * op.repeat)
        if chances:
            found[kind] = total([row.events for row in rows if row.name in names]), total(chances)
    return found


def zeros(model: Model, chip: Chip, events: Events) -> float:
    """The fraction of operations with weight 0."""
    operations = sum(op.macs for op in matmuls(model, chip, chip.bitlinear.rates))
    return events[f"pe.{chip.bitlinear.unit}.skip"] / operations


def kinds_of(chip: Chip) -> list[str]:
    """The kinds of rates of its datapaths, BitLinear's first."""
    return list(dict.fromkeys((chip.bitlinear.rates, wide_kind(chip))))


def wide_kind(chip: Chip) -> str:
    """The kind of rates of its wide datapath, see `Statistics.rates`."""
    return chip.wide.rates if chip.wide.wide_bits is None else f"{WIDE}{chip.wide.rates}"


def measured_chips() -> list[Chip]:
    """The shipped chips, those whose rates others share first, then variants with registers that none of them has."""
    chips = [with_full_array(load_chip(name)) for name in dict.fromkeys((*FIRST, *chip_names()))]
    for name, changes in VARIANTS:
        chip = load_chip(name)
        spec = type(chip.bitlinear).model_validate(chip.bitlinear.model_dump() | changes)
        chips.append(chip.model_copy(update={"bitlinear": spec}))
    integers = with_full_array(load_chip(INTEGER_WIDE))
    both = load_chip(FIRST[1]).model_copy(update={"wide": integers.wide})  # of models that need INT8 weights
    chips.append(both)
    for chip in (with_full_array(load_chip(FIRST[0])), integers, both):
        chips.append(chip.model_copy(update={"wide": chip.wide.model_copy(update={"between_tiles": "keep"})}))
    return chips


def with_full_array(chip: Chip) -> Chip:
    """The chip with `FULL` PEs for attention and head, if an array computes these."""
    array = isinstance(chip.wide, PEArraySpec)
    return chip.model_copy(update={"wide": chip.wide.model_copy(update=FULL)}) if array else chip


def rates_of(model: Model, chips: list[Chip]) -> tuple[Rates, float | None]:
    """What these chips give, the first that has an event counting; the zeros of the weights if one of them has them."""
    rates: Rates = {}
    weight_zeros = None
    for chip in chips:
        numerics = numerics_on(model, chip)
        on_wide = not model.config.quantised and not (model.config.weight_only and chip.bitlinear.takes_floats)
        if numerics is None or (on_wide and wide_kind(chip) in rates):
            continue
        try:
            found = measure(model, chip, numerics)
        except OperandError as error:  # codes that this datapath does not take
            print(f"{model.name} not on {chip.name}: {error}")
            continue
        for kind, (measured, chances) in found.items():
            if kind not in rates and kind == (
                "ternary" if model.config.quantised else load_chip(FLOATS).bitlinear.rates
            ):
                weight_zeros = zeros(model, chip, measured)
            for event, number in sorted(chances.items()):
                rates.setdefault(kind, {}).setdefault(event, round(measured[event] / number, 6))
    return rates, weight_zeros


def statistics_of(model: Model) -> dict[str, Any]:
    """Everything that is measured on one model, as it stands in the file."""
    rates, weight_zeros = rates_of(model, measured_chips())
    own = model.config.default_numerics
    source = f"{model.name} under {own}, prefill of {TOKENS} held-out bytes, on the shipped chips"
    narrow = {numerics_on(model, chip) for chip in measured_chips()} - {own, None}
    source += "".join(f"; 4-bit datapaths under {numerics}" for numerics in narrow)
    return {"source": source, "weight_zeros": round(weight_zeros or 0.0, 6), "rates": rates}


def given_before(model: Model, name: str) -> set[tuple[str, str]]:
    """Kind and event of the rates that chips before the first of this name give to kinds that it has, too."""
    order = measured_chips()
    first = [chip.name for chip in order].index(name)
    kinds = {kind for chip in order if chip.name == name for kind in kinds_of(chip)}
    found = set()
    for chip in order[:first]:
        numerics, shared = numerics_on(model, chip), kinds.intersection(kinds_of(chip))
        if numerics is None or not shared:
            continue
        try:
            executed(model, chip, numerics, "off")
        except OperandError:
            continue
        placement = Placement(chip)
        for kind in shared:
            for op in matmuls(model, chip, kind):
                datapath = placement.datapath(op)
                assert isinstance(datapath, CountedDatapath)
                found |= {(kind, event) for event in datapath.chances(op.m, op.k, op.n)}
    return found


def with_chip(model: Model, known: dict[str, Any], name: str) -> dict[str, Any]:
    """The statistics with the rates that the chip of this name (and its variants) gives, new or anew."""
    before = given_before(model, name)
    rates, weight_zeros = rates_of(model, [chip for chip in measured_chips() if chip.name == name])
    merged = {kind: dict(events) for kind, events in known["rates"].items()}
    for kind, events in rates.items():
        own = {event: rate for event, rate in events.items() if (kind, event) not in before}
        if own:
            merged[kind] = merged.get(kind, {}) | own
    order = list(dict.fromkeys(kind for chip in measured_chips() for kind in kinds_of(chip)))
    kept = dict(sorted(merged.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
    zeros_known = "ternary" in rates and not any(kind == "ternary" for kind, _ in before)
    zeros_now = round(weight_zeros, 6) if zeros_known and weight_zeros is not None else known["weight_zeros"]
    return known | {"weight_zeros": zeros_now, "rates": kept}


def measured_model(name: str) -> Model:
    """A shipped model, or `MODEL@NUMERICS`: rounded to nearest, or with activations as they are."""
    shipped, _, numerics = name.partition("@")
    model = load_model(shipped)
    if not numerics:
        return model
    recipe = recipe_named(numerics)
    return replace(without_quantised_activations(rounded(model, recipe), recipe), name=name)


def written(statistics: dict[str, Any]) -> str:
    """The file's text."""
    shipped = dict.fromkeys(MEASURED_ON.values())
    ordered = {name: statistics[name] for name in shipped if name in statistics}
    return HEADER + yaml.safe_dump(ordered, sort_keys=False, width=110)


def main() -> None:
    shipped = list(dict.fromkeys(MEASURED_ON.values()))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODEL", nargs="*", help=f"default: {' '.join(shipped)}")
    parser.add_argument("--chip", metavar="NAME", choices=chip_names(), help="measure only what this chip gives")
    parser.add_argument("--out", metavar="FILE", type=Path, default=STATISTICS, help="default: the shipped file")
    given = parser.parse_args()
    known = yaml.safe_load(STATISTICS.read_text(encoding="utf-8")) if STATISTICS.exists() else {}
    for name in given.models or shipped:
        model = measured_model(name)
        known[name] = with_chip(model, known[name], given.chip) if given.chip else statistics_of(model)
    given.out.write_text(written(known), encoding="utf-8")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
