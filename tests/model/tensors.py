"""What passes from operator to operator, followed by name: whoever reads must find what somebody wrote."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from bitsim.model.operators import Operator, Tensor


def values_moved(op: Operator) -> tuple[int, int]:
    """Numbers that an operator reads and writes."""
    read, written = (sum(tensor.values for tensor in side) for side in (op.reads, op.writes))
    return read, written


@dataclass
class Written:
    """One version of a tensor: who wrote it, and how much of it has been written and, by each reader, read."""

    tensor: Tensor
    writers: list[tuple[Operator, Tensor]] = field(default_factory=list)
    readers: list[tuple[Operator, Tensor]] = field(default_factory=list)

    @property
    def values(self) -> int:
        return sum(tensor.values for _, tensor in self.writers)

    def read_by(self) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for op, tensor in self.readers:
            found[op.name] += tensor.values
        return found


def versions(operators: Iterable[Operator]) -> list[Written]:
    """All versions of all tensors of a step; a tensor is written anew when all of it is there and it is written again.

    Raises `AssertionError` where an operator reads what nobody wrote.
    """
    latest: dict[tuple[str, int | None], Written] = {}
    found: list[Written] = []
    for op in operators:
        for tensor in op.reads:
            at = next((key for key in ((tensor.name, op.layer), (tensor.name, None)) if key in latest), None)
            assert at is not None, f"{op.name} reads {tensor.name}, which nobody wrote"
            latest[at].readers.append((op, tensor))
        for tensor in op.writes:
            key = (tensor.name, None if tensor.name == "hidden" else op.layer)
            if key not in latest or latest[key].values >= tensor.alive:
                latest[key] = Written(tensor)
                found.append(latest[key])
            latest[key].writers.append((op, tensor))
    return found
