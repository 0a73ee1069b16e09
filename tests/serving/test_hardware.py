"""Serving on CPUs and chips: by hand, as the estimate has it, and the laws that more hardware is never slower."""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.figures.serving import serving_figure
from bitsim.hw import load_chip
from bitsim.hw.cpu import Cpu, load_cpu
from bitsim.hw.gpu import load_gpu
from bitsim.hw.link import load_link
from bitsim.measure.machine import measure_machine
from bitsim.model.zoo import zoo_config
from bitsim.parallel.devices import linked
from bitsim.serving.cpu import stated_speed, token_time
from bitsim.serving.hardware import load_hardware, room_of
from bitsim.serving.serve import ServeError, Serving, serve
from bitsim.study import estimate

CPU, CHIP, SMALL = "intel-i7-13800h", "ternary-ws-64x64", "bitnet-b158-700m"
LENGTHS: dict[str, Any] = {"prompt": 16, "new_tokens": 8}


def changed(cpu: Cpu, **factors: float) -> Cpu:
    """`cpu` with some of its constants multiplied."""
    constants = {name: getattr(cpu, name) for name in factors}
    return cpu.model_copy(
        update={name: c.model_copy(update={"nominal": c.nominal * factors[name]}) for name, c in constants.items()}
    )


def test_law_a_cpus_step_of_one_sequence_is_its_token_and_the_attention() -> None:
    cpu, config = load_cpu(CPU), zoo_config(SMALL)
    found = serve(SMALL, cpu, batch=1, **LENGTHS)
    (attention,) = (part["time_s"] for part in found.step() if part["part"] == "attention")
    expected = token_time(cpu, config, stated_speed(cpu))
    assert found.at_batch()["step_s"] - attention == pytest.approx(expected, rel=1e-12)
    context = (17 + 24) / 2
    kv = 2 * 2 * config.num_layers * config.kv_size * context
    operations = 4 * config.q_size * config.num_layers * context
    assert attention == pytest.approx(max(kv / 102.4e9, operations / 0.75e12))


def test_a_cpus_batch_and_prompt_by_hand() -> None:
    cpu, config = changed(load_cpu(CPU), layer_overhead=1.0), zoo_config(SMALL)
    slow = cpu.model_copy(update={"layer_overhead": cpu.layer_overhead.model_copy(update={"nominal": 50.0})})
    found = serve(SMALL, slow, batch=64, **LENGTHS)
    parts = {part["part"]: part["time_s"] for part in found.step()}
    head = 2 * config.vocab_size * config.hidden_size / 0.75e12
    assert parts["compute"] == pytest.approx(64 * (2 * config.linear_weights / 3e12 + head))
    assert (parts["weight bandwidth"], parts["layer overhead"]) == (0, pytest.approx(24 * 50e-6))
    attended = 4 * config.q_size * config.num_layers * 16 * 17 / 2 / 0.75e12
    prompt = 16 * 2 * config.linear_weights / 3e12 + head + attended + 24 * 50e-6
    assert found.headline()["prompt_s"] == pytest.approx(prompt)
    assert found.headline()["energy_per_token_j"] is None
    assert any("no power" in note for note in found.notes)


@pytest.mark.parametrize("kv_bits", [None, 4])
def test_law_a_chip_serves_as_it_is_estimated(kv_bits: int | None) -> None:
    found = serve(SMALL, CHIP, batch=3, kv_bits=kv_bits, **LENGTHS)
    for batch in (1, 3):
        (row,) = [row for row in found.records("sweep") if row["batch"] == batch]
        if kv_bits is None:
            whole = estimate(SMALL, CHIP, prefill=16, decode=8, batch=batch)
            assert row["step_s"] == pytest.approx(whole.phase_time_s("decode") / 8, rel=1e-12)
            assert row["energy_per_token_j"] == pytest.approx(whole.energy("system", "decode") / 8 / batch, rel=1e-12)
    if kv_bits is None:
        assert found.headline()["prompt_s"] == estimate(SMALL, CHIP, prefill=16, decode=0).time_s
        assert {c["constant"] for c in found.assumed()} == {c["constant"] for c in whole.assumed()}
    wide = serve(SMALL, CHIP, batch=3, **LENGTHS)
    assert found.largest_batch >= wide.largest_batch
    assert sum(part["time_s"] for part in found.step()) == pytest.approx(found.at_batch()["step_s"])


