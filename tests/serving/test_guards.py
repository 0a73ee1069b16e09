"""Guards of the package: what makes no sense is refused, and said."""

from pathlib import Path
from typing import Any

import pytest

from bitsim.errors import ConfigError
from bitsim.hw.cpu import load_cpu
from bitsim.hw.gpu import load_gpu_kernel
from bitsim.model.zoo import zoo_config
from bitsim.serving.cpu import Speed, fit_consumption, token_time
from bitsim.serving.kernels import calibrate
from bitsim.serving.serve import ServeError, serve

KERNEL = """kind: gpu_kernel
name: mine
summary: borrows from one that borrows
weight_bits: 2
activation_bits: 8
multiply: int8
compute_efficiency: {value: 0.7, unit: ratio, evidence: assumed, source: s}
calibration: {same_as: w2a4, source: s, evidence: assumed}
"""


def test_a_kernel_borrows_from_one_that_was_measured_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(KERNEL)
    with pytest.raises(ConfigError, match=r"mine\.yaml: calibration\.same_as: w2a4 has no measurements of its own"):
        calibrate(load_gpu_kernel(path))


@pytest.mark.parametrize("efficiency", [0.0, -0.5, 1.0001])
def test_no_cpu_reaches_none_or_more_than_all_of_its_bandwidth(efficiency: float) -> None:
    with pytest.raises(ConfigError, match="efficiency: expected 0 < efficiency <= 1, got"):
        token_time(load_cpu("apple-m2-ultra"), zoo_config("bitnetcpp-700m"), Speed(layer_s=0, efficiency=efficiency))


def test_a_layer_takes_no_negative_time_and_may_take_none() -> None:
    cpu, config = load_cpu("apple-m2-ultra"), zoo_config("bitnetcpp-700m")
    with pytest.raises(ConfigError, match="overhead of a layer: expected >= 0, got -1e-06 s"):
        token_time(cpu, config, Speed(layer_s=-1e-6, efficiency=1))
    assert token_time(cpu, config, Speed(layer_s=0, efficiency=1)) > 0


def test_two_parameters_of_energy_need_two_measurements() -> None:
    config = zoo_config("bitnetcpp-700m")
    with pytest.raises(ConfigError, match="expected two measurements, got 3"):
        fit_consumption([(config, 1.0)] * 3, [1.0] * 3)


@pytest.mark.parametrize(("name", "value"), [("prompt", 0), ("batch", "2"), ("devices", 1.5), ("new_tokens", None)])
def test_counts_are_integers_of_at_least_one(name: str, value: Any) -> None:
    with pytest.raises(ServeError, match=f"{name}: expected an integer >= 1, got {value!r}"):
        serve("llama-7b", "a100-80gb", **{name: value})
