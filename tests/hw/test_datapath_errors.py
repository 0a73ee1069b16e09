"""Descriptions of datapaths that no hardware could have are refused with file, line, range and reason."""

from pathlib import Path

import pytest

from bitsim.errors import ConfigError
from bitsim.hw import load_chip

TREE = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: adder_tree
  lanes: 16
  trees: 4
  pipeline: 1
  tokens: 2
  acc_bits: 20
"""
TENSOR = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: tensor_core
  arch: ampere
  format: int8
  instruction: m16n8k32
  units: 4
  unit_macs: 512
  weights: ternary
"""
CHIPS = {"adder_tree": TREE, "tensor_core": TENSOR}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(here: Path, content: str) -> str:
    (here / "x.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_chip("x.yaml")
    return str(caught.value)


@pytest.mark.parametrize("content", CHIPS.values(), ids=CHIPS)
def test_the_templates_themselves_load(here: Path, content: str) -> None:
    (here / "x.yaml").write_text(content)
    assert load_chip("x.yaml").bitlinear.text()


@pytest.mark.parametrize(
    ("kind", "old", "new", "text"),
    [
        ("adder_tree", "lanes: 16", "lanes: 0", "x.yaml:6: bitlinear.lanes: must be >= 2 (got 0)"),
        ("adder_tree", "lanes: 16", "lanes: 256", "x.yaml:6: bitlinear.lanes: must be <= 128 (got 256)"),
        (
            "adder_tree",
            "lanes: 16",
            "lanes: 24",
            "x.yaml:6: bitlinear.lanes: must be a power of two from 2 to 128, so that the tree is balanced (got 24)",
        ),
        ("adder_tree", "trees: 4", "trees: 0", "x.yaml:7: bitlinear.trees: must be >= 1 (got 0)"),
        (
            "adder_tree",
            "pipeline: 1",
            "pipeline: 5",
            "x.yaml:8: bitlinear.pipeline: must be <= 4, the levels of a tree of 16 lanes (got 5)",
        ),
        (
            "adder_tree",
            "acc_bits: 20",
            "acc_bits: 12",
            "x.yaml:10: bitlinear.acc_bits: must be >= 13, the width of a sum of 16 activations (got 12)",
        ),
        ("adder_tree", "acc_bits: 20", "acc_bits: 33", "x.yaml:10: bitlinear.acc_bits: must be <= 32 (got 33)"),
        ("adder_tree", "tokens: 2", "token: 2", "x.yaml:9: bitlinear.token: unknown key; did you mean tokens?"),
        (
            "adder_tree",
            "tokens: 2",
            "rows: 2",
            "x.yaml:9: bitlinear.rows: unknown key; allowed: acc_bits, clock_gating, kind, lanes, overflow, pipeline, "
            "tokens, trees",
        ),
        ("adder_tree", "  kind: adder_tree\n", "", "x.yaml:4: bitlinear.kind: required key is missing"),
        (
            "tensor_core",
            "arch: ampere",
            "arch: kepler",
            "x.yaml:6: bitlinear.arch: must be one of ada, ampere, blackwell, hopper, turing, volta (got 'kepler')",
        ),
        (
            "tensor_core",
            "arch: ampere",
            "arch: volta",
            "x.yaml:7: bitlinear.format: must be a format of volta: fp16 to fp32 or fp16 (got 'int8')",
        ),
        (
            "tensor_core",
            "format: int8",
            "format: e4m3",
            "x.yaml:7: bitlinear.format: must be a format of ampere: fp16 to fp32 or fp16, bf16 to fp32, tf32 to fp32, "
            "int8 and uint8 to int32, int4 and uint4 to int32 (got 'e4m3')",
        ),
        (
            "tensor_core",
            "m16n8k32",
            "16x8x32",
            "x.yaml:8: bitlinear.instruction: must read like m16n8k32 (got '16x8x32')",
        ),
        (
            "tensor_core",
            "m16n8k32",
            "m16n8k64",
            "x.yaml:8: bitlinear.instruction: must have k = 32 or 16, as int8 has on ampere (got 'm16n8k64')",
        ),
        (
            "tensor_core",
            "m16n8k32",
            "m64n8k32",
            "x.yaml:8: bitlinear.instruction: must be m16n8 with k = 32, as int8 has on ampere (got 'm64n8k32')",
        ),
        (
            "tensor_core",
            "arch: ampere\n  format: int8\n  instruction: m16n8k32",
            "arch: hopper\n  format: e4m3\n  instruction: m16n8k32",
            "x.yaml:8: bitlinear.instruction: must be m64n8 to m64n256 with k = 32, as e4m3 has on hopper (got "
            "'m16n8k32')",
        ),
        ("tensor_core", "units: 4", "units: 0", "x.yaml:9: bitlinear.units: must be >= 1 (got 0)"),
        (
            "tensor_core",
            "unit_macs: 512",
            "unit_macs: 500",
            "x.yaml:10: bitlinear.unit_macs: must divide the 4096 products of m16n8k32, so that an instruction takes "
            "whole cycles (got 500)",
        ),
        (
            "tensor_core",
            "weights: ternary",
            "acc_bits: 13\n  weights: ternary",
            "x.yaml:11: bitlinear.acc_bits: must be >= 14, the width of the sum of one m16n8k32 (got 13)",
        ),
        (
            "tensor_core",
            "format: int8\n  instruction: m16n8k32",
            "format: bf16\n  acc_bits: 16\n  instruction: m16n8k16",
            "x.yaml:8: bitlinear.acc_bits: must be 32, as bf16 has on ampere (got 16)",
        ),
        (
            "tensor_core",
            "format: int8\n  instruction: m16n8k32",
            "format: fp16\n  overflow: saturate\n  instruction: m16n8k16",
            "x.yaml:8: bitlinear.overflow: must be left out for fp16: sums that leave their range are infinite (got "
            "'saturate')",
        ),
        ("tensor_core", "  weights: ternary\n", "", "x.yaml:4: bitlinear.weights: required key is missing"),
    ],
)
def test_impossible_datapaths(here: Path, kind: str, old: str, new: str, text: str) -> None:
    content = CHIPS[kind]
    assert old in content
    assert message(here, content.replace(old, new, 1)) == text


@pytest.mark.parametrize("content", CHIPS.values(), ids=CHIPS)
def test_integer_datapaths_can_not_be_wide(here: Path, content: str) -> None:
    wide = content.replace("bitlinear:", "wide:")
    kind = next(line for line in wide.splitlines() if "kind:" in line).split()[1]
    assert message(here, wide) == (
        "x.yaml:5: wide.kind: must compute in floating point: attention multiplies activations, which are not "
        f"quantised (got {kind!r}, which sums integers)"
    )


def test_wide_tensor_cores_take_any_weights(here: Path) -> None:
    wide = TENSOR.replace("bitlinear:", "wide:").replace("format: int8", "format: fp16").replace("k32", "k16")
    assert message(here, wide) == (
        "x.yaml:11: wide.weights: must be 'full': attention and head have no ternary weights (got 'ternary')"
    )
    (here / "x.yaml").write_text(wide.replace("weights: ternary", "weights: full"))
    assert load_chip("x.yaml").wide.unit == "ampere_fp16_acc32"


def test_a_chip_takes_what_it_leaves_out_from_the_one_that_it_is_like(here: Path) -> None:
    (here / "x.yaml").write_text(TREE)
    chip, original = load_chip("x.yaml"), load_chip("ternary-ws-64x64")
    assert (chip.memory, chip.vector, chip.wide, chip.clock) == (
        original.memory,
        original.vector,
        original.wide,
        original.clock,
    )
    assert (chip.name, chip.like, chip.path) == ("mine", "ternary-ws-64x64", "x.yaml")
    (here / "x.yaml").write_text(TREE + "# changed\n")
    assert len({chip.sha256, original.sha256, load_chip("x.yaml").sha256}) == 3


def test_problems_are_reported_in_the_file_that_has_them(here: Path) -> None:
    unknown = TREE.replace("like: ternary-ws-64x64", "like: ternary-64")
    assert message(here, unknown).startswith("x.yaml:3: like: unknown chip 'ternary-64'; did you mean ternary-")
    (here / "x.yaml").write_text(TREE)
    where = load_chip("x.yaml")._source.where
    assert where(("memory", "dram", "bandwidth")) == "hw_models/chips/ternary-ws-64x64.yaml:67: memory.dram.bandwidth"
    assert where(("bitlinear", "trees")) == "x.yaml:7: bitlinear.trees"
    assert message(here, TREE.replace("like: ternary-ws-64x64", "like: 3")) == "\n".join(
        ["x.yaml:3: like: expected text (got 3)"]
        + [f"x.yaml:1: {key}: required key is missing" for key in ("technology", "clock", "wide", "vector", "memory")]
    )
