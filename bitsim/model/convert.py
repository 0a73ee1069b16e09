"""Write a checkpoint in another file format or packing, without loss: the same codes, scales, norms and embeddings."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from bitsim.errors import CheckpointError, OutputError
from bitsim.model.catalogue import SHIPPED, model_path
from bitsim.model.checkpoint import load_checkpoint, load_model, random_model
from bitsim.model.config import HiddenAct, ModelConfig
from bitsim.model.files.gguf_writer import write_gguf
from bitsim.model.files.hf_writer import write_hf
from bitsim.model.files.opened import Checkpoint
from bitsim.model.files.vocabulary_keys import vocabulary_keys
from bitsim.model.footprint import FP16_BITS
from bitsim.model.ternarise import Ternarise
from bitsim.quant.i2s import I2sLayout
from bitsim.quant.layouts import packing

FileFormat = Literal["hf", "gguf"]
# What may be asked for -> the byte layout. bitnet.cpp's own converter writes the x86 layout.
PACKINGS_OF: dict[FileFormat, dict[str, str]] = {
    "hf": {
        "2bit": "2bit",
        "1bit": "1bit",
        "1.6bit": "trits5_offset",
        "trits5_offset": "trits5_offset",
        "trits5_sign": "trits5_sign",
    },
    "gguf": {
        "tq2_0": "tq2_0",
        "tq1_0": "tq1_0",
        "i2_s": "i2_s_x86",
        "i2_s_x86": "i2_s_x86",
        "i2_s_arm": "i2_s_arm",
    },
}
# What is written unless something else is asked for: transformers' own packing, llama.cpp's type for ternary weights.
USUAL_PACKING: dict[FileFormat, str] = {"hf": "2bit", "gguf": "tq2_0"}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model")


def open_source(
    name_or_path: str,
    hidden_act: HiddenAct | None = None,
    i2s: I2sLayout | None = None,
    ternarise: Ternarise | None = None,
) -> Checkpoint:
    """The checkpoint of a shipped model's name, or at a path."""
    path = model_path(name_or_path) if name_or_path in SHIPPED else Path(name_or_path)
    return load_checkpoint(path, hidden_act=hidden_act, i2s=i2s, ternarise=ternarise)


def random_source(name_or_path: str, seed: int) -> Checkpoint:
    """A published shape (or the shape of a checkpoint) with synthetic weights, which are drawn as they are written."""
    model = random_model(load_model(name_or_path).config, seed, keep=False)
    assert model.weights is not None
    return Checkpoint(
        path=Path(name_or_path),
        config=model.config,
        weights=model.weights,
        stored=(),
        linears=(),
        packing="random",
        file_digest=lambda: model.digest,  # of what is to be written
        tokenizer_class=None,
    )


def convert(
    source: Checkpoint, target: Path, file_format: FileFormat, packing_name: str, *, upstream: bool = False
) -> None:
    """Write `source` to `target`: a directory (hf) or a .gguf file, whole under its name or not there at all.

    hf: `2bit` is what transformers reads; five trits per byte are bitsim's own. gguf: where a type rounds the scale
    (float16, or a scale that divides), the exact one is in `bitsim.linear_scales`. `upstream`: a GGUF file under the
    architecture that llama.cpp knows, with the vocabulary of the source's tokenizer.json. Raises `OutputError` if the
    packing does not exist in the format, or `target` exists or can't be written; `CheckpointError` if the model does
    not fit.
    """
    layouts = PACKINGS_OF[file_format]
    if packing_name not in layouts:
        raise OutputError(f"--packing {packing_name}: format {file_format} has {', '.join(layouts)}")
    if not source.config.quantised:
        what = (
            "its ternary weights have several scales, which no format here can hold"
            if source.config.weight_only
            else "has no quantised linears (linear_class is None), nothing to pack"
        )
        raise CheckpointError(f"{source.path}: {what}")
    if upstream and file_format != "gguf":
        raise OutputError("--arch bitnet: expected --format gguf")
    if file_format == "gguf" and target.suffix != ".gguf":
        raise OutputError(f"{target}: expected a name that ends in .gguf")
    if target.exists() or target.is_symlink():
        raise OutputError(f"{target}: exists already; nothing was written")
    layout = packing(layouts[packing_name])
    if layout.binary and not source.config.binary:
        raise CheckpointError(
            f"{source.path}: --packing {packing_name}: expected binary weights, the model's are ternary"
        )

    config = replace(source.config, head_bits=FP16_BITS, embedding_bits=FP16_BITS)  # written as floats

    def write(temporary: Path) -> None:
        if file_format == "gguf":
            keys = vocabulary_keys(source.path, config.vocab_size) if upstream else None
            try:
                write_gguf(temporary, config, source.weights, layout, source.tokenizer_class, upstream=keys)
            except CheckpointError as error:
                raise CheckpointError(f"{source.path}: {error}") from None
        else:
            temporary.mkdir()
            try:
                write_hf(temporary, config, source.weights, layout)
            except CheckpointError as error:
                raise CheckpointError(f"{source.path}: {error}") from None
            _write_tokenizer(source, temporary)

    _whole_or_nothing(target, write)


def notes_for_upstream(config: ModelConfig) -> tuple[str, ...]:
    """What to know about a file of this model before llama.cpp computes it."""
    if config.hidden_act == "silu":
        return ()
    return (
        f"llama.cpp opens the file, but computes SILU in every FFN of architecture bitnet, and this model has "
        f"{config.hidden_act}: its text will be another's. Without --arch the architecture says so, to bitnet.cpp",
    )


def _whole_or_nothing(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill the name in a new folder of ours beside `target`, then move it; nothing else is ever removed."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name[:100]}.", dir=target.parent) as folder:
            temporary = Path(folder) / target.name
            write(temporary)
            temporary.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: can't be written: {error.strerror or error}") from error


def _write_tokenizer(source: Checkpoint, directory: Path) -> None:
    """The tokeniser's files of a directory, or the name that a GGUF file of ours keeps."""
    for name in _TOKENIZER_FILES:
        if source.path.is_dir() and (source.path / name).is_file():
            shutil.copyfile(source.path / name, directory / name)
    if source.tokenizer_class is not None and not (directory / "tokenizer_config.json").exists():
        text = json.dumps({"tokenizer_class": source.tokenizer_class}, indent=1)
        (directory / "tokenizer_config.json").write_text(text + "\n")
