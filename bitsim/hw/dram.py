"""The memory behind all levels of a chip, as data: its own file, or keys of a chip."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bitsim.hw.constants import Constant, Described, Text, in_unit
from bitsim.hw.library import Folder, FromFile, Kind
from bitsim.hw.source import problem

_AGREES = 0.01  # a bandwidth that is given twice must agree within 1 %
_SPLIT = ("energy_array", "energy_io")
PER_BIT = ("energy", *_SPLIT)
_PerBit = Annotated[Constant, in_unit("pJ/bit")]
_PerGB = Annotated[Constant, in_unit("mW/GB")]


class DramSpec(Described):
    """The memory behind all levels. 1 GB = 10^9 bytes.

    * `like`: name or file of the `Dram` that it is taken from.
    * `bandwidth`: its peak, in place of `pins` and `pin_rate` or as well as them; all three must agree.
      `pins`: data pins. `pin_rate`: the rate of one pin.
    * `efficiency`: the share of the peak that is reached. `latency`: from the request of a tile to its first bit, not
      overlapped with other transfers; where it is part of the measured efficiency it is 0.
    * `energy`: what a bit that is read or written takes, where only the whole is known. `energy_array`: the array's
      part of it, activation of rows included. `energy_io`: the part of the pins. Either the whole or both parts.
    * `refresh`: what a GB takes all the time. `standby`: what it takes beside that while no bit moves; bits that move
      have it in their energy. Without them they are not counted, as results say. `capacity`: its size.
    """

    like: Text | None = None
    bandwidth: Annotated[Constant, in_unit("GB/s", positive=True)]
    efficiency: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]
    latency: Annotated[Constant, in_unit("ns")]
    energy: _PerBit | None = None
    energy_array: _PerBit | None = None
    energy_io: _PerBit | None = None
    refresh: _PerGB | None = None
    standby: _PerGB | None = None
    capacity: Annotated[Constant, in_unit("GB", positive=True)]
    pins: Annotated[int | None, Field(ge=1, le=65536)] = None
    pin_rate: Annotated[Constant, in_unit("Gbit/s", positive=True)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _peak_of_pins(cls, data: Any) -> Any:
        """What pins move together is the bandwidth, where none is given."""
        if not isinstance(data, dict) or data.get("bandwidth") is not None:
            return data
        pins, rate = data.get("pins"), data.get("pin_rate")
        if not isinstance(pins, int) or not isinstance(rate, dict):
            return data  # what is missing or wrong is reported by the fields
        peak: dict[str, Any] = {
            level: rate[level] * pins / 8
            for level in ("value", "low", "nominal", "high")
            if isinstance(rate.get(level), int | float)
        }
        said = {"evidence": rate.get("evidence"), "source": f"{pins} pins: {rate.get('source')}"}
        return data | {"bandwidth": peak | {"unit": "GB/s"} | said}

    @model_validator(mode="after")
    def _one_peak(self) -> "DramSpec":
        if (self.pins is None) != (self.pin_rate is None):
            raise problem("expected both pins and pin_rate, or neither")
        if self.pins is not None and self.pin_rate is not None:
            peak = self.pins * self.pin_rate.nominal / 8
            if abs(peak - self.bandwidth.nominal) > _AGREES * peak:
                raise problem(
                    f"contradicts pins and pin_rate: {self.pins} x {self.pin_rate.nominal:g} Gbit/s are {peak:g} GB/s "
                    f"(got {self.bandwidth.nominal:g}); where the pins are not known, write pins: null, pin_rate: null",
                    key="bandwidth",
                )
        return self

    @model_validator(mode="after")
    def _one_energy(self) -> "DramSpec":
        given = [key for key in PER_BIT if getattr(self, key) is not None]
        if given not in (["energy"], list(_SPLIT)):
            raise problem(
                f"expected energy, or energy_array and energy_io (got {', '.join(given) or 'none'}); what a DRAM that "
                "this one is like gives is taken away by KEY: null"
            )
        return self

    @property
    def capacity_bytes(self) -> int:
        return math.floor(self.capacity.nominal * 1e9)


class Dram(FromFile, DramSpec):
    """A DRAM in a file of its own, which chips take by `memory.dram: {like: NAME}` and may change key by key."""

    kind: Literal["dram"]

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        return {} if self.pins is None else {"pins": str(self.pins)}


DRAM = Kind(name="dram", title="DRAM", plural="dram", model=Dram, library=Folder(name="dram"))


def dram_names() -> list[str]:
    """Names of the DRAMs that come with bitsim."""
    return DRAM.names()


def load_dram(name: str | Path | Dram) -> Dram:
    """A DRAM by its name or YAML file; a `Dram` is returned as it is. Raises `UnknownNameError` or `ConfigError`."""
    return DRAM.load(name)
