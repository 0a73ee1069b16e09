"""GPUs and their matmul kernels as data, for the roofline of `bitsim.serving.roofline`.

A kind of its own beside `Chip`: a chip's time follows from tiles on a datapath that is known cycle by cycle, a GPU's
from peak rates and from what kernels were measured to reach of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bitsim.errors import ConfigError
from bitsim.hw.constants import Constant, Described, Evidence, Text, in_unit
from bitsim.hw.library import Folder, FromFile, Kind, built_in_names
from bitsim.hw.source import problem

Format = Literal["fp16", "fp8", "int8", "int4", "fp4"]
Peak = Annotated[Constant, in_unit("Top/s", positive=True)]


class Emulation(Described):
    """A format without native instructions, whose operands are widened to the format `by`."""

    by: Format
    source: Text
    evidence: Evidence


class GpuMemory(Described):
    """The device's DRAM. 1 GB = 10^9 bytes."""

    bandwidth: Annotated[Constant, in_unit("GB/s", positive=True)]
    capacity: Annotated[Constant, in_unit("GB", positive=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a GPU multiplies in one format: operations per second, and the format whose instructions do it."""

    ops_per_s: float
    by: Format
    native: bool


class Gpu(FromFile):
    """A GPU: `peaks` of its tensor cores (dense; a multiply-add is 2 operations), memories, launch time and power.

    `emulated`: formats that are computed in another one. `launch_overhead`: from the end of one kernel to the start of
    the next. `reserved`: device memory that no model can use.
    """

    kind: Literal["gpu"]
    arch: Text
    sms: Annotated[int, Field(ge=1, le=1024)]
    clock: Annotated[Constant, in_unit("GHz", positive=True)]
    peaks: Annotated[dict[Format, Peak], Field(min_length=1)]
    emulated: Annotated[dict[Format, Emulation], Field(default_factory=dict)]
    memory: GpuMemory
    l2: Annotated[Constant, in_unit("MB", positive=True)]
    smem: Annotated[Constant, in_unit("kB", positive=True)]
    launch_overhead: Annotated[Constant, in_unit("us")]
    board_power: Annotated[Constant, in_unit("W", positive=True)]
    reserved: Annotated[Constant, in_unit("GB")]

    @model_validator(mode="after")
    def _consistent(self) -> "Gpu":
        for name, emulation in self.emulated.items():
            if name in self.peaks:
                raise problem(f"{name} has a peak of its own", key="emulated")
            if emulation.by not in self.peaks:
                raise problem(f"{name} by {emulation.by}: expected one of {', '.join(self.peaks)}", key="emulated")
        if self.reserved.high >= self.memory.capacity.low:
            raise problem(f"must be less than memory.capacity = {self.memory.capacity.text()}", key="reserved")
        return self

    def rate(self, multiply: Format) -> Rate:
        """The peak rate of a format, native or emulated; raises `ConfigError` if the GPU has neither."""
        by = multiply if multiply in self.peaks else self.emulated[multiply].by if multiply in self.emulated else None
        if by is None:
            raise ConfigError(
                f"{self.path}: peaks: no rate for {multiply} (native: {', '.join(self.peaks)}; emulated: "
                f"{', '.join(self.emulated) or 'none'})"
            )
        return Rate(ops_per_s=self.peaks[by].nominal * 1e12, by=by, native=by == multiply)

    @property
    def capacity_bytes(self) -> float:
        """Bytes of memory that the model, its caches and its workspace may fill."""
        return (self.memory.capacity.nominal - self.reserved.nominal) * 1e9

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        emulated = {f"{name} emulated": f"by {e.by} ({e.evidence}: {e.source})" for name, e in self.emulated.items()}
        return {"arch": self.arch, "SMs": str(self.sms)} | emulated


class Measurement(Described):
    """One token times an (N, K) matrix took `time_us`."""

    n: Annotated[int, Field(ge=1)]
    k: Annotated[int, Field(ge=1)]
    time_us: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Measured(Described):
    """Published times of a kernel on `gpu`: at least three, so that one can be left out of a fit of two parameters."""

    gpu: Text
    source: Text
    evidence: Evidence
    rows: Annotated[tuple[Measurement, ...], Field(min_length=3, strict=False)]


class SameAs(Described):
    """A kernel that nobody has measured, taken to behave like another one."""

    same_as: Text
    source: Text
    evidence: Evidence


class GpuKernel(FromFile):
    """A matmul kernel: what it reads per weight and activation, what it multiplies in, and how well it was measured."""

    kind: Literal["gpu_kernel"]
    weight_bits: Annotated[int, Field(ge=1, le=32)]
    activation_bits: Annotated[int, Field(ge=1, le=32)]
    multiply: Format
    compute_efficiency: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]
    calibration: Measured | SameAs


GPU = Kind(name="gpu", title="GPU", plural="gpus", model=Gpu, library=Folder(name="gpus"))
GPU_KERNEL = Kind(
    name="gpu_kernel", title="GPU kernel", plural="gpu_kernels", model=GpuKernel, library=Folder(name="gpu_kernels")
)


def gpu_names() -> list[str]:
    """Names of the GPUs that come with bitsim."""
    return GPU.names()


def load_gpu(name: str | Path | Gpu) -> Gpu:
    """A GPU by its name or YAML file; a `Gpu` is returned as it is. Raises `UnknownNameError` or `ConfigError`."""
    if str(name) in built_in_names("chips"):
        raise ConfigError(f"GPU {str(name)!r}: expected a GPU, got a chip of datapaths (for chips: bitsim estimate)")
    return GPU.load(name)


def gpu_kernel_names() -> list[str]:
    """Names of the GPU kernels that come with bitsim."""
    return GPU_KERNEL.names()


def load_gpu_kernel(name: str | Path | GpuKernel) -> GpuKernel:
    """A kernel by its name or YAML file; raises `UnknownNameError` or `ConfigError`."""
    return GPU_KERNEL.load(name)
