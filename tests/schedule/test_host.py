"""What the host adds: calls of the BitLinear datapath, launches, and what a step exchanges."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import bitsim
from bitsim.hw import Chip, Constant, load_chip
from bitsim.hw.host import Burst, CallsSpec, HostSpec, StepSpec, WorkSpec
from bitsim.model.checkpoint import load_model
from bitsim.model.operators import Operator, lone_linear
from bitsim.schedule.host import TOKEN_BITS, Calls
from bitsim.schedule.place import Placement
from tests.chips import amount

sizes = st.integers(1, 60)
CHIP = load_chip("ternary-ws-64x64")
PROMPT = "And God said"


def constant(value: float, unit: str) -> Constant:
    return Constant.model_validate({"value": value, "unit": unit, "source": "a test", "evidence": "assumed"})


def burst(values: int, us: float) -> Burst:
    return Burst(values=values, time=constant(us, "us"))


def calls(k: int, n: int, write: Burst, read: Burst) -> CallsSpec:
    return CallsSpec(k=k, n=n, write=write, read=read)


def driven(**parts: object) -> Chip:
    """The default chip with a host."""
    return CHIP.model_copy(update={"host": HostSpec.model_validate(parts)})


def linear(m: int, k: int, n: int) -> Operator:
    return lone_linear(name="linear", phase="decode", m=m, k=k, n=n, weight_bits=2 * k * n)


STEP = StepSpec(latency=constant(3, "us"), bandwidth=constant(0.5, "GB/s"))
CALLS = calls(100, 70, burst(16, 0.05), burst(3, 0.01))


@given(sizes, sizes, sizes, sizes, sizes, st.integers(1, 20), st.integers(1, 20))
def test_law_4_the_cycles_of_calls_equal_making_them_one_by_one(
    m: int, k: int, n: int, most_k: int, most_n: int, write_values: int, read_values: int
) -> None:
    spec = calls(most_k, most_n, burst(write_values, 0.125), burst(read_values, 0.25))
    bursts = Fraction(0)
    for _token in range(m):
        for first_n in range(0, n, most_n):
            for first_k in range(0, k, most_k):
                written, read = min(most_k, k - first_k), min(most_n, n - first_n)
                bursts += 125 * len(range(0, written, write_values)) + 250 * len(range(0, read, read_values))
    assert Calls(CHIP, spec).cycles(m, k, n) == bursts  # at 1 GHz


@given(st.integers(1, 3), st.integers(1, 300), st.integers(1, 200))
def test_law_4_bits_and_cycles_of_a_matmul_are_the_sums_over_its_tiles(m: int, k: int, n: int) -> None:
    placement = Placement(driven(calls=CALLS))
    placed = placement.place(linear(m, k, n))
    assert placed.plan is not None
    tile_m, tile_k, tile_n = placed.plan.loops[0].tile
    cycles = written = read = 0
    for first_m in range(0, m, tile_m):
        for first_k in range(0, k, tile_k):
            for first_n in range(0, n, tile_n):
                tile = min(tile_m, m - first_m), min(tile_k, k - first_k), min(tile_n, n - first_n)
                cycles += Calls(CHIP, CALLS).cycles(*tile)
                written += tile[0] * tile[1] * len(range(0, tile[2], CALLS.n))
                read += tile[0] * tile[2] * len(range(0, tile[1], CALLS.k))
    assert placed.occupied["host"] == cycles
    assert placed.events["host.write_bits"] == 8 * written
    assert placed.events["host.read_bits"] == placement.bitlinear.sum_bits * read
    assert placed.cycles >= cycles >= placed.bounds["host"]


def test_a_host_that_is_slower_than_the_datapath_bounds_it_and_one_that_is_faster_costs_nothing() -> None:
    alone = Placement(CHIP).place(linear(1, 640, 640))
    slow = Placement(driven(calls=calls(640, 640, burst(640, 1.0), burst(64, 100.0)))).place(linear(1, 640, 640))
    fast = Placement(driven(calls=calls(640, 640, burst(640, 0.001), burst(640, 0.001)))).place(linear(1, 640, 640))
    assert alone.cycles == fast.cycles
    assert slow.bound == "host"
    assert 1_001_000 <= slow.cycles < 1_001_000 + alone.cycles


def test_a_launch_comes_before_every_matmul_and_before_nothing_else() -> None:
    host = Placement(driven(matmul_latency=constant(2, "us")))
    alone = Placement(CHIP)
    vector = Operator(name="norm", kind="norm", phase="decode", vector={"mul": 300})
    assert host.place(linear(1, 64, 64)).cycles == 2000 + alone.place(linear(1, 64, 64)).cycles
    assert host.place(vector) == alone.place(vector)


@pytest.mark.parametrize(("returns", "bits"), [("token", TOKEN_BITS), ("logits", 256 * 16)])
def test_a_step_exchanges_token_ids_or_logits(returns: str, bits: int) -> None:
    chip = driven(step=STEP.model_copy(update={"returns": returns}))
    result = bitsim.estimate("tiny-b158", chip, prefill=5, decode=2)
    alone = bitsim.estimate("tiny-b158", CHIP, prefill=5, decode=2)
    rows = [row for row in result.rows if row.kind == "host"]
    assert [(row.phase, row.calls) for row in rows] == [("prefill", 2), ("decode", 4)]  # in and out
    for row, positions, steps in zip(rows, (5, 2), (1, 2), strict=True):
        assert dict(row.events) == {"host.write_bits": positions * 32, "host.read_bits": steps * bits}
        transfer = (positions * 32 + steps * bits) / 4  # 0.5 GB/s are 4 bits per cycle
        assert row.cycles == steps * 3000 + transfer
    assert result.cycles == alone.cycles + sum(row.cycles for row in rows)


def test_law_3_holds_with_a_host() -> None:
    chip = driven(step=STEP, calls=CALLS, matmul_latency=constant(1, "us"))
    executed = bitsim.run("tiny-b158", chip, prompt=PROMPT, new_tokens=2, toggles="off")
    guessed = bitsim.estimate("tiny-b158", chip, prefill=len(PROMPT), decode=2)
    for real, shape in zip(executed.rows, guessed.rows, strict=True):
        assert (real.name, real.cycles) == (shape.name, shape.cycles)
        assert real.events.data_independent() == shape.events.data_independent()
    assert {row.kind for row in executed.rows if "host.read_bits" in row.events} == {"linear", "host"}


def test_energy_of_the_link_is_priced_or_said_to_be_missing() -> None:
    results = {
        energy: bitsim.estimate(
            "tiny-b158", driven(step=STEP, **({"energy": constant(energy, "pJ/bit")} if energy else {})), prefill=3
        )
        for energy in (0, 5, 10)
    }
    events = results[0].events
    bits = events["host.read_bits"] + events["host.write_bits"]
    for energy in (5, 10):
        assert results[energy].energy() - results[0].energy() == pytest.approx(energy * bits * 1e-12)
    missing = "host I/O takes time, but its energy is not counted: the chip gives none per bit"
    assert [missing in results[energy].notes for energy in (0, 5, 10)] == [True, False, False]


def test_a_chip_without_a_host_says_that_it_is_not_modelled() -> None:
    notes = bitsim.estimate("tiny-b158", CHIP, prefill=1, decode=0).notes
    assert "host I/O is not modelled: the chip's description has no `host`" in notes


def test_times_of_the_host_are_among_the_constants_that_a_time_rests_on() -> None:
    chip = driven(step=STEP, energy=constant(1, "pJ/bit"))
    named = {name for name in chip.timing_constants() if ": host." in name}
    assert named == {f"{CHIP.name}: host.step.latency", f"{CHIP.name}: host.step.bandwidth"}


def test_law_9_a_slower_host_never_takes_less_time() -> None:
    times = []
    for scale in (0, 1, 3, 10):
        latency = amount(constant(1, "us"), scale)
        chip = driven(matmul_latency=latency, step=STEP.model_copy(update={"latency": latency}))
        times.append(bitsim.estimate("tiny-b158", chip, prefill=2, decode=1).cycles)
    assert times == sorted(set(times))


def work(call: float = 0, row: float = 0, value: float = 0) -> WorkSpec:
    return WorkSpec(call=constant(call, "us"), row=constant(row, "us"), value=constant(value, "ns"))


def test_work_of_the_host_takes_its_calls_rows_and_values_in_place_of_the_chip() -> None:
    chip = driven(work={"norm": work(5, 3, 2), "qk": work(value=4), "kv": work(row=1, value=0.5)})
    result = bitsim.estimate("tiny-b158", chip, prefill=3, decode=0, causal="full")
    alone = bitsim.estimate("tiny-b158", CHIP, prefill=3, decode=0, causal="full")
    config = load_model("tiny-b158").config
    tokens, d, heads = 3, config.hidden_size, config.num_heads
    sizes = {"input_layernorm": d, "attn_sub_norm": d, "ffn_sub_norm": config.intermediate_size}
    rows = {row.name.rpartition(".")[2]: row for row in result.rows if row.layer == 0}
    for name, size in sizes.items():  # at 1 GHz
        assert rows[name].cycles == 5000 + tokens * 3000 + tokens * size * 2, name
        assert (rows[name].bound, rows[name].unit_cycles) == ("host", rows[name].cycles)
        assert dict(rows[name].events.of_unit("host")) == {"host.worked_values": tokens * size}
        assert not rows[name].events.of_unit("vec")
    macs = heads * tokens * tokens * config.head_dim
    assert (rows["qk"].cycles, rows["qk"].events["host.worked_values"]) == (4 * macs, macs)
    assert not rows["qk"].events.in_ledger("arithmetic", "datapath")
    assert rows["kv_write"].cycles == tokens * 1000 + tokens * 2 * config.kv_size // 2
    untouched = {row.name: row.cycles for row in alone.rows if row.kind not in chip.host.work}  # type: ignore[union-attr]
    assert untouched == {row.name: row.cycles for row in result.rows if row.name in untouched}
    assert any("the host computes norm, qk, kv itself" in note for note in result.notes)


WORK = {
    "norm": work(1, 0.3, 7.7),
    "softmax": work(0, 0.41, 3.3),
    "qk": work(0.2, 0.1, 1.9),
    "pv": work(0, 0, 2.3),
    "kv": work(0.7, 0, 0),
    "head": work(0, 0, 0.01),
    "embedding": work(0, 0, 1),
}


@pytest.mark.parametrize("model", ["tiny-b158", "tiny-a48"])
def test_law_3_holds_where_the_host_works_itself(model: str) -> None:
    chip = driven(work=WORK)
    executed = bitsim.run(model, chip, prompt=PROMPT, new_tokens=3, toggles="off")
    guessed = bitsim.estimate(model, chip, prefill=len(PROMPT), decode=3)
    assert executed.text == bitsim.run(model, CHIP, prompt=PROMPT, new_tokens=3, toggles="off").text
    for real, shape in zip(executed.rows, guessed.rows, strict=True):
        assert (real.name, real.cycles, real.unit_cycles) == (shape.name, shape.cycles, shape.unit_cycles)
        assert real.events.data_independent() == shape.events.data_independent()
    assert {row.kind for row in executed.rows if "host.worked_values" in row.events} == set(WORK)


def test_law_5_many_contexts_take_what_each_of_them_takes() -> None:
    chip = driven(work=WORK)
    together = bitsim.estimate("tiny-b158", chip, prefill=0, decode=40)
    steps = [bitsim.estimate("tiny-b158", chip, prefill=before, decode=1) for before in range(40)]
    assert together.cycles == sum(row.cycles for step in steps for row in step.phase_rows("decode"))


def test_law_9_slower_work_never_takes_less_time() -> None:
    times = []
    for scale in (1, 2, 5):
        chip = driven(work={"softmax": work(0.5 * scale, 0.5 * scale, scale), "norm": work(value=scale)})
        times.append(bitsim.estimate("tiny-b158", chip, prefill=4, decode=2).cycles)
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("given", "text"),
    [({"norm": {}}, "expected call, row or value"), ({"linear": work(1)}, "linear"), ({}, "expected step")],
)
def test_work_that_says_nothing_or_is_no_work_of_a_host_is_refused(given: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        HostSpec.model_validate({"work": given})
