"""Derive the grids in hw_models/sram/*.yaml from runs of CACTI 7, and the errors of reading off between their points.

    python -m tools.derive_sram [tools/cacti_sram.csv]

The table holds runs of HewlettPackard/cacti @1ffd8df without ECC, with one bank and its ED2 objective. Its columns: set
of runs, cell and periphery (itrs-hp everywhere for energy, area and the fast access time; itrs-lstp cells with itrs-lop
periphery for the slow one), node, kB, bits of an access, temperature in K, then what came out.

* 65, 45 and 22 nm were run at every point of the grid. 28 nm, which CACTI itself interpolates, was run at two widths up
  to 2 MB; its other points lie on a straight line over log(node) between the runs at 22 and 32 nm.
* Held out: every other capacity (gaps of 16x), every other width (gaps of 4x), runs at 256, 1024 and 4096 kB, which lie
  in the middle of the grid's own gaps of 4x, the run at 16 MB, and nodes between two others.

Prints the grids as YAML, then the errors as factors.
"""

import csv
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, exp, log
from pathlib import Path

RUNS = Path(__file__).with_name("cacti_sram.csv")
FAST, SLOW = ("itrs-hp", "itrs-hp"), ("itrs-lstp", "itrs-lop")
CAPACITIES_KB, WIDTHS_BITS = (2, 8, 32, 128, 512, 2048, 8192), (32, 64, 128, 256, 512)
NODES = (65, 45, 28, 22)
# key of the grid -> transistors, column of the table
QUANTITIES = {
    "read_pj": (FAST, "read_pJ"),
    "write_pj": (FAST, "write_pJ"),
    "area_mm2": (FAST, "area_mm2"),
    "fast_ns": (FAST, "access_ns"),
    "slow_ns": (SLOW, "access_ns"),
}
Point = tuple[int, float, int]  # node in nm, kB, bits of an access


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """One quantity by point: `grid` as it was run for the grid, `apart` at other capacities."""

    grid: Mapping[Point, float]
    apart: Mapping[Point, float]


def load_runs(path: str | Path = RUNS) -> dict[str, Runs]:
    """Key of the grid -> runs."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def of(sets: tuple[str, ...], transistors: tuple[str, str], column: str) -> dict[Point, float]:
        return {
            (int(row["node_nm"]), float(row["size_kB"]), int(row["width_b"])): float(row[column])
            for row in rows
            if row["set"] in sets and (row["cell"], row["peri"]) == transistors and row["T_K"] == "350"
        }

    return {
        key: Runs(grid=of(("main", "nodes28_40"), *which), apart=of(("banks",), *which))
        for key, which in QUANTITIES.items()
    }


def between(low: float, high: float, t: float) -> float:
    """`t` of the way from one value to another, on a straight line between their logarithms."""
    return exp((1 - t) * log(low) + t * log(high))


def derive(runs: Mapping[str, Runs], node: int) -> dict[str, list[list[float]]]:
    """Key -> one row per capacity with a value per width, six digits."""
    t = log(28 / 22) / log(32 / 22)

    def value(grid: Mapping[Point, float], capacity: int, width: int) -> float:
        found = grid.get((node, capacity, width))
        if found is None and node == 28:
            found = between(grid[22, capacity, width], grid[32, capacity, width], t)
        assert found is not None, (node, capacity, width)
        return float(f"{found:.6g}")

    return {
        key: [[value(runs[key].grid, capacity, width) for width in WIDTHS_BITS] for capacity in CAPACITIES_KB]
        for key in QUANTITIES
    }


def held_out(runs: Runs) -> dict[str, list[float]]:
    """What was left out -> logarithm of the run over what the rule says, for every point that was left out."""
    grid, nodes = runs.grid, (65, 45, 22)
    found: dict[str, list[float]] = {
        "capacity, gaps of 16x": [
            log(grid[node, at, width] / between(grid[node, at // 4, width], grid[node, at * 4, width], 0.5))
            for node in nodes
            for width in WIDTHS_BITS
            for at in CAPACITIES_KB[1:-1]
        ],
        "width, gaps of 4x": [
            log(grid[node, at, width] / between(grid[node, at, width // 2], grid[node, at, width * 2], 0.5))
            for node in nodes
            for at in CAPACITIES_KB
            for width in WIDTHS_BITS[1:-1]
        ],
        "capacity, gaps of 4x": [
            log(value / between(grid[node, at / 2, width], grid[node, at * 2, width], 0.5))
            for (node, at, width), value in runs.apart.items()
            if at < CAPACITIES_KB[-1]
        ],
        "16 MB over twice 4 MB by a square root": [
            log(value / (2 * runs.apart[node, at / 4, width]))
            for (node, at, width), value in runs.apart.items()
            if at > CAPACITIES_KB[-1]
        ],
    }
    found["512 bits over two of 256 side by side"] = [
        log(grid[node, at, 512] / (2 * between(grid[node, at // 4, 256], grid[node, at, 256], 0.5)))
        for node in nodes
        for at in CAPACITIES_KB[1:]
    ]
    found["node, 32 nm between 22 and 45"] = _node_errors(grid, 22, 32, 45)
    found["node, 45 nm between 28 and 65"] = _node_errors(grid, 28, 45, 65)
    found["node, 28 nm between 22 and 32"] = _node_errors(grid, 22, 28, 32)
    return found


def _node_errors(grid: Mapping[Point, float], small: int, node: int, large: int) -> list[float]:
    t = log(node / small) / log(large / small)
    points = {(at, width) for n, at, width in grid if n == 28}
    return [
        log(grid[node, at, width] / between(grid[small, at, width], grid[large, at, width], t))
        for at, width in sorted(points)
    ]


def percentile_95(errors: Iterable[float]) -> float:
    """The factor that 95 % of the errors do not exceed, up or down."""
    sizes = sorted(abs(error) for error in errors)
    return exp(sizes[ceil(0.95 * len(sizes)) - 1])


def main() -> None:
    runs = load_runs(sys.argv[1] if len(sys.argv) > 1 else RUNS)
    for node in NODES:
        print(f"\n# {node} nm: one row per capacity, {CAPACITIES_KB} kB; widths {WIDTHS_BITS} bits")
        for key, rows in derive(runs, node).items():
            print(f"  {key}:")
            for row in rows:
                print(f"    - [{', '.join(f'{value:g}' for value in row)}]")
    for key, quantity in runs.items():
        print(f"\n{key}")
        for what, errors in held_out(quantity).items():
            if errors:
                largest = exp(max(map(abs, errors)))
                print(f"  {what:44s} {len(errors):3d} points, 95 % {percentile_95(errors):.3f}, all {largest:.3f}")


if __name__ == "__main__":
    main()
