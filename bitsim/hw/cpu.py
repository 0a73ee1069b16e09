"""A whole CPU as data: what its vector units and its memory can do at most, and what of that is reached."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bitsim.hw.constants import Constant, in_unit
from bitsim.hw.library import Folder, FromFile, Kind


class Cpu(FromFile):
    """All cores of a CPU together. (The datapath of kind `cpu_simd` is one core, instruction by instruction.)

    `int8_rate`, `fp16_rate`: peak of multiply-adds with such operands, two operations each. `bandwidth`: peak of its
    memory, `efficiency`: what a model's weights reach of it. `layer_overhead`: what a layer takes whatever its size.
    """

    kind: Literal["cpu"]
    isa: Literal["arm64", "x86_64"]
    cores: Annotated[int, Field(ge=1, le=1024)]
    int8_rate: Annotated[Constant, in_unit("Top/s", positive=True)]
    fp16_rate: Annotated[Constant, in_unit("Top/s", positive=True)]
    bandwidth: Annotated[Constant, in_unit("GB/s", positive=True)]
    capacity: Annotated[Constant, in_unit("GB", positive=True)]
    efficiency: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]
    layer_overhead: Annotated[Constant, in_unit("us")]

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        return {"isa": self.isa, "cores": str(self.cores)}


CPU = Kind(name="cpu", title="CPU", plural="cpus", model=Cpu, library=Folder(name="cpus"))


def cpu_names() -> list[str]:
    """Names of the CPUs that come with bitsim."""
    return CPU.names()


def load_cpu(name: str | Path | Cpu) -> Cpu:
    """A CPU by its name or YAML file; a `Cpu` is returned as it is. Raises `UnknownNameError` or `ConfigError`."""
    return CPU.load(name)
