"""Banks of read-only memory that compute; how they work is told by `bitsim.datapath.rom_array`."""

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from bitsim.hw.datapaths.base import (
    COLUMN_ACC_BITS,
    TERNARY_PRODUCT_BITS,
    ColumnBits,
    DatapathDescription,
    SumBits,
    at_least_one,
    too_narrow,
    within,
)
from bitsim.hw.source import problem


class RomArraySpec(DatapathDescription):
    """ROM banks of `rows` words of `cols` ternary weights; each column's accumulator adds, subtracts or skips.

    * `rows`: words of a bank, one for each activation. `cols`: weights of a word, one for each output.
    * `banks`: banks that are awake and work side by side, on consecutive slices of `rows` of K of the same outputs.
      Further banks hold the rest of the weights and sleep.
    * `wake_cycles`: from waking banks until they can be read.
    * `zero_gating`: the word of an activation of 0 is not read; its cycle passes all the same.
    * `acc_bits`: width of a bank's accumulators. `column_acc_bits`: width of the accumulators in
      which the banks' sums meet.
    """

    side_by_side: ClassVar[str] = "cols"
    kind: Literal["rom_array"]
    rows: Annotated[int, at_least_one(4096, "a word")]
    cols: Annotated[int, at_least_one(4096, "a column")]
    banks: Annotated[int, at_least_one(256, "a bank that is awake")] = 1
    wake_cycles: Annotated[int, within(0, 1000, "a time is not negative")] = 1
    zero_gating: bool = True
    acc_bits: SumBits
    column_acc_bits: ColumnBits = COLUMN_ACC_BITS

    @model_validator(mode="after")
    def _widths(self) -> "RomArraySpec":
        if self.acc_bits < TERNARY_PRODUCT_BITS:
            raise too_narrow(TERNARY_PRODUCT_BITS, "the width of one ternary product", self.acc_bits)
        if self.column_acc_bits < self.acc_bits:
            raise problem(f"must be >= acc_bits = {self.acc_bits} (got {self.column_acc_bits})", key="column_acc_bits")
        return self

    @property
    def unit(self) -> str:
        """`ternary_a8_acc20`: a bank's accumulator adds and subtracts like a ternary PE of its width."""
        return f"ternary_a8_acc{self.acc_bits}"

    @property
    def column_format(self) -> str:
        """The format of the accumulators in which the banks' sums meet, in events: `int32`."""
        return f"int{self.column_acc_bits}"

    @property
    def macs_per_cycle(self) -> int:
        return self.banks * self.cols

    def text(self) -> str:
        return (
            f"ROM, {self.unit}, columns {self.column_format}, {self.banks} banks of {self.rows} x {self.cols}, "
            f"{self.overflow}, zero gating {'on' if self.zero_gating else 'off'}"
        )

    def accumulators(self, bits: int) -> dict[str, int]:
        return {"acc_bits": bits, "column_acc_bits": bits}
