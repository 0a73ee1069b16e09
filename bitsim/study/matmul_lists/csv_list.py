"""Lists as CSV: bitsim's own columns, and SCALE-Sim's topologies of GEMMs and convolutions, known by their header.

SCALE-Sim (github.com/scalesim-project/scale-sim-v2, topology_utils.py): a GEMM is `Layer, M, N, K`; a convolution has
no padding of its own (the input's size includes it), becomes a matmul by im2col, and is one of depth for each channel
if its name has `DP` in it.
"""

import csv
from collections.abc import Iterator, Mapping

from bitsim.study.matmul_lists.entries import KEYS, LARGEST_SIZE, MOST_ENTRIES, Entry, ListError, integer

NAMES = ("name", "layer", "layername")
_CONVOLUTION = ("ifmapheight", "ifmapwidth", "filterheight", "filterwidth", "channels", "numfilter")
_STRIDES = (("strides",), ("stride",), ("strideheight", "stridewidth"))
SPARSITY = "sparsity"


def csv_entries(text: str, path: str) -> Iterator[Entry]:
    """The entries of a CSV file, in order; raises `ListError` naming file and line."""
    rows = _rows(text, path)
    header = next(rows, None)
    if header is None:
        raise ListError(f"{path}:1: expected a header such as name,m,k,n,count,bits, got an empty file")
    line, titles = header
    columns = ["".join(title.lower().split()) for title in titles]
    convolution = "ifmapheight" in columns
    _check(columns, convolution, f"{path}:{line}")
    for number, (line, cells) in enumerate(rows):
        where = f"{path}:{line}"
        if number >= MOST_ENTRIES:
            raise ListError(f"{where}: expected at most {MOST_ENTRIES:,} matmuls, got more")
        if len(cells) != len(columns):
            raise ListError(f"{where}: expected {len(columns)} values ({', '.join(titles)}), got {len(cells)}")
        values = {("name" if key in NAMES else key): cell for key, cell in zip(columns, cells, strict=True) if cell}
        yield Entry(values=_im2col(values, where) if convolution else values, where=where)


def has_sparsity(text: str) -> bool:
    """Whether a topology has SCALE-Sim's column of N:M sparsity."""
    return SPARSITY in "".join(text.lstrip().partition("\n")[0].lower().split()).split(",")


def _rows(text: str, path: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that says something; an empty last cell is a comma at the end of the line."""
    reader = csv.reader(text.replace("\r\n", "\n").split("\n"), skipinitialspace=True, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ListError(f"{path}:{reader.line_num}: malformed CSV: {error}") from None
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        if len(cells) > 1 and not cells[-1]:
            cells.pop()
        if any(cells) and not cells[0].startswith("#"):
            yield reader.line_num, cells


def _check(columns: list[str], convolution: bool, where: str) -> None:
    names = [key for key in columns if key in NAMES]
    doubled = next((key for key in columns if columns.count(key) > 1), None)
    if doubled is not None or len(names) > 1:
        raise ListError(f"{where}: the column {doubled or names[1]!r} occurs twice")
    strides = next((given for given in _STRIDES if set(given) <= set(columns)), None)
    needed = (*_CONVOLUTION, *(strides or ("strides",))) if convolution else ("m", "k", "n")
    for key in needed:
        if key not in columns:
            raise ListError(
                f"{where}: expected a header with the columns {', '.join(needed)}, got {', '.join(columns)}"
            )
    known = {*NAMES, *needed, SPARSITY} if convolution else {*NAMES, *KEYS, SPARSITY}
    for key in columns:
        if key not in known:
            raise ListError(f"{where}: unknown column {key!r}; expected {', '.join(KEYS)} or a SCALE-Sim topology")


def _im2col(values: Mapping[str, str], where: str) -> dict[str, str | int]:
    """A convolution as a matmul: pixels of the output times a window of the input."""

    def size(key: str) -> int:
        if key not in values:
            raise ListError(f"{where}: {key}: expected an integer, got nothing")
        return integer(values[key], f"{where}: {key}", 1, LARGEST_SIZE)

    one = next((key for key in ("strides", "stride") if key in values), None)
    down, across = (one, one) if one else ("strideheight", "stridewidth")
    pixels = 1
    for image, window, stride in (("ifmapheight", "filterheight", down), ("ifmapwidth", "filterwidth", across)):
        if size(window) > size(image):
            raise ListError(f"{where}: {window}: expected at most {image} = {size(image)}, got {size(window)}")
        pixels *= -(-(size(image) - size(window) + size(stride)) // size(stride))
    depthwise = "DP" in values.get("name", "")
    channels = 1 if depthwise else size("channels")
    return {
        "name": values.get("name", ""),
        "m": pixels,
        "k": size("filterheight") * size("filterwidth") * channels,
        "n": size("numfilter"),
        "count": size("channels") if depthwise else 1,
    }
