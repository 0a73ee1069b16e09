"""3- and 4-bit keys, values and queries: unsigned codes with one scale per head and position.

a4.8 says that heads are "directly quantized to unsigned integers using absmax", after RoPE and without calibration,
and gives neither offset nor scale. Two symmetric mappings fit these words; both are here:

* "centred": `code = clip(rint(f32(x * s)), -(2^(b-1) - 1), 2^(b-1) - 1) + 2^(b-1)`, `s = f32((2^(b-1) - 1) / absmax)`.
  Zero is exact, code 0 is never used: 7 levels at 3 bits, 15 at 4. The default, because integer matmuls on it need only
  an integer zero point, and unused or masked zeros stay zero.
* "full_range": `code = clip(floor(f32(x * s)), -2^(b-1), 2^(b-1) - 1) + 2^(b-1)`, `s = f32((2^(b-1) - 1/2) / absmax)`,
  read back at the middle of the step. All 2^b codes are used, zero is not one of the values.

A scale per head and position (not per head over all positions) is the only one that lets a cache grow without
quantising old entries anew. absmax is clamped at 1e-5. Source: arXiv 2411.04965 section 2; 2504.18415 (BOS at 8 bit).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError, OperandError
from bitsim.quant.base import EPS, Float32

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Mapping = Literal["centred", "full_range"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KVCodes:
    """Quantised heads: `codes` uint8 (H, T, D), `step` float32 (H, T, 1), `zero` float32 (T, 1), `bits` int64 (T,).

    `zero` is the code of the value 0: an integer for "centred", half-way between two codes for "full_range".
    """

    codes: UInt8
    step: Float32
    zero: Float32
    bits: Int64

    def values(self) -> Float32:
        """`f32(f32(code - zero) * step)`, float32 (H, T, D)."""
        return (self.codes.astype(np.float32) - self.zero) * self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class KVFormat:
    """How heads are stored: `bits` per value, `bos_bits` for the first `bos_positions` positions of the sequence.

    `bits` and `bos_bits`: 2 to 8. Raises `ConfigError` for others.
    """

    name: str
    bits: int
    bos_bits: int
    bos_positions: int = 1
    mapping: Mapping = "centred"
    source: str = ""

    def __post_init__(self) -> None:
        for what, bits in (("bits", self.bits), ("bos_bits", self.bos_bits)):
            if not 2 <= bits <= 8:
                raise ConfigError(f"KV format {self.name!r}: {what}: expected 2 to 8, got {bits}")
        if self.bos_positions < 0:
            raise ConfigError(f"KV format {self.name!r}: bos_positions: expected 0 or more, got {self.bos_positions}")

    def quantise(self, x: Float32, first_position: int = 0) -> KVCodes:
        """Quantise heads `x`, float32 (H, T, D), whose first row stands at `first_position` of the sequence.

        Rows do not depend on each other: appending gives the same codes as quantising at once. Raises `OperandError`
        for other shapes and dtypes, NaN, infinities and values that would read back as infinities.
        """
        if x.ndim != 3 or x.dtype != np.float32 or x.shape[2] == 0:
            raise OperandError(f"heads: expected float32 (H, T, D), D >= 1, got {x.dtype} {x.shape}")
        finite = np.isfinite(x)
        if not finite.all():
            head, t, d = (int(i) for i in np.argwhere(~finite)[0])
            raise OperandError(f"heads[{head}, {t}, {d}]: expected a finite number, got {x[head, t, d]}")
        positions = first_position + np.arange(x.shape[1])
        bits = np.where(positions < self.bos_positions, self.bos_bits, self.bits)
        half = np.ldexp(np.float32(1), bits - 1)[:, None]
        level = half - np.float32(1 if self.mapping == "centred" else 0.5)
        absmax = np.maximum(np.abs(x).max(axis=2, keepdims=True), EPS)
        step = absmax / level
        with np.errstate(over="ignore"):
            if not np.isfinite(level * step).all():
                raise OperandError("heads: the largest value reads back beyond float32")
        scaled = x * (level / absmax)
        if self.mapping == "centred":
            codes, zero = np.clip(np.rint(scaled), -level, level) + half, half
        else:
            codes, zero = np.clip(np.floor(scaled), -half, half - 1) + half, level
        return KVCodes(codes=codes.astype(np.uint8), step=step, zero=zero, bits=bits)


KVStorage = int | KVFormat  # plain numbers of so many bits, or codes and steps
STEP_BITS = 16


def kv_stored_bits(storage: KVStorage, head_dim: int, first_position: int, positions: int) -> int:
    """Bits of one head's keys (or values) over some positions: plain numbers of `storage` bits, or codes and steps.

    The papers do not say how wide a step is stored; it is counted as 16 bits (assumed).
    """
    if isinstance(storage, int):
        return positions * head_dim * storage
    special = max(0, min(storage.bos_positions, first_position + positions) - first_position)
    codes = head_dim * (positions * storage.bits + special * (storage.bos_bits - storage.bits))
    return codes + positions * STEP_BITS


_A48 = "arXiv 2411.04965 section 2"
KV_FORMATS = {
    f.name: f
    for f in (
        KVFormat(name="kv8", bits=8, bos_bits=8, source=f"{_A48}, 8 bit throughout"),
        KVFormat(name="kv4", bits=4, bos_bits=4, source=_A48),
        KVFormat(name="kv3_bos4", bits=3, bos_bits=4, source=f"{_A48}, BOS heads at 4 bit"),
        KVFormat(name="kv3_bos8", bits=3, bos_bits=8, source="arXiv 2504.18415, BOS at 8 bit"),
        KVFormat(name="kv4_full_range", bits=4, bos_bits=4, mapping="full_range", source=_A48),
        KVFormat(name="kv3_bos4_full_range", bits=3, bos_bits=4, mapping="full_range", source=_A48),
    )
}
# What "8 bit", "4 bit" and "3 bit" mean wherever nothing but a number is given: the formats of BitNet a4.8, the paper
# that defines caches of few bits (section 2: 3-bit KV with the heads of BOS at 4 bit). BitNet v2 keeps BOS at 8 bit
# (arXiv 2504.18415); its numerics `v2_a4_kv3` name that format.
KV_OF_BITS = {8: KV_FORMATS["kv8"], 4: KV_FORMATS["kv4"], 3: KV_FORMATS["kv3_bos4"]}
