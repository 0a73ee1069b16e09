"""Hosts, nodes between technologies and unpriced technologies in YAML: what is accepted, and what each mistake says."""

from pathlib import Path

import pytest

from bitsim.errors import ConfigError
from bitsim.hw import load_chip, load_technology
from bitsim.hw.technology import unpriced_names

LIKE = "kind: chip\nname: mine\nlike: ternary-ws-64x64\n"
US = "{value: 2, unit: us, evidence: assumed, source: s}"
GBS = "{value: 2, unit: GB/s, evidence: assumed, source: s}"
CALLS = f"  calls:\n    k: 4\n    n: 4\n    write: {{values: 4, time: {US}}}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("x.yaml")


def test_a_host_is_optional_and_inherited(file: Path) -> None:
    assert load_chip("ternary-ws-64x64").host is None
    file.write_text(LIKE.replace("ternary-ws-64x64", "ternarycore-a7-100t"))
    assert load_chip(file).host == load_chip("ternarycore-a7-100t").host
    file.write_text(f"{LIKE}host:\n  matmul_latency: {US}\n")
    host = load_chip(file).host
    assert host is not None
    assert (host.step, host.calls, host.energy) == (None, None, None)
    assert host.matmul_latency is not None
    assert host.matmul_latency.text() == "2 us"
    assert load_chip(file).settings()["host"] == "a latency before each matmul"
    board = load_chip("ternarycore-a7-100t").settings()["host"]
    calls = "calls of 1024 x 1024 (K x N), 1024 values a write, 64 a read"
    assert board == f"{calls}, computes norm, quantise, rope, kv, qk, softmax, pv, glu"
    assert "host" not in load_chip("ternary-ws-64x64").settings()


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (
            "  energy: {value: 1, unit: pJ/bit, evidence: assumed, source: s}\n",
            "x.yaml:4: host: expected step, ",
        ),
        (
            "  matmul_latency: {value: 2, unit: ns, evidence: assumed, source: s}\n",
            "x.yaml:5: host.matmul_latency.",
        ),
        (f"  step: {{latency: {US}}}\n", "x.yaml:5: host.step.bandwidth"),
        (f"  step: {{latency: {US}, bandwidth: {GBS}, returns: text}}\n", "x.yaml:5: host.step.returns"),
        (CALLS, "x.yaml:5: host.calls.read"),
        (f"{CALLS}    read: {{values: 0, time: {US}}}\n", "x.yaml:9: host.calls.read.values"),
        (f"  matmul_latency: {US}\n  latency: {US}\n", "x.yaml:6: host.latency"),
    ],
)
def test_mistakes_in_a_host_are_reported_at_their_line(file: Path, host: str, message: str) -> None:
    file.write_text(f"{LIKE}host:\n{host}")
    with pytest.raises(ConfigError) as caught:
        load_chip(file)
    assert message in str(caught.value)


def test_a_chip_may_lie_between_two_technologies(file: Path) -> None:
    file.write_text(f"{LIKE}technology: 16nm\n")
    assert (load_chip(file).tech.name, load_chip(file).tech.node_nm) == ("16nm", 16)
    file.write_text(f"{LIKE}technology: 6nm\n")
    with pytest.raises(ConfigError, match=r"x.yaml:4: technology: technology 6nm: expected .* between 7 and 45 nm"):
        load_chip(file)
    file.write_text(f"{LIKE}technology: 7mn\n")
    with pytest.raises(ConfigError, match=r"x.yaml:4: technology: unknown technology '7mn'; did you mean 7nm"):
        load_chip(file)


def test_unpriced_technologies_give_a_reason_and_nothing_else(file: Path) -> None:
    assert unpriced_names() == ["fpga-16nm", "fpga-28nm"]
    for name in unpriced_names():
        technology = load_technology(name)
        assert (technology.prices, technology.areas, technology.arrays) == ({}, {}, None)
        assert technology.unpriced
    factor = "{value: 1, unit: ratio, source: s, evidence: assumed}"
    head = f"kind: technology\nname: mine\nnode_nm: 7\nsummary: a test\nlayout_factor: {factor}\n"
    file.write_text(f"{head}prices: {{}}\n".replace("node_nm: 7", "node_nm: 130"))
    with pytest.raises(ConfigError, match=r"x.yaml:1: sram: SRAM of 130 nm: expected a node within 7 \.\. 65 nm"):
        load_technology("x.yaml")
    file.write_text(f"{head}unpriced: why\nprices:\n  add.fp16: {{value: 1, unit: pJ, source: s, evidence: assumed}}\n")
    with pytest.raises(ConfigError, match=r"x.yaml:6: unpriced: expected neither prices nor areas nor sram beside it"):
        load_technology("x.yaml")
