"""GGUF files for tests, written field by field: an independent and careless writer, so that files can also be wrong."""

import struct

import numpy as np

from bitsim.quant.ggml_types import TYPES
from bitsim.quant.i2s import pack_i2s
from bitsim.quant.q_ternary import pack_q1_0, pack_q2_0
from bitsim.quant.tq import pack_ptq1_0, pack_tq1_0, pack_tq2_0

TYPE_IDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q5_0": 6, "Q8_0": 8, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "BF16": 30}
TYPE_IDS |= {"TQ1_0": 34, "TQ2_0": 35, "I2_S": 36, "Q1_0": 41, "Q2_0": 42, "PQ2_0": 142, "PTQ1_0": 143}
TYPE_IDS |= {"PQ2_0 as 42": 42, "STQ1_0": 43, "STQ1_0 as 42": 42, "IQ1_BN": 134, "IQ2_BN": 135}
PACKERS = {"TQ1_0": pack_tq1_0, "TQ2_0": pack_tq2_0, "PTQ1_0": pack_ptq1_0, "Q1_0": pack_q1_0, "Q2_0": pack_q2_0}
PACKERS["PQ2_0"] = PACKERS["PQ2_0 as 42"] = lambda codes, scale: pack_q2_0(codes, scale, 128)
D, F, LAYERS, VOCAB = 256, 512, 2, 40
LINEARS = {"attn_q": (D, D), "attn_k": (D // 2, D), "attn_v": (D // 2, D), "attn_output": (D, D)}
LINEARS |= {"ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def key_value(key, value):
    """A key with a value: str, bool, int (uint32), float (float32), list of str, or float32 or int array."""
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return text(key) + struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    if value.dtype.kind == "i":
        return text(key) + struct.pack("<IIQ", 9, 5, len(value)) + value.astype("<i4").tobytes()
    return text(key) + struct.pack("<IIQ", 9, 6, len(value)) + np.asarray(value, "<f4").tobytes()


def gguf_bytes(metadata, tensors, version=3, alignment=32):
    """`tensors`: name -> (type name or id, numpy shape, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(key_value(key, value) for key, value in metadata.items())
    data = b""
    for name, (kind, shape, raw) in tensors.items():
        data += bytes(-len(data) % alignment)
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        head += struct.pack("<IQ", TYPE_IDS.get(kind, kind), len(data))
        data += raw
    return head + bytes(-len(head) % alignment) + data


def metadata(arch="bitnet-b1.58", **changes):
    values = {
        "general.architecture": arch,
        "general.name": "test",
        "tokenizer.ggml.tokens": ["a", "", "bcd"],
        f"{arch}.embedding_length": D,
        f"{arch}.feed_forward_length": F,
        f"{arch}.block_count": LAYERS,
        f"{arch}.context_length": 128,
        f"{arch}.vocab_size": VOCAB,
        f"{arch}.attention.head_count": 4,
        f"{arch}.attention.head_count_kv": 2,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{arch}.rope.freq_base": 500000.0,
        f"{arch}.rope.dimension_count": 64,
    }
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in values.items() if value is not None}


def model_codes(seed=0):
    """GGUF name -> ternary codes of every linear."""
    rng = np.random.default_rng(seed)
    return {
        f"blk.{i}.{name}.weight": rng.integers(-1, 2, shape).astype(np.int8)
        for i in range(LAYERS)
        for name, shape in LINEARS.items()
    }


def binary(codes, kind):
    """The codes that `kind` can hold."""
    return np.where(codes > 0, np.int8(1), np.int8(-1)) if kind == "Q1_0" else codes


def linear(codes, kind, scale):
    """One ternary matrix as a tensor of type `kind` ("I2_S x86" and "I2_S arm" for I2_S)."""
    if kind in PACKERS:
        return kind, codes.shape, PACKERS[kind](codes, scale).tobytes()
    if kind.split()[0] in ("STQ1_0", "IQ1_BN"):  # no packers
        return random_blocks(kind, codes.shape, scale)
    if kind == "IQ2_BN":
        fields = (codes + 1).view(np.uint8).reshape(len(codes), -1, 4, 16) << np.arange(0, 8, 2, dtype=np.uint8)[
            :, None
        ]
        rows = np.bitwise_or.reduce(fields, axis=2).reshape(len(codes), -1)
        return kind, codes.shape, b"".join(struct.pack("<f", scale) + row.tobytes() for row in rows)
    if kind.startswith("I2_S"):
        raw = pack_i2s(codes, kind.split()[1]).tobytes() + struct.pack("<f", scale)
        return "I2_S", codes.shape, raw + bytes(28)
    return float_tensor(codes * np.float32(scale), kind)


def float_tensor(values, kind):
    values = np.asarray(values, np.float32)
    if kind == "BF16":
        return kind, values.shape, (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    return kind, values.shape, values.astype({"F32": "<f4", "F16": "<f2"}[kind]).tobytes()


def random_blocks(kind, shape, scale=0.01, seed=5):
    """A matrix of any block type: random bytes, all scales `scale`."""
    known, rng = TYPES[kind.split()[0]], np.random.default_rng(seed)
    n, k = shape
    blocks = rng.integers(0, 256, (n, k // known.block, known.block_bytes), dtype=np.uint8)
    half = np.frombuffer(struct.pack("<e", scale), np.uint8)
    for at in known.halves:
        blocks[..., at : at + 2 if at != -2 else None] = half
    rows = blocks.reshape(n, -1)
    if known.row_bytes == 2:
        rows = np.concatenate([np.tile(half, (n, 1)), rows], axis=1)
    return kind, shape, rows.tobytes()


def q8_0(codes, scales):
    """Codes int8 (N, K) and block scales float16 (N, K/32)."""
    n, k = codes.shape
    raw = np.concatenate([scales[..., None].view(np.uint8), codes.reshape(n, -1, 32).view(np.uint8)], axis=2)
    return "Q8_0", (n, k), raw.tobytes()


def model_tensors(kind="TQ2_0", scale=0.5, embedding="F16", *, tied=True, sub_norms=True, seed=0):
    """A whole model, all linears of type `kind`."""
    rng = np.random.default_rng(seed + 1)

    def matrix():
        if embedding in ("F32", "F16", "BF16"):
            return float_tensor(rng.standard_normal((VOCAB, D)).astype(np.float16), embedding)
        if embedding in PACKERS:
            return linear(binary(rng.integers(-1, 2, (VOCAB, D)).astype(np.int8), embedding), embedding, scale)
        return random_blocks(embedding, (VOCAB, D))

    tensors = {"token_embd.weight": matrix()}
    if not tied:
        tensors["output.weight"] = matrix()
    for name, codes in model_codes(seed).items():
        tensors[name] = linear(binary(codes, kind), kind, scale)
    sizes = {"attn_norm": D, "ffn_norm": D}
    if sub_norms:
        sizes |= {"attn_sub_norm": D, "ffn_sub_norm": F}
    norms = {f"blk.{i}.{name}.weight": size for i in range(LAYERS) for name, size in sizes.items()}
    for name, size in (norms | {"output_norm.weight": D}).items():
        tensors[name] = float_tensor(rng.uniform(0.5, 2, size), "F32")
    return tensors
