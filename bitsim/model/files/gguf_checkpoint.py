"""Open a GGUF file as a checkpoint."""

import hashlib
from pathlib import Path

from bitsim.errors import CheckpointError
from bitsim.model.config import HiddenAct
from bitsim.model.files.gguf_config import (
    absent_keys,
    activation_note,
    from_gguf,
    ignored_keys,
    pooling_note,
)
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.gguf_key_table import TOKENIZER_KEY
from bitsim.model.files.gguf_vocabulary import gguf_vocabulary
from bitsim.model.files.gguf_weights import linear_tensors, read_weights
from bitsim.model.files.opened import Checkpoint, StoredTensor
from bitsim.quant.i2s import I2sLayout

_PACKINGS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def load_gguf(
    path: Path, *, hidden_act: HiddenAct | None = None, i2s: I2sLayout | None = None, weight_only: bool = False
) -> Checkpoint:
    """Open `path`; linears become codes when they are used, embeddings stay mapped.

    `hidden_act`, `i2s`, `weight_only`: what some files leave open; see `from_gguf`, `GgufFile` and `read_weights`.
    Raises `CheckpointError` naming file and key or tensor.
    """
    file = GgufFile(path, i2s)
    config, weights, notes = read_weights(from_gguf(file, hidden_act), file, weight_only=weight_only)
    tokenizer = file.metadata.get(TOKENIZER_KEY)
    if tokenizer is not None and not isinstance(tokenizer, str):
        raise CheckpointError(f"{path}: {TOKENIZER_KEY}: expected a name, got {str(tokenizer)[:200]}")
    stored = {
        name: StoredTensor(name=name, kind=tensor.kind, shape=tensor.shape, size_bytes=tensor.size_bytes)
        for name, tensor in file.tensors.items()
    }
    answers = f"{config.hidden_act} {file.i2s}{' weight-only' if weight_only else ''}".encode()
    linears = tuple(stored[name] for name, _, _ in linear_tensors(config))
    kinds = {tensor.kind for tensor in linears}
    names = sorted(f"i2_s_{file.i2s}" if kind == "I2_S" else _PACKINGS.get(kind, kind.lower()) for kind in kinds)
    return Checkpoint(
        path=path,
        config=config,
        weights=weights,
        stored=tuple(stored.values()),
        linears=linears,
        packing="+".join(names),
        file_digest=lambda: hashlib.sha256(file.sha256() + answers).hexdigest(),
        tokenizer_class=tokenizer,
        ignored=ignored_keys(file),
        absent=absent_keys(file, config),
        vocabulary=gguf_vocabulary(file),
        notes=(*notes, *activation_note(file, hidden_act), *pooling_note(file)),
    )
