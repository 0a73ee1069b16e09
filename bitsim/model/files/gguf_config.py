"""The model that a GGUF file's metadata describes.

Which keys are read, ignored and refused: `gguf_key_table`.

Tensors say whether the head is tied (no output.weight), sub norms, norms of queries and keys and of each linear's input
(attn_q_norm_in, ...) and biases exist, and how the frequencies of RoPE are divided (rope_freqs.weight). Not in such a
file, and decided as follows:

* **FFN activation**: `bitsim.hidden_act`, else `hidden_activation`, else what llama.cpp and its forks compute for the
  architecture: SILU, but squared ReLU for `bitnet-25` and `bitnet-b1.58`. For `bitnet` the caller may say otherwise:
  llama.cpp's converter writes models that were trained with squared ReLU under that name, too.
* **Weight scale**: it multiplies, as in every GGUF type, so BitLinears are `autobitlinear`, unless
  `bitsim.linear_class` says otherwise. Whether they are BitLinears at all: see `gguf_linears`.

Source: llama.cpp `conversion/*.py`, `src/llama-model.cpp`, `src/models/bitnet.cpp`; bitnet.cpp's converters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

from bitsim.errors import CheckpointError, ConfigError
from bitsim.model.config import Biased, Dtype, HiddenAct, LinearClass, ModelConfig
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.gguf_key_table import ACT_KEY, CLASS_KEY, FILE, IGNORED, OWN, READ
from bitsim.model.files.gguf_types import GgufTensor
from bitsim.model.rope_scaling import FrequencyFactors, LinearScaling, RopeScaling, YarnScaling
from bitsim.quant.ggml_types import TYPES

T = TypeVar("T")

# Keeps the table of RoPE angles within memory.
MAX_POSITIONS = 1 << 22
ROPE_FACTORS = "rope_freqs.weight"
ACTS: Mapping[str, HiddenAct] = {"relu2": "relu2", "silu": "silu"}
CLASSES: Mapping[str, LinearClass] = {"bitlinear": "bitlinear", "autobitlinear": "autobitlinear"}
_DTYPES: Mapping[str, Dtype] = {"F16": "float16", "BF16": "bfloat16"}
_USUAL_THETA = 10000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What llama.cpp or a fork computes under a name.

    `act`: the FFN's activation; `act_is_open`: whether models with another are written under the name, too.
    `permuted`: the rows of q and k are in the order of RoPE on neighbouring pairs.
    """

    act: HiddenAct
    act_is_open: bool = False
    permuted: bool = False


ARCHITECTURES: Mapping[str, Architecture] = {
    "bitnet": Architecture(act="silu", act_is_open=True),
    "bitnet-25": Architecture(act="relu2"),
    "bitnet-b1.58": Architecture(act="relu2"),
    "llama": Architecture(act="silu", permuted=True),
    "qwen2": Architecture(act="silu"),
    "qwen3": Architecture(act="silu"),
}
_ROTATED = "its matmuls need a Hadamard transform and signs in front of them, which bitsim does not apply"


