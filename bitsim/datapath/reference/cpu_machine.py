"""A core's vector unit for the twins: it counts instructions and what they load and store."""

from bitsim.datapath.reference.common import Ledger


class Machine:
    """Registers are lists of lanes; every method is one instruction or a row of equal ones."""

    def __init__(self, isa: str, ledger: Ledger) -> None:
        self.isa, self.ledger = isa, ledger

    def does(self, op: str, result: list[int]) -> list[int]:
        """One instruction that gives `result`."""
        self.ledger.counts[f"simd.{self.isa}.{op}"] += 1
        return result

    def times(self, op: str, number: int) -> None:
        """Instructions whose results are formed elsewhere."""
        self.ledger.counts[f"simd.{self.isa}.{op}"] += number

    def load(self, values: list[int], bits: int, stream: str) -> list[int]:
        """One load of values of `bits` bits from memory."""
        self.ledger.moved[stream] += bits * len(values)
        return self.does("load", values)


def filled(row: list[int], step: int) -> list[int]:
    """`row` with zeros up to a multiple of `step`."""
    return row + [0] * (-len(row) % step)
