"""Plans replayed the slow and obvious way: call by call, with the twin of the datapath."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bitsim.datapath.pe_array.cycle_model import run_array
from bitsim.datapath.reference.common import limit
from bitsim.datapath.tiles import Nest, Tiles
from bitsim.events import Events, total
from bitsim.hw.datapaths import PEArraySpec
from tests.datapath.zoo import Member

ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


@st.composite
def tilings(draw: st.DrawFn, datapath: Any, dims: tuple[int, int, int]) -> Tiles:
    """Generates tiles of any sizes in one or two nests of loops, multiples of the grain among them."""
    nests, size = [], dims
    for _ in range(draw(st.integers(1, 2))):
        tile = tuple(draw(sizes(most, unit)) for most, unit in zip(size, datapath.grain, strict=True))
        nests.append(Nest(tile=tile, order=draw(st.sampled_from(ORDERS))))  # type: ignore[arg-type]
        size = tile
    return Tiles(dims=dims, nests=tuple(nests), kept=may_keep(datapath, dims, nests) and draw(st.booleans()))


def sizes(most: int, unit: int) -> st.SearchStrategy[int]:
    multiples = list(range(unit, most + 1, unit))
    anything = st.integers(1, most)
    return st.one_of(anything, st.sampled_from(multiples)) if multiples else anything


def may_keep(datapath: Any, dims: tuple[int, int, int], nests: list[Nest]) -> bool:
    """Whether sums can stay: they have room, and nothing comes between the innermost tiles of K."""
    outside = nests[0].tile if len(nests) == 2 else dims
    m, k, n = nests[-1].tile
    inside = nests[-1].order[nests[-1].order.index(1) + 1 :]
    alone = all(nests[-1].tile[d] >= outside[d] for d in inside)
    return bool(m <= datapath.holds[0] and n <= datapath.holds[1] and k < outside[1] and alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What all calls did together; `y` and `overflows` as they come out of the joined sums."""

    y: Any
    events: Events
    cycles: int
    first: tuple[int, int, int] | None


def replay(member: Member, datapath: Any, x: Any, w: Any, tiles: Tiles) -> Replayed:
    """Every call by itself on the twin, its sums joined with those before."""
    spec, events, cycles, firsts = datapath.spec, [], 0, []
    y: Any = None
    depth = Counter[tuple[int, int]]()
    for call in tiles.walk():
        part = member.twin(np.ascontiguousarray(x[call.m, call.k]), np.ascontiguousarray(w[call.n, call.k]), spec)
        events.append(part.events)
        cycles += part.cycles
        if part.first_overflow is not None:
            m, k, n = part.first_overflow
            firsts.append((m + call.m.start, k + call.k.start, n + call.n.start))
        y = np.zeros((len(x), len(w)), part.y.dtype) if y is None else y
        for i in range(call.m.start, call.m.stop):
            for j in range(call.n.start, call.n.stop):
                new, before = part.y[i - call.m.start, j - call.n.start], y[i, j]
                if depth[i, j]:
                    new, lost = joined(datapath, before, new)
                    events.append(joint(datapath, lost))
                    firsts += [(i, call.k.start, j)] if lost else []
                y[i, j] = new
                depth[i, j] += 1
        if call.k.start:
            events.append(beside(datapath, call.size))
    return Replayed(y=y, events=total(events), cycles=cycles, first=min(firsts, default=None))


def joined(datapath: Any, before: Any, new: Any) -> tuple[Any, bool]:
    """Two sums of an output, added in the width of the buffer of sums."""
    if not datapath.spec.integer:
        with np.errstate(over="ignore", invalid="ignore"):
            kept = {"fp16": np.float16, "fp32": np.float32}[float_sums(datapath)]
            both = np.float32(kept(before) + kept(new))
        return both, bool(np.isfinite(before) and np.isfinite(new) and not np.isfinite(both))
    # Tables of binary planes sum twice the output, over the bits that their entries drop.
    doubled, dropped = datapath.spec.kind == "binary_lut", getattr(datapath.spec, "dropped_bits", 0)
    units = [(2 * int(value)) >> dropped if doubled else int(value) for value in (before, new)]
    both, lost = limit(sum(units), datapath.sum_bits, datapath.spec.overflow)
    return (both << dropped) >> 1 if doubled else both, lost


def float_sums(datapath: Any) -> str:
    """What sums of floats in the buffer are."""
    return {16: "fp16", 32: "fp32"}[datapath.spec.acc_bits]


def joint(datapath: Any, lost: bool) -> Events:
    """One addition that the papers count, and its overflow."""
    counts = {"add.int8" if datapath.spec.integer else f"add.{float_sums(datapath)}": 1}
    if lost:
        last = "acc" if datapath.spec.kind != "pe_array" else "psum"
        counts[f"overflow.{last}" if datapath.spec.integer else "overflow.output"] = 1
    return Events(counts)


def beside(datapath: Any, size: tuple[int, int, int]) -> Events:
    """The adder beside the buffer of sums, or the instructions that do its work."""
    m, _, n = size
    if datapath.spec.kind == "cpu_simd":
        registers = m * -(-32 * n // {"avx2": 256, "neon": 128}[datapath.spec.isa])
        isa = datapath.spec.isa
        return Events(
            {f"simd.{isa}.load": 2 * registers, f"simd.{isa}.add_int32": registers, f"simd.{isa}.store": registers}
        )
    return Events({"acc.add.int32" if datapath.spec.integer else f"acc.add.{float_sums(datapath)}": m * n})


def replay_array(spec: PEArraySpec, x: Any, w: Any, tiles: Tiles) -> Replayed:
    """A PE array stepped clock by clock through all calls."""
    y, events, cycles = run_array(x, w, spec, tiles)
    return Replayed(y=y, events=events, cycles=cycles, first=None)


def filled(operand: Any, tiles: Tiles, unit: int) -> Any:
    """`operand` (rows, K) with zeros behind every tile of K, up to whole units."""
    parts, start = [], 0
    for size in tiles.sizes(1):
        parts.append(np.pad(operand[:, start : start + size], ((0, 0), (0, -size % unit))))
        start += size
    return np.concatenate(parts, axis=1)
