"""Where the tensors that pass from operator to operator live, and at what width: for all that write or read them."""

from dataclasses import dataclass

from bitsim.hw.memory import MemorySpec
from bitsim.model.operators import Tensor

VALUE_BITS = 16  # the vector unit's FP16 values, and outputs behind the scale multipliers


@dataclass(frozen=True, slots=True, kw_only=True)
class Homes:
    """`code_bits`, `wide_bits`: width of an activation code, as the BitLinear or the wide datapath takes it."""

    memory: MemorySpec
    code_bits: int
    wide_bits: int = VALUE_BITS

    def bits(self, tensor: Tensor) -> int:
        """Of one value or code."""
        return {"codes": self.code_bits, "wide_codes": self.wide_bits, "values": VALUE_BITS}[tensor.form]

    def inside(self, tensor: Tensor) -> bool:
        """Whether it lives on the chip: it may take half of the home of activations, as its consumer's result does."""
        return 2 * tensor.alive * self.bits(tensor) <= share_of_acts(self.memory)

    def unit(self, tensor: Tensor) -> str:
        """What its events are named after."""
        return f"sram.{self.memory.chain('acts')[-1].name}" if self.inside(tensor) else "dram.acts"


def share_of_acts(memory: MemorySpec) -> int:
    """Bits of the chip's home of activations: the outermost level that holds them, or its share if it holds more."""
    home = memory.chain("acts")[-1]
    return home.capacity_bits // len(home.holds)
