"""Open a GGUF file as a checkpoint."""

import hashlib
from pathlib import Path

from bitsim.errors import CheckpointError
from bitsim.model.config import HiddenAct
from bitsim.model.files.gguf_config import TOKENIZER_KEY, from_gguf
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.gguf_weights import linear_tensors, read_weights
from bitsim.model.files.opened import Checkpoint, StoredTensor
from bitsim.quant.i2s import I2sLayout

_PACKINGS = {"TQ1_0": "tq1_0", "TQ2_0": "tq2_0", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def load_gguf(path: Path, *, hidden_act: HiddenAct | None = None, i2s: I2sLayout | None = None) -> Checkpoint:
    """Open `path`; linears become 2-bit codes when they are used, float embeddings stay mapped.

    `hidden_act`, `i2s`: what some files leave open; see `from_gguf` and `GgufFile`. Raises `CheckpointError` naming
    file and key or tensor.
    """
    file = GgufFile(path, i2s)
    config = from_gguf(file, hidden_act)
    weights = read_weights(config, file)
    tokenizer = file.metadata.get(TOKENIZER_KEY)
    if tokenizer is not None and not isinstance(tokenizer, str):
        raise CheckpointError(f"{path}: {TOKENIZER_KEY}: expected a name, got {str(tokenizer)[:200]}")
    stored = {
        name: StoredTensor(name=name, kind=tensor.kind, shape=tensor.shape, size_bytes=tensor.end - tensor.begin)
        for name, tensor in file.tensors.items()
    }
    answers = f"{config.hidden_act} {file.i2s}".encode()
    linears = tuple(stored[name] for name, _, _ in linear_tensors(config))
    kinds = {tensor.kind for tensor in linears}
    names = sorted(f"i2_s_{file.i2s}" if kind == "I2_S" else _PACKINGS[kind] for kind in kinds)
    return Checkpoint(
        path=path,
        config=config,
        weights=weights,
        stored=tuple(stored.values()),
        linears=linears,
        packing="+".join(names),
        file_digest=lambda: hashlib.sha256(file.file.sha256() + answers).hexdigest(),
        tokenizer_class=tokenizer,
    )
