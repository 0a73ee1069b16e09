"""All-reduce: what it costs in closed form. `exchange` executes the same step by step with explicit buffers.

Every device starts with a vector of `elements` and ends with the elementwise sum (or maximum) of all of them.

* ring: the vector is cut into as many chunks as there are devices, the first ones longer if that does not divide it;
  each device sends one chunk to its right neighbour in each of 2 (D - 1) steps, at first sums, then results.
* tree: a binomial tree. In step i those whose lowest set bit is i send their sum to the device without it, until device
  0 has all; back the same way. 2 ceil(log2 D) steps, each with the whole vector.
* chain: from device 0 to the last one, each adding its own, and the result all the way back. The slowest, and the only
  one that adds floats in ascending order.

All three put 2 (D - 1) vectors on the wires, and differ in time. Sources: Patarasuk & Yuan, JPDC 2009 (ring);
Thakur, Rabenseifner & Gropp, IJHPCA 2005 (binomial tree).
"""

from dataclasses import dataclass
from typing import Literal, get_args

from bitsim.errors import OperandError, UnknownNameError
from bitsim.hw.link import Link

Algorithm = Literal["ring", "tree", "chain"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Messages and bytes over all links, and the seconds from start to end. `+` is one after the other."""

    messages: int = 0
    bytes: int = 0
    time_s: float = 0.0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            messages=self.messages + other.messages, bytes=self.bytes + other.bytes, time_s=self.time_s + other.time_s
        )

    def __mul__(self, times: int) -> "Traffic":
        return Traffic(messages=self.messages * times, bytes=self.bytes * times, time_s=self.time_s * times)


def allreduce(link: Link, devices: int, elements: int, element_bytes: int, algorithm: Algorithm) -> Traffic:
    """One all-reduce of `elements` numbers of `element_bytes` over `devices`; nothing for one device or no elements.

    Raises `OperandError` for counts below 1 (elements: below 0) and `UnknownNameError` for an unknown algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise UnknownNameError("all-reduce", algorithm, ALGORITHMS)
    if devices < 1 or elements < 0 or element_bytes < 1:
        raise OperandError(
            f"all-reduce: expected devices >= 1, elements >= 0 and element_bytes >= 1, got {devices}, {elements}, "
            f"{element_bytes}"
        )
    if devices == 1 or not elements:
        return Traffic()
    vectors, size = 2 * (devices - 1), elements * element_bytes
    messages, steps, longest = vectors, vectors, size
    if algorithm == "ring":
        messages, longest = vectors * min(devices, elements), -(-elements // devices) * element_bytes
    elif algorithm == "tree":
        steps = 2 * (devices - 1).bit_length()
    return Traffic(messages=messages, bytes=vectors * size, time_s=link.startup_s + steps * link.message_s(longest))


def fastest(link: Link, devices: int, elements: int, element_bytes: int) -> tuple[Algorithm, Traffic]:
    """The faster one of ring and tree, as libraries choose by size; a tie goes to the ring."""
    choices: tuple[Algorithm, ...] = ("ring", "tree")
    costs = {name: allreduce(link, devices, elements, element_bytes, name) for name in choices}
    best = min(costs, key=lambda name: costs[name].time_s)
    return best, costs[best]
