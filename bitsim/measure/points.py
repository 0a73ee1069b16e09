"""Measured times of matmuls from a CSV file: one line each, `m,k,n,time_s`."""

import csv
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitsim._untrusted import UnreadableError, read_bounded
from bitsim.errors import ConfigError

MOST_BYTES = 1 << 24
COLUMNS = ("m", "k", "n", "time_s")


class PointsError(ConfigError):
    """A file of measured points is malformed: file, line, column, expected, got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPoint:
    """A matmul `Y[M, N] = X[M, K] W[N, K]^T` with ternary weights, and how long it took; `line` of its file."""

    m: int
    k: int
    n: int
    time_s: float
    line: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.m, self.k, self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPoints:
    """Points with the file that they come from."""

    path: str
    sha256: str
    points: tuple[MeasuredPoint, ...]


def read_points(path: str | Path) -> MeasuredPoints:
    """Read a CSV file whose header names the columns m, k, n and time_s in any order; raises `PointsError`."""
    try:
        content = read_bounded(path, MOST_BYTES)
        lines = content.decode("utf-8-sig").splitlines()
    except (UnreadableError, UnicodeDecodeError) as error:
        raise PointsError(f"{path}: expected a readable CSV file in UTF-8 ({error})") from None
    reader = csv.reader(lines)
    header = [name.strip() for name in next(reader, [])]
    if sorted(header) != sorted(COLUMNS):
        raise PointsError(f"{path}:1: expected the columns {', '.join(COLUMNS)} (got {', '.join(header) or 'nothing'})")
    points = []
    for row in reader:
        if not row:
            continue
        where = f"{path}:{reader.line_num}"
        if len(row) != len(header):
            raise PointsError(f"{where}: expected {len(header)} values (got {len(row)})")
        cells = dict(zip(header, row, strict=True))
        m, k, n = (_size(where, name, cells[name]) for name in COLUMNS[:3])
        points.append(MeasuredPoint(m=m, k=k, n=n, time_s=_time(where, cells["time_s"]), line=reader.line_num))
    return MeasuredPoints(path=str(path), sha256=hashlib.sha256(content).hexdigest(), points=tuple(points))


def _size(where: str, name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise PointsError(f"{where}: {name}: expected an integer >= 1 (got {text.strip()!r})")
    return value


def _time(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise PointsError(f"{where}: time_s: expected seconds > 0 (got {text.strip()!r})")
    return value


def distinct_shapes(points: Sequence[MeasuredPoint]) -> list[tuple[int, int, int]]:
    """The shapes that occur, each once."""
    return list(dict.fromkeys(point.shape for point in points))
