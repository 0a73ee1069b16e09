"""Chips at equal area, bandwidth or power: what is changed of one so that it equals another, and how close it gets.

* `area`: the array that computes the model's linears gets more or fewer units side by side (`bitsim.hw.resized`) until
  the area of the whole chip is that of the first one: both datapaths, vector unit and buffers count.
* `bandwidth`: DRAM of the same type gets as much bandwidth, times its efficiency, as the first chip has. No array
  changes.
* `power`: as `area`, for the average power of the whole system in decoding (or the prompt, if nothing is decoded), as
  `estimate` has it for the same tokens on both chips.

Units are whole: of two neighbouring numbers the one that comes closer is taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from bitsim.cost.area import UM2_PER_MM2, chip_area, total_area, without
from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.hw.resized import PER_OUTPUT, resized
from bitsim.results.figures_of_merit import lacks_datapath

Iso = Literal["area", "bandwidth", "power"]
UNITS: dict[Iso, str] = {"area": "mm2", "bandwidth": "GB/s", "power": "W"}
EQUAL = 1e-9
COARSE = 0.01  # a deviation from which on the next number of units is named, too
Watts = Callable[[Chip], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """`chip` after the change of `key` from `before` to `after`; it `reached` so much of the `target`, in `unit`."""

    iso: Iso
    chip: Chip
    original: str
    key: str
    before: float
    after: float
    target: float
    reached: float
    remarks: tuple[str, ...] = ()

    @property
    def deviation(self) -> float:
        """Of what was reached from the target, as a share of it."""
        return self.reached / self.target - 1

    @property
    def change(self) -> str:
        """What was changed, in a few words."""
        return f"{self.key} {self.before:g} -> {self.after:g}" if self.after != self.before else "as it was"

    @property
    def note(self) -> str:
        """What was changed, and how close it came, in words."""
        got = f"{self.reached:.4g} of {self.target:.4g} {UNITS[self.iso]} ({100 * self.deviation:+.2g} %)"
        return "; ".join((f"equal {self.iso}: {self.original}: {self.change}: {got}", *self.remarks))

    def record(self) -> dict[str, Any]:
        return {
            "iso": self.iso,
            "iso_key": self.key,
            "iso_before": self.before,
            "iso_after": self.after,
            "iso_deviation": self.deviation,
            "iso_note": self.note,
        }


def scaled(chip: Chip, first: Chip, iso: Iso, component: str, watts: tuple[Watts, Watts]) -> Scaling:
    """`chip`, changed so that it equals `first`.

    `component`: the datapath that computes the linears of `chip`'s model; `watts`: average power of `first` and of
    versions of `chip`, for `power`. Raises `ConfigError` if nothing that can be changed makes them equal.
    """
    if iso == "bandwidth":
        return _with_bandwidth(chip, first)
    if iso == "power":
        return _with_array(chip, component, iso, watts[0](first), watts[1])
    target, missing = _area(first)
    if missing != _area(chip)[1]:
        raise ConfigError(
            f"{chip.name}: its area is without {_area(chip)[1] or 'nothing'}, that of {first.name} without "
            f"{missing or 'nothing'}: they can't be made equal"
        )
    return _with_array(chip, component, iso, target, lambda other: _area(other)[0])


def _area(chip: Chip) -> tuple[float, str]:
    """Of the whole chip in mm2, and the parts that it is without; raises `ConfigError` if those are a datapath's."""
    parts = chip_area(chip)
    if lacks_datapath(parts):
        (reason, *_) = (part.reason for part in parts if part.of_a_datapath and part.area is None)
        raise ConfigError(f"{chip.name}: its area is not known: {reason}")
    return total_area(parts).nominal / UM2_PER_MM2, without(parts)


