"""The byte layouts weight by weight, in plain Python: the specification of the fast ones."""


def _bytes(size, places):
    data = [0] * size
    for at, value in places:
        data[at] += value
    return bytes(data)


def hf(rows):
    n, k = len(rows), len(rows[0])
    quarter = -(-n // 4)
    places = (((r % quarter) * k + c, (rows[r][c] + 1) << 2 * (r // quarter)) for r in range(n) for c in range(k))
    return _bytes(quarter * k, places)


def _blocks(row, size=256, padding=0):
    padded = [code + 1 for code in row] + [padding + 1] * (-len(row) % size)
    return [padded[i : i + size] for i in range(0, len(padded), size)]


def _scale(block):
    return b"\x00\x3c" if any(t != 1 for t in block) else b"\0\0"  # float16 1.0 or 0.0


def tq2_0(rows):
    data = b""
    for row in rows:
        for block in _blocks(row):
            data += _bytes(64, ((32 * (e // 128) + e % 32, t << 2 * (e % 128 // 32)) for e, t in enumerate(block)))
            data += _scale(block)
    return data


def tq1_0(rows):
    data = b""
    for row in rows:
        for block in _blocks(row):
            groups = [[block[m + 32 * i] for i in range(5)] for m in range(32)]
            groups += [[block[160 + m + 16 * i] for i in range(5)] for m in range(16)]
            groups += [[block[240 + j + 4 * i] for i in range(4)] + [0] for j in range(4)]
            data += bytes(map(_tq1_byte, groups)) + _scale(block)
    return data


def _tq1_byte(trits):
    value = 0
    for trit in trits:
        value = 3 * value + trit
    return -(-value * 256 // 243)


def ptq1_0(rows):
    data = b""
    for row in rows:
        for block in _blocks(row, 128):
            groups = [[block[m + 16 * i] for i in range(5)] for m in range(16)]
            groups += [[block[80 + m + 8 * i] for i in range(5)] for m in range(8)]
            groups += [[block[120 + j + 2 * i] for i in range(4)] + [0] for j in range(2)]
            data += bytes(map(_tq1_byte, groups)) + _scale(block)
    return data


def q2_0(rows, size):
    data = b""
    for row in rows:
        for block in _blocks(row, size):
            data += _scale(block) + _bytes(size // 4, ((e // 4, t << 2 * (e % 4)) for e, t in enumerate(block)))
    return data


def q1_0(rows):
    data = b""
    for row in rows:
        for block in _blocks(row, 128, -1):
            data += b"\x00\x3c" + _bytes(16, ((e // 8, t // 2 << e % 8) for e, t in enumerate(block)))
    return data


def i2s(rows, run):
    flat = [code + 1 for row in rows for code in row]
    flat += [1] * (-len(flat) % run)
    quarter = run // 4
    return _bytes(
        len(flat) // 4,
        ((e // run * quarter + e % quarter, t << (6 - 2 * (e % run // quarter))) for e, t in enumerate(flat)),
    )


def trits5(rows, trit_of_code):
    data = b""
    for row in rows:
        trits = [trit_of_code[code] for code in row] + [trit_of_code[0]] * (-len(row) % 5)
        data += bytes(sum(t * 3**i for i, t in enumerate(trits[at : at + 5])) for at in range(0, len(trits), 5))
    return data


def signs(rows):
    """Eight weights per byte along K, the first in the lowest bit, 1 for +1."""
    packed = [
        [sum(1 << j for j, code in enumerate(row[i : i + 8]) if code > 0) for i in range(0, len(row), 8)]
        for row in rows
    ]
    return bytes(byte for row in packed for byte in row)


NAIVE = {
    "2bit": hf,
    "tq2_0": tq2_0,
    "tq1_0": tq1_0,
    "q2_0": lambda rows: q2_0(rows, 64),
    "pq2_0": lambda rows: q2_0(rows, 128),
    "ptq1_0": ptq1_0,
    "q1_0": q1_0,
    "i2_s_x86": lambda rows: i2s(rows, 128),
    "i2_s_arm": lambda rows: i2s(rows, 64),
    "trits5_offset": lambda rows: trits5(rows, {-1: 0, 0: 1, 1: 2}),
    "trits5_sign": lambda rows: trits5(rows, {-1: 2, 0: 0, 1: 1}),
    "1bit": signs,
}
