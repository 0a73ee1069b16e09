"""`bitsim machine`: rates from a clock that is given, so that they follow by hand."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bitsim.errors import ConfigError
from bitsim.hw.cpu import load_cpu
from bitsim.measure import machine
from bitsim.measure.machine import measure_machine


def clock_of(*durations: float) -> Callable[[], float]:
    """A clock whose n-th measurement takes the n-th of `durations`, with a second between two of them."""
    now, ticks = 100.0, []
    for duration in durations:
        ticks += [now, now + duration]
        now += duration + 1.0
    return iter(ticks).__next__


def test_rates_are_those_of_the_fastest_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 MB in rows of 8192 weights, 16 of them a line of 32 768 bytes: 31 lines are 1 015 808 bytes.

    In 2 ms: 0.507904 GB/s. 2 x 512 x 64 x 64 operations of int8 in 4 us: 1.048576e12 per second; 2 x 64^3 of float32
    in 2 us: 0.262144e12. The first repeat of each takes longer.
    """
    monkeypatch.setattr(machine, "SIDE", 64)
    found = measure_machine(weights_mb=1, repeats=2, clock=clock_of(3e-3, 2e-3, 5e-6, 4e-6, 3e-6, 2e-6))
    assert found.bandwidth_gb_s == pytest.approx(0.507904)
    assert found.int8_top_s == pytest.approx(1.048576)
    assert found.float32_top_s == pytest.approx(0.262144)
    assert (found.weights_mb, found.repeats) == (1, 2)
    pages = os.sysconf("SC_PHYS_PAGES")
    assert found.capacity_gb == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE") / 1e9)
    assert found.records("rates") == [
        {"what": "memory, packed weights", "rate": found.bandwidth_gb_s, "unit": "GB/s"},
        {"what": "int8 x ternary", "rate": found.int8_top_s, "unit": "Top/s"},
        {"what": "float32", "rate": found.float32_top_s, "unit": "Top/s"},
        {"what": "memory", "rate": found.capacity_gb, "unit": "GB"},
    ]


def test_the_written_cpu_has_the_measured_rates_to_four_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "SIDE", 64)
    found = measure_machine(weights_mb=1, repeats=1, clock=clock_of(2e-3, 4e-6, 2e-6))
    path = tmp_path / "mine.yaml"
    path.write_text(found.cpu_yaml("mine"))
    cpu = load_cpu(path)
    assert (cpu.name, cpu.cores, cpu.isa) == ("mine", found.threads, found.isa)
    for constant, value, unit in (
        (cpu.bandwidth, 0.5079, "GB/s"), (cpu.int8_rate, 1.049, "Top/s"), (cpu.fp16_rate, 0.2621, "Top/s"),
        (cpu.efficiency, 1.0, "ratio"),
    ):  # fmt: skip
        assert (constant.nominal, constant.unit, constant.evidence) == (value, unit, "measured")
    assert (cpu.layer_overhead.nominal, cpu.layer_overhead.evidence) == (0, "assumed")


@pytest.mark.parametrize(("weights_mb", "repeats"), [(0, 5), (5, 0), (-1, 1)])
def test_nothing_to_measure_is_refused(weights_mb: int, repeats: int) -> None:
    expected = f"at least 1 MB and 1 repeat, got {weights_mb} and {repeats}"
    with pytest.raises(ConfigError, match=expected):
        measure_machine(weights_mb=weights_mb, repeats=repeats)


def test_a_machine_whose_instructions_are_unknown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ConfigError, match="expected one of AMD64, aarch64, arm64, x86_64, got 'riscv64'"):
        measure_machine(weights_mb=1, repeats=1)
