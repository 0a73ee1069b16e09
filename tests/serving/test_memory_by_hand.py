"""What a model needs on GPUs, with an amount of its own for each part."""

import pytest

from bitsim.serving.memory import Needs

GB = 1e9
# One sequence: 6 + 3 + 4 GB are shared; each device has 1 GB for a prompt and 0.5 GB of logits.
NEEDS = Needs(linears=6 * GB, embedding=3 * GB, kv_per_sequence=4 * GB, prompt_workspace=1 * GB,
              sequence_workspace=0.5 * GB, logits_per_sequence=0.5 * GB)  # fmt: skip


def test_devices_share_all_but_their_workspace() -> None:
    parts = {name: float(size) / GB for name, size in NEEDS.parts(2, 3).items()}
    assert parts == {"linears": 3.0, "embedding and head": 1.5, "kv cache": 6.0, "workspace": 1.5 + 1.5}
    assert float(NEEDS.total(2, 3)) == 13.5 * GB
    assert float(NEEDS.total(2, 1)) == (3 + 1.5 + 2 + 1 + 0.5) * GB  # the workspace of a prompt is the larger one


@pytest.mark.parametrize(("capacity", "batch"), [(7.99, 0), (8, 1), (10.49, 1), (10.5, 2), (13.49, 2), (13.5, 3)])
def test_the_largest_batch_is_the_last_that_fits(capacity: float, batch: int) -> None:
    assert NEEDS.largest_batch(2, capacity * GB) == batch


@pytest.mark.parametrize(
    ("capacity", "devices"),
    [
        (1.5, None),  # nothing is left beside the workspace
        (4.0, 6),  # 13 GB over 2.5 GB each
        (8.0, 2),  # 13 over 6.5
        (7.99, 3),
        (14.5, 1),
        (100.0, 1),
    ],
)
def test_the_fewest_devices_have_room_for_what_is_shared(capacity: float, devices: int | None) -> None:
    assert NEEDS.fewest_devices(capacity * GB) == devices
