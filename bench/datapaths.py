"""Speed of every shipped chip's BitLinear datapath, and of evaluating text on it.

    python bench/datapaths.py [CHIP ...] [--quick]     (some minutes; --quick: 1 KiB of text instead of 64, once)

The operands are those of one layer of tiny-b158 on 256 held-out bytes. GMAC/s of one thread, by its CPU time, of whole
executions (outputs, cheap events, toggles of running sums exactly or not at all), side by side with the fast matmul in
one run: its ratios are what to quote. Popcount arrays, which no chip has, get random operands of their kind.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from bitsim.datapath.matmul import ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.registry import build_datapath
from bitsim.errors import OperandError
from bitsim.hw import chip_names, load_chip
from bitsim.hw.datapaths import PopcountSpec
from bitsim.model.checkpoint import load_model
from bitsim.study import evaluate
from bitsim.study.compare_datapaths import LinearCall, recorded

MODEL, TOKENS, LAYER = "tiny-b158", 256, "layers.1."
QUICK = "--quick" in sys.argv
REPEATS = 1 if QUICK else 4
TARGET_S = 60  # for 64 KiB on two cores


def thread_seconds(*functions: Callable[[], object]) -> list[float]:
    """Least CPU time of this thread for each function; they take turns, the first round compiles."""
    best = [float("inf")] * len(functions)
    for _ in range(REPEATS + 1):
        for i, function in enumerate(functions):
            start = time.thread_time()
            function()
            best[i] = min(best[i], time.thread_time() - start)
    return best


def takes(name: str, call: LinearCall, weights: PackedTernary) -> bool:
    """Whether a chip's BitLinear takes the operands of MODEL."""
    datapath = build_datapath(load_chip(name).bitlinear)
    try:
        datapath.execute(call.x_q[:1], weights, toggles="off")
    except OperandError:
        return False
    return True


def bench_chip(name: str, calls: list[LinearCall], packed: list[PackedTernary]) -> None:
    datapath: Any = build_datapath(load_chip(name).bitlinear)
    weights = [datapath.prepare(w) for w in packed]

    def executed(toggles: str) -> Callable[[], object]:
        pairs = list(zip(calls, weights, strict=True))
        return lambda: [datapath.execute(c.x_q, w, toggles=toggles, live=c.live) for c, w in pairs]

    def fast() -> object:
        return [ternary_matmul(call.x_q, w) for call, w in zip(calls, packed, strict=True)]

    print_rates(name, sum(call.op.macs for call in calls), thread_seconds(fast, executed("exact"), executed("off")))


def bench_popcount(operands: str) -> None:
    fields = {"kind": "popcount", "operands": operands, "lanes": 256, "cols": 256, "tokens": 1, "acc_bits": 24}
    datapath, rng = build_datapath(PopcountSpec.model_validate(fields)), np.random.default_rng(0)
    values = np.array([-1, 1] if operands == "binary" else [-1, 0, 1], np.int8)
    x, w = rng.choice(values, (TOKENS, 704)), rng.choice(values, (704, 704))
    packed, weights = PackedTernary.from_codes(w), datapath.prepare(w)
    took = thread_seconds(
        lambda: ternary_matmul(x, packed),
        lambda: datapath.execute(x, weights, toggles="exact"),
        lambda: datapath.execute(x, weights, toggles="off"),
    )
    print_rates(f"(popcount, {operands})", x.size * len(w), took)


def print_rates(name: str, macs: int, took: list[float]) -> None:
    fast, exact, off = (macs / seconds / 1e9 for seconds in took)
    cells = f"{exact:9.2f} {100 * exact / fast:7.2f} % {off:9.2f} {100 * off / fast:7.2f} %"
    print(f"{name:28} {cells} {fast:10.1f}", flush=True)


def bench_evaluation(name: str, limit: int) -> None:
    """Wall and CPU time of one evaluation, all threads; kernels are compiled and weights laid out before."""
    evaluate(MODEL, name, limit=600)
    wall, cpu = time.perf_counter(), time.process_time()
    score = evaluate(MODEL, name, limit=limit).score
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    scale = 2**16 / score.predicted_bytes
    wanted = f"target {TARGET_S}" if build_datapath(load_chip(name).bitlinear).exact else "rounds: no target"
    print(
        f"{name:28} {score.predicted_bytes:8,} bytes in {wall:6.1f} s, {cpu:6.1f} s of CPU; 64 KiB: "
        f"{wall * scale:6.1f} s, {cpu * scale / 2:6.1f} s if two cores shared the CPU time ({wanted})",
        flush=True,
    )


def main() -> None:
    given = [word for word in sys.argv[1:] if not word.startswith("-")] or list(chip_names())
    limit = 1024 if QUICK else 2**16
    available = numba.get_num_threads()
    numba.set_num_threads(1)
    calls = [c for c in recorded(load_model(MODEL), TOKENS)[0] if c.op.name.startswith(LAYER)]
    packed = [PackedTernary.from_hf_bytes(call.weight.packed, call.weight.n) for call in calls]
    names = [name for name in given if takes(name, calls[0], packed[0])]
    print(f"left out, they take other operands: {', '.join(sorted(set(given) - set(names))) or 'none'}")
    print("1 thread, GMAC/s              exact toggles: of fast       off: of fast     fast matmul")
    for name in names:
        bench_chip(name, calls, packed)
    for operands in ("binary", "ternary"):
        bench_popcount(operands)
    numba.set_num_threads(available)
    print(f"\nevaluating held-out text with {MODEL}, cheap events, {available} threads on {os.cpu_count()} cores")
    for name in names:
        bench_evaluation(name, limit)


if __name__ == "__main__":
    main()
