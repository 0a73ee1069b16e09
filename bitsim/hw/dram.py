"""The memory behind all levels of a chip, as data: its own file, or keys of a chip."""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bitsim.hw.constants import Constant, Described, Text, in_unit
from bitsim.hw.library import Folder, FromFile, Kind
from bitsim.hw.source import problem

_AGREES = 0.01  # a bandwidth that is given twice must agree within 1 %


class DramSpec(Described):
    """The memory behind all levels. 1 GB = 10^9 bytes.

    * `like`: name or file of the `Dram` that it is taken from.
    * `bandwidth`: its peak. `efficiency`: the share of the peak that is reached.
    * `latency`: from the request of a tile to its first bit, not overlapped with other transfers; where it is part of
      the measured efficiency it is 0.
    * `energy`: what a bit that is read or written takes. `capacity`: its size.
    * `pins`: data pins. `pin_rate`: the rate of one pin. If given, both must give the same peak as `bandwidth`.
    """

    like: Text | None = None
    bandwidth: Annotated[Constant, in_unit("GB/s", positive=True)]
    efficiency: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]
    latency: Annotated[Constant, in_unit("ns")]
    energy: Annotated[Constant, in_unit("pJ/bit")]
    capacity: Annotated[Constant, in_unit("GB", positive=True)]
    pins: Annotated[int | None, Field(ge=1, le=65536)] = None
    pin_rate: Annotated[Constant, in_unit("Gbit/s", positive=True)] | None = None

    @model_validator(mode="after")
    def _one_peak(self) -> "DramSpec":
        if (self.pins is None) != (self.pin_rate is None):
            raise problem("expected both pins and pin_rate, or neither")
        if self.pins is not None and self.pin_rate is not None:
            peak = self.pins * self.pin_rate.nominal / 8
            if abs(peak - self.bandwidth.nominal) > _AGREES * peak:
                raise problem(
                    f"contradicts pins and pin_rate: {self.pins} x {self.pin_rate.nominal:g} Gbit/s are {peak:g} GB/s "
                    f"(got {self.bandwidth.nominal:g})",
                    key="bandwidth",
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
