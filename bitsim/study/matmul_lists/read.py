"""A file with a list of matmuls, by what its name ends with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bitsim._untrusted import UnreadableError, read_bounded
from bitsim.study.matmul_lists.csv_list import csv_entries, has_sparsity
from bitsim.study.matmul_lists.entries import Entry, ListError, bits_of, integer
from bitsim.study.matmul_lists.json_list import json_entries
from bitsim.study.matmuls import MatmulShape

MOST_BYTES = 1 << 24  # of text
MOST_ONNX_BYTES = 1 << 31  # protobuf's own limit
LARGEST_DIM = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class MatmulList:
    """`shapes` in the order of the file; `notes`: what of it was set aside."""

    name: str
    shapes: tuple[MatmulShape, ...]
    notes: tuple[str, ...] = ()


def read_matmuls(
    path: str | Path, *, bits: int | float | str | Fraction | None = None, dims: Mapping[str, int] | None = None
) -> MatmulList:
    """The matmuls of a CSV, JSON or ONNX file; each line, entry or node is one.

    * CSV: columns m, k, n and, as wanted, name, count and bits, in any order; or a SCALE-Sim topology. JSON: objects
      with the same keys. ONNX (`pip install bitsim-hw[onnx]`): see `bitsim.study.matmul_lists.onnx_graph`.
    * `bits`: per weight, in place of what the file says; without both, 2. Up to 3 are ternary (1: binary), 4 and
      8 integers, 16 FP16.
    * `dims`: sizes of an ONNX graph's symbolic dimensions, by name.

    Raises `ConfigError` naming file and line (or node), what was expected and what came.
    """
    path = Path(path)
    stored = bits if isinstance(bits, Fraction) else bits_of(bits, "bits")
    sizes = {name: integer(size, f"dims: {name}", 1, LARGEST_DIM) for name, size in (dims or {}).items()}
    suffix = path.suffix.lower()
    entries, notes = _entries(path, suffix, sizes)
    if sizes and suffix != ".onnx":
        raise ListError(f"{path}: dims: only ONNX graphs have symbolic dimensions")
    shapes = tuple(entry.shape(f"matmul {number}", stored) for number, entry in enumerate(entries, start=1))
    if not shapes:
        raise ListError(f"{path}: expected at least one matmul, got none")
    said = () if bits is None else (f"bits per weight: {stored}, in place of what {path} says",)
    return MatmulList(name=path.stem, shapes=shapes, notes=(f"matmuls from {path}", *said, *notes))


def _entries(path: Path, suffix: str, sizes: Mapping[str, int]) -> tuple[Iterator[Entry], tuple[str, ...]]:
    if suffix not in (".csv", ".json", ".onnx"):
        raise ListError(f"{path}: expected a file that ends with .csv, .json or .onnx")
    try:
        data = read_bounded(path, MOST_ONNX_BYTES if suffix == ".onnx" else MOST_BYTES)
    except UnreadableError as error:
        raise ListError(f"{path}: {error}") from None
    if suffix == ".onnx":
        from bitsim.study.matmul_lists.onnx_graph import onnx_entries

        return onnx_entries(data, str(path), sizes)
    if suffix == ".json":
        return json_entries(data, str(path)), ()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ListError(f"{path}:{line}: expected UTF-8 text, got byte {data[error.start]:#04x}") from None
    notes = ("SCALE-Sim's column Sparsity is not used: weights are counted as dense",) if has_sparsity(text) else ()
    return csv_entries(text, str(path)), notes