def test_law_more_sequences_never_give_fewer_tokens_per_second_on_a_cpu() -> None:
    for fewer, more in pairwise(serve(SMALL, CPU, **LENGTHS).records("sweep")):
        assert more["tokens_per_s"] >= fewer["tokens_per_s"] * (1 - 1e-12)
        assert more["memory_bytes"] > fewer["memory_bytes"]


@cache
def served(chip: str) -> Serving:
    return serve(SMALL, chip, **LENGTHS)


@pytest.mark.parametrize("chip", [CHIP, "adder-tree-16x256"])
def test_law_14_twice_the_sequences_never_give_fewer_tokens_per_second(chip: str) -> None:
    """Activations of many leave the chip: then groups of as many as are fastest follow each other."""
    found = served(chip)
    rows = [row for row in found.records("sweep") if row["batch"] & (row["batch"] - 1) == 0]
    assert [row["batch"] for row in rows][-1] > found.largest_batch // 2 > 64
    for fewer, more in pairwise(rows):
        inside = more["batch"] <= 64
        assert more["tokens_per_s"] > fewer["tokens_per_s"] * (1 if inside else 1 - 1e-12)


def test_a_batch_in_groups_takes_as_long_as_they_do_and_as_much_energy() -> None:
    found = served(CHIP)
    rows = {row["batch"]: row for row in found.records("sweep")}
    assert rows[256]["step_s"] == pytest.approx(2 * rows[128]["step_s"], rel=1e-12)
    largest = found.largest_batch
    group, rest, whole = rows[2048], largest - 2048, rows[largest]
    alone = serve(SMALL, CHIP, batch=rest, **LENGTHS).at_batch()
    assert whole["step_s"] == pytest.approx(group["step_s"] + alone["step_s"], rel=1e-12)
    energy = 2048 * group["energy_per_token_j"] + rest * alone["energy_per_token_j"]
    assert whole["energy_per_token_j"] == pytest.approx(energy / largest, rel=1e-12)
    at_once = estimate(SMALL, CHIP, prefill=16, decode=8, batch=256)
    assert rows[256]["step_s"] < at_once.phase_time_s("decode") / 8
    (note,) = (note for note in found.notes if "in groups" in note)
    assert note.endswith(f": 256 of 128, {largest} of 2048")


@pytest.mark.parametrize("constant", ["bandwidth", "int8_rate", "fp16_rate"])
def test_law_a_faster_cpu_is_never_slower(constant: str) -> None:
    plain, fast = (serve(SMALL, cpu, **LENGTHS) for cpu in (load_cpu(CPU), changed(load_cpu(CPU), **{constant: 2.0})))
    for name in ("step_s", "prompt_s"):
        assert np.all(getattr(fast.grid, name) <= getattr(plain.grid, name))


@pytest.mark.parametrize("hardware", [CPU, CHIP])
def test_one_sequence_more_than_the_largest_batch_has_no_room(hardware: str) -> None:
    found = serve(SMALL, hardware, batch=1, prompt=600, new_tokens=400)
    room, most = room_of(found.hardware), found.largest_batch
    assert found.needs.total(1, most) <= room.free < found.needs.total(1, most + 1)
    assert sum(found.memory().values()) == pytest.approx(room.capacity)
    with pytest.raises(ServeError, match=f"has room for {most} sequences of 1000 tokens"):
        serve(SMALL, hardware, batch=most + 1, prompt=600, new_tokens=400)


def test_weights_that_live_on_the_chip_leave_its_dram_to_the_cache() -> None:
    found = serve("bitnet-b158-700m", "tereffic-hbm", batch=1, **LENGTHS)
    resident = any(level.resident for level in load_chip("tereffic-hbm").memory.chain("weights"))
    assert (found.needs.linears == 0) == resident


