"""Tensor cores of a GPU architecture; how they work is told by `bitsim.datapath.tensor_core.datapath`."""

import re
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from bitsim.hw.datapaths.base import DatapathDescription, SumBits, at_least_one, too_narrow, within
from bitsim.hw.source import problem
from bitsim.hw.tensor_core import SCALE_BLOCKS, FloatUnit, IntegerUnit, TensorCore, load_tensor_core, tensor_core_names

BITS = {"int8": 8, "int4": 4, "fp16": 16, "bf16": 16, "e4m3": 8, "e5m2": 8}
BITS |= {"mxe4m3": 8, "mxe5m2": 8, "mxf4": 4, "nvf4": 4}
SCALE_BITS = 8
INTEGERS = ("int8", "int4")
HOLD_INT8 = ("int8", "fp16", "bf16")
TERNARY_BITS = 2
_MMA_BITS = 128  # k of m8n8 for integers, in bits of one operand
_WGMMA_BITS = 256  # k of Hopper's wgmma
_WGMMA_ROWS = 64
_SHAPE = re.compile(r"m(\d{1,3})n(\d{1,3})k(\d{1,3})")


@lru_cache
def _core(arch: str) -> TensorCore:
    return load_tensor_core(arch)


class TensorCoreSpec(DatapathDescription):
    """`units` tensor cores that work side by side on different outputs.

    * `arch`: a built-in file of hw_models/tensor_cores. `format`: the number format of both operands.
    * `instruction`: its shape, such as `m16n8k32`.
    * `units`: tensor cores. `unit_macs`: multiply-accumulates of one tensor core per cycle.
    * `weights`: `ternary`: 2 bits each, dequantised in registers; `full`: stored in `format`. Formats with scales
      have one for each block of activations, and of `full` weights; ternary ones are -1, 0 and 1 times 1.
    * `row_tiles`: instruction tiles of tokens that share each fetch (and dequantisation) of weights.
    * `acc_bits`: 32 for int32 or fp32 (and if it is left out), 16 for fp16; narrower integers than 32 bits are a
      what-if: no GPU has them. `overflow`: `wrap`, or `saturate` (PTX: satfinite), integers only.
    """

    implemented_in: ClassVar[str] = "tensor_core.datapath.TensorCores"
    side_by_side: ClassVar[str] = "units"

    kind: Literal["tensor_core"]
    arch: str
    format: Literal["int8", "int4", "fp16", "bf16", "e4m3", "e5m2", "mxe4m3", "mxe5m2", "mxf4", "nvf4"]
    instruction: str
    units: Annotated[int, at_least_one(4096, "a tensor core")]
    unit_macs: Annotated[int, at_least_one(65536, "a multiplier")]
    weights: Literal["ternary", "full"]
    row_tiles: Annotated[int, within(1, 64, "weights are fetched for at least one tile")] = 1
    acc_bits: SumBits

    @model_validator(mode="before")
    @classmethod
    def _default_width(cls, data: Any) -> Any:
        return {"acc_bits": 32} | data if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _possible(self) -> "TensorCoreSpec":
        if self.arch not in tensor_core_names():
            raise problem(f"must be one of {', '.join(tensor_core_names())} (got {self.arch!r})", key="arch")
        unit = self.core.integer_unit(self.format, self.format) or self.core.float_unit(self.format, self.format)
        if unit is None:
            raise problem(
                f"must be a format of {self.arch}: {self.core.supported()} (got {self.format!r})", key="format"
            )
        self._check_instruction(unit)
        if self.macs_per_instruction % self.unit_macs:
            raise problem(
                f"must divide the {self.macs_per_instruction} products of {self.instruction}, so that an instruction "
                f"takes whole cycles (got {self.unit_macs})",
                key="unit_macs",
            )
        self._check_accumulator(unit)
        return self

    def _check_instruction(self, unit: FloatUnit | IntegerUnit) -> None:
        found = _SHAPE.fullmatch(self.instruction)
        if not found:
            raise problem(f"must read like m16n8k32 (got {self.instruction!r})", key="instruction")
        m, n, k = (int(size) for size in found.groups())
        if k not in unit.instruction_k:
            ks = " or ".join(str(size) for size in unit.instruction_k)
            raise problem(
                f"must have k = {ks}, as {self.format} has on {self.arch} (got {self.instruction!r})", key="instruction"
            )
        tiles = self._tiles(k)
        if (m, n) not in tiles:
            names = [f"m{rows}n{columns}" for rows, columns in tiles if rows < _WGMMA_ROWS]
            names += ["m64n8 to m64n256"] if len(tiles) > len(names) else []
            raise problem(
                f"must be {' or '.join(names)} with k = {k}, as {self.format} has on {self.arch} (got "
                f"{self.instruction!r})",
                key="instruction",
            )

    def _tiles(self, k: int) -> list[tuple[int, int]]:
        """m and n of the instructions of this depth (PTX ISA, mma and wgmma); FP8 through Hopper's mma is emulated."""
        operand_bits, tiles = k * self.operand_bits, []
        if self.arch == "volta" or (self.integer and operand_bits == _MMA_BITS):
            tiles.append((8, 8))
        emulated = self.arch == "hopper" and self.format in ("e4m3", "e5m2")
        if self.arch != "volta" and not emulated and not (self.arch == "turing" and self.integer):
            tiles.append((16, 8))
        if self.arch == "hopper" and operand_bits == _WGMMA_BITS:
            tiles += [(_WGMMA_ROWS, n) for n in range(8, 257, 8)]
        return tiles

    def _check_accumulator(self, unit: FloatUnit | IntegerUnit) -> None:
        if isinstance(unit, IntegerUnit):
            largest = self.k << (BITS[self.format] - 1)
            largest *= 1 if self.weights == "ternary" else 1 << (BITS[self.format] - 1)
            if self.acc_bits < (least := largest.bit_length() + 1):
                raise too_narrow(least, f"the width of the sum of one {self.instruction}", self.acc_bits)
            return
        if f"fp{self.acc_bits}" not in unit.outputs:
            widths = " or ".join(name.removeprefix("fp") for name in unit.outputs)
            raise problem(
                f"must be {widths}, as {self.format} has on {self.arch} (got {self.acc_bits})", key="acc_bits"
            )
        if self.overflow != "wrap":
            raise problem(
                f"must be left out for {self.format}: sums that leave their range are infinite (got {self.overflow!r})",
                key="overflow",
            )

    @property
    def core(self) -> TensorCore:
        """The arithmetic of the architecture."""
        return _core(self.arch)

    @property
    def shape(self) -> tuple[int, int, int]:
        """m, n and k of the instruction."""
        m, n, k = (int(size) for size in re.findall(r"\d+", self.instruction))
        return m, n, k

    @property
    def k(self) -> int:
        return self.shape[2]

    @property
    def macs_per_instruction(self) -> int:
        m, n, k = self.shape
        return m * n * k

    @property
    def instruction_cycles(self) -> int:
        """Cycles for which an instruction keeps its tensor core busy."""
        return self.macs_per_instruction // self.unit_macs

    @property
    def operand_bits(self) -> int:
        """Bits of an operand in registers."""
        return BITS[self.format]

    @property
    def widest_act(self) -> int:
        """Floating point takes every code and rounds it."""
        return self.operand_bits if self.integer else 8

    def scale_bits(self, rows: int, k: int) -> int:
        """Bits of the scales of `rows` tokens or weights of depth `k`; 0 for formats without."""
        return rows * -(-k // SCALE_BLOCKS[self.format]) * SCALE_BITS if self.format in SCALE_BLOCKS else 0

    def weight_scale_bits(self, n: int, k: int) -> int:
        """As `scale_bits`, of weights: those of ternary ones are a constant."""
        return self.scale_bits(n, k) if self.weights == "full" else 0

    def with_full_weights(self) -> "TensorCoreSpec | None":
        """Integers of 8 bits are operands like any other, or numbers of 16-bit formats; narrower floats round them."""
        if self.weights == "full" or self.format not in HOLD_INT8:
            return None
        return type(self).model_validate(self.model_dump() | {"weights": "full"})

    @property
    def weight_bits(self) -> int:
        """Bits of a weight in memory."""
        return TERNARY_BITS if self.weights == "ternary" else self.operand_bits

    @property
    def integer(self) -> bool:
        return self.format in INTEGERS

    @property
    def number_format(self) -> str:
        return self.format

    @property
    def can_be_wide(self) -> bool:
        return self.weights == "full"

    @property
    def unit(self) -> str:
        """`ampere_int8_acc32`: architecture, format, accumulator."""
        return f"{self.arch}_{self.format}_acc{self.acc_bits}"

    @property
    def macs_per_cycle(self) -> int:
        return self.units * self.unit_macs

    def text(self) -> str:
        stored = "2-bit weights dequantised in registers" if self.weights == "ternary" else f"weights in {self.format}"
        return (
            f"{self.unit}, {self.instruction} in {self.instruction_cycles} cycles, {self.units} tensor cores, "
            f"{stored}, row tiles per fetch of weights {self.row_tiles}, {self.overflow if self.integer else 'rounds'}"
        )

    def not_wide(self) -> PydanticCustomError:
        return problem("must be 'full': attention and head have no ternary weights (got 'ternary')", key="weights")
