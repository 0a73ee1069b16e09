"""An opened checkpoint, whatever its file format."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from bitsim.model.config import ModelConfig
from bitsim.model.files.safetensors_file import TensorInfo
from bitsim.model.tokenizer import Vocabulary
from bitsim.model.weights import ModelWeights

_SHOWN = 4


class TensorSource(Protocol):
    """Safetensors tensors by name, from one file or several. `path`: for messages.

    `array` maps a tensor, `read` copies it, `pieces` goes through it once; see `SafetensorsFile`.
    """

    @property
    def path(self) -> Path: ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...

    def array(self, name: str) -> npt.NDArray[Any]: ...

    def read(self, name: str) -> npt.NDArray[Any]: ...

    def pieces(self, name: str, multiple: int = 1) -> Iterator[npt.NDArray[Any]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor as the file holds it. `kind`: the file's word for its type; `shape`: of the values, not of the bytes.

    `size_bytes`: of its data, scales inside it included.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A checkpoint, opened and checked. `stored`: its tensors as they lie in the file.

    `linears`: those of the linears, layer by layer in the order of execution.

    `packing`: how the file holds the linears (a name of `bitsim.quant.layouts`, "master" or a float type).
    `file_digest`: computes the SHA-256 over the whole of its files, which `digest` is; a model's own is another, see
    `bitsim.model.checkpoint.Model`.

    `vocabulary`: reads the tokenizer that lies beside or inside the weights, when text is asked for.
    `ignored`: keys and tensors of the files that change no number. `absent`: keys that were not there, and what they
    were taken for. `notes`: what a reader of any result must know of the files.
    """

    path: Path
    config: ModelConfig
    weights: ModelWeights
    stored: tuple[StoredTensor, ...]
    linears: tuple[StoredTensor, ...]
    packing: str
    file_digest: Callable[[], str]
    tokenizer_class: str | None
    ignored: tuple[str, ...] = ()
    absent: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = None

    @property
    def digest(self) -> str:
        """Reads all files at every access."""
        return self.file_digest()


def note_on_zeros(names: Sequence[str], matrices: int) -> tuple[str, ...]:
    """A warning about matrices that hold nothing but zeros, by name; nothing if there are none of all `matrices`."""
    if not names:
        return ()
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return (f"warning: {len(names)} of {matrices} matrices hold only zeros: {shown}",)
