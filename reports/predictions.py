"""What bitsim predicts of published hardware, by the ordinary path: chips, shapes, `estimate`.

Nothing here knows what was published of the quantities that it predicts: those stand in reports/published/hardware.yaml
and meet the predictions in `reports.validation`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from bitsim.cost import Energy
from bitsim.cost.dram import dram_price
from bitsim.hw import Chip, load_chip
from bitsim.model.checkpoint import load_model
from bitsim.results import OperatorRow, Result
from bitsim.study import MatmulShape, estimate, estimate_matmuls

BITNET = "bitnet-b158-3b"
PREFILL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One quantity of one chip; `value` is None where nothing can be predicted, for the `reason`.

    `spread`: low and high, of what depends on prices. `bounds`: what the time goes to. `assumed`: inputs that the
    quantity rests on and no source states; `fitted`: what was chosen with a published result in view. `energy`: what an
    energy includes.
    """

    key: str
    chip: str
    quantity: str
    unit: str
    value: float | None
    spread: tuple[float, float] | None = None
    bounds: str = ""
    assumed: str = ""
    fitted: str = "none"
    energy: str = ""
    reason: str = ""


@cache
def workload(name: str) -> tuple[MatmulShape, ...]:
    """The matmuls of one token of a workload in reports/workloads.yaml."""
    text = files("reports").joinpath("workloads.yaml").read_text(encoding="utf-8")
    listed: dict[str, Any] = yaml.safe_load(text)[name]
    bits = Fraction(listed["weight_bits"])
    return tuple(
        MatmulShape(name=what, m=1, k=k, n=n, count=count, weight_bits=bits) for what, k, n, count in listed["matmuls"]
    )


@cache
def bitnet(bits: Fraction, chip: str, prefill: int) -> Result:
    """BitNet 3B with its linears stored at `bits` per weight: `prefill` tokens, or one new one."""
    model = load_model(BITNET)
    stored = replace(model, config=replace(model.config, weight_bits_per_weight=bits))
    return estimate(stored, chip, prefill=prefill, decode=0 if prefill else 1)


def linears(result: Result) -> list[OperatorRow]:
    """The rows of quantised linears."""
    return [row for row in result.rows if row.bitlinear]


def seconds(result: Result) -> float:
    """What the quantised linears take."""
    return result.seconds(sum(row.cycles for row in linears(result)))


def waits(result: Result) -> str:
    """What the linears wait for, by share of their time."""
    shares: Counter[str] = Counter()
    for row in linears(result):
        shares[row.bound] += row.cycles
    total = sum(shares.values())
    return ", ".join(f"{what} {100 * cycles / total:.0f} %" for what, cycles in shares.most_common())


def joules(result: Result, dram: bool, *, buffers: bool = True) -> tuple[float, tuple[float, float]]:
    """System energy of the linears in DRAM, or in everything else; nominal, low and high."""
    total = Energy()
    for row, part, energy in result.breakdown("system"):
        if row.bitlinear and part.startswith("dram ") == dram and (buffers or not part.startswith("sram ")):
            total = total + energy
    return total.nominal * 1e-12, (total.low * 1e-12, total.high * 1e-12)


def dram_watts(result: Result) -> tuple[float, tuple[float, float]]:
    """Power of the DRAM traffic of the linears at the predicted rate, from bits and the chip's energy per bit."""
    bits = sum(row.events.of_unit("dram").count() for row in linears(result))
    price, time_s = dram_price(result.chip), seconds(result)
    low, nominal, high = (bits * pj * 1e-12 / time_s for pj in (price.low, price.nominal, price.high))
    return nominal, (low, high)


def predictions() -> Iterator[Prediction]:
    """All of them, chip by chip."""
    yield from trinity()
    yield from vitallm()
    yield from tereffic()
    yield from ternarycore()


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


def vitallm() -> Iterator[Prediction]:
    """Quantised linears of BitNet 3B only: the precision of the head and the rates of attention are not published."""
    array = "array from the figure of merit, 16 trees of 16; DRAM that does not bound it"
    reading = "TOPS read as MACs"  # twice 128 MACs is the other reading, which decodes too slowly
    two, packed = Fraction(2), Fraction(8, 5)
    prefill = bitnet(two, "vitallm-v1", PREFILL)
    for version in (1, 2):
        decode = bitnet(two, f"vitallm-v{version}", 0)
        yield Prediction(
            key=f"vitallm.decode_v{version}",
            chip=f"vitallm-v{version}",
            quantity="decode, linears",
            unit="tok/s",
            value=1 / seconds(decode),
            bounds=waits(decode),
            assumed=array,
            fitted=reading,
        )
    yield Prediction(
        key="vitallm.prefill_v1",
        chip="vitallm-v1",
        quantity=f"prefill of {PREFILL} tokens, linears",
        unit="s",
        value=seconds(prefill),
        bounds=waits(prefill),
        assumed=array,
        fitted=reading,
    )
    logic, logic_spread = joules(decode, False, buffers=False)
    core, core_spread = joules(decode, False)
    between = f"{array}; prices between 45 nm and 7 nm"
    for key, quantity, energy, spread, includes in (
        ("vitallm.logic", "on-chip energy of a token, linears", logic, logic_spread, "logic only: no SRAM, no DRAM"),
        (
            "vitallm.core",
            "on-chip energy of a token, linears",
            core,
            core_spread,
            "logic, SRAM and its leakage; no DRAM",
        ),
    ):
        yield Prediction(
            key=key,
            chip="vitallm-v2",
            quantity=quantity,
            unit="mJ",
            value=1e3 * energy,
            spread=(1e3 * spread[0], 1e3 * spread[1]),
            assumed=between,
            fitted=reading,
            energy=includes,
        )
    for key, bits in (("vitallm.dram_2b", two), ("vitallm.dram_1p6b", packed)):
        watts, spread = dram_watts(bitnet(bits, "vitallm-v2", 0))
        yield Prediction(
            key=key,
            chip="vitallm-v2",
            quantity=f"DRAM power, {float(bits):g} bits per weight",
            unit="W",
            value=watts,
            spread=spread,
            assumed="LPDDR5X's energy per bit",
            fitted=reading,
            energy="DRAM only",
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
    """Projections and the paging of their weights; all else runs on a processor whose rates are not published."""
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
    yield Prediction(
        key="ternarycore.token",
        quantity="a token at position 0",
        value=None,
        reason="norms, RoPE, softmax, attention and SiLU run on a MicroBlaze whose rates are not published apart",
        chip=chip.name,
        unit="ms",
    )
    yield unpriced("ternarycore.power", "power of streaming", paged)


def resident(chip: Chip) -> Chip:
    """`chip` as if all weights were in its innermost weight buffer from the start."""
    held = chip.memory.chain("weights")[0]
    levels = tuple(
        level.model_copy(update={"resident": True}) if level is held else level for level in chip.memory.levels
    )
    return chip.model_copy(update={"memory": chip.memory.model_copy(update={"levels": levels})})


def unpriced(key: str, quantity: str, result: Result) -> Prediction:
    """A power that is not predicted, with the reason that the result gives."""
    reason = result.unpriced("system")
    if reason is None:
        raise ValueError(f"{key}: {result.chip.name} has prices: predict the power")
    return Prediction(key=key, chip=result.chip.name, quantity=quantity, unit="W", value=None, reason=reason)
