"""Measure the operand statistics of tiny-b158 that estimates use, and write bitsim/study/statistics.yaml.

    python tools/measure_statistics.py

Runs a prompt of 256 held-out bytes on ternary-ws-64x64 with exact toggles. A toggle rate is toggles per register bit
and update, so that `expect` on the same operators gives the measured totals back.
"""

from importlib.resources import files
from pathlib import Path

from bitsim.datapath.base import Statistics
from bitsim.events import total
from bitsim.hw import load_chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import load_model
from bitsim.schedule.place import Placement
from bitsim.study import run

TOKENS = 256
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    model, chip = load_model("tiny-b158"), load_chip("ternary-ws-64x64")
    text = files("bitsim").joinpath("models", "held_out.txt").read_bytes()[:TOKENS]
    result = run(model, chip, tokens=list(text), toggles="exact")
    measured = total([row.events for row in result.rows if row.kind == "linear"])
    ones = Statistics(weight_zeros=1.0, act_toggle=1.0, weight_toggle=1.0, psum_toggle=1.0, source="all ones")
    datapath = Placement(chip).bitlinear
    operators = forward_operators(model.config, phase="prefill", tokens=TOKENS, context=TOKENS)
    updates = total([datapath.expect(op.m, op.k, op.n, ones) for op in operators if op.is_bitlinear])
    rates = {
        "weight_zeros": f"pe.{chip.bitlinear.unit}.skip",
        "act_toggle": "reg.act.toggle",
        "weight_toggle": "reg.weight.toggle",
        "psum_toggle": "reg.psum.toggle",
    }
    lines = [
        "# Written by tools/measure_statistics.py: flipped fraction of register bits per update, zeros of the weights.",
        *(f"{name}: {measured[event] / updates[event]:.6f}" for name, event in rates.items()),
        f'source: "measured: BitLinear layers of tiny-b158, {TOKENS} held-out bytes, prefill on {chip.name}"',
    ]
    (ROOT / "bitsim" / "study" / "statistics.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
