"""Law 11: the plan that is printed, replayed tile by tile, gives what is reported, in run and in estimate."""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitsim
from bitsim.cost import CONVENTIONS, OperatorCost, PriceList, price_operator
from bitsim.datapath.tiles import Call
from bitsim.errors import BitsimError, ConfigError, OperandError
from bitsim.events import Events, total
from bitsim.hw import chip_names, load_chip
from bitsim.hw.chip import Chip
from bitsim.model.operators import Operator
from bitsim.schedule import Placed, Placement
from bitsim.schedule.walker import Span, walk
from bitsim.study.matmuls import MatmulShape, estimate_matmuls
from bitsim.study.statistics import default_statistics
from bitsim.testing import laws
from bitsim.testing.design import design_of
from bitsim.testing.models import reference
from bitsim.testing.replaying import by_tiles, joints

AWKWARD_K = (1, 29, 96, 200, 854)
AWKWARD_N = (1, 40, 257, 300)


@cache
def squeezed(name: str, share: float) -> Chip:
    """A shipped chip with less room in its buffers, so that matmuls fall into more tiles."""
    chip = load_chip(name)
    levels = [
        level.model_copy(
            update={
                "capacity": level.capacity.model_copy(
                    update={way: getattr(level.capacity, way) * share for way in ("low", "nominal", "high")}
                )
            }
        )
        for level in chip.memory.levels
    ]
    return chip.model_copy(update={"memory": chip.memory.model_copy(update={"levels": tuple(levels)})})


@st.composite
def cases(draw: st.DrawFn) -> tuple[Chip, tuple[int, int, int], int]:
    """Generates a chip, shipped or squeezed, M, K and N of a matmul, and a seed for its operands."""
    chip = squeezed(draw(st.sampled_from(chip_names())), draw(st.sampled_from((1.0, 1.0, 0.1))))
    sizes = draw(st.sampled_from((1, 3, 8))), draw(st.sampled_from(AWKWARD_K)), draw(st.sampled_from(AWKWARD_N))
    return chip, sizes, draw(st.integers(0, 2**16))


def operands(datapath: Any, m: int, k: int, n: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    low, high = datapath.act_range
    x = rng.integers(low, high + 1, (m, k)).astype(np.int8)
    w = rng.integers(-1, 2, (n, k)).astype(np.int8)
    x[(x == 0) & (not datapath.zero_acts)] = 1
    w[(w == 0) & (not datapath.zero_weights)] = -1
    return x, w


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A matmul on a chip, and the calls of its plan one after another."""

    datapath: Any
    op: Operator
    placed: Placed
    calls: list[Call]
    walked: Any


def planned(chip: Chip, sizes: tuple[int, int, int]) -> Planned:
    m, k, n = sizes
    op = MatmulShape(name="matmul", m=m, k=k, n=n).operator("decode")
    placement, spans = Placement(chip), list[Span]()
    placed = placement.place(op)
    matmul, plan, schedule = placement.schedule(op)
    transfers = schedule.transfers(matmul)
    walked = walk(chip, placement.bitlinear, matmul, plan, transfers, calls=schedule.calls, on_span=spans.append)
    assert placed.tiles is not None
    calls = list(placed.tiles.walk())
    sizes_called = [" x ".join(str(size) for size in call.size) for call in calls]
    assert [span.what for span in spans if span.unit == "array"] == sizes_called
    return Planned(datapath=placement.bitlinear, op=op, placed=placed, calls=calls, walked=walked)


def refused(chip: Chip, sizes: tuple[int, int, int]) -> bool:
    """Whether the chip has no room for the matmul, or no kernel for its shape."""
    try:
        planned(chip, sizes)
    except (ConfigError, OperandError):
        return True
    return False


def of(datapath: Any, call: Call) -> Any:
    return datapath.staying if call.stays else datapath


def data_independent(one: Planned) -> Events:
    counts = [of(one.datapath, call).count(*call.size) for call in one.calls]
    return total(counts) + joints(one.datapath, one.calls)


@settings(max_examples=25)
@given(cases())
def test_law_11_a_run_reports_what_its_calls_did_one_by_one(case: tuple[Chip, tuple[int, int, int], int]) -> None:
    chip, sizes, seed = case
    if refused(chip, sizes):
        return
    one = planned(chip, sizes)
    x, w = operands(one.datapath, *sizes, seed)
    done = bitsim.execute(x, w, chip)
    assert done.tiles == one.placed.tiles
    answer = design_of(lambda *_: done)
    laws.replay(answer, x, w, replayed=by_tiles(one.datapath), left_out=("overflow.",))
    assert done.events.data_independent() == data_independent(one)
    if not chip.bitlinear.cycles_vary:
        assert done.busy_cycles == one.walked.work.busy
    if one.datapath.exact and done.first_overflow is None:
        laws.exactness(answer, x, w, reference=reference())


@settings(max_examples=25)
@given(cases())
def test_law_11_an_estimate_reports_what_its_calls_count(case: tuple[Chip, tuple[int, int, int], int]) -> None:
    chip, sizes, _ = case
    if refused(chip, sizes):
        return
    one, (m, k, n), statistics = planned(chip, sizes), sizes, default_statistics()
    try:
        result = estimate_matmuls([MatmulShape(name="matmul", m=m, k=k, n=n)], chip)
    except BitsimError:  # no rates for this structure
        return
    expected = total([of(one.datapath, call).expect(*call.size, statistics) for call in one.calls])
    rest = Events({name: n for name, n in one.placed.events.items() if name.split(".")[0] not in ("sram", "dram")})
    events = data_independent(one) + expected + one.walked.events + rest
    assert result.events == events
    assert result.cycles == one.walked.work.cycles + Placement(chip).launch
    assert sum(row.unit_cycles for row in result.rows) == one.walked.work.busy
    cost = OperatorCost(name="matmul", kind="linear", events=events, time_ns=result.time_s * 1e9)
    for convention in result.priced:
        parts = price_operator(cost, PriceList(chip), CONVENTIONS[convention])
        by_replay = sum(energy.nominal for energy in parts.values()) * 1e-12
        assert result.energy(convention) == pytest.approx(by_replay, rel=1e-12)


@pytest.mark.parametrize("name", ["ternary-os-64x64", "adder-tree-16x256", "ternary-lut-g3", "ternary-ws-64x64"])
def test_tiles_of_the_2b4t_shape_follow_the_grain(name: str) -> None:
    one = planned(load_chip(name), (1, 2560, 2560))
    m, k, n = one.datapath.grain
    assert one.placed.tiles is not None
    for dimension, unit in ((0, m), (1, k), (2, n)):
        parts = one.placed.tiles.sizes(dimension)
        assert all(size % unit == 0 for size in parts[:-1])
    assert Counter(call.stays for call in one.calls)[True] == (80 if name == "ternary-os-64x64" else 0)
