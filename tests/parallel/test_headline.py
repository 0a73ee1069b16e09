"""What a study of device counts says first, and what a batch in pieces exchanges."""

from typing import Any

import pytest

from bitsim.hw import load_chip, load_link
from bitsim.parallel.parallel import Parallel, parallel
from bitsim.parallel.step import Step

SMALL, CHIP = "bitnet-125m", "ternary-ws-64x64"


def step(devices: int, time_s: float, stored: int) -> Step:
    rest: dict[str, Any] = dict.fromkeys(Step.__dataclass_fields__, 0)
    rest |= {"devices": devices, "sync": "grouped", "time_s": time_s, "speed_up": 8 / time_s}
    return Step(**(rest | {"stored_bytes": stored, "dram_bytes": 100, "layers": (12,)}))


def study(*steps: Step) -> Parallel:
    return Parallel(
        inputs={"model": "m"}, notes=(), chip=load_chip(CHIP), link=load_link("nvlink"), phase="decode", tokens=1,
        context=512, batch=3, steps=steps,
    )  # fmt: skip


def test_the_headline_is_the_fastest_step_that_has_room() -> None:
    found = study(step(1, 8.0, 100), step(2, 5.0, 99), step(4, 6.0, 50), step(8, 1.0, 101))
    assert found.headline() == {"fits": True, "devices": 2, "sync": "grouped", "time_s": 5.0, "speed_up": 1.6}
    assert found.title == "m on ternary-ws-64x64 over nvlink: one decode step, batch 3, context 512"
    assert [record["fits"] for record in found.records()] == [True, True, True, False]
    none = study(step(1, 8.0, 101))
    assert none.headline() == {"fits": False, "devices": None, "sync": None, "time_s": None, "speed_up": None}


def test_one_two_four_and_eight_devices_are_studied_unless_others_are_asked_for() -> None:
    found = parallel(SMALL, CHIP, context=8)
    assert [(s.devices, s.sync) for s in found.steps] == [
        (devices, sync) for devices in (1, 2, 4, 8) for sync in ("grouped", "inference", "paper")
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_four_pieces_of_a_batch_exchange_four_times_what_one_piece_does(place: int) -> None:
    settings: dict[str, Any] = {"devices": [6], "pipeline": 3, "context": 32}
    one = parallel(SMALL, CHIP, batch=1, micro_batches=1, **settings).steps[place]
    four = parallel(SMALL, CHIP, batch=4, micro_batches=4, **settings).steps[place]
    counts = ("messages", "bytes", "sync_calls", "quantiser_messages", "quantiser_bytes", "norm_messages", "norm_bytes")
    assert [getattr(four, name) for name in counts] == [4 * getattr(one, name) for name in counts]
    for name in ("communication_j", "sync_j", "compute_j"):
        assert getattr(four, name) == pytest.approx(4 * getattr(one, name))
    assert one.messages > 0
    assert (one.sync_calls > 0) == (place > 0)
    for name in ("communication_s", "compute_s", "sync_s"):  # of one piece
        assert getattr(four, name) == pytest.approx(getattr(one, name))
