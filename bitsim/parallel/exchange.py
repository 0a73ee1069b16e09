"""All-reduce executed on explicit buffers, message by message: who sends what to whom, and when it is there.

`Network` has one clock per device. A message starts when both ends are free; the receiver has it after the link's
latency and the time of its bytes. Devices send and receive at the same time. The operations are given, so that sums of
integers of any size, maxima and float32 additions go through the same code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bitsim.datapath.base import Array
from bitsim.errors import OperandError, UnknownNameError
from bitsim.hw.link import Link
from bitsim.parallel.allreduce import ALGORITHMS, Algorithm, Traffic

Combine = Callable[[Array, Array], Array]


@dataclass(slots=True)
class Network:
    """`devices` that exchange messages over equal links."""

    link: Link
    devices: int
    messages: int = 0
    bytes: int = 0
    clocks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clocks = [0.0] * self.devices

    def step(self, sent: Sequence[tuple[int, int, int]]) -> None:
        """Messages (sender, receiver, bytes) that are under way at the same time; empty ones are not sent."""
        ready = list(self.clocks)
        for sender, receiver, size in sent:
            if not size:
                continue
            end = max(ready[sender], ready[receiver]) + self.link.message_s(size)
            self.messages += 1
            self.bytes += size
            for device in (sender, receiver):
                self.clocks[device] = max(self.clocks[device], end)

    def barrier(self, seconds: float) -> None:
        """All devices wait for each other, and then `seconds`."""
        self.clocks = [max(self.clocks) + seconds] * self.devices

    @property
    def traffic(self) -> Traffic:
        return Traffic(messages=self.messages, bytes=self.bytes, time_s=max(self.clocks))


def exchange(
    network: Network, buffers: Sequence[Array], combine: Combine, algorithm: Algorithm, element_bytes: int
) -> list[Array]:
    """All-reduce `buffers`, one array per device and all of one shape, in place of `combine`d values everywhere.

    `combine(mine, theirs)`: elementwise, where `mine` comes from earlier devices of the sum. Returns new arrays.
    Integers and maxima come out the same from every algorithm; float sums are rounded in the algorithm's own order.
    """
    shapes = {buffer.shape for buffer in buffers}
    if len(buffers) != network.devices or len(shapes) != 1:
        raise OperandError(f"all-reduce: expected {network.devices} arrays of one shape, got {sorted(shapes)}")
    if algorithm not in ALGORITHMS:
        raise UnknownNameError("all-reduce", algorithm, ALGORITHMS)
    held = [buffer.reshape(-1).copy() for buffer in buffers]
    if network.devices > 1 and held[0].size:
        network.barrier(network.link.startup_s)
        {"ring": _ring, "tree": _tree, "chain": _chain}[algorithm](network, held, combine, element_bytes)
    return [values.reshape(buffers[0].shape) for values in held]


def _ring(network: Network, held: list[Array], combine: Combine, element_bytes: int) -> None:
    """Device d starts with chunk d; the sum of chunk c begins with device c's part and ends at its left neighbour."""
    count = network.devices
    parts = chunks(held[0].size, count)
    for step in range(2 * (count - 1)):
        moves = [(d, (d + 1) % count, (d - step) % count) for d in range(count)]
        network.step([(d, to, (parts[c].stop - parts[c].start) * element_bytes) for d, to, c in moves])
        arrived = {to: held[d][parts[c]].copy() for d, to, c in moves}
        for _, to, c in moves:
            reducing = step < count - 1
            held[to][parts[c]] = combine(arrived[to], held[to][parts[c]]) if reducing else arrived[to]


def _tree(network: Network, held: list[Array], combine: Combine, element_bytes: int) -> None:
    size = held[0].size * element_bytes
    bits = [1 << i for i in range((network.devices - 1).bit_length())]
    for bit in bits:
        pairs = [(d, d - bit) for d in range(network.devices) if d % (2 * bit) == bit]
        network.step([(d, parent, size) for d, parent in pairs])
        for d, parent in pairs:
            held[parent] = combine(held[parent], held[d])
    for bit in reversed(bits):
        pairs = [(d - bit, d) for d in range(network.devices) if d % (2 * bit) == bit]
        network.step([(parent, d, size) for parent, d in pairs])
        for parent, d in pairs:
            held[d] = held[parent].copy()


def _chain(network: Network, held: list[Array], combine: Combine, element_bytes: int) -> None:
    size = held[0].size * element_bytes
    for d, following in pairwise(range(network.devices)):
        network.step([(d, following, size)])
        held[following] = combine(held[d], held[following])
    for d, before in pairwise(reversed(range(network.devices))):
        network.step([(d, before, size)])
        held[before] = held[d].copy()


def chunks(elements: int, count: int) -> list[slice]:
    """`count` consecutive pieces of `elements`, the first ones longer by one if they can't be equal."""
    size, longer = divmod(elements, count)
    starts = [i * size + min(i, longer) for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(starts)]
