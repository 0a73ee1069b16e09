"""Measure the operand statistics that estimates use, and write bitsim/study/statistics.yaml.

    python tools/measure_statistics.py

Runs a prompt of 256 held-out bytes of tiny-b158 with exact toggles on one chip per kind of datapath: its BitLinear
layers on the ternary and the INT8 array, the adder trees and so on, its attention matmuls and head on the FP16 array. A
rate is what was counted over what could have happened (`chances`), so that `expect` on the same operators gives the
measured totals back. Datapaths of 4-bit activations are measured with the INT4 codes of arXiv 2411.04965, those of
binary weights on tiny-b1. Popcount arrays are left out: no model has activations that narrow.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from bitsim.datapath.template import CountedDatapath
from bitsim.events import Events, total
from bitsim.hw import chip_names, load_chip
from bitsim.hw.chip import Chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import load_model
from bitsim.model.operators import Operator
from bitsim.schedule.place import Placement
from bitsim.study import run

TOKENS = 256
ROOT = Path(__file__).resolve().parent.parent
FIRST = ("ternary-ws-64x64", "int8-ws-64x64")  # chips that give the rates of the kinds that they share with others
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("adder-tree-64x64-pipelined", {"lanes": 128, "trees": 32, "pipeline": 7}),
    *(("ternary-lut-g3", {"g": g, "table": table}) for g in range(2, 6) for table in ("half", "full")),
    ("bit-serial-16x2048", {"skip_zero_planes": False}),
    ("bit-serial-binary", {"skip_zero_planes": False}),
    ("bit-serial-16x2048", {"act_bits": 4}),
    ("bit-serial-16x2048", {"act_bits": 4, "skip_zero_planes": False}),
    *(("sparse-array-16x256", {"lanes": lanes}) for lanes in (2, 4, 8)),
]
LEAST_BITS = 4  # of the activations of a model
FOUR_BITS = "a48_int4"  # the numerics under which 4-bit datapaths are measured


def model_of(chip: Chip) -> str:
    """The model whose weights this chip takes."""
    return "tiny-b158" if Placement(chip).bitlinear.zero_weights else "tiny-b1"


def matmuls(chip: Chip, kind: str) -> list[Operator]:
    """The matmuls of the prompt that this chip computes on a datapath with the rates of `kind`."""
    operators = forward_operators(load_model(model_of(chip)).config, phase="prefill", tokens=TOKENS, context=TOKENS)
    on = {True: chip.bitlinear.rates, False: chip.wide.rates}
    return [op for op in operators if op.is_matmul and on[op.is_bitlinear] == kind]


def measure(chip: Chip) -> dict[str, tuple[Events, Events]]:
    """By kind of datapath on this chip, what was counted and what could have happened."""
    text = files("bitsim").joinpath("models", "held_out.txt").read_bytes()[:TOKENS]
    numerics = FOUR_BITS if chip.bitlinear.widest_act == 4 else None
    result = run(model_of(chip), chip, tokens=list(text), toggles="exact", numerics=numerics)
    placement = Placement(chip)
    found = {}
    for kind in dict.fromkeys((chip.bitlinear.rates, chip.wide.rates)):
        chosen = {op.name: op for op in matmuls(chip, kind)}
        chances = []
        for op in chosen.values():
            datapath = placement.datapath(op)
            assert isinstance(datapath, CountedDatapath)
            chances.append(Events(datapath.chances(op.m, op.k, op.n)) * op.repeat)
        found[kind] = total([row.events for row in result.rows if row.name in chosen]), total(chances)
    return found


def zeros(chip: Chip, events: Events) -> float:
    """The fraction of operations with weight 0."""
    operations = sum(op.macs for op in matmuls(chip, chip.bitlinear.rates))
    return events[f"pe.{chip.bitlinear.unit}.skip"] / operations


def measured_chips() -> list[Chip]:
    """The shipped chips, those whose rates others share first, then variants with registers that none of them has."""
    chips = [load_chip(name) for name in dict.fromkeys((*FIRST, *chip_names()))]
    chips = [chip for chip in chips if chip.bitlinear.widest_act >= LEAST_BITS]
    for name, changes in VARIANTS:
        chip = load_chip(name)
        spec = type(chip.bitlinear).model_validate(chip.bitlinear.model_dump() | changes)
        chips.append(chip.model_copy(update={"bitlinear": spec}))
    return chips


def main() -> None:
    rates: dict[str, dict[str, float]] = {}
    weight_zeros = None
    for chip in measured_chips():
        for kind, (measured, chances) in measure(chip).items():
            if weight_zeros is None and kind == "ternary":
                weight_zeros = zeros(chip, measured)
            for event, number in sorted(chances.items()):
                rates.setdefault(kind, {}).setdefault(event, measured[event] / number)
    lines = [
        "# Written by tools/measure_statistics.py: zeros of the weights; by kind of datapath and event, the fraction",
        "# of its chances that it takes (of a toggle: the flipped fraction of register bits per update).",
        f"weight_zeros: {weight_zeros:.6f}",
        "rates:",
    ]
    for kind, values in rates.items():
        lines += [f"  {kind}:", *(f"    {event}: {rate:.6f}" for event, rate in values.items())]
    lines.append(
        f'source: "tiny-b158 (binary weights: tiny-b1), prefill of {TOKENS} held-out bytes, on the shipped chips"'
    )
    (ROOT / "bitsim" / "study" / "statistics.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
