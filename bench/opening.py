"""Opening and decoding a model in every format that is read: each tensor type of GGUF, each family's sample.

    python bench/opening.py [--quick]

A minute. Types: a model of 24 million ternary weights and an embedding of 8 million, written with random codes; the
rates of weights are what carries over to other sizes. `--quick`: a tiny shape. Samples: what tests/golden keeps of each
published form, in its own small size, so that these times are what a file costs beside its weights.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # writers and samples are those of the tests

from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.quant.ggml_types import kinds_with
from bitsim.study import run
from tests.golden.archives import unpack
from tests.model.files.gguf_bytes import float_tensor, gguf_bytes, linear, metadata, random_blocks

QUICK = "--quick" in sys.argv
D, F, LAYERS, VOCAB, HEADS = (256, 512, 1, 64, 4) if QUICK else (1024, 2816, 2, 8192, 16)
LINEARS = {"attn_q": (D, D), "attn_k": (D, D), "attn_v": (D, D), "attn_output": (D, D)}
LINEARS |= {"ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}
TERNARY = ("I2_S x86", "I2_S arm", *kinds_with("codes"), "F16")
TABLES = kinds_with("floats")
TOKENS = 2 if QUICK else 6


def model_of(kind: str, table: str) -> bytes:
    """A GGUF file whose linears are of type `kind` and whose embedding, the tied head, of type `table`."""
    rng = np.random.default_rng(1)
    words = {"embedding_length": D, "feed_forward_length": F, "block_count": LAYERS, "vocab_size": VOCAB}
    words |= {"attention.head_count": HEADS, "attention.head_count_kv": HEADS, "rope.dimension_count": D // HEADS}
    keys = metadata() | {f"bitnet-b1.58.{key}": value for key, value in words.items()}
    if table in ("F32", "F16", "BF16"):
        values = np.tile(rng.standard_normal((64, D), dtype=np.float32).astype(np.float16), (VOCAB // 64, 1))
        tensors: dict[str, Any] = {"token_embd.weight": float_tensor(values, table)}
    else:
        tensors = {"token_embd.weight": random_blocks(table, (VOCAB, D))}
    for i in range(LAYERS):
        for name, shape in LINEARS.items():
            codes = rng.integers(-1, 2, shape, dtype=np.int8)
            codes[(codes == 0) & (kind == "Q1_0")] = 1
            tensors[f"blk.{i}.{name}.weight"] = linear(codes, kind, 0.03125)
        sizes = {"attn_norm": D, "ffn_norm": D, "attn_sub_norm": D, "ffn_sub_norm": F}
        tensors |= {f"blk.{i}.{name}.weight": float_tensor(np.ones(size), "F32") for name, size in sizes.items()}
    tensors["output_norm.weight"] = float_tensor(np.ones(D), "F32")
    return gguf_bytes(keys, tensors)


def seconds(call: Callable[[], object]) -> float:
    """The least of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def tokens_per_second(path: Path, **answers: Any) -> float:
    """Of decoding, without opening, laying out and the prompt."""
    stamps: list[float] = []
    model = load_model(path, **answers)
    run(
        model,
        "ternary-ws-64x64",
        tokens=[1, 2, 3],
        new_tokens=TOKENS,
        toggles="off",
        on_token=lambda token, text: stamps.append(time.perf_counter()),
    )
    return (len(stamps) - 1) / (stamps[-1] - stamps[0])


def bench(name: str, path: Path, **answers: Any) -> None:
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    opened = seconds(lambda: load_checkpoint(path, **answers))
    rate = tokens_per_second(path, **answers)
    print(f"{name:28} {size / 1e6:7.1f} MB   opens in {1e3 * opened:7.1f} ms   decodes {rate:7.1f} tokens/s")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        for kind, table in [(kind, "F16") for kind in TERNARY] + [("TQ2_0", table) for table in TABLES]:
            path.write_bytes(model_of(kind, table))
            answers = {"i2s": kind.split()[1]} if kind.startswith("I2_S") else {}
            bench(f"linears {kind}, table {table}", path, **answers)
        unpack(Path(folder))
        for sample in sorted((Path(folder) / "families").iterdir()):
            for path in (sample / "model.gguf", sample / "config.json"):
                if path.exists():
                    answers = {"i2s": "x86"} if "i2_s" in sample.name else {}
                    bench(sample.name, path if path.suffix == ".gguf" else sample, **answers)


if __name__ == "__main__":
    main()