def _with_array(chip: Chip, component: str, iso: Iso, target: float, measure: Watts) -> Scaling:
    """The chip with the array at which `measure` comes closest to `target`."""
    spec = getattr(chip, component)
    before, most = spec.units_side_by_side, spec.most_side_by_side
    resized(chip, component, before)  # raises if it can't be

    @cache
    def at(count: int) -> float:
        return measure(resized(chip, component, count))

    after = _closest(at, before, most, target)
    key = f"{component}.{spec.side_by_side}"
    if after is None:
        low, high = at(1), at(most)
        raise ConfigError(
            f"{chip.name}: no {key} from 1 to {most} gives the {iso} of {target:.4g} {UNITS[iso]}: the whole chip has "
            f"{low:.4g} with the one and {high:.4g} with the other"
        )
    changed, remarks = resized(chip, component, after), []
    if after != before:
        remarks = list(_remarks(chip, changed, component))
        changed = changed.model_copy(update={"name": f"{chip.name}-iso-{iso}"})
    reached = at(after)
    if _off(reached, target) > COARSE:
        step = 1 if reached < target else -1
        remarks += [f"{n} {key} gives {at(n):.4g} {UNITS[iso]}" for n in (after + step,) if 1 <= n <= most]
    return Scaling(
        iso=iso,
        chip=changed,
        original=chip.name,
        key=key,
        before=before,
        after=after,
        target=target,
        reached=reached,
        remarks=tuple(remarks),
    )


def _remarks(chip: Chip, changed: Chip, component: str) -> Iterator[str]:
    """What else was changed with the array."""
    if chip.units_shared:
        yield f"{'wide' if component == 'bitlinear' else 'bitlinear'} is the same units"
    grown = [
        f"{new.name} {old.ports} -> {new.ports}"
        for old, new in zip(chip.memory.levels, changed.memory.levels, strict=True)
        if new.ports != old.ports
    ]
    if grown:
        yield f"ports follow: {', '.join(grown)}"
    else:
        yield f"ports of {' and '.join(sorted(PER_OUTPUT))} stay, for the other units"


def _closest(at: Callable[[int], float], start: int, most: int, target: float) -> int | None:
    """The count from 1 to `most` where `at` is closest to `target`, found from `start` outwards; None if it never is.

    Steps double until the target lies between two counts, upwards first if `at(start)` is below it, then the other way:
    power need not grow with an array that waits for DRAM.
    """
    ways = [True, False] if at(start) < target else [False, True]
    for up in ways:
        near = start
        while near != (most if up else 1):
            far = min(most, 2 * near) if up else max(1, near // 2)
            if (at(near) - target) * (at(far) - target) <= 0:
                return _between(at, near, far, target)
            near = far
    return start if _off(at(start), target) < EQUAL else None


def _between(at: Callable[[int], float], near: int, far: int, target: float) -> int:
    """Bisects: `at` is on different sides of `target` at both ends."""
    while abs(far - near) > 1:
        middle = (near + far) // 2
        if (at(near) - target) * (at(middle) - target) <= 0:
            far = middle
        else:
            near = middle
    return min((near, far), key=lambda count: _off(at(count), target))


def _off(value: float, target: float) -> float:
    return abs(value / target - 1)


def _with_bandwidth(chip: Chip, first: Chip) -> Scaling:
    """The chip with a wider or narrower bus to DRAM of the same type."""
    dram = chip.memory.dram
    target = _usable(first)
    factor = target / _usable(chip)
    if _off(factor, 1.0) < EQUAL:
        return Scaling(
            iso="bandwidth", chip=chip, original=chip.name, key="memory.dram.bandwidth", target=target, reached=target,
            before=dram.bandwidth.nominal, after=dram.bandwidth.nominal,
        )  # fmt: skip
    scaled_to = {level: getattr(dram.bandwidth, level) * factor for level in ("low", "nominal", "high")}
    source = f"{factor:.6g} x ({dram.bandwidth.source}), so that as much is usable as on {first.name}"
    bandwidth = dram.bandwidth.model_copy(update=scaled_to | {"source": source, "evidence": "assumed"})
    wider = dram.model_copy(update={"bandwidth": bandwidth, "pins": None, "pin_rate": None})
    changed = chip.model_copy(
        update={
            "name": f"{chip.name}-iso-bandwidth",
            "memory": chip.memory.model_copy(update={"dram": wider}),
        }
    )
    return Scaling(
        iso="bandwidth",
        chip=changed,
        original=chip.name,
        key="memory.dram.bandwidth",
        before=dram.bandwidth.nominal,
        after=bandwidth.nominal,
        target=target,
        reached=_usable(changed),
        remarks=(f"a bus {factor:.3g} times as wide to DRAM of the same energy per bit", "arrays stay"),
    )


def _usable(chip: Chip) -> float:
    """Of DRAM, in GB/s."""
    return chip.memory.dram.bandwidth.nominal * chip.memory.dram.efficiency.nominal
