"""The tensor cores of a GPU architecture: how their sums are aligned, cut and rounded. One YAML file describes one."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from bitsim.hw.constants import Described, Evidence, Text
from bitsim.hw.library import Folder, FromFile, Kind
from bitsim.hw.source import problem

FloatFormatName = Literal["fp16", "bf16", "tf32", "e4m3", "e5m2", "e2m1", "mxe4m3", "mxe5m2", "mxe2m1", "mxf4", "nvf4"]
IntegerFormatName = Literal["int8", "uint8", "int4", "uint4"]
AccFormatName = Literal["fp32", "fp16"]
# Fraction bits of the word that holds the result.
_WORD_FRACTION_BITS: dict[AccFormatName, int] = {"fp32": 23, "fp16": 10}

# Neighbours in k that share a scale, and the formats whose products are summed in exact groups.
SCALE_BLOCKS = {"mxe4m3": 32, "mxe5m2": 32, "mxe2m1": 32, "mxf4": 32, "nvf4": 16}
_GROUPED = ("mxf4", "nvf4")

BlockLength = Annotated[int, Field(ge=1, le=64)]


def _distinct_and_any(ks: tuple[int, ...]) -> tuple[int, ...]:
    if not ks or len(set(ks)) < len(ks):
        raise problem(f"expected at least one K, each once (got {list(ks)})")
    return ks


InstructionK = Annotated[
    tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(strict=False), AfterValidator(_distinct_and_any)
]


class Output(Described):
    """How the sum of a block becomes an accumulator.

    * `fraction_bits`: bits behind the point that are kept; with fewer than the word has, the rest is 0.
    * `leeds_floor`: least exponent that addends are aligned to in the convention `leeds`; a number below all
      exponents stands for none, a missing one says that this convention's authors have no model of it.
    """

    rounding: Literal["toward_zero", "nearest_even"]
    fraction_bits: Annotated[int, Field(ge=1, le=23)]
    leeds_floor: Annotated[int, Field(ge=-1024, le=0)] | None = None
    evidence: Evidence
    source: Text
    note: str = ""


class FloatUnit(Described):
    """Products of `formats`, in any mix, summed in blocks; the accumulator is rounded after every block.

    * `block_length`: products per block; a shorter instruction is one shorter block.
    * `exact_group`: so many neighbours in k are summed without alignment and then scaled as one addend (mxf4 and nvf4).
    * `alignment_bits`: fraction bits that an addend keeps when it is aligned to the largest exponent.
    * `instruction_k`: K of the instructions.
    """

    formats: Annotated[tuple[FloatFormatName, ...], Field(strict=False, min_length=1)]
    block_length: BlockLength
    exact_group: BlockLength = 1
    alignment_bits: Annotated[int, Field(ge=1, le=40)]
    instruction_k: InstructionK
    outputs: Annotated[dict[AccFormatName, Output], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> "FloatUnit":
        grouped = [name in _GROUPED for name in self.formats]
        if grouped != [self.exact_group > 1] * len(grouped):
            raise problem(f"expected more than 1 for {', '.join(_GROUPED)} and 1 for others", key="exact_group")
        for k in self.instruction_k:
            if k % self.block(k):
                raise problem(f"must be multiples of block_length = {self.block_length} (got {k})", key="instruction_k")
            if self.block(k) % self.exact_group:
                raise problem(f"must divide a block of {self.block(k)} (got {self.exact_group})", key="exact_group")
            scaled = self.exact_group if self.exact_group > 1 else self.block(k)
            if any(SCALE_BLOCKS.get(name, scaled) % scaled for name in self.formats):
                raise problem(f"{scaled} products do not share a scale", key="formats")
        if self.exact_group > 1 and any(output.leeds_floor is not None for output in self.outputs.values()):
            raise problem("the convention leeds has no exact groups: leave out leeds_floor", key="outputs")
        for name, output in self.outputs.items():
            if output.fraction_bits > (most := _WORD_FRACTION_BITS[name]):
                raise problem(f"{name} holds at most {most} fraction bits (got {output.fraction_bits})", key="outputs")
        return self

    def block(self, instruction_k: int) -> int:
        """Products per block of an instruction."""
        return min(self.block_length, instruction_k)


class IntegerUnit(Described):
    """Products of integer `formats`, in any mix, added exactly to an int32 accumulator."""

    formats: Annotated[tuple[IntegerFormatName, ...], Field(strict=False, min_length=1)]
    instruction_k: InstructionK
    evidence: Evidence
    source: Text
    note: str = ""


class TensorCore(FromFile):
    """The tensor cores of one architecture; a format that no unit names is not supported."""

    kind: Literal["tensor_core"]
    floating: Annotated[tuple[FloatUnit, ...], Field(strict=False)]
    integer: Annotated[tuple[IntegerUnit, ...], Field(strict=False)]

    def float_unit(self, a_format: str, b_format: str) -> FloatUnit | None:
        """The first unit that multiplies these formats."""
        return next((unit for unit in self.floating if {a_format, b_format} <= set(unit.formats)), None)

    def integer_unit(self, a_format: str, b_format: str) -> IntegerUnit | None:
        """The unit that multiplies these formats."""
        return next((unit for unit in self.integer if {a_format, b_format} <= set(unit.formats)), None)

    def supported(self) -> str:
        """All formats and their accumulators, for people: `fp16 to fp32 or fp16, bf16 to fp32, ...`."""
        floating = [f"{' and '.join(unit.formats)} to {' or '.join(unit.outputs)}" for unit in self.floating]
        return ", ".join(floating + [f"{' and '.join(unit.formats)} to int32" for unit in self.integer])


TENSOR_CORE = Kind(
    name="tensor_core", title="arch", plural="tensor_cores", model=TensorCore, library=Folder(name="tensor_cores")
)


def tensor_core_names() -> list[str]:
    """Names of the architectures that come with bitsim."""
    return TENSOR_CORE.names()


def load_tensor_core(name: str | Path | TensorCore) -> TensorCore:
    """An architecture by its name or YAML file; a `TensorCore` is returned as it is.

    Raises `UnknownNameError` or `ConfigError`.
    """
    return TENSOR_CORE.load(name)
