"""GPUs and their kernels as data."""

from pathlib import Path

import pytest

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import load_chip, load_tensor_core
from bitsim.hw.gpu import gpu_kernel_names, gpu_names, load_gpu, load_gpu_kernel

KERNEL = """kind: gpu_kernel
name: mine
like: w2a8
compute_efficiency: {{value: {efficiency}, unit: ratio, source: test, evidence: assumed}}
"""


def test_every_shipped_gpu_and_kernel_is_valid_and_every_constant_has_a_source() -> None:
    assert gpu_names() == ["a100-40gb", "a100-80gb", "h100-sxm", "rtx-4090"]
    assert gpu_kernel_names() == ["fp16", "fp4", "w2a4", "w2a8"]
    for described in [*map(load_gpu, gpu_names()), *map(load_gpu_kernel, gpu_kernel_names())]:
        assert all(constant.source for constant in described.constants().values())


@pytest.mark.parametrize("name", gpu_names())
def test_int4_is_native_exactly_where_the_architectures_tensor_cores_have_it(name: str) -> None:
    gpu = load_gpu(name)
    unit = load_tensor_core(gpu.arch).integer_unit("int4", "int4")
    assert ("int4" in gpu.peaks) == (unit is not None)
    assert gpu.rate("int4").native == (unit is not None)


def test_int4_on_hopper_is_emulated_at_int8s_rate_at_best() -> None:
    rate = load_gpu("h100-sxm").rate("int4")
    assert (rate.native, rate.by, rate.ops_per_s) == (False, "int8", 1978.9e12)


def test_a100s_fp16_peak_is_its_multiply_adds_times_clock() -> None:
    gpu = load_gpu("a100-80gb")
    assert gpu.rate("fp16").ops_per_s == pytest.approx(2 * 1024 * gpu.sms * gpu.clock.nominal * 1e9, rel=1e-3)


def test_an_efficiency_above_one_is_refused_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(KERNEL.format(efficiency=1.1))
    with pytest.raises(ConfigError, match=r"mine\.yaml:4: compute_efficiency.*must be <= 1 \(got 1\.1\)"):
        load_gpu_kernel(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emulated: {fp8: {by: fp4, source: s, evidence: assumed}}", "fp8 by fp4: expected one of fp16, int8, int4"),
        ("emulated: {fp16: {by: int8, source: s, evidence: assumed}}", "fp16 has a peak of its own"),
        ("reserved: {value: 40, unit: GB, source: s, evidence: assumed}", "must be less than memory.capacity = 40 GB"),
        ("board_power: {value: 400, unit: GB, source: s, evidence: assumed}", "must be 'W' .got 'GB'."),
        ("l3: 1", "unknown key"),
    ],
)
def test_a_gpu_that_contradicts_itself_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"kind: gpu\nname: mine\nlike: a100-40gb\n{text}\n")
    with pytest.raises(ConfigError, match=message):
        load_gpu(file)


def test_a_format_without_rate_is_named_with_those_that_have_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("kind: gpu\nname: mine\nlike: a100-40gb\nemulated: {fp4: null, fp8: null}\n")
    with pytest.raises(ConfigError, match=r"no rate for fp4 .native: fp16, int8, int4; emulated: none"):
        load_gpu(file).rate("fp4")


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean a100-80gb"):
        load_gpu("a100-80")


def test_a_gpu_where_a_chip_is_expected_names_the_right_command_and_the_other_way_round() -> None:
    with pytest.raises(ConfigError, match=r"got a GPU .for GPUs: bitsim serve"):
        load_chip("a100-80gb")
    with pytest.raises(ConfigError, match=r"got a chip of datapaths .for chips: bitsim estimate"):
        load_gpu("ternary-ws-64x64")
