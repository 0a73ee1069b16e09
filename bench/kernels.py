"""Speed of the kernels as ratios to the machine's own limits, all measured side by side in one run.

    python bench/kernels.py [--quick]      (--quick: small sizes, which only show that it runs)

Absolute figures move with the machine and its load; the ratios in the last column are what to quote. Each limit is
measured right before and after the kernel that it belongs to, and the best of all repetitions counts.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import parallel_kernel
from bitsim.datapath.kernels.fp16_array import fp16_array_matmul
from bitsim.datapath.kernels.simd import hsum, load, splat
from bitsim.datapath.kernels.simd_dot import dpbusd, has_native_dpbusd
from bitsim.datapath.matmul import int8_matmul, ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.tensor_core.mma import mma
from bitsim.datapath.toggles import acc_toggles_os, fp16_acc_toggles_os, fp16_psum_toggles_ws, psum_toggles_ws
from bitsim.hw.tensor_core import load_tensor_core

QUICK = "--quick" in sys.argv
N, K = (128, 256) if QUICK else (8640, 3200)  # the FFN of BitNet b1.58 3B
STREAM_N = 4096 if QUICK else 262144  # 200 MiB of packed weights
DOT_STEPS = 2_000 if QUICK else 2_000_000
COUNTER_N, CORE_SIZE = (64, 256) if QUICK else (2048, 2048)
DOTS_PER_STEP = 12
MACS_PER_DOT = 64


@parallel_kernel
def dpbusd_rate(threads: int, steps: int, operand: Any) -> int:
    """Twelve independent chains of dpbusd per thread, nothing else."""
    total = 0
    for _thread in numba.prange(threads):
        u = load(operand, 0)
        zero = splat(np.int32(0))
        a_0, a_1, a_2, a_3, a_4, a_5 = zero, zero, zero, zero, zero, zero
        b_0, b_1, b_2, b_3, b_4, b_5 = zero, zero, zero, zero, zero, zero
        for _ in range(steps):
            a_0, a_1, a_2 = dpbusd(a_0, u, u), dpbusd(a_1, u, u), dpbusd(a_2, u, u)
            a_3, a_4, a_5 = dpbusd(a_3, u, u), dpbusd(a_4, u, u), dpbusd(a_5, u, u)
            b_0, b_1, b_2 = dpbusd(b_0, u, u), dpbusd(b_1, u, u), dpbusd(b_2, u, u)
            b_3, b_4, b_5 = dpbusd(b_3, u, u), dpbusd(b_4, u, u), dpbusd(b_5, u, u)
        total += hsum(a_0 + a_1 + a_2 + a_3 + a_4 + a_5) + hsum(b_0 + b_1 + b_2 + b_3 + b_4 + b_5)
    return total


@parallel_kernel
def read_all(words: Any) -> int:
    """words: int64 (C, 8 L); every chunk is read once, two vectors at a time."""
    total = 0
    for chunk in numba.prange(words.shape[0]):
        row = words[chunk]
        even, odd = splat(np.int64(0)), splat(np.int64(0))
        for i in range(0, words.shape[1], 16):
            even += load(row, i)
            odd += load(row, i + 8)
        total += hsum(even + odd)
    return total


def seconds(*functions: Callable[[], object], repeats: int = 7) -> list[float]:
    """Best time of each function; the functions take turns. One thread: its CPU time, immune to other load."""
    clock = time.thread_time if numba.get_num_threads() == 1 else time.perf_counter
    best = [float("inf")] * len(functions)
    for _ in range(repeats + 1):  # the first round compiles
        for i, function in enumerate(functions):
            start = clock()
            function()
            best[i] = min(best[i], clock() - start)
    return best


def row(what: str, rate: float, unit: str, limit_name: str, limit: float) -> None:
    print(f"{what:44} {rate:9.2f} {unit:7}  {limit_name:16} {limit:9.2f} {100 * rate / limit:6.1f} %")


def bench_matmul(rng: np.random.Generator, threads: int) -> None:
    w_ternary = rng.integers(-1, 2, (N, K)).astype(np.int8)
    w = PackedTernary.from_codes(w_ternary)
    operand = np.arange(64, dtype=np.uint8)
    left, right = rng.random((1024, K), np.float32), rng.random((K, 1024), np.float32)
    name = "vpdpbusd" if has_native_dpbusd() else "sgemm"

    def run_limit() -> object:
        return dpbusd_rate(threads, DOT_STEPS, operand) if has_native_dpbusd() else left @ right

    limit_macs = threads * DOT_STEPS * DOTS_PER_STEP * MACS_PER_DOT if has_native_dpbusd() else 1024 * 1024 * K
    for m in (1, 4, 16, 128, 512):
        x_q = rng.integers(-128, 128, (m, K)).astype(np.int8)

        def run_kernel(x_q: NDArray[np.int8] = x_q) -> object:
            return ternary_matmul(x_q, w)

        took, limit_took = seconds(run_kernel, run_limit)
        row(f"ternary matmul {m}x{K}x{N}", m * N * K / took / 1e9, "GMAC/s", name, limit_macs / limit_took / 1e9)
    took, limit_took = seconds(lambda: int8_matmul(x_q, w_ternary), run_limit, repeats=3)
    row(f"int8 matmul 512x{K}x{N}", 512 * N * K / took / 1e9, "GMAC/s", name, limit_macs / limit_took / 1e9)


def bench_stream(rng: np.random.Generator) -> None:
    packed = np.full((STREAM_N // 16, K // 16, 64), 0b01_00_01_10, np.uint8)
    w = PackedTernary(packed=packed, n=STREAM_N, k=K)
    x_q = rng.integers(-128, 128, (1, K)).astype(np.int8)
    words = w.packed.reshape(256, -1).view(np.int64)
    took, limit_took = seconds(lambda: ternary_matmul(x_q, w), lambda: read_all(words), repeats=15)
    row(
        f"ternary matmul M=1, {w.nbytes >> 20} MiB of weights",
        w.nbytes / took / 1e9,
        "GB/s",
        "memory read",
        w.nbytes / limit_took / 1e9,
    )


def bench_counters(rng: np.random.Generator) -> None:
    """One thread, against the exact matmul on one thread."""
    m, n = 256, COUNTER_N
    x_q = rng.integers(-128, 128, (m, K)).astype(np.int8)
    w_ternary = rng.integers(-1, 2, (n, K)).astype(np.int8)
    w = PackedTernary.from_codes(w_ternary)
    a, b = (rng.standard_normal((r, K)).astype(np.float16).view(np.uint16) for r in (64, n // 2))
    jobs: dict[str, tuple[Callable[[], object], int]] = {
        "psum toggles, weight-stationary 128 rows": (lambda: psum_toggles_ws(x_q, w_ternary, 128, 20), m * n),
        "psum toggles, weight-stationary 100 rows": (lambda: psum_toggles_ws(x_q, w_ternary, 100, 20), m * n),
        "accumulator toggles, output-stationary": (lambda: acc_toggles_os(x_q, w_ternary, 20), m * n),
        "FP16 array values, 128 rows": (lambda: fp16_array_matmul(a, b, 128), 32 * n),
        "FP16 psum toggles, weight-stationary": (lambda: fp16_psum_toggles_ws(a, b, 128), 32 * n),
        "FP16 accumulator toggles": (lambda: fp16_acc_toggles_os(a, b), 32 * n),
    }
    matmul_took, *took = seconds(lambda: ternary_matmul(x_q, w), *(job for job, _ in jobs.values()), repeats=4)
    limit = m * n * K / matmul_took / 1e9
    for (name, (_, outputs)), job_took in zip(jobs.items(), took, strict=True):
        row(name, outputs * K / job_took / 1e9, "GMAC/s", "exact matmul", limit)


def bench_tensor_cores(rng: np.random.Generator) -> None:
    """One thread, conversions included, against the same kernel with every lane computed alone in float64."""
    m, k, n = 64, CORE_SIZE, CORE_SIZE
    halves = [rng.standard_normal(shape).astype(np.float16).view(np.uint16) for shape in ((m, k), (k, n))]
    bytes_ = [rng.integers(0, 0x60, shape).astype(np.uint8) for shape in ((m, k), (k, n))]
    fp4 = [codes & np.uint8(15) for codes in bytes_]
    scales = {"scale_a": bytes_[0][:, : k // 16], "scale_b": bytes_[1][: k // 16]}
    c32, c16 = np.zeros((m, n), np.uint32), np.zeros((m, n), np.uint16)
    alone = load_tensor_core("ampere")
    unit = alone.floating[0].model_copy(update={"alignment_bits": 40})  # more than the fast lanes can do
    alone = alone.model_copy(update={"floating": (unit,)})
    few = [halves[0][:16], halves[1], c32[:16]]
    jobs: dict[str, Callable[[], object]] = {
        "tensor core, Volta fp16 to fp32": lambda: mma(*halves, c32, "volta"),
        "tensor core, Ampere fp16 to fp32": lambda: mma(*halves, c32, "ampere"),
        "tensor core, Ampere fp16 to fp16": lambda: mma(*halves, c16, "ampere", acc_format="fp16"),
        "tensor core, Hopper fp16 to fp32": lambda: mma(*halves, c32, "hopper"),
        "tensor core, Hopper e4m3 to fp32": lambda: mma(*bytes_, c32, "hopper", "e4m3"),
        "tensor core, Blackwell nvf4 to fp32": lambda: mma(*fp4, c32, "blackwell", "nvf4", **scales),
        "tensor core, Ampere int8 to int32": lambda: mma(
            *(codes.view(np.int8) for codes in bytes_), c32.view(np.int32), "ampere", "int8"
        ),
    }
    alone_took, *took = seconds(lambda: mma(*few, alone), *jobs.values(), repeats=4)
    limit = 16 * k * n / alone_took / 1e9
    for name, job_took in zip(jobs, took, strict=True):
        row(name, m * k * n / job_took / 1e9, "GMAC/s", "lanes alone", limit)


def main() -> None:
    rng = np.random.default_rng(0)
    available = numba.get_num_threads()
    for threads in sorted({1, available}):
        numba.set_num_threads(threads)
        print(f"\n{threads} thread(s){'':30} {'kernel':>17}          limit {'':19} kernel / limit")
        bench_matmul(rng, threads)
        bench_stream(rng)
    numba.set_num_threads(1)
    print("\nevent counters, 1 thread")
    bench_counters(rng)
    bench_tensor_cores(rng)


if __name__ == "__main__":
    main()