def test_the_machine_that_was_measured_serves_a_model(tmp_path: Path) -> None:
    ticks = iter(range(10**6))
    path = tmp_path / "mine.yaml"
    measured = measure_machine(weights_mb=1, repeats=1, clock=lambda: next(ticks) * 1e-3)
    path.write_text(measured.cpu_yaml("mine"), encoding="utf-8")
    found = serve("bitnet-125m", path, batch=1, **LENGTHS)
    assert (found.hardware.name, found.inputs["cpu"]) == ("mine", "mine")
    assert found.at_batch()["tokens_per_s"] > 0


def test_hardware_is_found_by_name_file_and_object(tmp_path: Path) -> None:
    for name, key in ((CPU, "cpu"), (CHIP, "chip"), ("a100-80gb", "gpu")):
        loaded = load_hardware(name)
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"kind: {key}\nlike: {name}\n", encoding="utf-8")
        assert (loaded.name, room_of(loaded).key) == (name, key)
        assert load_hardware(loaded) is loaded
        assert load_hardware(path).name == name
    wrong = tmp_path / "link.yaml"
    wrong.write_text("kind: link\nlike: nvlink\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"link.yaml:1: kind: expected one of gpu, cpu, chip \(got 'link'\)"):
        load_hardware(wrong)
    with pytest.raises(UnknownNameError, match="unknown GPU, CPU or chip 'a100'; did you mean a100-"):
        load_hardware("a100")


def test_what_one_device_can_not_do_is_refused() -> None:
    for hardware in (CPU, CHIP):
        with pytest.raises(ServeError, match=f"{hardware}: expected one device without links; .*bitsim parallel"):
            serve(SMALL, hardware, devices=2)
        with pytest.raises(ServeError, match="expected one device without links"):
            serve(SMALL, hardware, split=linked(load_link("nvlink")))
    with pytest.raises(ConfigError, match="llama-70b does not fit 1 x intel-i7-13800h"):
        serve("llama-70b", CPU)
    with pytest.raises(ConfigError, match=r"memory.dram: bitnet-b158-70b needs .* bytes"):
        serve("bitnet-b158-70b", CHIP)


def test_the_figure_of_hardware_without_a_known_power_has_no_energy() -> None:
    assert set(serving_figure(serve(SMALL, CPU, batch=2, **LENGTHS))) == {"png", "pdf"}
    assert load_gpu("a100-80gb").board_power.nominal > 0


def test_law_a_rounded_model_is_served_on_a_chip_as_it_is_estimated_and_on_no_gpu() -> None:
    found = serve("fp16-125m", "int8-ws-64x64", batch=1, numerics="w8a8", **LENGTHS)
    whole = estimate("fp16-125m", "int8-ws-64x64", prefill=16, decode=8, numerics="w8a8")
    assert found.at_batch()["step_s"] == pytest.approx(whole.phase_time_s("decode") / 8, rel=1e-12)
    assert found.inputs["model_sha256"] == whole.inputs["model_sha256"]
    with pytest.raises(ServeError, match="numerics w8a8: no GPU kernel with such weights is known"):
        serve("fp16-125m", "a100-80gb", numerics="w8a8")


def test_narrower_heads_and_packings_leave_more_room_on_a_chip_and_are_unknown_to_gpus() -> None:
    fewer = {"head_bits": 8, "embedding_bits": 8, "packing": "trits5_offset"}
    plain, narrow = (serve("bitnet-b158-2b4t", "ternary-ws-64x64", batch=1, **more) for more in ({}, fewer))
    config = zoo_config("bitnet-b158-2b4t")
    assert plain.needs.embedding - narrow.needs.embedding == config.vocab_size * config.hidden_size
    assert plain.needs.linears == config.linear_weights // 4
    rows = sum(n * -(-k // 5) for _, n, k in config.linear_shapes())
    assert narrow.needs.linears == config.num_layers * rows
    with pytest.raises(ServeError, match="head_bits 8: no GPU kernel with such a head is known"):
        serve("bitnet-b158-2b4t", "a100-80gb", head_bits=8)
