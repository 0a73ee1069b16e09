"""A link between devices: how fast, how late and at what energy bits get from one to another."""

from pathlib import Path
from typing import Annotated, Literal

from bitsim.hw.constants import Constant, in_unit
from bitsim.hw.library import Folder, FromFile, Kind


class Link(FromFile):
    """What connects two devices, in one direction; the other direction has the same at the same time.

    `bandwidth`: its peak, and `efficiency` what is reached of it. `latency`: from the start of a message to its first
    byte on the other side. `startup`: once per collective exchange, before its first message. `energy`: per bit that
    passes, both ends together.
    """

    kind: Literal["link"]
    bandwidth: Annotated[Constant, in_unit("GB/s", positive=True)]
    efficiency: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]
    latency: Annotated[Constant, in_unit("ns")]
    startup: Annotated[Constant, in_unit("us")]
    energy: Annotated[Constant, in_unit("pJ/bit")]

    def message_s(self, size: float) -> float:
        """Seconds that a message of `size` bytes takes."""
        return self.latency.nominal * 1e-9 + size / (self.bandwidth.nominal * self.efficiency.nominal * 1e9)

    @property
    def startup_s(self) -> float:
        return self.startup.nominal * 1e-6

    def energy_j(self, size: float) -> float:
        """Nominal joules of `size` bytes."""
        return size * 8 * self.energy.nominal * 1e-12


LINK = Kind(name="link", title="link", plural="links", model=Link, library=Folder(name="links"))


def link_names() -> list[str]:
    """Names of the links that come with bitsim."""
    return LINK.names()


def load_link(name: str | Path | Link) -> Link:
    """A link by its name or YAML file; a `Link` is returned as it is. Raises `UnknownNameError` or `ConfigError`."""
    return LINK.load(name)
