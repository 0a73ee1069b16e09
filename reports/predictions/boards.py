"""Boards: Trinity, TerEffic and Ternarycore, whose times are predicted; FPGAs have no prices."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache

from bitsim.hw import load_chip
from bitsim.model.checkpoint import load_model
from bitsim.study import estimate, estimate_matmuls
from reports.predictions.common import Prediction, dram_watts, resident, seconds, unpriced, waits, workload

POSITIONS = (0, 63, 127, 255, 511)
LEFT_OUT = ("embedding", "residual", "head")
WORKED = ("norm", "quantise", "rope", "kv", "qk", "softmax", "pv", "glu")


def trinity() -> Iterator[Prediction]:
    """One weight per cycle; norms, argmax and the state machine are not modelled."""
    for key, chip, quantity, tokens in (
        ("trinity.token", "trinity-xc7a100t", "time of a token", 1),
        ("trinity.tokens16", "trinity-xc7a100t-50mhz", "time of 16 tokens", 16),
    ):
        result = estimate_matmuls(workload("trinity"), chip)
        yield Prediction(
            key=key,
            chip=chip,
            quantity=quantity,
            unit="ms",
            value=1e3 * tokens * seconds(result),
            bounds=waits(result),
            assumed="2 cycles per output to shift sums out",
        )


def tereffic() -> Iterator[Prediction]:
    """The roofline of HBM at its peak."""
    for key, quantity in (
        ("tereffic.named", "decode, 2.7e9 weights"),
        ("tereffic.shaped", "decode, matmuls of MMfreeLM-2.7B"),
    ):
        result = estimate_matmuls(workload(key.replace(".", "_")), "tereffic-hbm")
        yield Prediction(
            key=key,
            chip="tereffic-hbm",
            quantity=quantity,
            unit="tok/s",
            value=1 / seconds(result),
            bounds=waits(result),
            assumed="all of the HBM's peak; an array that it does not keep busy",
        )
    watts, spread = dram_watts(result)
    yield Prediction(
        key="tereffic.dram",
        chip="tereffic-hbm",
        quantity="HBM power",
        unit="W",
        value=watts,
        spread=spread,
        assumed="HBM2's energy per bit",
        energy="DRAM only",
    )
    yield unpriced("tereffic.power", "power of the card", result)


def ternarycore() -> Iterator[Prediction]:
    """Projections and the paging of their weights, then tokens with all that the processor does."""
    chip = load_chip("ternarycore-a7-100t")
    shapes = workload("ternarycore")
    paged, held = estimate_matmuls(shapes, chip), estimate_matmuls(shapes, resident(chip), beyond_capacity=True)
    (alone,) = estimate_matmuls(workload("ternarycore_pass"), chip).rows
    yield Prediction(
        key="ternarycore.pass",
        chip=chip.name,
        quantity="array, a pass of 64 columns",
        unit="cycles",
        value=alone.unit_cycles,
        bounds="array 100 %",
        assumed="activations walk from column to column",
    )
    yield Prediction(
        key="ternarycore.projections",
        quantity="projections of a token",
        value=1e3 * seconds(held),
        bounds=waits(held),
        chip=chip.name,
        unit="ms",
    )
    paging = 1e3 * (seconds(paged) - seconds(held))
    yield Prediction(
        key="ternarycore.paging",
        quantity="paging of their weights",
        value=paging,
        bounds="dram 100 %",
        chip=chip.name,
        unit="ms",
    )
    both, share = 1e3 * seconds(paged), paging / 1e3 / seconds(paged)
    yield Prediction(
        key="ternarycore.both",
        quantity="projections and paging",
        value=both,
        bounds=f"dram {100 * share:.0f} %, {waits(held).split()[0]} {100 * (1 - share):.0f} %",
        chip=chip.name,
        unit="ms",
    )
    for position in POSITIONS:
        parts = ternarycore_token(position)
        total, worked = sum(parts.values()), sum(parts[kind] for kind in WORKED if kind in parts)
        yield Prediction(
            key=f"ternarycore.token_{position}",
            chip=chip.name,
            quantity=f"a token at position {position}",
            unit="ms",
            value=1e3 * total,
            bounds=f"processor {100 * worked / total:.0f} %, projections {100 * parts['linear'] / total:.0f} %",
            assumed="the processor's times per value, which are those of its operators at 512 positions",
        )
    yield unpriced("ternarycore.power", "power of streaming", paged)


@cache
def ternarycore_token(position: int) -> Mapping[str, float]:
    """Seconds by kind of operator of a token at a position: embedding, residual sums and head are left out."""
    model = load_model("qwen3-0.6b")
    config = replace(model.config, linear_class="autobitlinear", weight_bits_per_weight=Fraction(2))
    chip = load_chip("ternarycore-a7-100t")
    result = estimate(replace(model, config=config), chip, prefill=position, decode=1, beyond_capacity=True)
    found: Counter[str] = Counter()
    for row in result.phase_rows("decode"):
        if row.kind not in LEFT_OUT:
            found[row.kind] += row.cycles
    return {kind: result.seconds(cycles) for kind, cycles in found.items()}
