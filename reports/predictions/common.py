"""What all predictions share: what one is, and how it is read off an estimate."""

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from bitsim.cost import Energy
from bitsim.cost.dram import dram_price
from bitsim.hw import Chip, chip_names, load_chip
from bitsim.model.checkpoint import load_model
from bitsim.results import OperatorRow, Result
from bitsim.study import MatmulShape, estimate

BITNET = "bitnet-b158-3b"
PREFILL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One quantity of one chip; `value` is None where nothing can be predicted, for the `reason`.

    `spread`: low and high, of what depends on prices. `bounds`: what the time goes to. `assumed`: inputs that the
    quantity rests on and no source states; `fitted`: what was chosen with a published result in view. `energy`: what an
    energy includes. `below`: what was published is not the same quantity, but must not lie below the predicted one, as
    the power of a whole chip must not below the leakage of its memories.
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
    below: bool = False


def chip_named(name: str) -> Chip | None:
    """A built-in chip or one of reports/chips; None for a design that has no file."""
    if name in chip_names():
        return load_chip(name)
    path = Path(str(files("reports").joinpath("chips", f"{name}.yaml")))
    return load_chip(path) if path.exists() else None


def chip_of(name: str) -> Chip:
    """As `chip_named` of a design that has a file; raises `UnknownNameError`."""
    chip = chip_named(name)
    return load_chip(name) if chip is None else chip


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
    return bitnet_on(chip_of(chip), bits, prefill)


def bitnet_on(chip: Chip, bits: Fraction, prefill: int) -> Result:
    """As `bitnet`, on any chip."""
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
