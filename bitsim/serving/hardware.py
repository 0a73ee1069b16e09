"""What a model is served on: a GPU, a CPU or a chip, by name, by file (its `kind` says which) or as an object."""

from dataclasses import dataclass
from pathlib import Path

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw.chip import CHIP, Chip
from bitsim.hw.cpu import CPU, Cpu
from bitsim.hw.gpu import GPU, Gpu
from bitsim.hw.library import read_source
from bitsim.hw.source import is_path

Hardware = Gpu | Cpu | Chip
_KINDS = (GPU, CPU, CHIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Memory of one device in bytes, what of it no model can use, and the key of the device in a result's inputs."""

    capacity: float
    reserved: float
    key: str

    @property
    def free(self) -> float:
        """Bytes that the model, its caches and its workspace may fill."""
        return self.capacity - self.reserved


def load_hardware(given: str | Path | Hardware) -> Hardware:
    """A GPU, CPU or chip; raises `UnknownNameError` with the nearest names, or `ConfigError` with file and line."""
    if isinstance(given, Hardware):
        return given
    if is_path(given):
        source = read_source(given)
        kinds = {kind.name: kind for kind in _KINDS}
        if source.data.get("kind") not in kinds:
            said = source.data.get("kind")
            raise ConfigError(f"{source.where(('kind',))}: expected one of {', '.join(kinds)} (got {said!r})")
        return kinds[str(source.data["kind"])].load(given)
    for kind in _KINDS:
        if kind.library.has(str(given)):
            return kind.load(given)
    raise UnknownNameError("GPU, CPU or chip", str(given), [name for kind in _KINDS for name in kind.names()])


def room_of(hardware: Hardware) -> Room:
    """How much memory a device has."""
    if isinstance(hardware, Gpu):
        reserved = hardware.reserved.nominal * 1e9
        return Room(capacity=hardware.memory.capacity.nominal * 1e9, reserved=reserved, key="gpu")
    if isinstance(hardware, Cpu):
        return Room(capacity=hardware.capacity.nominal * 1e9, reserved=0.0, key="cpu")
    return Room(capacity=float(hardware.memory.dram.capacity_bytes), reserved=0.0, key="chip")
