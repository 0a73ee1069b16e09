"""What the machine at hand can do: memory bandwidth and integer rate, measured with bitsim's own matmul kernels."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numba
import numpy as np
import yaml

from bitsim._version import __version__
from bitsim.datapath.matmul import ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.errors import ConfigError
from bitsim.results.outcome import Makers, Outcome

ISAS = {"x86_64": "x86_64", "AMD64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
ROWS = 512  # of the integer matmul
SIDE = 2048  # of both matmuls that stay in the caches
LINE_K = 16 * 512


@dataclass(frozen=True, kw_only=True, repr=False)
class Machine(Outcome):
    """Measured rates: GB/s of packed weights read by a one-row matmul, Top/s of int8 and of float32 multiply-adds."""

    isa: str
    threads: int
    bandwidth_gb_s: float
    int8_top_s: float
    float32_top_s: float
    capacity_gb: float
    weights_mb: int
    repeats: int

    @property
    def kind(self) -> str:
        return "machine"

    @property
    def title(self) -> str:
        return f"{self.isa}, {self.threads} threads, best of {self.repeats}"

    def headline(self) -> dict[str, Any]:
        names = ("bandwidth_gb_s", "int8_top_s", "float32_top_s", "capacity_gb")
        return {name: getattr(self, name) for name in names}

    def makers(self) -> Makers:
        rows = (
            ("memory, packed weights", self.bandwidth_gb_s, "GB/s"),
            ("int8 x ternary", self.int8_top_s, "Top/s"),
            ("float32", self.float32_top_s, "Top/s"),
            ("memory", self.capacity_gb, "GB"),
        )
        return {"rates": lambda: [dict(zip(("what", "rate", "unit"), row, strict=True)) for row in rows]}

    def cpu_yaml(self, name: str) -> str:
        """A CPU description for `load_cpu`, all rates with evidence `measured`."""
        by = f"bitsim {__version__}, best of {self.repeats}"

        def rate(value: float, unit: str, what: str) -> dict[str, Any]:
            return {"value": float(f"{value:.4g}"), "unit": unit, "evidence": "measured", "source": f"{what}; {by}"}

        content = {
            "kind": "cpu",
            "name": name,
            "summary": f"measured: {platform.system()}, {self.threads} threads",
            "isa": self.isa,
            "cores": self.threads,
            "int8_rate": rate(self.int8_top_s, "Top/s", f"ternary x int8 matmul of {ROWS} x {SIDE} x {SIDE}"),
            "fp16_rate": rate(self.float32_top_s, "Top/s", f"float32 BLAS of {SIDE} x {SIDE} x {SIDE}, as FP16 is run"),
            "bandwidth": rate(
                self.bandwidth_gb_s, "GB/s", f"one-row matmul over {self.weights_mb} MB of packed ternary weights"
            ),
            "capacity": rate(self.capacity_gb, "GB", "as the operating system says"),
            "efficiency": rate(1.0, "ratio", "the bandwidth is what was reached"),
            "layer_overhead": {
                "value": 0,
                "unit": "us",
                "evidence": "assumed",
                "source": "not measured: fit it to measured tokens per second",
            },
        }
        return yaml.safe_dump(content, sort_keys=False, width=110, allow_unicode=True)


def measure_machine(*, weights_mb: int = 512, repeats: int = 5, clock: Callable[[], float] = perf_counter) -> Machine:
    """Measure this machine with all of numba's threads, on an otherwise idle machine.

    `weights_mb`: must exceed the last cache by far, or its bandwidth is measured. Each rate is the best of `repeats`
    after one call that compiles and warms. Raises `ConfigError` for an unknown architecture or counts below 1.
    """
    if platform.machine() not in ISAS:
        raise ConfigError(f"machine: expected one of {', '.join(sorted(ISAS))}, got {platform.machine()!r}")
    if weights_mb < 1 or repeats < 1:
        raise ConfigError(f"machine: expected at least 1 MB and 1 repeat, got {weights_mb} and {repeats}")
    rng = np.random.default_rng(0)
    lines = weights_mb * 10**6 // (64 * LINE_K // 16) + 1
    large = PackedTernary(packed=_packed(rng, lines, LINE_K), n=16 * lines, k=LINE_K)
    token = rng.integers(-128, 128, (1, LINE_K), dtype=np.int8)
    streamed = _best(lambda: ternary_matmul(token, large), repeats, clock)
    small = PackedTernary(packed=_packed(rng, SIDE // 16, SIDE), n=SIDE, k=SIDE)
    tokens = rng.integers(-128, 128, (ROWS, SIDE), dtype=np.int8)
    multiplied = _best(lambda: ternary_matmul(tokens, small), repeats, clock)
    a = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    floats = _best(lambda: a @ a, repeats, clock)
    return Machine(
        inputs={"bitsim": __version__, "machine": platform.machine(), "threads": numba.get_num_threads()},
        notes=("measured by the clock on the wall, with all of numba's threads, on whatever else the machine did",),
        isa=ISAS[platform.machine()],
        threads=numba.get_num_threads(),
        bandwidth_gb_s=large.packed.nbytes / streamed * 1e-9,
        int8_top_s=2 * ROWS * SIDE * SIDE / multiplied * 1e-12,
        float32_top_s=2 * SIDE**3 / floats * 1e-12,
        capacity_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 1e-9,
        weights_mb=round(large.packed.nbytes / 1e6),
        repeats=repeats,
    )


def _packed(rng: np.random.Generator, lines: int, k: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Bytes of random ternary codes 0, 1, 2 in the layout of the kernels: (lines, K / 16, 64)."""
    block = rng.integers(0, 3, (4, k // 16, 64), dtype=np.uint8)
    one = (block[0] | block[1] << 2 | block[2] << 4 | block[3] << 6).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(one, (lines, *one.shape)))


def _best(work: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    """Seconds of the fastest of `repeats` calls, after one that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        start = clock()
        work()
        found.append(clock() - start)
    return min(found)
