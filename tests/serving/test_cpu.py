"""Token generation on a CPU by hand; two measurements come out exactly; the machine at hand as a CPU."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw.cpu import cpu_names, load_cpu
from bitsim.measure.machine import measure_machine
from bitsim.model.zoo import zoo_config
from bitsim.serving.cpu import Speed, fit_consumption, fit_speed, stated_speed, token_bytes, token_time

CPU = load_cpu("apple-m2-ultra")
SMALL, LARGE = zoo_config("bitnetcpp-700m"), zoo_config("bitnetcpp-70b")


def test_bytes_and_time_by_hand():
    """24 layers of 4 d^2 + 3 d f two-bit weights, d = 1536, f = 4096; a head of 32000 x 1536 in FP16."""
    size = 24 * (4 * 1536**2 + 3 * 1536 * 4096) / 4 + 2 * 32000 * 1536
    assert token_bytes(SMALL) == size
    assert token_bytes(zoo_config("bitnetcpp-f16-700m")) == 24 * (4 * 1536**2 + 3 * 1536 * 4096) * 2 + 2 * 32000 * 1536
    time_s = token_time(CPU, SMALL, Speed(layer_s=1e-4, efficiency=0.25))
    assert time_s == pytest.approx(24e-4 + size / 200e9)


def test_vector_units_bound_what_memory_does_not():
    slow = CPU.model_copy(update={"int8_rate": CPU.int8_rate.model_copy(update={"nominal": 0.1})})
    time_s = token_time(slow, LARGE, Speed(layer_s=0, efficiency=1.0))
    assert time_s == pytest.approx(2 * LARGE.linear_weights / 0.1e12 + 2 * 32000 * 8192 / 3.58e12)


@given(layer_us=st.floats(1, 500), efficiency=st.floats(0.01, 0.2), watts=st.floats(1, 100), pj=st.floats(1, 200))
def test_two_measurements_give_back_the_parameters_that_made_them(layer_us, efficiency, watts, pj):
    truth = Speed(layer_s=layer_us * 1e-6, efficiency=efficiency)
    times = [token_time(CPU, config, truth) for config in (SMALL, LARGE)]
    found = fit_speed(CPU, list(zip((SMALL, LARGE), times, strict=True)))
    assert (found.layer_s, found.efficiency) == pytest.approx((truth.layer_s, truth.efficiency), rel=1e-6)
    joules = [watts * t + 8e-12 * pj * token_bytes(c) for c, t in zip((SMALL, LARGE), times, strict=True)]
    consumption = fit_consumption(list(zip((SMALL, LARGE), joules, strict=True)), times)
    assert consumption.watts == pytest.approx(watts, rel=1e-5)
    assert consumption.joules_per_byte == pytest.approx(8e-12 * pj, rel=1e-5)


def test_a_fit_that_no_machine_has_says_what_is_wrong_with_the_points():
    """Energies that fall with the size: the large model moves more bytes per second and takes less for each second."""
    truth = Speed(layer_s=1e-4, efficiency=0.1)
    times = [token_time(CPU, config, truth) for config in (SMALL, LARGE)]
    rates = [token_bytes(config) / time for config, time in zip((SMALL, LARGE), times, strict=True)]
    assert rates[1] > rates[0]
    joules = [40 * times[0], 20 * times[1]]
    with pytest.raises(ConfigError, match=r"expected at least 0 J per byte, got -\d") as caught:
        fit_consumption([(SMALL, joules[0]), (LARGE, joules[1])], times)
    said = f"{LARGE.name} has more bytes per second ({rates[1]:.4g} against {rates[0]:.4g}) and takes fewer joules per "
    assert f"{said}second (20 against 40)" in str(caught.value)
    joules = [1e-12 * token_bytes(SMALL), 3e-12 * token_bytes(LARGE)]
    with pytest.raises(ConfigError, match=rf"expected at least 0 W, got -\d.*: {SMALL.name} has more seconds per byte"):
        fit_consumption([(SMALL, joules[0]), (LARGE, joules[1])], times)
    with pytest.raises(
        ConfigError, match=rf"expected at least 0 seconds per layer, got -.*: {SMALL.name} has more layers"
    ):
        fit_speed(CPU, [(SMALL, 1e-12 * token_bytes(SMALL)), (LARGE, 3e-12 * token_bytes(LARGE))])
    with pytest.raises(ConfigError, match=r"more than 0 seconds per byte, got -.*has more bytes per layer"):
        fit_speed(CPU, [(SMALL, 3e-4 * SMALL.num_layers), (LARGE, 1e-4 * LARGE.num_layers)])
    fast = [(c, 1e-4 * c.num_layers + token_bytes(c) / 1e13) for c in (SMALL, LARGE)]
    with pytest.raises(ConfigError, match=r"efficiency of memory: expected at most 1, got 12\.5: .* GB/s at its peak"):
        fit_speed(CPU, fast)


@pytest.mark.parametrize("joules", [0.0, -1.0, math.nan, math.inf])
def test_energies_of_no_measurement_are_refused(joules):
    with pytest.raises(ConfigError, match=f"{LARGE.name}: expected positive measurements, got {joules:g}"):
        fit_consumption([(SMALL, 1.0), (LARGE, joules)], [1.0, 3.0])


def test_more_bits_and_less_bandwidth_never_take_less():
    speed = Speed(layer_s=1e-4, efficiency=0.3)
    wider = replace(SMALL, weight_bits_per_weight=Fraction(4))
    assert token_time(CPU, SMALL, speed) < token_time(CPU, wider, speed)
    assert token_time(CPU, SMALL, speed) < token_time(CPU, SMALL, replace(speed, efficiency=0.2))
    assert token_time(CPU, SMALL, stated_speed(CPU)) < token_time(CPU, SMALL, speed)


def test_errors():
    with pytest.raises(ConfigError, match=r"efficiency: expected 0 < efficiency <= 1, got 1\.2"):
        token_time(CPU, SMALL, Speed(layer_s=0, efficiency=1.2))
    with pytest.raises(ConfigError, match=r"intel-i7-13800h: bitnetcpp-f16-70b needs 140,110,725,120 bytes"):
        token_time(load_cpu("intel-i7-13800h"), zoo_config("bitnetcpp-f16-70b"), Speed(layer_s=0, efficiency=1))
    with pytest.raises(ConfigError, match="expected two measurements, got 1"):
        fit_speed(CPU, [(SMALL, 1.0)])
    with pytest.raises(ConfigError, match="differ in size only"):
        fit_speed(CPU, [(SMALL, 1.0), (SMALL, 2.0)])
    with pytest.raises(UnknownNameError, match="unknown CPU 'apple-m2'"):
        load_cpu("apple-m2")


@pytest.mark.parametrize("name", cpu_names())
def test_shipped_cpus_load(name):
    cpu = load_cpu(name)
    assert cpu.name == name
    assert cpu.fp16_rate.nominal <= cpu.int8_rate.nominal


def test_the_measured_machine_is_a_cpu(tmp_path):
    """With a clock that says one second for every call, rates are the work itself."""
    ticks = iter(range(10**6))
    found = measure_machine(weights_mb=3, repeats=2, clock=lambda: float(next(ticks)))
    assert found.int8_top_s == pytest.approx(2 * 512 * 2048 * 2048 * 1e-12)
    assert found.float32_top_s == pytest.approx(2 * 2048**3 * 1e-12)
    assert 3e-3 <= found.bandwidth_gb_s < 3.1e-3
    path = tmp_path / "mine.yaml"
    path.write_text(found.cpu_yaml("mine"))
    cpu = load_cpu(path)
    assert (cpu.name, cpu.isa, cpu.cores) == ("mine", found.isa, found.threads)
    measured = {name for name, constant in cpu.constants().items() if constant.evidence == "measured"}
    assert measured == {"int8_rate", "fp16_rate", "bandwidth", "capacity", "efficiency"}
    assert cpu.bandwidth.nominal == pytest.approx(found.bandwidth_gb_s, rel=1e-3)
    assert token_time(cpu, SMALL, stated_speed(cpu)) > 0


def test_an_unknown_architecture_is_refused(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ConfigError, match="got 'riscv64'"):
        measure_machine(weights_mb=1, repeats=1)
