"""The contract that every datapath keeps: prepare weights once, execute matmuls, count them in closed form."""

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from bitsim.datapath.base import Array, Range, Statistics, Streams, TileCosts, Toggles
from bitsim.datapath.outcomes import Execution, Observation
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.tiles import Tiles
from bitsim.events import Events
from bitsim.model.weights import FloatWeight


class Datapath(Hashable, Protocol):
    """How a matmul `Y[M, N] = X[M, K] W[N, K]^T` is computed, and what switches while it is."""

    @property
    def exact(self) -> bool:
        """Whether the output equals the int64 matmul for all operands that cause no overflow."""
        ...

    @property
    def act_range(self) -> tuple[int, int]:
        """The integers that are legal activations; of floating point, which rounds numbers, those of int8."""
        ...

    @property
    def weight_range(self) -> tuple[int, int]:
        """The integers that are legal weights; of floating point, those of int8."""
        ...

    @property
    def zero_acts(self) -> bool:
        """Whether an activation may be 0."""
        ...

    @property
    def zero_weights(self) -> bool:
        """Whether a weight may be 0."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of its results must know, as continuations of "the datapath ..."."""
        ...

    @property
    def holds_weights(self) -> bool:
        """Whether it holds all weights of a model for good, so that none comes from DRAM."""
        ...

    def prepare(self, w: Array | PackedTernary, cuts: tuple[int, ...] = ()) -> Any:
        """Check and lay out the weights (N, K) once, for many calls of `execute`.

        `cuts`: pieces in which K comes, one after another, while sums stay in the datapath (see `holds`).
        """
        ...

    def prepare_stored(self, weight: FloatWeight, *, whole: bool, cuts: tuple[int, ...] = ()) -> Any:
        """As `prepare`, from a stored float matrix rounded to binary16; `whole`: every call will need all of it."""
        ...

    def execute(
        self, x: Array, w: Any, *, toggles: Toggles = "exact", seed: int = 0, live: Array | None = None
    ) -> Execution:
        """Run one matmul on real operands: `x` (M, K), `w` an array (N, K) or what `prepare` returned.

        `live`: bool (M, N), the outputs that are needed, None: all. The others may have any value, and a datapath that
        can leave them out spends nothing on them.
        """
        ...

    def observe(self, x: Array, w: Any, *, toggles: Toggles = "exact", seed: int = 0) -> Observation:
        """As `execute` where outputs need not be formed; overflows are found only where they are."""
        ...

    def observe_all(
        self, x: Array, w: Array, *, toggles: Toggles = "exact", seed: int = 0, cuts: tuple[int, ...] = ()
    ) -> Observation:
        """`observe` on many pairs, added up: `x` (R, M, K), `w` (S, N, K), each for R / S of `x` in a row."""
        ...

    def count(self, m: int, k: int, n: int) -> Events:
        """The data-independent events of one matmul, in closed form; equal to those of `execute`."""
        ...

    def expect(self, m: int, k: int, n: int, statistics: Statistics) -> Events:
        """The data-dependent events that `statistics` predict for one matmul."""
        ...

    def cycles(self, m: int, k: int, n: int) -> int:
        """Clock cycles of one matmul; where they depend on the operands, those of operands without zeros."""
        ...

    def streams(self, m: int, k: int, n: int) -> Streams:
        """What one matmul reads from the buffers and writes to them."""
        ...

    @property
    def cycles_vary(self) -> bool:
        """Whether the cycles of an execution depend on the operands."""
        ...

    @property
    def grain(self) -> tuple[int, int, int]:
        """M, K and N of its smallest unit of work: tiles that are no multiples of it leave parts of it idle."""
        ...

    @property
    def tile_columns(self) -> int:
        """Output columns that are computed side by side; tiles of N that are multiples of it change no event."""
        ...

    @property
    def tile_depth(self) -> int:
        """Of one that is `sums_tiles`: tiles of K that are multiples of it change no event."""
        ...

    @property
    def arithmetic(self) -> str:
        """The number format of its operations, as the papers price them."""
        ...

    @property
    def number_format(self) -> str:
        """What its weights buffer holds a weight as, of a floating-point one: `fp16`, `bf16`, `e4m3`, ..."""
        ...

    @property
    def sums_tiles(self) -> bool:
        """Whether sums of tiles of K are added in its own accumulators, which take up those of the tiles before.

        Otherwise an adder beside the buffer of sums joins them.
        """
        ...

    @property
    def holds(self) -> tuple[int, int]:
        """M and N of the sums that its registers can keep between tiles of K; (0, 0): none."""
        ...

    @property
    def staying(self) -> "Datapath":
        """The same datapath for calls whose sums stay in its registers; only where it `holds` them."""
        ...

    @property
    def reset(self) -> "Datapath":
        """The same datapath, reset between all its tiles; itself, unless its registers keep values in between."""
        ...

    def between(self, apart: Any, tiles: Tiles) -> Mapping[str, int]:
        """Of one that is not its `reset`: the events of all `tiles` that depend on what its registers held before.

        `apart`: prepared weights by columns and parts of K, as in `bitsim.datapath.tiled`.
        """
        ...

    def joining(self, m: int, n: int) -> Events:
        """The addition of m x n sums to those of the tiles of K before, where it is not `sums_tiles`."""
        ...

    @property
    def output_range(self) -> Range | None:
        """What a sum in the buffer of sums holds; None: binary16, or binary32 if it has 32 bits."""
        ...

    @property
    def saturates(self) -> bool:
        """Whether sums that leave their range stay at its ends; otherwise they wrap."""
        ...

    @property
    def join_overflow(self) -> str:
        """The event of a sum that leaves its range when tiles of K are joined."""
        ...

    @property
    def takes_arrays(self) -> bool:
        """Whether `tile_costs` finds the costs of many shapes together, not one by one."""
        ...

    def tile_costs(self, m: Array, k: Array, n: Array) -> TileCosts:
        """`cycles` and `streams` of many shapes: int64 arrays that broadcast."""
        ...

    @property
    def act_bits(self) -> int:
        """Bits of an activation in its buffer."""
        ...

    @property
    def sum_bits(self) -> int:
        """Bits of a partial sum in its buffer."""
        ...

    def parts(self) -> Mapping[str, int] | None:
        """What it is built of: how many of each part, by the names in a technology's `areas`; None: not told."""
        ...

    @property
    def no_parts(self) -> str:
        """Why `parts` is None, as continuation of "datapaths of kind ..."."""
        ...

    def registers(self) -> Mapping[str, int]:
        """Its integer accumulators by their names in `overflow.*` events, and their bits."""
        ...

    def bounds(self, k: int) -> Mapping[str, Range]:
        """By accumulator, the sums that legal operands of depth `k` can reach; empty for floating point."""
        ...

    def seen(self, x: Array, w: Any) -> Mapping[str, Range]:
        """By accumulator, the sums that these operands reach in registers of unlimited width."""
        ...
