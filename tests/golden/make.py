"""Write the tiny golden model `tiny/` and what it computes, `tiny_expected.npz`.

    python tests/golden/make.py

A second, plain implementation of the format and of the forward pass: one row and one head at a time, nothing imported
from bitsim. Random weights; the config exercises what the shipped models do not: an untied head, `rope_parameters`,
three query heads per key head.
"""

import json
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
D, F, LAYERS, HEADS, KV_HEADS, VOCAB, POSITIONS, THETA, EPS = 48, 72, 2, 6, 2, 96, 24, 500000.0, 1e-5
HEAD_DIM = D // HEADS
PROMPT = [3, 1, 4, 15, 92, 65, 35, 89, 7, 9]
NEW_TOKENS = 6
f32 = np.float32


def bf16(x):
    """Round towards zero to bfloat16: a value that both formats hold is all that the test needs."""
    return (np.asarray(x, f32).view(np.uint32) >> 16).astype(np.uint16)


def value(bits):
    return (bits.astype(np.uint32) << 16).view(f32)


def ternary(w):
    mean = f32(np.mean(np.abs(w), dtype=np.float64))
    return np.clip(np.rint(w * (f32(1) / mean)), -1, 1).astype(int), mean


def pack(codes):
    n, k = codes.shape
    rows = (n + 3) // 4
    packed = np.zeros((rows, k), np.uint8)
    for i in range(n):
        packed[i % rows] |= ((codes[i] + 1) << (2 * (i // rows))).astype(np.uint8)
    return packed


def make_tensors(rng):
    """name -> (safetensors dtype, array), and name -> codes of the quantised linears."""
    tensors, codes = {}, {}

    def norm(name, size):
        tensors[f"{name}.weight"] = ("BF16", bf16(1 + 0.1 * rng.standard_normal(size)))

    def linear(name, n, k):
        codes[name], mean = ternary(rng.standard_normal((n, k)).astype(f32) * f32(1.5 / np.sqrt(k)))
        tensors[f"{name}.weight"] = ("U8", pack(codes[name]))
        tensors[f"{name}.weight_scale"] = ("BF16", bf16([mean]))

    tensors["model.embed_tokens.weight"] = ("BF16", bf16(rng.standard_normal((VOCAB, D))))
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        norm(at + "input_layernorm", D)
        for name, n in (("q", D), ("k", KV_HEADS * HEAD_DIM), ("v", KV_HEADS * HEAD_DIM)):
            linear(f"{at}self_attn.{name}_proj", n, D)
        norm(at + "self_attn.attn_sub_norm", D)
        linear(at + "self_attn.o_proj", D, D)
        norm(at + "post_attention_layernorm", D)
        linear(at + "mlp.gate_proj", F, D)
        linear(at + "mlp.up_proj", F, D)
        norm(at + "mlp.ffn_sub_norm", F)
        linear(at + "mlp.down_proj", D, F)
    norm("model.norm", D)
    tensors["lm_head.weight"] = ("BF16", bf16(rng.standard_normal((VOCAB, D)) / np.sqrt(D)))
    return tensors, codes


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Model:
    def __init__(self, tensors, codes):
        self.t, self.codes, self.seen = tensors, codes, {}

    def norm(self, name, x):
        w = value(self.t[f"{name}.weight"][1])
        return np.stack([w * (row / np.sqrt(np.mean(row * row, dtype=np.float64) + EPS)).astype(f32) for row in x])

    def linear(self, name, x):
        out, all_q = [], []
        for row in x:
            s = (f32(1) / max(np.abs(row).max(), f32(1e-5))) * f32(127)
            q = np.clip(np.rint(row * s), -128, 127).astype(int)
            sums = self.codes[name] @ q
            out.append((sums.astype(f32) / s) * value(self.t[f"{name}.weight_scale"][1])[0])
            all_q.append(q)
        self.seen[name] = np.array(all_q, np.int8)
        return np.array(out, f32)

    def rope(self, head):
        half = HEAD_DIM // 2
        inverse = f32(1) / (THETA ** (np.arange(0, HEAD_DIM, 2) / HEAD_DIM)).astype(f32)
        out = np.empty_like(head)
        for p, row in enumerate(head):
            angle = (f32(p) * inverse).astype(np.float64)
            c, s = np.cos(angle).astype(f32), np.sin(angle).astype(f32)
            out[p, :half] = row[:half] * c - row[half:] * s
            out[p, half:] = row[half:] * c + row[:half] * s
        return out

    def attention(self, at, x):
        q, k, v = (self.linear(f"{at}self_attn.{n}_proj", x) for n in "qkv")
        out = np.empty((len(x), D), f32)
        for h in range(HEADS):
            mine = slice(h * HEAD_DIM, (h + 1) * HEAD_DIM)
            kv = h // (HEADS // KV_HEADS)
            theirs = slice(kv * HEAD_DIM, (kv + 1) * HEAD_DIM)
            qh, kh, vh = self.rope(q[:, mine]), self.rope(k[:, theirs]), v[:, theirs]
            for p in range(len(x)):
                scores = (kh[: p + 1].astype(np.float64) @ qh[p]) / np.sqrt(HEAD_DIM)
                e = np.exp(scores - scores.max())
                out[p, mine] = (e / e.sum()) @ vh[: p + 1]
        return self.linear(f"{at}self_attn.o_proj", self.norm(f"{at}self_attn.attn_sub_norm", out))

    def mlp(self, at, x):
        gate, up = self.linear(f"{at}mlp.gate_proj", x), self.linear(f"{at}mlp.up_proj", x)
        return self.linear(f"{at}mlp.down_proj", self.norm(f"{at}mlp.ffn_sub_norm", np.maximum(gate, 0) ** 2 * up))

    def logits(self, tokens):
        h = value(self.t["model.embed_tokens.weight"][1])[tokens]
        for i in range(LAYERS):
            at = f"model.layers.{i}."
            h = h + self.attention(at, self.norm(at + "input_layernorm", h))
            h = h + self.mlp(at, self.norm(at + "post_attention_layernorm", h))
        return (self.norm("model.norm", h) @ value(self.t["lm_head.weight"][1]).T).astype(f32)


def main():
    tensors, codes = make_tensors(np.random.Generator(np.random.PCG64(20)))
    out = HERE / "tiny"
    out.mkdir(exist_ok=True)
    write_safetensors(out / "model.safetensors", tensors)
    config = {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "hidden_size": D,
        "intermediate_size": F,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCAB,
        "max_position_embeddings": POSITIONS,
        "rope_parameters": {"rope_theta": THETA, "rope_type": "default"},
        "rms_norm_eps": EPS,
        "hidden_act": "relu2",
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    model, tokens = Model(tensors, codes), list(PROMPT)
    expected = {"prompt": np.array(PROMPT), "logits": model.logits(tokens)}
    expected |= {f"q:{name.removeprefix('model.')}": q for name, q in model.seen.items()}
    for _ in range(NEW_TOKENS):
        tokens.append(int(np.argmax(model.logits(tokens)[-1])))
    np.savez_compressed(HERE / "tiny_expected.npz", greedy=np.array(tokens), **expected)


if __name__ == "__main__":
    main()
