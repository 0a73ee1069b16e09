"""bitnet-embedding (microsoft): a Qwen3 whose linears are BitLinear with a norm each, told by its tensors alone.

Its names lack "model.", a linear's norm is `<linear>.norm.weight`, weights are float master weights of absmean, and
there is no head: a text's embedding is pooled from the last norm's outputs. Source: microsoft/BitNet,
`utils/convert-bitnet-embedding-to-gguf.py`, which decides by the same names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy.typing as npt

from bitsim.errors import CheckpointError
from bitsim.model.files.hf_config import Description
from bitsim.model.files.hf_quantisation import PROJECTIONS
from bitsim.model.files.opened import TensorSource
from bitsim.model.files.safetensors_file import TensorInfo

NOTE = (
    "an embedding model (bitnet-embedding): its result is pooled from the last norm's outputs, which is not done here; "
    "logits are of the embedding as a tied head and mean nothing; the norms of linears are taken to have rms_norm_eps"
)


def is_embedding_model(tensors: Mapping[str, object]) -> bool:
    """Whether a file has the names of bitnet-embedding."""
    return "embed_tokens.weight" in tensors and f"layers.0.{PROJECTIONS[0]}.norm.weight" in tensors


def as_language_model(said: Description, path: Path) -> Description:
    """The decoder inside, with what the tensors say and config.json does not."""
    config = said.config
    if not config.qk_norm:
        raise CheckpointError(f"{path}: model_type: expected qwen3 of a model with the tensors of bitnet-embedding")
    if config.linear_class is not None:
        raise CheckpointError(
            f"{path}: quantization_config: expected none of a model with the tensors of bitnet-embedding, got "
            f"linear_class {config.linear_class}"
        )
    config = replace(
        config,
        linear_class="autobitlinear",
        linear_norm_eps=config.rms_norm_eps,
        weight_bits_per_weight=Fraction(2),
        tie_embeddings=True,
    )
    return replace(said, config=config, storage="master_fp32")


class LanguageModelNames:
    """The tensors of such a file under the names that transformers' models with norms of linears have."""

    def __init__(self, source: TensorSource) -> None:
        self._source, self.path = source, source.path
        own = {f"{name}.norm.weight": f"{name}.rms_norm.weight" for name in PROJECTIONS}
        self._stored: dict[str, str] = {}
        for name in source.tensors:
            layer, inner = ".".join(name.split(".")[:2]), ".".join(name.split(".")[2:])  # "layers.3", the rest
            self._stored[f"model.{layer}.{own[inner]}" if inner in own else f"model.{name}"] = name
        self._tensors = {name: source.tensors[stored] for name, stored in self._stored.items()}

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        return self._tensors

    def array(self, name: str) -> npt.NDArray[Any]:
        return self._source.array(self._stored[name])

    def read(self, name: str) -> npt.NDArray[Any]:
        return self._source.read(self._stored[name])

    def pieces(self, name: str, multiple: int = 1) -> Iterator[npt.NDArray[Any]]:
        return self._source.pieces(self._stored[name], multiple)
