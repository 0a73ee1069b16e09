"""How wide accumulators must be: what the sums of a model reach, added up a second time with numpy."""

import numpy as np
import pytest

from bitsim.errors import ConfigError
from bitsim.model.checkpoint import load_model
from bitsim.study.bound import AccumulatorBound, AccumulatorBounds, accumulator_bounds
from bitsim.study.recorded import recorded

LIMIT, K = 3, 1000
Reached = dict[str, tuple[int, int]]


def running(step: int, restart: int | None = None) -> Reached:
    """Least and greatest sum of every linear, after each `step` products, anew every `restart`; 0 among them."""
    found: Reached = {}
    for call in recorded(load_model("tiny-b158"), LIMIT)[0]:
        products = call.x_q.astype(np.int64)[:, None, :] * call.weight.codes().astype(np.int64)[None, :, :]
        pieces = [products] if restart is None else np.split(products, range(restart, call.op.k, restart), axis=2)
        sums = [np.cumsum(piece, axis=2)[:, :, step - 1 :: step] for piece in pieces]
        found[call.op.name] = (min(0, *(int(s.min()) for s in sums)), max(0, *(int(s.max()) for s in sums)))
    return found


def width(low: int, high: int) -> int:
    """Bits of the narrowest two's complement integer."""
    return next(bits for bits in range(1, 64) if -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1))


def check(entry: AccumulatorBound, reached: Reached, worst: int) -> None:
    """`worst`: products of the longest sum, of which each may be -128 or 128."""
    assert (entry.worst.low, entry.worst.high, entry.worst.bits) == (-128 * worst, 128 * worst, width(0, 128 * worst))
    assert entry.seen is not None
    assert entry.seen.low == min(low for low, _ in reached.values())
    assert entry.seen.high == max(high for _, high in reached.values())
    assert entry.seen.bits == width(entry.seen.low, entry.seen.high)
    widest = max(width(*ends) for ends in reached.values())
    assert width(*reached[entry.seen_in]) == widest
    assert entry.seen_k == (768 if "down_proj" in entry.seen_in else 256)


def test_partial_sums_of_an_array_end_with_its_rows_and_columns_sum_them() -> None:
    found = accumulator_bounds("ternary-ws-64x64", K, model="tiny-b158", limit=LIMIT)
    psum, column = found.bounds
    assert [(e.register, e.bits, e.k) for e in found.bounds] == [("psum", 24, K), ("column", 32, K)]
    check(psum, running(1, restart=64), 64)
    check(column, running(64), K)
    assert found.headline() == {"bits_needed": 18, "never_overflows": True}
    assert found.title == "accumulators of ternary-ws-64x64, K = 1000"


def test_a_tree_accumulates_sixteen_products_at_a_time() -> None:
    found = accumulator_bounds("adder-tree-16x256", K, model="tiny-b158", limit=LIMIT)
    (acc,) = found.bounds
    check(acc, running(16), K)
    record = acc.record()
    assert (record["seen_low"], record["seen_in"]) == (acc.seen.low if acc.seen else None, acc.seen_in)


def test_without_a_model_nothing_is_seen_and_floats_have_no_bounds() -> None:
    (acc,) = accumulator_bounds("adder-tree-16x256", K).bounds
    assert acc.seen is None
    assert [acc.record()[f"seen_{what}"] for what in ("low", "high", "bits", "in", "k")] == [None] * 5
    floats = accumulator_bounds("fp16-ws-64x64", K, model="tiny-b158", limit=LIMIT)
    assert (floats.bounds, floats.headline()) == ((), {"bits_needed": None, "never_overflows": None})
    assert "fp16-ws-64x64 sums floating-point numbers" in floats.notes[0]
    with pytest.raises(ConfigError, match="k: expected an integer >= 1, got 0"):
        accumulator_bounds("adder-tree-16x256", 0)


def test_all_accumulators_must_have_the_bits_that_they_need() -> None:
    narrow = accumulator_bounds("adder-tree-16x256", 2**16)  # 128 x 65536 = 2^23: one more than 24 bits hold
    assert narrow.headline() == {"bits_needed": 25, "never_overflows": False}
    enough = accumulator_bounds("adder-tree-16x256", 2**16 - 1)
    assert enough.headline() == {"bits_needed": 24, "never_overflows": True}
    both = AccumulatorBounds(inputs={}, notes=(), k=1, bounds=(*enough.bounds, *narrow.bounds))
    assert both.headline() == {"bits_needed": 25, "never_overflows": False}
