"""A checkpoint with the shape of BitNet b1.58 2B4T and random weights: opening, memory, and the speed of decoding.

    python bench/full_size.py [FOLDER] [--quick]

A few minutes; 2.4 GB in FOLDER or a temporary folder, removed at the end. `--quick`: a shape of 125M, few rounds.

Decoding is compared with what it can't do without: the packed linears, and the linears and the bfloat16 head. The three
take turns, token by token in one process, so that a busy machine slows all of them down; the ratios are what to quote.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numba
import numpy as np

QUICK = "--quick" in sys.argv
MODEL, CHIP = "bitnetcpp-125m" if QUICK else "bitnet-b158-2b4t", "ternary-ws-64x64"
ROUNDS, WARM_UP = (2, 1) if QUICK else (50, 4)
BITSIM = [sys.executable, "-m", "bitsim.cli.main"]
OPEN = """
import sys, time
from bitsim.model.checkpoint import load_checkpoint
wall, cpu = time.perf_counter(), time.process_time()
load_checkpoint(sys.argv[1])
print(time.perf_counter() - wall, time.process_time() - cpu)
"""
PEAK = """
import sys
from bitsim.study import run
run(sys.argv[1], sys.argv[2], tokens=[1, 2, 3, 4], new_tokens=8, toggles="off")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def printed_by(script: str, *words: str) -> list[float]:
    """The numbers that a fresh Python process prints."""
    done = subprocess.run([sys.executable, "-c", script, *words], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def bench_opening(path: Path) -> None:
    walls, cpus = zip(*(printed_by(OPEN, str(path)) for _ in range(3)), strict=True)
    print(f"{path.name:12} opens in     {min(walls):6.2f} s, {min(cpus):.2f} s of CPU on two threads (target 2 s)")


def bench_file(path: Path) -> None:
    bench_opening(path)
    (peak,) = printed_by(PEAK, str(path), CHIP)
    print(f"{path.name:12} decodes in   {peak / 2**20:6.2f} GiB at most (target 2 GB)")


def seconds(*functions: Callable[[], object]) -> list[float]:
    """Median time of each function; they take turns. One thread: CPU time, which other load hardly disturbs."""
    clock = time.process_time if numba.get_num_threads() == 1 else time.perf_counter
    times: list[list[float]] = [[] for _ in functions]
    for round_ in range(WARM_UP + ROUNDS):
        for taken, function in zip(times, functions, strict=True):
            start = clock()
            function()
            if round_ >= WARM_UP:
                taken.append(clock() - start)
    return [median(taken) for taken in times]


def bench_decode(path: Path) -> None:
    from bitsim.datapath.matmul import ternary_matmul
    from bitsim.datapath.packed import PackedTernary
    from bitsim.hw import load_chip
    from bitsim.model.checkpoint import load_model
    from bitsim.model.float_matmul import float_matmul
    from bitsim.model.forward import forward
    from bitsim.model.kv_cache import KVCache
    from bitsim.quant.packing import TernaryWeight
    from bitsim.quant.recipes import recipe_named
    from bitsim.results.setup import Execution
    from bitsim.schedule.place import Placement
    from bitsim.study.executor import ChipExecutor

    model, rng = load_model(path), np.random.default_rng(0)
    config, weights = model.config, model.weights
    assert weights is not None
    cache, recipe = KVCache(config, 32), recipe_named(config.default_numerics)
    executor = ChipExecutor(Placement(load_chip(CHIP)), Execution(recipe=recipe, toggles="off"))
    linears = [
        (PackedTernary.from_hf_bytes(weight.packed, weight.n), rng.integers(-128, 128, (1, weight.k)).astype(np.int8))
        for layer in weights.layers
        for weight in layer.linears()
        if isinstance(weight, TernaryWeight)
    ]
    hidden = rng.standard_normal((1, 1, config.hidden_size)).astype(np.float32)

    def token() -> None:
        forward(config, weights, np.array([7]), cache, executor, recipe, "decode")

    def linears_alone() -> None:
        for weight, x_q in linears:
            ternary_matmul(x_q, weight)

    def head_alone() -> None:
        float_matmul(hidden, weights.head)

    available = numba.get_num_threads()
    for threads in sorted({1, available}):
        numba.set_num_threads(threads)
        whole, packed, head = seconds(token, linears_alone, head_alone)
        print(
            f"{threads} thread(s)   full decode {1 / whole:7.2f} tokens/s, toggles off\n"
            f"              linears     {1 / packed:7.2f} tokens/s: full decode is {packed / whole:.0%} of it\n"
            f"              and head    {1 / (packed + head):7.2f} tokens/s: full decode is "
            f"{(packed + head) / whole:.0%} of it (target 60 %)"
        )
    numba.set_num_threads(available)


def main() -> None:
    (parent,) = [word for word in sys.argv[1:] if word != "--quick"] or [None]
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        files = {"hf": Path(folder) / "hf", "gguf": Path(folder) / "tq2_0.gguf"}
        for file_format, path in files.items():
            words = ["convert", MODEL, str(path), "--format", file_format, "--random-weights", "1"]
            subprocess.run([*BITSIM, *words], check=True)
            bench_file(path)
        for packing in ("tq1_0", "i2_s"):
            path = Path(folder) / f"{packing}.gguf"
            words = ["convert", MODEL, str(path), "--format", "gguf", "--packing", packing, "--random-weights", "1"]
            subprocess.run([*BITSIM, *words], check=True)
            bench_opening(path)
            path.unlink()
        bench_decode(files["hf"])


if __name__ == "__main__":
    main()
