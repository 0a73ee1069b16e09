"""Start-up and decoding, measured as whole processes or whole runs: CPU seconds, tokens per second, peak memory.

python bench/commands.py [--quick]     (a few minutes, nothing else should run; --quick: few tokens, a small shape)
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from bitsim.datapath.base import Toggles
from bitsim.study import run

BITSIM = Path(sys.executable).with_name("bitsim")
QUICK = "--quick" in sys.argv
RUNS, TOKENS = (1, 4) if QUICK else (5, 128)
SHAPE, SHAPE_TOKENS = ("bitnetcpp-125m", 3) if QUICK else ("bitnet-b158-2b4t", 6)


def cpu_seconds(*words: str) -> float:
    """The least CPU time of RUNS runs of a command (user and system, children included)."""
    best = float("inf")
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([str(BITSIM), *words], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def decode_rate(model: str, toggles: Toggles, new_tokens: int, random_seed: int | None = None) -> float:
    """Decoded tokens per second of wall time, without start-up, weight layout and prefill."""
    stamps: list[float] = []
    run(
        model,
        "ternary-ws-64x64",
        tokens=[1, 2, 3, 4],
        new_tokens=new_tokens,
        toggles=toggles,
        random_weights=random_seed,
        on_token=lambda token, text: stamps.append(time.perf_counter()),
    )
    return (len(stamps) - 2) / (stamps[-1] - stamps[1])


def main() -> None:
    print(f"bitsim --help             {cpu_seconds('--help'):6.2f} s CPU   (target 0.25)")
    print(f"bitsim list               {cpu_seconds('list'):6.2f} s CPU   (target 0.6)")
    for toggles in ("off", "sample", "exact"):
        rate = decode_rate("tiny-b158", toggles, TOKENS)
        print(f"tiny-b158, toggles {toggles:6s} {rate:6.1f} tokens/s (target 50 with cheap events)")
    for toggles in ("off", "sample"):
        rate = decode_rate(SHAPE, toggles, SHAPE_TOKENS, random_seed=1)
        print(f"{SHAPE}, toggles {toggles:6s} {rate:5.2f} tokens/s (2B4T: target 3 on two cores)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory               {peak:6.2f} GiB     (target 4), {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
