"""bitnet.cpp's I2_S matmul as its CPU kernels compute it: exact until an int16 lane wraps.

A kernel reads the ternary codes as 0, 1, 2 and adds `code * q` in int16 lanes, modulo 2^16, over 32 blocks of weights;
then the lanes are widened and added in int32. A lane adds up to 256 products of at most 2 * 127: twice what int16 can
hold.

* "avx2": blocks of 128, 16 lanes, element k of a row in lane `(k mod 32) div 2`; 4096 weights between widenings.
* "neon" (ARM without dot-product instructions): blocks of 64, 8 lanes, element k in lane `k mod 8`; 2048 weights.

ARM with dot-product instructions adds in int32 and is exact. Evidence (tests/datapath/test_i2s_dot.py): the avx2 sums
equal the compiled kernel's, golden gguf/i2s_vectors.npz and -8192 for K = 4096, all weights +1, all q = 127; the neon
form equals its source compiled with every intrinsic replaced by a loop (test_cpu_simd.py there). Source:
microsoft/BitNet `16da220` `src/ggml-bitnet-mad.cpp` (MIT), `ggml_vec_dot_i2_i8_s`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitsim._jit import team
from bitsim.datapath.kernels.i2s import NOWHERE, i2s_rawdots
from bitsim.datapath.matmul import MAX_K_TERNARY, ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.errors import OperandError, UnknownNameError

_WORTH_A_TEAM = 2**18  # MACs

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class I2sVariant:
    """`block`: weights read at once, which K must be a multiple of; `group`: weights between two widenings."""

    block: int
    group: int
    lanes: int
    adjacent: int

    def lane_of(self, k: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lane that adds element `k` of a row: `adjacent` neighbours share one."""
        return k // self.adjacent % self.lanes


VARIANTS: Mapping[str, I2sVariant] = {
    "avx2": I2sVariant(block=128, group=4096, lanes=16, adjacent=2),
    "neon": I2sVariant(block=64, group=2048, lanes=8, adjacent=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class I2sSums:
    """What one matmul gave.

    * `y`: int32 (M, N), the kernel's raw dot product less the sum of the token's codes, as its caller subtracts it:
      equal to the exact product of `x_q` and the ternary codes where nothing wrapped, else off by multiples of 2^16.
    * `wrapped`: lanes of groups whose sum left int16. `first`: (m, k, n) of the first, in that order, k being the first
      of its group.
    """

    y: Int32
    wrapped: int
    first: tuple[int, int, int] | None


def i2s_matmul(x_q: Int8, w: Int8 | PackedTernary, variant: str = "avx2") -> I2sSums:
    """`x_q` int8 (M, K) times ternary `w` (N, K), int8 or packed, with the wraps of bitnet.cpp's kernel.

    Bit-exact with the kernel, see the module. Tokens for which no ternary weights could wrap a lane take the fast exact
    matmul. Raises `OperandError` for shapes, dtypes, weights that are not ternary, and a K that is not a multiple of
    the kernel's block; `UnknownNameError` for another variant.
    """
    kernel = _variant(variant)
    packed = w if isinstance(w, PackedTernary) else PackedTernary.from_codes(w)
    _check(x_q, packed.k, variant, kernel)
    y = np.empty((len(x_q), packed.n), np.int32)
    risky = can_wrap(x_q, variant)
    y[~risky] = ternary_matmul(x_q[~risky], packed)
    if not risky.any():
        return I2sSums(y=y, wrapped=0, first=None)
    x = np.ascontiguousarray(x_q[risky])
    codes = np.ascontiguousarray(packed.codes() if isinstance(w, PackedTernary) else w)
    raw, wraps, first = (np.empty((len(x), packed.n), np.int32) for _ in range(3))
    with team(x.size * packed.n, _WORTH_A_TEAM):
        i2s_rawdots(x, codes, kernel.lane_of(np.arange(32)), kernel.group, raw, wraps, first)
    y[risky] = raw - x.sum(axis=1, dtype=np.int32, keepdims=True)
    return I2sSums(y=y, wrapped=int(wraps.sum(dtype=np.int64)), first=_first(np.flatnonzero(risky), first))


def can_wrap(x_q: Int8, variant: str = "avx2") -> NDArray[np.bool_]:
    """bool (M,): whether some ternary weights would make a lane leave int16 for this token.

    Codes are 0, 1 or 2, so a lane's sum lies between twice the sums of its negative and of its positive q, and both
    ends are reached. Never true where `8 * blocks * 2 * max|q| <= 32767` with the blocks of a group. K must be a
    multiple of the variant's block.
    """
    kernel = _variant(variant)
    _check(x_q, x_q.shape[-1], variant, kernel)
    risky = np.zeros(len(x_q), np.bool_)
    for start in range(0, x_q.shape[1], kernel.group):
        by_lane = x_q[:, start : start + kernel.group].reshape(len(x_q), -1, kernel.lanes, kernel.adjacent)
        most = np.maximum(by_lane, 0).sum(axis=(1, 3), dtype=np.int32)
        least = np.minimum(by_lane, 0).sum(axis=(1, 3), dtype=np.int32)
        risky |= ((2 * most > 32767) | (2 * least < -32768)).any(axis=1)
    return risky


def _variant(name: str) -> I2sVariant:
    if name not in VARIANTS:
        raise UnknownNameError("I2_S kernel", name, VARIANTS)
    return VARIANTS[name]


def _check(x_q: Int8, k: int, name: str, variant: I2sVariant) -> None:
    if x_q.dtype != np.int8 or x_q.ndim != 2 or x_q.shape[1] != k:
        raise OperandError(f"x_q: expected int8 (M, K={k}), got {x_q.dtype} {x_q.shape}")
    if k % variant.block:
        raise OperandError(
            f"x_q: K = {k}: expected a multiple of {variant.block}, the block of bitnet.cpp's {name} kernel, which "
            f"leaves out what remains"
        )
    if k > MAX_K_TERNARY:
        raise OperandError(f"x_q: expected K <= {MAX_K_TERNARY}, so that sums fit int32, got {k}")


def _first(tokens: NDArray[np.int64], first: Int32) -> tuple[int, int, int] | None:
    """The (m, k, n) that comes first of `first`, int32 (len(tokens), N) of the k's of rows `tokens`, or NOWHERE."""
    hit = first != NOWHERE
    if not hit.any():
        return None
    row = int(np.argmax(hit.any(axis=1)))
    k = int(first[row][hit[row]].min())
    return int(tokens[row]), k, int(np.argmax(first[row] == k))
