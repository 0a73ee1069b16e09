"""The ternary lookup-table engine; how it works is told by `bitsim.datapath.ternary_lut`."""

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from bitsim.hw.datapaths.base import DatapathDescription, SumBits, at_least_one, gating, too_narrow, within
from bitsim.hw.source import problem

LARGEST_ACT = 128  # of -128..127


class TernaryLutSpec(DatapathDescription):
    """`tables` tables per cycle, each of `g` activations, read by `lanes` outputs at a time.

    * `acts`: `int8` activations and integer sums, or `fp16` ones (W1.58A16): entries are FP16, and sums behind the
      tables FP16 or FP32, as `acc_bits` says.
    * `g`: activations per table; more than 5 would need tables of 3^6 entries and more.
    * `table`: `full` holds all 3^g signed sums, `half` those whose last weight that is not 0 is +1; the others are
      negated. The sum of no activation needs no entry.
    * `storage`: `registers`, all entries built at once and readable by all lanes; `sram`, one entry written per cycle,
      with a copy for every lane.
    * `tables`: tables that are built, or ready, side by side; an entry without a partner passes on in the tree.
    * `lanes`: outputs that read the tables at the same time.
    * `reuse`: outputs of one lane that use a table before the next one takes its place; a lane has an accumulator for
      each of them.
    * `acc_bits`: width of the accumulators; 16 or 32 of FP16 activations.
    * `clock_gating`: registers are clocked only when they take a valid value.
    """

    side_by_side: ClassVar[str] = "lanes"
    kind: Literal["ternary_lut"]
    g: Annotated[int, within(2, 5, "one activation needs no table", "six have 3^6 = 729 signed sums")]
    table: Literal["half", "full"]
    storage: Literal["registers", "sram"]
    tables: Annotated[int, at_least_one(64, "a table")]
    lanes: Annotated[int, at_least_one(4096, "a lane")]
    reuse: Annotated[int, within(1, 1024, "every table is used once")] = 1
    acc_bits: SumBits
    clock_gating: bool = True
    acts: Literal["int8", "fp16"] = "int8"

    @model_validator(mode="after")
    def _possible(self) -> "TernaryLutSpec":
        if self.acts == "fp16":
            if self.acc_bits not in (16, 32):
                raise problem(
                    f"must be 16 or 32 for FP16 activations, whose sums are FP16 or FP32 (got {self.acc_bits})",
                    key="acc_bits",
                )
            if self.overflow != "wrap":
                raise problem(
                    f"must be left out for FP16 activations: sums that leave their range are infinite (got "
                    f"{self.overflow!r})",
                    key="overflow",
                )
            return self
        least = (LARGEST_ACT * self.g * self.tables).bit_length() + 1
        if self.acc_bits < least:
            summed = self.g * self.tables
            raise too_narrow(least, f"the width of a sum of {summed} activations, those of one cycle", self.acc_bits)
        return self

    @property
    def half_entries(self) -> int:
        """Sums that differ in more than their sign."""
        count: int = (3**self.g - 1) // 2
        return count

    @property
    def entries(self) -> int:
        """Entries of one table."""
        return self.half_entries * (1 if self.table == "half" else 2)

    @property
    def entry_bits(self) -> int:
        """Width of an entry. The last activation of half a table is never negated, so that 128 g is not reached."""
        if self.acts == "fp16":
            return 16
        largest = LARGEST_ACT * self.g
        return (largest - 1 if self.table == "half" else largest).bit_length() + 1

    @property
    def index_bits(self) -> int:
        """Width of the code of `g` weights: a sign and a position in half a table, or a signed position."""
        return self.half_entries.bit_length() + 1

    @property
    def group(self) -> int:
        """Weights of one output that one cycle serves."""
        return self.g * self.tables

    @property
    def kept(self) -> str:
        """What a table is called in events: `g3_half`, `g3_half_fp16`."""
        return f"g{self.g}_{self.table}{'_fp16' if self.acts == 'fp16' else ''}"

    @property
    def unit(self) -> str:
        """`lut_g3_half_registers_acc24`, `lut_g3_half_registers_fp16_acc16`."""
        floats = "_fp16" if self.acts == "fp16" else ""
        return f"lut_g{self.g}_{self.table}_{self.storage}{floats}_acc{self.acc_bits}"

    @property
    def rates(self) -> str:
        return f"ternary_lut_{self.kept}" + (f"_acc{self.acc_bits}" if self.acts == "fp16" else "")

    @property
    def integer(self) -> bool:
        return self.acts == "int8"

    @property
    def takes_floats(self) -> bool:
        return self.acts == "fp16"

    @property
    def can_be_wide(self) -> bool:
        return False

    @property
    def macs_per_cycle(self) -> int:
        return self.group * self.lanes

    def text(self) -> str:
        return (
            f"{self.unit}, {self.tables} tables, {self.lanes} lanes, reuse {self.reuse}, {self.overflow}, "
            f"{gating(self.clock_gating)}"
        )
