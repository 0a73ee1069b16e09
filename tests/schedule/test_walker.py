"""Law 4: walking the tiles one by one moves the same and takes the same time, to the bit and cycle, as the closed form."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.registry import build_datapath
from bitsim.hw.chip import Chip
from bitsim.hw.memory import OPERANDS
from bitsim.schedule.kernels.nest import ORDERS, extents
from bitsim.schedule.plan import Schedule
from bitsim.schedule.traffic import traffic
from bitsim.schedule.walker import Span, walk
from tests.schedule.strategies import chips, matmuls, plans


@given(st.data(), chips(), st.sampled_from((Fraction(1), Fraction(7, 9), Fraction(0))))
def test_law_4_the_closed_form_equals_walking_the_tiles(data: st.DataObject, chip: Chip, pace: Fraction) -> None:
    datapath = build_datapath(chip.bitlinear)
    schedule = Schedule(chip, datapath)
    matmul = data.draw(matmuls(chip, datapath, {1: 13, 2: 9}.get(schedule.ranks, 6)))
    plan = data.draw(plans(matmul, schedule.ranks))
    transfers = schedule.transfers(matmul)
    work = schedule.work(matmul, plan, transfers, pace)
    walked = walk(chip, datapath, matmul, plan, transfers, pace)
    assert work.moved.tolist() == walked.work.moved.tolist()
    assert work.streams.tolist() == walked.work.streams.tolist()
    assert (work.cycles, work.busy) == (walked.work.cycles, walked.work.busy)
    assert work.used.tolist() == walked.work.used.tolist()
    assert traffic(transfers, chip.memory, work) == walked.events
