"""The R x C array of processing elements; how it works is told by `bitsim.datapath.pe_array`."""

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from bitsim.hw.datapaths.base import (
    COLUMN_ACC_BITS,
    TERNARY_PRODUCT_BITS,
    ColumnBits,
    DatapathDescription,
    Interval,
    SumBits,
    at_least_one,
    gating,
    macs_per_interval,
    slower,
    too_narrow,
)
from bitsim.hw.source import problem

_PRODUCT_BITS = {"ternary": TERNARY_PRODUCT_BITS, "int8": 16}  # (-128) * (-128) needs 16
_SUMS = {"fp16": (16,), "ternary_fp16": (16, 32), "ternary_bf16": (32,)}  # of PEs of floats, the usual width first


class PEArraySpec(DatapathDescription):
    """An R x C array of processing elements.

    * `pe`: what a PE multiplies by: a ternary weight (it adds, subtracts or skips), an INT8 or an FP16 one; the same
      of activations: INT8, FP16 (`fp16`, `ternary_fp16`) or BF16 (`ternary_bf16`).
    * `dataflow`: what stays in the array: weights, while partial sums move down, or sums, while weights stream through.
    * `rows`: PEs in a column. `cols`: PEs in a row.
    * `interval`: cycles that a step takes, for PEs slower than one product per cycle: every cycle of the array then is
      as many of the chip's.
    * `acc_bits`: width of the PE's sum. `fp16` sums in FP16: 16; `ternary_fp16` in FP16 or FP32: 16 (and if it is left
      out) or 32; `ternary_bf16` in FP32: 32.
    * `column_acc_bits`: width of the accumulators below the columns (integer weight-stationary arrays only).
    * `overflow`: what integer sums do that leave their width.
    * `clock_gating`: registers are clocked only in cycles with a valid token.
    * `between_tiles`: registers are reset between the tiles of a matmul, or keep their values, so that old weights
      leave while new ones are shifted in (weight-stationary arrays only: in output-stationary ones all registers are
      at zero when a tile ends).
    """

    implemented_in: ClassVar[str] = "pe_array.datapath.PEArray"
    side_by_side: ClassVar[str] = "cols"
    kind: Literal["pe_array"]
    pe: Literal["ternary", "int8", "fp16", "ternary_fp16", "ternary_bf16"]
    dataflow: Literal["weight_stationary", "output_stationary"]
    rows: Annotated[int, at_least_one(1024, "a row")]
    cols: Annotated[int, at_least_one(1024, "a column")]
    interval: Interval = 1
    acc_bits: SumBits
    column_acc_bits: ColumnBits = COLUMN_ACC_BITS
    clock_gating: bool = True
    between_tiles: Literal["reset", "keep"] = "reset"

    @model_validator(mode="before")
    @classmethod
    def _float_width(cls, data: Any) -> Any:
        known = isinstance(data, dict) and isinstance(data.get("pe"), str) and data["pe"] in _SUMS
        return {"acc_bits": _SUMS[data["pe"]][0]} | data if known else data

    @model_validator(mode="after")
    def _widths(self) -> "PEArraySpec":
        if self.pe in _SUMS:
            if self.acc_bits not in _SUMS[self.pe]:
                widths = " or ".join(f"{bits}" for bits in _SUMS[self.pe])
                names = " or ".join(f"FP{bits}" for bits in _SUMS[self.pe])
                raise problem(
                    f"must be {widths} for a PE of {self.pe}, which sums in {names} (got {self.acc_bits})",
                    key="acc_bits",
                )
        elif self.acc_bits < (least := _PRODUCT_BITS[self.pe]):
            raise too_narrow(least, f"the width of one {self.pe} product", self.acc_bits)
        if self.integer and self.dataflow == "weight_stationary":
            if self.column_acc_bits < self.acc_bits:
                raise problem(
                    f"must be >= acc_bits = {self.acc_bits} (got {self.column_acc_bits})", key="column_acc_bits"
                )
        elif self.column_acc_bits != COLUMN_ACC_BITS:
            raise problem(
                f"must be left out: only integer weight-stationary arrays have it (got {self.column_acc_bits})",
                key="column_acc_bits",
            )
        if self.between_tiles == "keep" and self.dataflow == "output_stationary":
            raise problem(
                "must be left out or 'reset': the registers of an output-stationary array are at zero when a tile ends "
                "(got 'keep')",
                key="between_tiles",
            )
        return self

    @property
    def unit(self) -> str:
        """The PE's name in events: `ternary_a8_acc24`, `int8_acc32`, `fp16_acc16`, `ternary_fp16_acc16`."""
        return f"{'ternary_a8' if self.pe == 'ternary' else self.pe}_acc{self.acc_bits}"

    @property
    def column_format(self) -> str:
        """The format of the accumulators below the columns, in events: `int32`, `fp16`."""
        return f"int{self.column_acc_bits}" if self.integer else f"fp{self.acc_bits}"

    @property
    def rates(self) -> str:
        pe = self.pe if self.integer or self.pe == "fp16" else self.unit
        return pe if self.between_tiles == "reset" else f"{pe}_keep"

    @property
    def macs_per_cycle(self) -> int | Fraction:
        return macs_per_interval(self.rows * self.cols, self.interval)

    @property
    def integer(self) -> bool:
        return self.pe not in _SUMS

    @property
    def number_format(self) -> str:
        return self.pe.rpartition("_")[2] if not self.integer else super().number_format

    @property
    def arithmetic(self) -> str:
        """The format of its operations as the papers price them."""
        return "int8" if self.integer else f"fp{self.acc_bits}"

    @property
    def takes_floats(self) -> bool:
        return self.pe.startswith("ternary_")

    @property
    def can_be_wide(self) -> bool:
        return not self.pe.startswith("ternary")

    def text(self) -> str:
        columns = f", columns {self.column_format}" if self.dataflow == "weight_stationary" else ""
        return (
            f"{self.unit}{columns}, {self.dataflow.replace('_', '-')}, {self.rows} x {self.cols}, {self.overflow}, "
            f"{gating(self.clock_gating)}{', not reset between tiles' if self.between_tiles == 'keep' else ''}"
            f"{slower(self.interval)}"
        )

    def accumulators(self, bits: int) -> dict[str, int]:
        columns = {"column_acc_bits": bits} if self.dataflow == "weight_stationary" else {}
        return {"acc_bits": bits} | columns

    def not_wide(self) -> PydanticCustomError:
        return problem(
            f"must be 'fp16' or 'int8': attention multiplies activations by activations (got {self.pe!r})", key="pe"
        )
