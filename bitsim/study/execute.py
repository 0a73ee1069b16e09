"""One quantised matmul on a chip, executed as the chip's plan says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bitsim.datapath.base import Array, Toggles, as_matrix
from bitsim.datapath.outcomes import Deviation, Overflow
from bitsim.datapath.tiled import layout_of, prepare_tiles
from bitsim.datapath.tiled_execution import execute_tiles
from bitsim.datapath.tiles import Tiles
from bitsim.events import Events, parsed
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.operators import lone_linear
from bitsim.schedule import Objective
from bitsim.schedule.place import naming
from bitsim.schedule.plan import Plan
from bitsim.study.goal import placement_for

_TERNARY_BITS, _FULL_BITS = 2, 8  # stored bits per weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What one matmul gave and did under its plan.

    * `y` (M, N): int32 or int64 of integer datapaths, float32 of others. `first_overflow`: None if there was none.
    * `events`: of the datapath in all calls; `toggles`: the flips among them by class of registers (`psum`, `act`,
      ...); `traffic`: bits that memories move and scale multiplications.
    * `busy_cycles`: in which the datapath works; `cycles`: from the first load to the last store.
    * `plan`: tiles and loops as the mapper chose them; `tiles`: the calls of the datapath that follow from it.
    * `toggle_columns`: on how many of N columns toggles of registers that see running sums were counted; see
      `bitsim.datapath.outcomes`. `deviation`: how far `y` is off, of datapaths that are not exact.
    """

    y: Array
    events: Events
    traffic: Events
    busy_cycles: int
    cycles: int
    toggles: Mapping[str, int]
    toggle_columns: int
    first_overflow: Overflow | None
    deviation: Deviation | None
    plan: Plan
    tiles: Tiles


def execute(
    x_q: Array,
    w: Array,
    chip: str | Path | Chip,
    *,
    toggles: Toggles = "exact",
    seed: int = 0,
    live: Array | None = None,
    objective: Objective = "latency",
) -> Executed:
    """Execute `y = x_q w^T` on the BitLinear datapath of `chip`, tile by tile as its plan says, and count everything.

    * `x_q`: int8 (M, K); `w`: int8 (N, K), of -1, 0, 1 unless the chip takes INT8 weights. `live`: bool (M, N), the
      outputs that are needed; None: all.
    * `toggles`: those of registers that see running sums, of all columns ("exact"), of a sample drawn by `seed`
      ("sample") or of none ("off"). `objective`: what the plan is chosen for.

    Equal to the int64 matmul on exact datapaths unless `overflow.*` events say otherwise. The plan that is returned is
    the one that is executed, timed and counted. Raises `OperandError` for operands that the datapath does not take.
    """
    chip, acts, weights = load_chip(chip), as_matrix("x_q", x_q), as_matrix("w", w)
    ternary = weights.min() >= -1 and weights.max() <= 1
    (m, k), n = acts.shape, weights.shape[0]
    op = lone_linear(
        name="matmul",
        phase="prefill",
        m=m,
        k=k,
        n=n,
        weight_bits=8 * -(-k * n * (_TERNARY_BITS if ternary else _FULL_BITS) // 8),
    )
    placement = placement_for(chip, objective)
    with naming(op):
        datapath, placed = placement.bitlinear, placement.place(op)
        plan, tiles = placed.plan, placed.tiles
        assert plan is not None
        assert tiles is not None
        prepared = prepare_tiles(datapath, weights, layout_of(datapath, tiles))
        done = execute_tiles(datapath, acts, prepared, tiles, toggles=toggles, seed=seed, live=live)
    placed = placement.paced(op, placed, done.cycles)
    names = {event: parsed(event) for event in done.events}
    flips = {name.place: done.events[event] for event, name in names.items() if name.action == "toggle"}
    return Executed(
        y=done.y,
        events=done.events,
        traffic=placed.events,
        busy_cycles=placed.unit_cycles,
        cycles=placed.cycles,
        toggles=flips,
        toggle_columns=done.toggle_columns,
        first_overflow=done.first_overflow,
        deviation=done.deviation,
        plan=plan,
        tiles=tiles,
    )
