"""What is in the buffers of one rank while the walker goes from tile to tile."""

from collections.abc import Iterator, Mapping
from itertools import product

from bitsim.hw.memory import OPERANDS, Held
from bitsim.schedule.kernels.nest import ORDERS
from bitsim.schedule.plan import Loops, Tile
from bitsim.schedule.transfers import Transfers

Index = tuple[int, ...]  # of a step: repetition, and which tile of M, K and N
Place = tuple[int, ...]  # of a tile of one operand
Moves = dict[str, int]  # elements by name of the move
R, M, K, N = range(4)
OWN: Mapping[Held, tuple[int, int]] = {"weights": (K, N), "acts": (M, K), "psums": (M, N)}
FREE: Mapping[Held, int] = {"weights": M, "acts": N, "psums": K}


def steps(loops: Loops, dims: Tile, repeat: int) -> Iterator[Index]:
    """All steps in their order."""
    trips = [repeat, *(-(-size // tile) for size, tile in zip(dims, loops.tile, strict=True))]
    order = _order(loops)
    for indices in product(*(range(trips[d]) for d in order)):
        yield tuple(indices[order.index(d)] for d in range(4))


def size_at(loops: Loops, dims: Tile, at: Index) -> Tile:
    """M, K and N of the tile at `at`; the last one of a dimension may be smaller."""
    m, k, n = (min(tile, size - i * tile) for size, tile, i in zip(dims, loops.tile, at[1:], strict=True))
    return m, k, n


def _order(loops: Loops) -> tuple[int, ...]:
    return (R, *((M, K, N)[int(d)] for d in ORDERS[loops.order]))


class Buffer:
    """The tiles of one operand: their elements by place. `peak`: the most elements that were in it at a time."""

    def __init__(self, operand: Held, loops: Loops, double: bool) -> None:
        self.operand, self.double, self.peak = operand, double, 0
        self.kept = bool(loops.keep >> OPERANDS.index(operand) & 1)
        order = _order(loops)
        self._outside = order[: order.index(FREE[operand])]
        self._tiles: dict[Place, tuple[int, Place]] = {}

    def place(self, at: Index) -> Place:
        return tuple(at[d] for d in (R, *OWN[self.operand]))

    def _period(self, at: Index) -> Place:
        """A kept tile is of use while the loops outside the operand's free one stand still, another for one step."""
        return tuple(at[d] for d in self._outside) if self.kept else self.place(at)

    def __contains__(self, at: Index) -> bool:
        return self.place(at) in self._tiles

    def put(self, at: Index, elements: int) -> None:
        self._tiles[self.place(at)] = (elements, self._period(at))
        self.peak = max(self.peak, sum(size for size, _ in self._tiles.values()))

    def remove(self, place: Place) -> int:
        """Take a tile out; returns its elements."""
        return self._tiles.pop(place)[0]

    def drop_used_up(self, at: Index) -> None:
        """Forget the tiles that are of no use at `at`."""
        self._tiles = {place: tile for place, tile in self._tiles.items() if tile[1] == self._period(at)}


class Buffers:
    """The buffers of one rank for one nest of loops; partial sums with how much of K each has summed."""

    def __init__(self, transfers: Transfers, loops: Loops, dims: Tile, flags: int) -> None:
        self.loops, self.dims = loops, dims
        self.continues, self.finishes = bool(flags >> 1), bool(flags & 1)
        doubles = (bool(double) for double in transfers.overlaps)
        self.weights, self.acts, self.sums = (
            Buffer(operand, loops, double) for operand, double in zip(OPERANDS, doubles, strict=True)
        )
        self._summed: dict[Place, int] = {}  # in the buffer
        self._sent: dict[Place, int] = {}  # gone unfinished

    def flags(self, at: Index) -> int:
        """2 if the sums of this tile continue earlier ones, plus 1 if it finishes them."""
        last = (at[K] + 1) * self.loops.tile[1] >= self.dims[1]
        return 2 * (self.continues or at[K] > 0) + (self.finishes and last)

    def load(self, at: Index, *, double: bool) -> Moves:
        """Bring what the step at `at` needs and is not there, into the double or the single buffers."""
        m, k, n = size_at(self.loops, self.dims, at)
        moves: Moves = {}
        for buffer, elements in ((self.weights, k * n), (self.acts, m * k)):
            if buffer.double == double:
                if not double:
                    buffer.drop_used_up(at)
                if at not in buffer:
                    buffer.put(at, elements)
                    moves[buffer.operand] = elements
        if self.sums.double == double and at not in self.sums and self.flags(at) >> 1:
            place, before = self.sums.place(at), at[K] * self.loops.tile[1]
            self._summed[place] = self._sent.pop(place) if before else 0
            assert self._summed[place] == before, f"sums {place} have {self._summed[place]} of K, not {before}"
            self.sums.put(at, m * n)
            moves["psums in"] = m * n
        return moves

    def begin(self, at: Index) -> None:
        """Start the step at `at`: its operands must be there; sums that continue nothing start at 0."""
        self.weights.drop_used_up(at)
        self.acts.drop_used_up(at)
        assert at in self.weights, f"no weights at {at}"
        assert at in self.acts, f"no activations at {at}"
        m, k, n = size_at(self.loops, self.dims, at)
        if at not in self.sums:
            assert not self.flags(at) >> 1, f"no sums at {at}"
            self._summed[self.sums.place(at)] = 0
            self.sums.put(at, m * n)
        self._summed[self.sums.place(at)] += k

    def leaving(self, now: Index, after: Index | None) -> Place | None:
        """The sums that make room when `after` is the step after `now`: finished, or not kept and not needed there."""
        place = self.sums.place(now)
        finished = self._summed[place] == self.dims[1]
        stays = not finished and (self.sums.kept or (after is not None and self.sums.place(after) == place))
        return None if stays else place

    def store(self, place: Place | None) -> Moves:
        """Take these sums away."""
        if place is None:
            return {}
        elements, summed = self.sums.remove(place), self._summed.pop(place)
        if summed == self.dims[1] and self.finishes:
            return {"outputs": elements}
        self._sent[place] = summed
        return {"psums out": elements}
