"""The model that a GGUF file's metadata describes.

Keys, after `<architecture>.`; all others with that prefix are refused, because they could change the numbers:

| key | |
|---|---|
| `embedding_length`, `feed_forward_length`, `block_count`, `context_length` | needed |
| `attention.head_count`, `attention.layer_norm_rms_epsilon`, `rope.freq_base` | needed |
| `attention.head_count_kv` | `attention.head_count` if absent, as the GGUF specification says |
| `attention.key_length`, `attention.value_length`, `rope.dimension_count` | head_dim (else d / heads) |
| `rope.scaling.type`, `rope.scaling.factor` | none, or linear with factor 1 |
| `vocab_size` | must equal the rows of token_embd.weight |

Not in such a file, and decided as follows:

* **FFN activation**: `bitsim.hidden_act`, else squared ReLU for `bitnet-25` and `bitnet-b1.58` (their graph in
  bitnet.cpp's llama.cpp has no other), else the caller's choice. `bitnet` stays undecided: llama.cpp computes SILU for
  it, yet nothing keeps a model that was trained with squared ReLU from being written under that name.
* **Weight scale**: it multiplies, as in every GGUF type, so linears are `autobitlinear`, unless `bitsim.linear_class`
  says otherwise.
* **Sub norms, tied head**: by the presence of the tensors.

bitsim's own keys are `bitsim.hidden_act`, `bitsim.linear_class`, `bitsim.linear_scales` (the exact stored scales, in
the order of execution), `bitsim.i2_s_layout` and `bitsim.tokenizer_class`.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeVar

import numpy as np

from bitsim.errors import CheckpointError, ConfigError
from bitsim.model.config import Dtype, HiddenAct, LinearClass, ModelConfig
from bitsim.model.files.gguf_file import I2S_LAYOUT_KEY, GgufFile
from bitsim.quant.layouts import PACKINGS

T = TypeVar("T")

# Keeps the table of RoPE angles within memory.
MAX_POSITIONS = 1 << 22
ARCHITECTURES = ("bitnet", "bitnet-25", "bitnet-b1.58")
ACT_KEY = "bitsim.hidden_act"
CLASS_KEY = "bitsim.linear_class"
SCALES_KEY = "bitsim.linear_scales"
TOKENIZER_KEY = "bitsim.tokenizer_class"
ACTS: Mapping[str, HiddenAct] = {"relu2": "relu2", "silu": "silu"}
CLASSES: Mapping[str, LinearClass] = {"bitlinear": "bitlinear", "autobitlinear": "autobitlinear"}
_ACT_OF_ARCHITECTURE: Mapping[str, HiddenAct] = {"bitnet-25": "relu2", "bitnet-b1.58": "relu2"}
_DTYPES: Mapping[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "Q8_0": "float32"}
_KNOWN = frozenset(
    {
        "embedding_length",
        "feed_forward_length",
        "block_count",
        "context_length",
        "vocab_size",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "attention.layer_norm_rms_epsilon",
        "rope.dimension_count",
        "rope.freq_base",
        "rope.scaling.type",
        "rope.scaling.factor",
    }
)


class _Keys:
    """Typed access to the metadata; every error names the file, the key and what came."""

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self.prefix = f"{self.choice('general.architecture', {name: name for name in ARCHITECTURES})}."

    def fail(self, key: str, expected: str) -> CheckpointError:
        got = repr(self.file.metadata[key]) if key in self.file.metadata else "no such key"
        return CheckpointError(f"{self.file.path}: {key}: expected {expected}, got {got[:200]}")

    def integer(self, key: str, default: int | None = None, *, most: int = 2**31 - 1) -> int:
        value = self.file.metadata.get(self.prefix + key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
            raise self.fail(self.prefix + key, f"an integer from 1 to {most}")
        return value

    def number(self, key: str) -> float:
        """A positive float32 as its shortest decimal: 1e-05, not 9.999999747378752e-06."""
        value = self.file.metadata.get(self.prefix + key)
        if not isinstance(value, float) or not 0 < value < 1e30:
            raise self.fail(self.prefix + key, "a positive float")
        return shortest(value)

    def choice(self, key: str, known: Mapping[str, T]) -> T:
        value = self.file.metadata.get(key)
        if not isinstance(value, str) or value not in known:
            raise self.fail(key, f"one of {', '.join(known)}")
        return known[value]

    def check_known(self) -> None:
        """Refuse keys that could change the numbers and are not understood, and files in several parts."""
        own = {ACT_KEY, CLASS_KEY, SCALES_KEY, TOKENIZER_KEY, I2S_LAYOUT_KEY}
        for key, value in self.file.metadata.items():
            mine = key.startswith(self.prefix) and key.removeprefix(self.prefix) not in _KNOWN
            if mine or (key.startswith("bitsim.") and key not in own):
                where = f"{self.file.path}: {key[:200]}"
                raise CheckpointError(f"{where}: unknown key, which could change the model's numbers")
            if key == "split.count" and value not in (0, 1):
                raise self.fail(key, "1 (a file in several parts can't be read)")
        scaling = self.file.metadata.get(f"{self.prefix}rope.scaling.type", "none")
        if scaling not in ("none", "linear"):
            raise self.fail(f"{self.prefix}rope.scaling.type", "none or linear")
        if self.file.metadata.get(f"{self.prefix}rope.scaling.factor", 1.0 if scaling == "none" else None) != 1.0:
            raise self.fail(f"{self.prefix}rope.scaling.factor", "1.0 (no scaling)")


def shortest(value: float) -> float:
    """The shortest decimal number that rounds to the same float32 as `value`."""
    return float(str(np.float32(value)))


def from_gguf(file: GgufFile, hidden_act: HiddenAct | None = None) -> ModelConfig:
    """The model of an opened `file`; `hidden_act` is needed where the file does not decide it.

    Raises `CheckpointError` naming file and key, and the options where the file leaves a choice.
    """
    keys = _Keys(file)
    keys.check_known()
    if "token_embd.weight" not in file.tensors:
        raise CheckpointError(f"{file.path}: token_embd.weight: expected a tensor, got none")
    embedding = file.tensors["token_embd.weight"]
    if embedding.kind not in _DTYPES or len(embedding.shape) != 2:
        raise CheckpointError(
            f"{file.path}: token_embd.weight: expected a matrix of type {', '.join(_DTYPES)}, "
            f"got {embedding.kind} {embedding.shape}"
        )
    heads, hidden_size = keys.integer("attention.head_count"), keys.integer("embedding_length")
    head_dim = keys.integer("attention.key_length", hidden_size // heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        if keys.integer(key, head_dim) != head_dim:
            raise keys.fail(keys.prefix + key, f"head_dim = {head_dim}")
    vocab_size = embedding.shape[0]
    if keys.integer("vocab_size", vocab_size) != vocab_size:
        raise keys.fail(f"{keys.prefix}vocab_size", f"the {vocab_size} rows of token_embd.weight")
    try:
        return ModelConfig(
            name=file.path.stem,
            hidden_size=hidden_size,
            intermediate_size=keys.integer("feed_forward_length"),
            num_layers=keys.integer("block_count", most=len(file.tensors)),
            num_heads=heads,
            num_kv_heads=keys.integer("attention.head_count_kv", heads),
            head_dim=head_dim,
            vocab_size=vocab_size,
            max_position_embeddings=keys.integer("context_length", most=MAX_POSITIONS),
            rope_theta=keys.number("rope.freq_base"),
            rms_norm_eps=keys.number("attention.layer_norm_rms_epsilon"),
            hidden_act=_hidden_act(keys, hidden_act),
            ffn="glu",
            sub_norms="blk.0.attn_sub_norm.weight" in file.tensors,
            tie_embeddings="output.weight" not in file.tensors,
            linear_class=keys.choice(CLASS_KEY, CLASSES) if CLASS_KEY in file.metadata else "autobitlinear",
            weight_bits_per_weight=_stored_bits(file),
            dtype=_DTYPES[embedding.kind],
        )
    except ConfigError as error:
        raise CheckpointError(f"{file.path}: {error}") from None


def _stored_bits(file: GgufFile) -> Fraction:
    """Of the first linear's type; types without a packing of their own count as the 2 bits that codes are kept in."""
    first = file.tensors.get("blk.0.attn_q.weight")
    kind = "2bit" if first is None or first.kind.lower() not in PACKINGS else first.kind.lower()
    return PACKINGS[kind].bits_per_weight


def _hidden_act(keys: _Keys, given: HiddenAct | None) -> HiddenAct:
    architecture = keys.prefix[:-1]
    own = keys.choice(ACT_KEY, ACTS) if ACT_KEY in keys.file.metadata else _ACT_OF_ARCHITECTURE.get(architecture)
    if own is not None and given not in (None, own):
        raise CheckpointError(f"{keys.file.path}: --hidden-act {given}: the file says {own}")
    chosen = own or given
    if chosen is None:
        raise CheckpointError(
            f"{keys.file.path}: {ACT_KEY}: architecture {architecture!r} does not tell the FFN activation: say which "
            f"with --hidden-act relu2 (BitNet 2B4T and its kin) or --hidden-act silu (llama.cpp's graph, 1bitLLM) "
            f"of bitsim convert, whose files tell it"
        )
    return chosen
