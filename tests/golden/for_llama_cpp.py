"""The model that llama.cpp was asked about: what `bitsim convert --arch bitnet` writes, the same bytes everywhere.

Architecture bitnet as llama.cpp computes it (SILU, sub norms, tied head), random ternary weights with which attention
stays soft, and a byte-level BPE vocabulary of 256 bytes, four merges and two special tokens. What llama.cpp said of the
files is in `llama_cpp.json`, see tools/record_llama_cpp.py. Of three seeds this is the one whose 24 greedy tokens are
the same under llama.cpp's blocks of activations: with the two others one token differed, where the two best of logits
around 50 were 0.1 apart, and those behind it with it.
"""

import json
from pathlib import Path

import numpy as np

from bitsim.model.checkpoint import load_checkpoint
from bitsim.model.convert import convert
from bitsim.model.files.gguf_vocabulary import LLAMA3_SPLIT
from tests.model.files.gguf_bytes import LAYERS, LINEARS, D, F, float_tensor, gguf_bytes, linear, metadata

PROMPT = "In the beginning, 1 + 2 = \u00fcber"
PACKINGS = ("tq1_0", "tq2_0")
MERGES = ("i n", "t h", "th e", "\u0120 the")
BOS, EOS = "<|begin|>", "<|end|>"


def alphabet() -> list[str]:
    """The characters that stand for the 256 bytes in a byte-level vocabulary: printable ones for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte if byte in plain else 256 + others.index(byte)) for byte in range(256)]


def tokenizer_json() -> dict[str, object]:
    tokens = [*alphabet(), *(merge.replace(" ", "") for merge in MERGES)]
    split = {"type": "Split", "pattern": {"Regex": LLAMA3_SPLIT}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    begin = {"type": "TemplateProcessing", "special_tokens": {BOS: {"id": BOS, "ids": [len(tokens)], "tokens": [BOS]}}}
    begin["single"] = [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    begin["pair"] = begin["single"]
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": len(tokens) + i, "content": name} | added for i, name in enumerate((BOS, EOS))],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": {"type": "Sequence", "processors": [level, begin]},
        "decoder": {"type": "ByteLevel"},
        "model": {
            "type": "BPE",
            "ignore_merges": True,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": list(MERGES),
        },
    }


def files(folder: Path) -> dict[str, Path]:
    """Writes a Hugging Face directory into `folder`, and of it a GGUF file for llama.cpp by packing."""
    source, directory, rng = folder / "source.gguf", folder / "model", np.random.default_rng(19)
    vocab = 256 + len(MERGES) + 2

    def values(*shape: int) -> np.ndarray:  # integers, whose draw is the same on every machine
        return rng.integers(-128, 129, shape).astype(np.float32) / 64

    tensors = {"token_embd.weight": float_tensor(values(vocab, D), "BF16")}
    for i in range(LAYERS):
        for name, shape in LINEARS.items():
            codes = rng.integers(-1, 2, shape).astype(np.int8)
            tensors[f"blk.{i}.{name}.weight"] = linear(
                codes, "TQ2_0", 1.0 if name in ("attn_output", "ffn_down") else 0.0625
            )
        for name, size in {"attn_norm": D, "ffn_norm": D, "attn_sub_norm": D, "ffn_sub_norm": F}.items():
            tensors[f"blk.{i}.{name}.weight"] = float_tensor(1 + values(size) / 8, "F32")
    tensors["output_norm.weight"] = float_tensor(1 + values(D) / 8, "F32")
    source.write_bytes(gguf_bytes(metadata("bitnet", bitnet__vocab_size=vocab), tensors))
    convert(load_checkpoint(source), directory, "hf", "2bit")
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS})
    )
    written = {}
    for packing in PACKINGS:
        written[packing] = folder / f"{packing}.gguf"
        convert(load_checkpoint(directory), written[packing], "gguf", packing, upstream=True)
    return written


# Of SentencePiece's vocabularies: pieces of these, at random with scores of which many are equal.
SAID = "the lamb and the other thing: there is nothing in the beginning that the theatre bathes in"
TEXTS = (
    "the lamb", " the  lamb ", "nothing in the theatre", "a", " ", "\n\nthe\tother", "\u00e9l\u00e9n \U0001f411 \u4e2d",
    "</s>the<s> lamb<tool>the <tool>", "<unk> the", "\u2581the", "thetheththe there", "inginging", "THE", "x<too l>",
    "beginning the beginning that the other lamb bathes in nothing", "aaaaaaaaaaaaaaaaaaaaa", "<0x41>",
)  # fmt: skip
SPM_MODELS = {
    "plain": {},
    "no space": {"tokenizer.ggml.add_space_prefix": False},
    "eos": {"tokenizer.ggml.add_eos_token": True},
}


def spm_file(folder: Path, name: str) -> Path:
    """A GGUF file with a vocabulary of SentencePiece and no model, by its name in `SPM_MODELS`."""
    rng = np.random.default_rng(len(name))
    said = SAID.replace(" ", "\u2581")
    starts, sizes = rng.integers(0, len(said) - 6, 400), rng.integers(1, 7, 400)
    pieces = [said[i : i + size] for i, size in zip(starts, sizes, strict=True)]
    pieces = list(dict.fromkeys(pieces))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, "<tool>"]
    types = [2, 3, 3, *[6] * 256, *[1] * len(pieces), 4]
    scores = np.concatenate([np.zeros(259), -rng.integers(0, 40, len(pieces)), [0]]).astype(np.float32)
    keys = metadata("bitnet", bitnet__vocab_size=len(tokens)) | {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": np.array(types, np.int32),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    path = folder / f"{name}.gguf"
    path.write_bytes(gguf_bytes(keys | SPM_MODELS[name], {"output_norm.weight": float_tensor(np.ones(D), "F32")}))
    return path
