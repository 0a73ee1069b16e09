"""Where and when: an operator's place on a chip, its cycles, what it moves and what it waits for."""

from bitsim.schedule.memory import MemoryModel, StreamingMemory
from bitsim.schedule.place import Placed, Placement

__all__ = ["MemoryModel", "Placed", "Placement", "StreamingMemory"]
