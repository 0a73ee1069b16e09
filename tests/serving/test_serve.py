"""Serving on GPUs against formulas written out by hand."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import ConfigError
from bitsim.hw.gpu import load_gpu
from bitsim.hw.link import load_link
from bitsim.model.footprint import kv_bits
from bitsim.model.zoo import zoo_config
from bitsim.parallel.communication import communication
from bitsim.parallel.devices import EVEN, SERIAL, DeviceSplit, linked
from bitsim.quant.recipes import recipe_named
from bitsim.serving.hardware import room_of
from bitsim.serving.kernels import calibrated
from bitsim.serving.memory import kv_storage, needs_of
from bitsim.serving.roofline import Hosted, decode_time, kernel_calls, kernel_for, overhead_s, prompt_time
from bitsim.serving.serve import ServeError, serve, serving_grid

ONE = np.asarray(1.0)


def test_memory_of_llama_7b_by_hand() -> None:
    config = zoo_config("llama-7b")
    needs = needs_of(config, 16, prompt=512, positions=1024)
    assert needs.linears == 2 * 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    assert needs.embedding == 2 * 2 * 32000 * 4096
    assert needs.kv_per_sequence == 2 * 32 * 4096 * 1024 * 2
    assert needs.prompt_workspace == 512 * 2 * (2 * 4096 + 3 * 11008)
    parts = needs.parts(2, 600)
    assert float(parts["linears"]) == needs.linears / 2
    assert float(parts["kv cache"]) == needs.kv_per_sequence * 300
    assert float(parts["workspace"]) == 600 * 2 * (2 * 4096 + 3 * 11008) + 600 * 4 * 32000
    assert float(needs.total(2, 600)) == sum(float(size) for size in parts.values())


def test_ternary_weights_take_two_bits_and_kv_codes_their_bits_and_a_step() -> None:
    config = zoo_config("bitnet-b158-3b")
    needs = needs_of(config, kv_storage(4, recipe_named("hf_bitlinear_fp32")), prompt=1, positions=10)
    assert needs.linears == 26 * (4 * 3200**2 + 3 * 3200 * 8640) / 4
    assert needs.kv_per_sequence == 2 * 32 * 26 * 10 * (100 * 4 + 16) / 8


@pytest.mark.parametrize(("model", "devices"), [("llama-7b", 1), ("bitnet-b158-70b", 2), ("llama-70b", 4)])
def test_the_largest_batch_fits_and_one_more_does_not(model: str, devices: int) -> None:
    found = serve(model, "a100-80gb", devices=devices)
    room = room_of(found.hardware).free
    assert found.needs.total(devices, found.largest_batch) <= room < found.needs.total(devices, found.largest_batch + 1)


def test_parts_of_memory_sum_to_the_device() -> None:
    found = serve("bitnet-b158-7b", "rtx-4090", batch=3)
    assert sum(found.memory().values()) == pytest.approx(24e9)


def test_one_step_of_a_ternary_model_by_hand() -> None:
    """3B at batch 1 is bound by bandwidth in all kernels."""
    config, gpu = zoo_config("bitnet-b158-3b"), load_gpu("a100-80gb")
    small, wide = calibrated("w2a8"), calibrated("fp16")
    hosted = Hosted(config=config, recipe=recipe_named(config.default_numerics), gpu=gpu, split=EVEN)
    step = decode_time(hosted, devices=ONE, batch=ONE, storage=16, first=100, last=100)
    d, f, layers, peak = 3200, 8640, 26, 2039e9
    shapes = [(3 * d, d), (d, d), (2 * f, d), (d, f)]
    moved = sum(n * k / 4 + k + 2 * n for n, k in shapes) * layers
    head = 2 * 32000 * d + 2 * d + 2 * 32000
    streaming = moved / (small.bandwidth_efficiency * peak) + head / (wide.bandwidth_efficiency * peak)
    assert float(step.weights) == pytest.approx(streaming)
    assert float(step.compute) == 0
    assert float(step.attention) == pytest.approx(2 * layers * d * 100 * 2 / (wide.bandwidth_efficiency * peak))
    launches = layers * 4 * small.overhead_s + wide.overhead_s + layers * 3e-6
    assert float(step.overhead) == pytest.approx(launches)
    assert float(step.total) == pytest.approx(streaming + launches + float(step.attention))


def test_a_long_prompt_takes_its_operations_at_the_assumed_share_of_the_peak() -> None:
    config, gpu = zoo_config("llama-7b"), load_gpu("a100-80gb")
    found = prompt_time(Hosted(config=config, recipe=recipe_named("float"), gpu=gpu, split=EVEN), ONE, 4096)
    linears = 2 * 4096 * config.linear_weights
    attention = 4 * 4096 * 32 * 4096 * 4097 / 2
    assert float(found.compute) == pytest.approx(linears / (0.7 * 312e12))
    assert float(found.attention) == pytest.approx(attention / (0.7 * 312e12))


def test_the_average_over_growing_contexts_is_the_mean_of_all_steps() -> None:
    config, gpu = zoo_config("bitnet-b158-1.3b"), load_gpu("a100-40gb")
    recipe = recipe_named("a48_kv3")
    storage, batch = kv_storage(3, recipe), np.asarray(7.0)

    def step(first: int, last: int) -> float:
        hosted = Hosted(config=config, recipe=recipe_named(config.default_numerics), gpu=gpu, split=EVEN)
        found = decode_time(hosted, devices=ONE, batch=batch, storage=storage, first=first, last=last)
        return float(found.total)

    assert step(5, 24) == pytest.approx(sum(step(context, context) for context in range(5, 25)) / 20)


def test_new_tokens_attend_the_whole_prompt_and_the_tokens_before_them() -> None:
    """100 prompt and 3 new tokens: 101, 102 and 103 positions, 102 on average, of 2 x 4096 FP16 values in 32 layers."""
    grid = serving_grid("llama-7b", "a100-80gb", devices=[1], batches=[1, 5], prompt=100, new_tokens=3)
    moved = 2 * 2 * 32 * 4096 * 102
    expected = moved / (calibrated("fp16").bandwidth_efficiency * 2039e9)
    np.testing.assert_allclose(grid.parts_s["attention"], [[expected, 5 * expected]])


def test_attention_of_new_tokens_takes_its_operations_where_arithmetic_is_slow() -> None:
    """4 x 4096 operations per layer and attended position, of which there are 102 on average; 0.7 of the peak."""
    gpu = load_gpu("a100-80gb")
    slow = gpu.peaks["fp16"].model_copy(update={"nominal": 1e-3})  # 1e9 operations per second
    gpu = gpu.model_copy(update={"peaks": gpu.peaks | {"fp16": slow}})
    grid = serving_grid("llama-7b", gpu, devices=[1], batches=[1, 5], prompt=100, new_tokens=3)
    expected = 4 * 4096 * 32 * 102 / (0.7 * 1e9)
    np.testing.assert_allclose(grid.parts_s["attention"], [[expected, 5 * expected]])


@pytest.mark.parametrize(
    ("bits", "codes", "kernel"),
    [(8, (-128, 127), "w2a8"), (5, (-8, 7), "w2a8"), (4, (-8, 7), "w2a4"), (4, (-7, 7), "w2a4"), (4, (0, 7), "w2a4"),
     (4, (-9, 7), "fp4"), (4, (-8, 8), "fp4"), (4, (-12, 12), "fp4")],
)  # fmt: skip
def test_codes_that_four_bit_integers_have_run_on_their_kernel(bits: int, codes: tuple[int, int], kernel: str) -> None:
    contract: Any = SimpleNamespace(activation_bits=bits, code_range=codes)
    assert kernel_for(contract, zoo_config("bitnet-a48-7b")) == kernel
    assert kernel_for(contract, zoo_config("llama-7b")) == "fp16"


def test_time_is_never_below_bandwidth_or_peak_rate() -> None:
    gpu = load_gpu("h100-sxm")
    for model in ("llama-7b", "bitnet-b158-7b", "bitnet-a48-7b"):
        config = zoo_config(model)
        grid = serving_grid(model, gpu, devices=[1, 4], batches=[1, 8, 64, 512])
        calls = list(kernel_calls(config, recipe_named(config.default_numerics)))
        kv = kv_bits(config, 16, 512) / 8
        for i, devices in enumerate((1, 4)):
            for j, batch in enumerate((1, 8, 64, 512)):
                moved = sum(call.weight_bytes * call.count for call in calls) + batch * kv
                assert grid.step_s[i, j] >= moved / devices / 3350e9
                assert grid.step_s[i, j] >= 2 * batch * config.linear_weights / devices / 1978.9e12


def test_a_grid_equals_its_points_and_parts_sum_to_steps() -> None:
    grid = serving_grid("bitnet-b158-7b", "a100-80gb", devices=[1, 2, 8], batches=[1, 16, 256])
    for i, devices in enumerate((1, 2, 8)):
        for j, batch in enumerate((1, 16, 256)):
            point = serving_grid("bitnet-b158-7b", "a100-80gb", devices=[devices], batches=[batch])
            assert point.step_s[0, 0] == grid.step_s[i, j]
            assert sum(part[i, j] for part in grid.parts_s.values()) == pytest.approx(grid.step_s[i, j])
            assert grid.parts_s[str(grid.limit[i, j])][i, j] == max(part[i, j] for part in grid.parts_s.values())


def test_devices_share_the_work_but_not_the_overhead() -> None:
    one, two = (serving_grid("llama-13b", "a100-80gb", devices=[n], batches=[8]) for n in (1, 2))
    overhead = one.parts_s["kernel overhead"][0, 0]
    assert two.parts_s["kernel overhead"][0, 0] == overhead
    assert two.step_s[0, 0] - overhead == pytest.approx((one.step_s[0, 0] - overhead) / 2)
    serial = serving_grid("llama-13b", "a100-80gb", devices=[2], batches=[8], split=SERIAL)
    assert serial.step_s[0, 0] == pytest.approx(one.step_s[0, 0])


def test_links_of_another_split_lengthen_every_step() -> None:
    def wait(_config: object, devices: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return 1e-3 * (devices - 1) + 0 * tokens

    slow = DeviceSplit(
        name="slow", note="1 ms and byte per further device", busy=EVEN.busy, communication_s=wait,
        communication_bytes=lambda config, devices, tokens: 1e3 * wait(config, devices, tokens),
    )  # fmt: skip
    plain = serving_grid("llama-7b", "a100-80gb", devices=[1, 3], batches=[1, 4])
    linked = serving_grid("llama-7b", "a100-80gb", devices=[1, 3], batches=[1, 4], split=slow)
    np.testing.assert_allclose(linked.communication_bytes, [[0, 0], [2, 2]])
    np.testing.assert_allclose(linked.step_s - plain.step_s, [[0, 0], [2e-3, 2e-3]], atol=1e-12)


def test_tokens_and_energy_follow_from_the_step() -> None:
    found = serve("bitnet-b158-3b", "a100-80gb", devices=2, batch=10)
    at = found.at_batch()
    assert at["tokens_per_s"] == pytest.approx(10 / at["step_s"])
    assert at["energy_per_token_j"] == pytest.approx(2 * 400 * at["step_s"] / 10)
    prompts = 10 * float(found.grid.prompt_s[0])
    assert at["with_prompts_per_s"] == pytest.approx(10 * 512 / (512 * at["step_s"] + prompts))


def test_four_bit_activations_are_native_on_ampere_and_emulated_on_hopper() -> None:
    native, emulated = (serve("bitnet-a48-7b", gpu, batch=4) for gpu in ("a100-80gb", "h100-sxm"))
    assert not any("emulated" in note for note in native.notes)
    assert any("w2a4" in note and "emulated by int8" in note for note in emulated.notes)
    kernels = {call.name: call.kernel for call in kernel_calls(zoo_config("bitnet-a48-7b"), recipe_named("a48_fp4"))}
    assert kernels == {"qkv": "fp4", "o": "fp4", "ffn in": "fp4", "ffn out": "w2a8", "head": "fp16"}


def test_assumed_constants_and_defaults_are_in_the_result() -> None:
    record = json.loads(serve("bitnet-b158-3b", "a100-80gb", batch=1).to_json())
    assert {entry["constant"] for entry in record["assumed"]} == {
        "a100-80gb: launch_overhead",
        "a100-80gb: reserved",
        "kernel fp16: compute_efficiency",
        "kernel w2a8: compute_efficiency",
    }
    assert any("board power" in note for note in record["notes"])
    assert any("left-out error" in note for note in record["notes"])


def test_another_gpus_launches_replace_those_of_the_measured_one() -> None:
    gpu = load_gpu("a100-80gb")
    slower = gpu.launch_overhead.model_copy(update={"nominal": gpu.launch_overhead.nominal + 2.0})
    other = gpu.model_copy(update={"launch_overhead": slower})
    assert overhead_s(other, "w2a8") == pytest.approx(overhead_s(gpu, "w2a8") + 2e-6)


def test_a_model_that_does_not_fit_says_what_it_needs_and_how_many_devices() -> None:
    with pytest.raises(
        ConfigError, match=r"llama-70b does not fit 1 x a100-80gb: .*133\.\d+ GB.*79\.50; take at least 2 "
    ):
        serve("llama-70b", "a100-80gb")
    serve("llama-70b", "a100-80gb", devices=2)


def test_a_workspace_that_no_number_of_devices_holds_is_told_from_a_lack_of_devices() -> None:
    with pytest.raises(ConfigError, match="no number of devices is enough"):
        serve("llama-70b", "rtx-4090", devices=64, prompt=1_000_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 10_000}, r"batch 10000: .* has room for \d+ sequences of 1024 tokens \(.* GB per device needed"),
        ({"batch": 0}, "batch: expected an integer >= 1, got 0"),
        ({"devices": 0}, "devices: expected an integer >= 1, got 0"),
        ({"new_tokens": -1}, "new_tokens: expected an integer >= 1, got -1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ServeError, match=message):
        serve("llama-7b", "a100-80gb", **settings)  # type: ignore[arg-type]


def test_kv_bits_without_a_format_are_refused() -> None:
    with pytest.raises(ConfigError, match="kv_bits: expected one of 16, 8, 4, 3, got 5"):
        serve("llama-7b", "a100-80gb", kv_bits=5)


@settings(deadline=None, max_examples=40)
@given(
    model=st.sampled_from(["llama-3b", "bitnet-b158-3b", "bitnet-a48-3b", "bitnet-b158-2b4t"]),
    gpu=st.sampled_from(["a100-40gb", "a100-80gb", "h100-sxm", "rtx-4090"]),
    batch=st.integers(1, 400),
    prompt=st.integers(1, 2000),
    new_tokens=st.integers(1, 2000),
)
def test_more_sequences_context_or_bits_never_take_less_time_or_memory(
    model: str, gpu: str, batch: int, prompt: int, new_tokens: int
) -> None:
    def grid(bits: int, longer: int) -> tuple[np.ndarray, np.ndarray]:
        found = serving_grid(
            model, gpu, devices=[1, 2], batches=[batch, batch + 1], prompt=prompt + longer, new_tokens=new_tokens,
            kv_bits=bits,
        )  # fmt: skip
        return found.step_s, found.memory_bytes

    for few, many in ((grid(4, 0), grid(8, 0)), (grid(8, 0), grid(16, 0)), (grid(16, 0), grid(16, 1))):
        assert (few[0] <= many[0]).all()
        assert (few[1] <= many[1]).all()
    step, memory = grid(16, 0)
    assert (step[:, 0] <= step[:, 1]).all()
    assert (step[1] <= step[0]).all()
    assert (memory[:, 0] <= memory[:, 1]).all()
    assert (memory[1] <= memory[0]).all()


def test_throughput_of_a_batch_is_bounded_by_the_peak_rate_whatever_the_batch() -> None:
    config, peak = zoo_config("bitnet-b158-3b"), load_gpu("a100-80gb").rate("int8").ops_per_s
    grid = serving_grid("bitnet-b158-3b", "a100-80gb", devices=[1], batches=[1, 10_000], prompt=1, new_tokens=1)
    assert (grid.tokens_per_s <= peak / (2 * config.linear_weights)).all()


def test_devices_that_are_linked_wait_for_their_all_reduces_and_stages_for_each_other() -> None:
    """llama-7b, 32 heads: 4 devices split it by tensor, 64 devices as 32 x 2, so that half of them work at a time."""
    config, link = zoo_config("llama-7b"), load_link("nvlink")
    split = linked(link)
    counts, tokens = np.array([1, 4, 64]), np.array([8])
    assert split.busy(config, counts, tokens).tolist() == [1.0, 1.0, 0.5]
    waits = split.communication_s(config, counts, tokens)
    assert waits[0] == 0
    assert waits[1] == pytest.approx(communication(config, link, tensor=4, rows=8).traffic.time_s)
    batch = {"prompt": 16, "new_tokens": 16, "batch": 8}
    alone = serve("llama-7b", "a100-80gb", devices=4, **batch).at_batch()["step_s"]
    assert serve("llama-7b", "a100-80gb", devices=4, split=split, **batch).at_batch()["step_s"] == pytest.approx(
        alone + waits[1]
    )
    with pytest.raises(ConfigError, match="no tensor x pipeline = 37 has"):
        serve("llama-7b", "a100-80gb", devices=37, split=split, **batch)


def test_key_value_heads_that_several_devices_hold_take_memory_on_each() -> None:
    """2B4T's 5 key/value heads on 4 devices of 5 query heads: 2 on each, 8 instead of 5."""
    even, shared = (
        serve("bitnet-b158-2b4t", "a100-80gb", devices=4, batch=8, split=split)
        for split in (EVEN, linked(load_link("nvlink")))
    )
    assert shared.memory()["kv cache"] == pytest.approx(8 / 5 * even.memory()["kv cache"])
    assert shared.memory()["linears"] == even.memory()["linears"]
    assert shared.largest_batch < even.largest_batch
    assert shared.at_batch()["memory_bytes"] == pytest.approx(shared.needs.total(4, 8))
