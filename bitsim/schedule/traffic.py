"""The traffic of a schedule as events: bits that each memory gives and takes."""

from fractions import Fraction

from bitsim.events import Events
from bitsim.hw.memory import MemorySpec
from bitsim.schedule.matmul import DRAM
from bitsim.schedule.plan import Work
from bitsim.schedule.transfers import Transfers


def traffic(transfers: tuple[Transfers, ...], memory: MemorySpec, work: Work) -> Events:
    """Everything that memories read and write while a matmul is worked off.

    At the end of each call the datapath's streams read the sums once: finished, on their way to the scale multipliers,
    or to go on with in the next call. Sums that leave unfinished are read once more on their way out.
    """
    events: dict[str, int] = {}

    def add(where: str, content: str, direction: str, elements: int, bits: Fraction | int = 1) -> None:
        if amount := -int(-elements * bits // 1):
            event = f"dram.{content}.{direction}_bits" if where == DRAM else f"sram.{where}.{direction}_bits"
            events[event] = events.get(event, 0) + amount

    weight_reads, act_reads, sum_reads, sum_writes = (int(bits) for bits in work.streams)
    weights, acts, sums = (memory.chain(operand)[0].name for operand in ("weights", "acts", "psums"))
    add(weights, "", "read", weight_reads)
    add(acts, "", "read", act_reads)
    add(sums, "", "read", sum_reads)
    add(sums, "", "write", sum_writes)
    for rank, through in enumerate(transfers):
        moved_weights, moved_acts, sums_in, sums_out, outputs = (int(count) for count in work.moved[rank])
        contents = {"weights": through.matmul.content, "acts": "acts", "psums": "psums"}
        arriving = {"weights": moved_weights, "acts": moved_acts, "psums": sums_in}
        for operand, elements in arriving.items():
            if operand in through.legs:
                leg = through.legs[operand]
                add(leg.outer, contents[operand], "read", elements, leg.outer_bits)
                add(leg.inner, "", "write", elements, leg.inner_bits)
        if "psums" in through.legs:
            leg = through.legs["psums"]
            add(leg.inner, "", "read", sums_out, leg.inner_bits)
            add(leg.outer, "psums", "write", sums_out, leg.outer_bits)
        if "outputs" in through.legs:
            leg = through.legs["outputs"]
            add(leg.outer, "acts", "write", outputs, leg.outer_bits)
    return Events(events)