class _Keys:
    """Typed access to the metadata; every error names the file, the key and what came."""

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self.architecture = self.choice("general.architecture", ARCHITECTURES)
        self.prefix = f"{file.metadata['general.architecture']}."

    def fail(self, key: str, expected: str) -> CheckpointError:
        got = repr(self.file.metadata[key]) if key in self.file.metadata else "no such key"
        return CheckpointError(f"{self.file.path}: {key}: expected {expected}, got {got[:200]}")

    def has(self, key: str) -> bool:
        return self.prefix + key in self.file.metadata

    def integer(self, key: str, default: int | None = None, *, most: int = 2**31 - 1) -> int:
        value = self.file.metadata.get(self.prefix + key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
            raise self.fail(self.prefix + key, f"an integer from 1 to {most}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive float32 as its shortest decimal: 1e-05, not 9.999999747378752e-06."""
        value = self.file.metadata.get(self.prefix + key, default)
        if not isinstance(value, float) or not 0 < value < 1e30:
            raise self.fail(self.prefix + key, "a positive float")
        return shortest(value)

    def choice(self, key: str, known: Mapping[str, T]) -> T:
        value = self.file.metadata.get(key)
        if not isinstance(value, str) or value not in known:
            raise self.fail(key, f"one of {', '.join(known)}")
        return known[value]

    def check_known(self) -> None:
        """Refuse keys that could change the numbers and are not understood."""
        for key in self.file.metadata:
            mine = key.startswith(self.prefix) and key.removeprefix(self.prefix) not in (*READ, *IGNORED)
            if mine or (key.startswith("bitsim.") and key not in OWN):
                where = f"{self.file.path}: {key[:200]}"
                raise CheckpointError(f"{where}: unknown key, which could change the model's numbers")
            if key.startswith("prism.hadamard."):
                raise CheckpointError(f"{self.file.path}: {key[:200]}: {_ROTATED}")


def shortest(value: float) -> float:
    """The shortest decimal number that rounds to the same float32 as `value`."""
    return float(str(np.float32(value)))


def architecture_of(file: GgufFile) -> Architecture:
    """What the file's `general.architecture` means. Raises `CheckpointError` for one that bitsim does not compute."""
    return _Keys(file).architecture


def ignored_keys(file: GgufFile) -> tuple[str, ...]:
    """Keys that change no number: those of `IGNORED`, of others' programs, and what `general` says of the file."""
    prefix = _Keys(file).prefix
    used = (prefix, "bitsim.", "tokenizer.", "split.")
    others = {key for key in file.metadata if not key.startswith(used)} - FILE.keys()
    return tuple(sorted(others | {prefix + key for key in IGNORED if prefix + key in file.metadata}))


def absent_keys(file: GgufFile, config: ModelConfig) -> Mapping[str, object]:
    """Keys that are not in the file, and what they were taken for."""
    taken = {
        "rope.freq_base": config.rope_theta,
        "attention.head_count_kv": config.num_kv_heads,
        "attention.key_length": config.head_dim,
        "hidden_activation": config.hidden_act,
    }
    prefix = _Keys(file).prefix
    known = {"hidden_activation"} if ACT_KEY in file.metadata else set()
    return {
        prefix + key: value for key, value in taken.items() if prefix + key not in file.metadata and key not in known
    }


def from_gguf(file: GgufFile, hidden_act: HiddenAct | None = None) -> ModelConfig:
    """The model of an opened `file`, its linears taken for BitLinears; `hidden_act` where the file does not decide it.

    Raises `CheckpointError` naming file and key.
    """
    keys, tensors = _Keys(file), file.tensors
    keys.check_known()
    if "token_embd.weight" not in tensors:
        raise CheckpointError(f"{file.path}: token_embd.weight: expected a tensor, got none")
    embedding = tensors["token_embd.weight"]
    if embedding.kind not in TYPES or len(embedding.shape) != 2:
        raise CheckpointError(
            f"{file.path}: token_embd.weight: expected a matrix of type {', '.join(TYPES)}, "
            f"got {embedding.kind} {embedding.shape}"
        )
    heads, hidden_size = keys.integer("attention.head_count"), keys.integer("embedding_length")
    head_dim = keys.integer("attention.key_length", hidden_size // heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        if keys.integer(key, head_dim) != head_dim:
            raise keys.fail(keys.prefix + key, f"head_dim = {head_dim}")
    vocab_size, eps = embedding.shape[0], keys.number("attention.layer_norm_rms_epsilon")
    if keys.integer("vocab_size", vocab_size) != vocab_size:
        raise keys.fail(f"{keys.prefix}vocab_size", f"the {vocab_size} rows of token_embd.weight")
    try:
        return ModelConfig(
            name=file.path.stem,
            hidden_size=hidden_size,
            intermediate_size=keys.integer("feed_forward_length"),
            num_layers=keys.integer("block_count", most=len(tensors)),
            num_heads=heads,
            num_kv_heads=keys.integer("attention.head_count_kv", heads),
            head_dim=head_dim,
            vocab_size=vocab_size,
            max_position_embeddings=keys.integer("context_length", most=MAX_POSITIONS),
            rope_theta=keys.number("rope.freq_base", _USUAL_THETA),
            rms_norm_eps=eps,
            hidden_act=_hidden_act(keys, hidden_act),
            ffn="glu",
            sub_norms="blk.0.attn_sub_norm.weight" in tensors,
            tie_embeddings="output.weight" not in tensors,
            linear_class=keys.choice(CLASS_KEY, CLASSES) if CLASS_KEY in file.metadata else "autobitlinear",
            weight_bits_per_weight=_stored_bits(file),
            dtype=_DTYPES.get(embedding.kind, "float32"),
            rope_scaling=_rope_scaling(keys),
            qk_norm="blk.0.attn_q_norm.weight" in tensors,
            attention_bias=_biases(file),
            mlp_bias="blk.0.ffn_down.bias" in tensors,
            linear_norm_eps=eps if "blk.0.attn_q_norm_in.weight" in tensors else None,
            sliding_window=keys.integer("attention.sliding_window") if keys.has("attention.sliding_window") else None,
            head_bits=_table_bits(tensors.get("output.weight", embedding), hidden_size),
            embedding_bits=_table_bits(embedding, hidden_size),
        )
    except ConfigError as error:
        raise CheckpointError(f"{file.path}: {error}") from None


def _stored_bits(file: GgufFile) -> Fraction:
    """Of the first linear's type; I2_S and float types count as the 2 bits that codes are kept in."""
    first = file.tensors.get("blk.0.attn_q.weight")
    known = None if first is None else TYPES.get(first.kind)
    if known is None or known.codes is None:
        return Fraction(2)
    return Fraction(8 * known.block_bytes, known.block)


def _table_bits(table: GgufTensor, k: int) -> int | Fraction:
    """Per weight of an embedding or a head with rows of `k`, its blocks' scales included; floats count as 16."""
    known = TYPES.get(table.kind)  # what is no type of a matrix is refused where it is read
    return 16 if known is None or known.block == 1 else Fraction(8 * known.row_size(k), k)


def _biases(file: GgufFile) -> Biased:
    if "blk.0.attn_q.bias" not in file.tensors:
        return "none"
    return "qkvo" if "blk.0.attn_output.bias" in file.tensors else "qkv"


def _rope_scaling(keys: _Keys) -> RopeScaling | None:
    kind = keys.file.metadata.get(f"{keys.prefix}rope.scaling.type", "none")
    if kind not in ("none", "linear", "yarn"):
        raise keys.fail(f"{keys.prefix}rope.scaling.type", "none, linear or yarn")
    factor = keys.number("rope.scaling.factor", 1.0 if kind == "none" else None)
    if kind == "none" and factor != 1:
        raise keys.fail(f"{keys.prefix}rope.scaling.factor", "1.0 (no scaling)")
    if ROPE_FACTORS in keys.file.tensors:
        if factor != 1:
            raise keys.fail(f"{keys.prefix}rope.scaling.factor", f"1.0 beside {ROPE_FACTORS}, which scales already")
        return FrequencyFactors(factors=_rope_factors(keys.file))
    if kind == "yarn":
        return YarnScaling(factor=factor, original_positions=keys.integer("rope.scaling.original_context_length"))
    return None if factor == 1 else LinearScaling(factor=factor)


def _rope_factors(file: GgufFile) -> tuple[float, ...]:
    tensor = file.tensors[ROPE_FACTORS]
    if tensor.kind != "F32" or len(tensor.shape) != 1:
        raise CheckpointError(f"{file.path}: {ROPE_FACTORS}: expected F32 (head_dim / 2,), got {tensor.kind}")
    return tuple(file.read(ROPE_FACTORS).view("<f4").tolist())


def _hidden_act(keys: _Keys, given: HiddenAct | None) -> HiddenAct:
    said = [keys.choice(key, ACTS) for key in (ACT_KEY, f"{keys.prefix}hidden_activation") if key in keys.file.metadata]
    own = said[0] if said else None
    if own is None and not keys.architecture.act_is_open:
        own = keys.architecture.act
    if own is not None and given not in (None, own):
        raise CheckpointError(f"{keys.file.path}: --hidden-act {given}: the file says {own}")
    return own or given or keys.architecture.act


def pooling_note(file: GgufFile) -> tuple[str, ...]:
    """What to know about an embedding model; nothing about others."""
    if not _Keys(file).has("pooling_type"):
        return ()
    return ("an embedding model: its result is pooled from the last norm's outputs, which is not done here",)


def activation_note(file: GgufFile, given: HiddenAct | None) -> tuple[str, ...]:
    """What to know about an activation that neither the file nor the caller decided; nothing if one of them did."""
    keys = _Keys(file)
    open_ = keys.architecture.act_is_open and given is None
    if not open_ or ACT_KEY in file.metadata or keys.has("hidden_activation"):
        return ()
    return (
        "FFN activation: silu, as llama.cpp computes architecture bitnet (1bitLLM); a file of BitNet 2B4T or its kin "
        "needs --hidden-act relu2",
    )
