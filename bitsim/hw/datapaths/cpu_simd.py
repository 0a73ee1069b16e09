"""bitnet.cpp's CPU kernels; how they work is told by `bitsim.datapath.cpu_simd`."""

from math import ceil
from typing import Annotated, Literal

from pydantic import model_validator

from bitsim.hw.constants import Constant, in_unit
from bitsim.hw.datapaths.base import DatapathDescription, OverflowMode, at_least_one, within
from bitsim.hw.source import problem

ACC_BITS = 32
PAIR_COLUMNS = 32  # TL2 computes the columns that no block of triples takes in pairs, so many at a time
STRIPE = 32  # rows that TL2 sums side by side
_I2S_BLOCKS = {"i2s_avx2": 128, "i2s_neon": 64}
# Products and instructions of the innermost loop, which a large matmul approaches.
_INNERMOST = {"i2s_avx2": (128, 20), "i2s_neon": (64, 20), "tl1": (256, 60), "tl2": (192, 39)}


class CpuSimdSpec(DatapathDescription):
    """Cores that run one of bitnet.cpp's kernels.

    * `kernel`: `i2s_avx2`, `i2s_neon` (ARM without dot-product instructions), `tl1` (NEON) or `tl2` (AVX2).
    * `pad`: fill up K, and for tables N, with zeros to what the kernel needs; without it such a matmul is refused.
    * `bm`: rows of a block of weights (tables only). `bk`: columns of a block of weights (tables only).
    * `bmm`: rows that are summed side by side (tables only; all three names are from bitnet.cpp's kernel_config.ini).
    * `threads`: cores that share the outputs of a matmul in whole blocks of rows, and the chip's memories: its levels
      are the caches of all of them. One builds the tables of a token (tables only) while the others wait.
    * `instructions_per_cycle`: how many vector instructions a core ends per cycle; times rest on this number alone.
    * `acc_bits`: 32 bits, as the instruction set has. `overflow`: `wrap`, as its additions do.
    """

    kind: Literal["cpu_simd"]
    kernel: Literal["i2s_avx2", "i2s_neon", "tl1", "tl2"]
    pad: bool = False
    bm: Annotated[int, within(32, 4096, "the kernel computes 32 outputs at a time")] | None = None
    bk: Annotated[int, within(16, 256, "a step takes 16 of K", "int16 holds no longer sums")] | None = None
    bmm: Literal[32, 64] | None = None
    threads: Annotated[int, at_least_one(1024, "a core")] = 1
    instructions_per_cycle: Annotated[Constant, in_unit("ratio", positive=True, at_most=16.0)]
    acc_bits: int = ACC_BITS
    overflow: OverflowMode = "wrap"

    @model_validator(mode="after")
    def _possible(self) -> "CpuSimdSpec":
        if self.acc_bits != ACC_BITS:
            raise problem(f"must be 32, the width of the kernel's sums (got {self.acc_bits})", key="acc_bits")
        if self.overflow != "wrap":
            raise problem(f"must be 'wrap', as the kernel's additions do (got {self.overflow!r})", key="overflow")
        for key in ("bm", "bk", "bmm"):
            given = getattr(self, key)
            if self.tables and given is None:
                raise problem(f"must be given for {self.kernel}, which is compiled for it", key=key)
            if not self.tables and given is not None:
                raise problem(f"must be left out: {self.kernel} has no blocks of tables (got {given})", key=key)
        if self.tables:
            self._blocks()
        return self

    def _blocks(self) -> None:
        step, least = (16, 16) if self.kernel == "tl1" else (96, 96)
        most = 256 if self.kernel == "tl1" else 192
        if self.block_k % step or not least <= self.block_k <= most:
            raise problem(
                f"must be a multiple of {step} from {least} to {most}, so that blocks fill the kernel's registers and "
                f"int16 holds their sums (got {self.bk})",
                key="bk",
            )
        if self.kernel == "tl2" and self.bmm != STRIPE:
            raise problem(f"must be {STRIPE} for tl2 (got {self.bmm})", key="bmm")
        if self.block_n % self.stripe:
            raise problem(f"must be a multiple of bmm = {self.bmm} (got {self.bm})", key="bm")

    @property
    def tables(self) -> bool:
        """Whether it looks up sums of activations instead of multiplying."""
        return self.kernel in ("tl1", "tl2")

    @property
    def isa(self) -> Literal["avx2", "neon"]:
        """The instruction set, in event names."""
        return "avx2" if self.kernel in ("i2s_avx2", "tl2") else "neon"

    @property
    def block_n(self) -> int:
        return self.bm or 1

    @property
    def block_k(self) -> int:
        return self.bk or _I2S_BLOCKS[self.kernel]

    @property
    def stripe(self) -> int:
        return self.bmm or 1

    @property
    def step_k(self) -> int:
        """What K must be a multiple of."""
        return PAIR_COLUMNS if self.kernel == "tl2" else self.block_k

    @property
    def unit(self) -> str:
        """`i2s_avx2`, `tl1_bm64_bk64_bmm32`."""
        return f"{self.kernel}_bm{self.bm}_bk{self.bk}_bmm{self.bmm}" if self.tables else self.kernel

    @property
    def macs_per_cycle(self) -> int:
        """Of the innermost loop, rounded up; all else comes on top of it."""
        products, instructions = _INNERMOST[self.kernel]
        return self.threads * ceil(products * self.instructions_per_cycle.nominal / instructions)

    def busiest(self, n: int) -> int:
        """Of `n` outputs, a multiple of `block_n`, those of the core that has most."""
        return -(-(n // self.block_n) // self.threads) * self.block_n

    def text(self) -> str:
        padding = f"K padded to {self.step_k}" if self.pad else f"K a multiple of {self.step_k}"
        if self.tables:
            padding += f", N padded to {self.bm}" if self.pad else f", N a multiple of {self.bm}"
        cores = "one core" if self.threads == 1 else f"{self.threads} cores"
        return f"{self.unit}, {cores}, instructions per cycle {self.instructions_per_cycle.text()}, {padding}"
