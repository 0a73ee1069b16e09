"""What ggml's block types hold, weight by weight in plain Python: the specification of the fast decoders.

Each function takes the bytes of one block and gives its weights as Python floats, rounded to float32 where ggml rounds.
"""

import struct

from bitsim.quant.reference import f32


def half(block, at):
    return struct.unpack_from("<e", block, at)[0]


def signed(byte):
    return byte - 256 if byte > 127 else byte


def q8_0(block):
    return [f32(signed(code) * half(block, 0)) for code in block[2:]]


def q4_0(block):
    codes = [block[2 + e % 16] >> 4 * (e // 16) & 15 for e in range(32)]
    return [f32(half(block, 0) * (code - 8)) for code in codes]


def q5_0(block):
    bits = int.from_bytes(block[2:6], "little")
    codes = [block[6 + e % 16] >> 4 * (e // 16) & 15 | (bits >> e & 1) << 4 for e in range(32)]
    return [f32(half(block, 0) * (code - 16)) for code in codes]


def scale_and_min(block, run):
    """The 6-bit scale and minimum of one of eight runs: ggml's `get_scale_min_k4`."""
    q = block[4:16]
    if run < 4:
        return q[run] & 63, q[run + 4] & 63
    return (q[run + 4] & 15) | (q[run - 4] >> 6) << 4, (q[run + 4] >> 4) | (q[run] >> 6) << 4


def _k(block, codes):
    values = []
    for e, code in enumerate(codes):
        scale, minimum = scale_and_min(block, e // 32)
        values.append(f32(f32(f32(half(block, 0) * scale) * code) - f32(half(block, 2) * minimum)))
    return values


def q4_k(block):
    return _k(block, [block[16 + 32 * (e // 64) + e % 32] >> 4 * (e % 64 // 32) & 15 for e in range(256)])


def q5_k(block):
    low = [block[48 + 32 * (e // 64) + e % 32] >> 4 * (e % 64 // 32) & 15 for e in range(256)]
    return _k(block, [code | (block[16 + e % 32] >> e // 32 & 1) << 4 for e, code in enumerate(low)])


def q6_k(block):
    values = []
    for e in range(256):
        h, lane = divmod(e, 128)
        low = block[64 * h + lane % 64] >> 4 * (lane // 64) & 15
        high = block[128 + 32 * h + lane % 32] >> 2 * (lane // 32) & 3
        scale = f32(half(block, 208) * signed(block[192 + e // 16]))
        values.append(f32(scale * ((low | high << 4) - 32)))
    return values


def stq1_0(block):
    book = bytes.fromhex("A9892909A68626069A921A126A624A42012181A1042484A41018909840486068")
    codes = []
    for w in range(256):
        group, lane = w // 64 * 16 + w % 16, w % 64 // 16
        nibble, sign = block[group // 2] >> 4 * (group & 1) & 15, block[32 + group // 8] >> group % 8 & 1
        codes.append((book[16 * sign + nibble] >> 2 * lane & 3) - 1)
    return [f32(code * half(block, 40)) for code in codes]


def iq2_bn(block, scale):
    return [f32(((block[j % 16] >> 2 * (j // 16) & 3) - 1) * scale) for j in range(64)]


def iq1_bn(block, scale):
    values = []
    for j in range(64):
        group, lane = divmod(j, 16)
        at, digit = (12, group) if lane == 15 else (3 * group + lane // 5, lane % 5)
        v = block[at] * 3 ** (4 - digit) & 255
        values.append(f32((((v + (v >> 1)) >> 7) - 1) * scale))
    return values
