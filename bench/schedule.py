"""Speed of mapper and estimate, in CPU seconds of one process after everything is compiled.

python bench/schedule.py [--quick]      (half a minute; --quick: small sizes, which only show that it runs)
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.registry import build_datapath
from bitsim.hw import load_chip
from bitsim.model.operators import lone_linear
from bitsim.schedule.homes import Homes
from bitsim.schedule.kernels import nest
from bitsim.schedule.mapper import Mapper, plain_goal
from bitsim.schedule.matmul import Matmul, matmul_of
from bitsim.schedule.plan import WHOLE, Schedule
from bitsim.serving.serve import serving_grid
from bitsim.study import estimate

CHIP = "ternary-ws-64x64"
QUICK = "--quick" in sys.argv
POINTS = 200 if QUICK else 20_000
ROUNDS = 1 if QUICK else 3
TOKENS, BATCHES = (16, 8) if QUICK else (2048, 200)


def cpu_seconds(work: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, Any]:
    """The least CPU time of a few rounds after one that compiles, and what the last one gave."""
    best, done = float("inf"), work()
    for _ in range(rounds):
        start = time.process_time()
        done = work()
        best = min(best, time.process_time() - start)
    return best, done


def layer() -> tuple[Mapper, Matmul]:
    """A mapper for the energy-delay product, and a 3200 x 8640 layer at M = 512."""
    chip = load_chip(CHIP)
    datapath = build_datapath(chip.bitlinear)
    goal = plain_goal(chip)
    mapper = Mapper(chip, datapath, type(goal)(objective="edp", per_bit=goal.per_bit))
    op = lone_linear(
        name="layer",
        phase="prefill",
        m=512,
        k=3200,
        n=8640,
        weight_bits=2 * 3200 * 8640,
    )
    return mapper, matmul_of(op, datapath, Homes(memory=chip.memory, code_bits=datapath.act_bits))


def evaluated(schedule: Schedule, matmul: Matmul) -> Array:
    """Times of POINTS random tilings of the layer, tables of the datapath included."""
    legs, rng = schedule.transfers(matmul)[0], np.random.default_rng(0)
    tiles = np.stack(
        [
            unit * rng.integers(1, -(-size // unit) + 1, POINTS)
            for unit, size in zip((1, 64, 64), matmul.dims, strict=True)
        ],
        axis=1,
    )
    dims = np.tile(np.array([*matmul.dims, 1]), (POINTS, 1))
    tiles = np.minimum(tiles, dims[:, :3])
    lasts = dims[:, :3] - (-(-dims[:, :3] // tiles) - 1) * tiles
    m, k, n = (np.stack([tiles[:, d], lasts[:, d]], axis=1) for d in range(3))
    single = schedule.tiles([m[:, :, None, None], k[:, None, :, None], n[:, None, None, :]])
    used = np.ascontiguousarray(np.moveaxis(single.used[schedule.at(legs)], 0, -1))
    cycles = np.empty(POINTS, dtype=np.int64)
    nest.cycles_of_many(
        dims,
        tiles,
        (dims[0], tiles[0], nest.ORDERS[0], 0, WHOLE),
        np.broadcast_to(single.cycles[:, None], (POINTS, 4, 2, 2, 2)),
        np.broadcast_to(used[:, None], (POINTS, 4, 2, 2, 2, used.shape[-1])),
        np.broadcast_to(legs.cost, (POINTS, *legs.cost.shape)),
        legs.timing,
        cycles,
    )
    return cycles


def main() -> None:
    mapper, matmul = layer()

    def search() -> int:
        mapper.plan.cache_clear()
        return int(mapper.plan(matmul).searched)

    seconds, searched = cpu_seconds(search)
    print(f"exhaustive search, 3200 x 8640 at M = 512   {seconds:7.3f} s   (target 1): {searched:,} tilings and orders")
    seconds, _ = cpu_seconds(lambda: evaluated(mapper.schedule, matmul))
    print(f"evaluator                                   {POINTS / seconds:9,.0f} points/s per core (target 100,000)")
    for title, changed in (
        (f"70B, prefill {TOKENS} + decode {TOKENS}, batch 64", {}),
        (f"  the same, decode {TOKENS // 2}", {"decode": TOKENS // 2}),
        ("  the same, 13B", {"model": "bitnet-b158-13b"}),
    ):
        settings: dict[str, Any] = {"model": "bitnet-b158-70b", "decode": TOKENS} | changed
        settings |= {"chip": CHIP, "prefill": TOKENS, "batch": 64, "beyond_capacity": True}
        seconds, _ = cpu_seconds(partial(estimate, **settings))
        print(f"{title:43s} {seconds:7.3f} s" + ("   (target 1)" if not changed else ""))
    seconds, _ = cpu_seconds(serving_sweep)
    print(f"serving, {BATCHES} batches x 8 device counts x 5 models {seconds:.3f} s   (target 2)")


def serving_sweep() -> None:
    """All batches from 1 to BATCHES on 1 to 64 GPUs."""
    for model in ("llama-3b", "llama-70b", "bitnet-b158-3b", "bitnet-b158-70b", "bitnet-a48-7b"):
        serving_grid(model, "a100-80gb", devices=[1, 2, 4, 8, 16, 24, 32, 64], batches=list(range(1, BATCHES + 1)))


if __name__ == "__main__":
    main()
