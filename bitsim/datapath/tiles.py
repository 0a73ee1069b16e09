"""How one matmul falls into calls of a datapath: tiles of M, K and N, one after another."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise, product

Shape = tuple[int, int, int]
M, K, N = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """Loops over tiles of M, K and N; `order`: dimensions (0, 1, 2), the outermost loop first."""

    tile: Shape
    order: Shape = (M, N, K)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the datapath; `stays`: its sums stay in the registers for the next call, which goes on with them."""

    m: slice
    k: slice
    n: slice
    stays: bool

    @property
    def size(self) -> Shape:
        return self.m.stop - self.m.start, self.k.stop - self.k.start, self.n.stop - self.n.start


@dataclass(frozen=True, kw_only=True)  # no slots: sizes and hash are kept
class Tiles:
    """The tiles of a matmul of `dims` (M, K, N).

    `nests`: loops over tiles, and inside each of these over smaller ones; the datapath is called on the innermost. A
    last tile may be smaller. `kept`: tiles of K of the innermost nest follow each other, and the datapath keeps their
    sums in between; otherwise its sums leave it after every call.
    """

    dims: Shape
    nests: tuple[Nest, ...]
    kept: bool = False

    @classmethod
    def whole(cls, m: int, k: int, n: int) -> "Tiles":
        """A single call."""
        return cls(dims=(m, k, n), nests=(Nest(tile=(m, k, n)),))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.dims, self.nests, self.kept))

    @cached_property
    def _sizes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(size for chain in self._chains(d) for size in chain) for d in (M, K, N))

    def sizes(self, dimension: int) -> tuple[int, ...]:
        """M (0), K (1) or N (2) in tiles."""
        return self._sizes[dimension]

    def _chains(self, dimension: int) -> tuple[tuple[int, ...], ...]:
        """A dimension in the tiles of the nest around the innermost, each of these in tiles of the innermost."""
        parts: tuple[int, ...] = (self.dims[dimension],)
        for nest in self.nests[:-1]:
            parts = tuple(size for part in parts for size in _cut(part, nest.tile[dimension]))
        return tuple(_cut(part, self.nests[-1].tile[dimension]) for part in parts)

    @cached_property
    def chains(self) -> tuple[tuple[int, ...], ...]:
        """K in tiles, those together between which sums stay in the datapath."""
        return self._chains(K) if self.kept else tuple((size,) for size in self.sizes(K))

    def shapes(self) -> Counter[tuple[Shape, bool]]:
        """The calls by M, K and N and by whether their sums stay, and how often each of them comes."""
        rows, columns = Counter(self.sizes(M)), Counter(self.sizes(N))
        depths = Counter((size, i + 1 < len(chain)) for chain in self.chains for i, size in enumerate(chain))
        found: Counter[tuple[Shape, bool]] = Counter()
        for (m, of_m), ((k, stays), of_k), (n, of_n) in product(rows.items(), depths.items(), columns.items()):
            found[(m, k, n), stays] += of_m * of_k * of_n
        return found

    def joints(self, number: int) -> Counter[tuple[int, int]]:
        """By M and N, how often sums of a tile are joined with others, if each output is joined `number` times."""
        rows, columns = Counter(self.sizes(M)), Counter(self.sizes(N))
        pairs = product(rows.items(), columns.items())
        return Counter({(m, n): of_m * of_n * number for (m, of_m), (n, of_n) in pairs if number})

    def walk(self) -> Iterator[Call]:
        """All calls in their order."""
        return _walk(slice(0, self.dims[M]), slice(0, self.dims[K]), slice(0, self.dims[N]), self.nests, self.kept)


def slices(sizes: tuple[int, ...], start: int = 0) -> list[slice]:
    """Ranges of these sizes, one behind another."""
    ends = list(accumulate(sizes, initial=start))
    return [slice(low, high) for low, high in pairwise(ends)]


def _cut(size: int, tile: int) -> tuple[int, ...]:
    return tuple(min(tile, size - start) for start in range(0, size, tile))


def _walk(m: slice, k: slice, n: slice, nests: tuple[Nest, ...], kept: bool) -> Iterator[Call]:
    nest, *inner = nests
    ranges = [
        slices(_cut(part.stop - part.start, tile), part.start) for part, tile in zip((m, k, n), nest.tile, strict=True)
    ]
    for chosen in product(*(ranges[d] for d in nest.order)):
        tile = [chosen[nest.order.index(d)] for d in (M, K, N)]
        if inner:
            yield from _walk(tile[M], tile[K], tile[N], tuple(inner), kept)
        else:
            yield Call(m=tile[M], k=tile[K], n=tile[N], stays=kept and tile[K] is not ranges[K][-1])
