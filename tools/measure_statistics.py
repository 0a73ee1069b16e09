"""Measure the operand statistics that estimates use, and write bitsim/study/statistics.yaml.

    python tools/measure_statistics.py

Runs a prompt of 256 held-out bytes of tiny-b158 with exact toggles: its BitLinear layers on the ternary and the INT8
array, its attention matmuls and head on the FP16 array, all weight-stationary. A rate is toggles per register bit and
update, so that `expect` on the same operators gives the measured totals back.
"""

from importlib.resources import files
from pathlib import Path

from bitsim.datapath.base import Statistics, ToggleRates
from bitsim.events import Events, total
from bitsim.hw import load_chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import load_model
from bitsim.schedule.place import Placement
from bitsim.study import run

TOKENS = 256
ROOT = Path(__file__).resolve().parent.parent
ONES = ToggleRates(act=1.0, weight=1.0, psum=1.0)


def measure(chip_name: str, pe: str) -> tuple[Events, Events]:
    """Measured events of the matmuls on arrays of `pe` on this chip, and their register bits times updates."""
    model, chip = load_model("tiny-b158"), load_chip(chip_name)
    text = files("bitsim").joinpath("models", "held_out.txt").read_bytes()[:TOKENS]
    placement = Placement(chip)
    every = Statistics(weight_zeros=1.0, rates={pe: ONES}, source="all ones")
    operators = forward_operators(model.config, phase="prefill", tokens=TOKENS, context=TOKENS)
    chosen = [op for op in operators if op.is_matmul and (chip.bitlinear if op.is_bitlinear else chip.wide).pe == pe]
    updates = total([placement.datapath(op).expect(op.m, op.k, op.n, every) * op.repeat for op in chosen])
    names = {op.name for op in chosen}
    result = run(model, chip, tokens=list(text), toggles="exact")
    return total([row.events for row in result.rows if row.name in names]), updates


def main() -> None:
    lines = [
        "# Written by tools/measure_statistics.py: zeros of the weights; flipped fraction of register bits per update."
    ]
    rates = []
    for pe, chip in (("ternary", "ternary-ws-64x64"), ("int8", "int8-ws-64x64"), ("fp16", "ternary-ws-64x64")):
        measured, updates = measure(chip, pe)
        values = [
            f"{k}: {measured[f'reg.{k}.toggle'] / updates[f'reg.{k}.toggle']:.6f}" for k in ("act", "weight", "psum")
        ]
        rates.append(f"  {pe}: {{{', '.join(values)}}}")
        if pe == "ternary":
            skip = "pe.ternary_a8_acc24.skip"
            lines.append(f"weight_zeros: {measured[skip] / updates[skip]:.6f}")
    lines += ["rates:", *rates]
    lines.append(f'source: "tiny-b158, prefill of {TOKENS} held-out bytes, weight-stationary 64 x 64 arrays"')
    (ROOT / "bitsim" / "study" / "statistics.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
