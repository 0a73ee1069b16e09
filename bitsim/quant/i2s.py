"""bitnet.cpp's I2_S: two bits per weight of the flattened (N, K) matrix, high bits first, in a layout per machine.

A run of QK weights fills QK / 4 bytes: byte p holds `w[p]` at bits 7:6, `w[p + QK/4]` at 5:4, `w[p + 2 QK/4]` at 3:2
and `w[p + 3 QK/4]` at 1:0, each as `code + 1`. QK is 128 on x86 (AVX2, ACT_PARALLEL) and 64 on ARM (NEON): nothing in
the bytes tells which. The last run is padded with code 0. Runs ignore row ends.
Source: microsoft/BitNet `16da220` `src/ggml-bitnet-mad.cpp` (MIT); x86 bytes equal the compiled kernel's.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from bitsim.errors import OperandError, UnknownNameError
from bitsim.quant.packing import Int8, UInt8, check_codes

I2sLayout = Literal["x86", "arm"]
I2S_RUN: Mapping[str, int] = {"x86": 128, "arm": 64}


def i2s_layout(name: str) -> I2sLayout:
    """`name` as a layout; raises `UnknownNameError`."""
    if name not in I2S_RUN:
        raise UnknownNameError("I2_S layout", name, I2S_RUN)
    return "x86" if name == "x86" else "arm"


def i2s_bytes(n: int, k: int, layout: I2sLayout) -> int:
    """Bytes of the codes of an (N, K) matrix: a quarter of its weights, rounded up to whole runs."""
    run = I2S_RUN[layout]
    return -(-n * k // run) * (run // 4)


def pack_i2s(codes: Int8, layout: I2sLayout) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (i2s_bytes(N, K),)."""
    check_codes(codes)
    (n, k), run = codes.shape, I2S_RUN[layout]
    trits = np.ones((4 * i2s_bytes(n, k, layout),), dtype=np.uint8)
    trits[: codes.size] = codes.reshape(-1) + 1
    quarters = trits.reshape(-1, 4, run // 4)
    stored = quarters[:, 0] << np.uint8(6)
    for i in range(1, 4):
        stored |= quarters[:, i] << np.uint8(6 - 2 * i)
    return stored.reshape(-1)


def unpack_i2s(data: UInt8, n: int, k: int, layout: I2sLayout) -> Int8:
    """Unpack uint8 (i2s_bytes(N, K),) into codes int8 (N, K); raises `OperandError` on code 3."""
    expected, run = i2s_bytes(n, k, layout), I2S_RUN[layout]
    if data.dtype != np.uint8 or data.shape != (expected,):
        raise OperandError(f"I2_S {layout}: expected uint8 ({expected},), got {data.dtype} {data.shape}")
    threes = data & (data >> np.uint8(1)) & np.uint8(0x55)
    if threes.any():
        at = int(np.flatnonzero(threes)[0])
        raise OperandError(
            f"I2_S {layout}: byte {at}: expected 2-bit codes 0, 1 or 2, got code 3 in {int(data[at]):#04x}"
        )
    stored = data.reshape(-1, run // 4)
    trits = np.empty((len(stored), 4, run // 4), dtype=np.uint8)
    for i in range(4):
        np.bitwise_and(stored >> np.uint8(6 - 2 * i), np.uint8(3), out=trits[:, i])
    codes = trits.reshape(-1).view(np.int8)[: n * k]
    codes -= 1
    return codes.reshape(n, k)
