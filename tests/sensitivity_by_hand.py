"""A sensitivity whose every number follows by hand: two events, each with a range."""

from typing import Any

from bitsim.hw import Chip
from bitsim.hw.constants import Constant
from bitsim.study.sensitivity import Sensitivity
from bitsim.study.varied import Varied, varied
from tests.by_hand import chip, result, row


def on(low: float, nominal: float, high: float, of: Constant) -> Constant:
    return of.model_copy(update={"low": low, "nominal": nominal, "high": high})


def toy() -> Chip:
    """Two events of range: a multiplication of 1 / 2 / 4 pJ and an addition of 10 / 10 / 30 pJ."""
    base = chip()
    prices = dict(base.tech.prices)
    for event, levels in (("mul.fp16", (1, 2, 4)), ("add.fp16", (10, 10, 30))):
        prices[event] = on(*levels, of=prices[event])
    return base.with_technology(base.tech.model_copy(update={"prices": prices}))


def by_hand(on_chip: Chip, muls: int, adds: int) -> Varied:
    made = result(
        row("decode", "qk", "qk", 0, cycles=200, events={"mul.fp16": muls, "add.fp16": adds}), prefill=0, on=on_chip
    )
    return varied(lambda _: made, on_chip, "arithmetic", None, times=False)


def toy_sensitivity(versus: tuple[int, int] | None = None, number: Any = "energy") -> Sensitivity:
    """100 multiplications and 3 additions: 230 pJ in 100 ns."""
    other = None if versus is None else by_hand(toy(), *versus)
    return Sensitivity(
        inputs={"model": "m"}, notes=(), chip=by_hand(toy(), 100, 3), versus=other, number=number,
        convention="arithmetic", phase=None, draws=500, seed=0,
    )  # fmt: skip
