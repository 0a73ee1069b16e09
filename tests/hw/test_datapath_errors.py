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
SPARSE = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: sparse_array
  lanes: 16
  cols: 64
  depth: 8
  lookahead: 4
  outputs: 2
  acc_bits: 20
"""
ROM = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: rom_array
  rows: 64
  cols: 32
  banks: 2
  wake_cycles: 1
  acc_bits: 16
  column_acc_bits: 32
"""
CHIPS = {"adder_tree": TREE, "sparse_array": SPARSE, "rom_array": ROM}


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
        ("sparse_array", "lanes: 16", "lanes: 1", "x.yaml:6: bitlinear.lanes: must be >= 2 (got 1)"),
        (
            "sparse_array",
            "lanes: 16",
            "lanes: 12",
            "x.yaml:6: bitlinear.lanes: must be a power of two from 2 to 64, so that the tree is balanced (got 12)",
        ),
        ("sparse_array", "cols: 64", "cols: 0", "x.yaml:7: bitlinear.cols: must be >= 1 (got 0)"),
        ("sparse_array", "depth: 8", "depth: 65", "x.yaml:8: bitlinear.depth: must be <= 64 (got 65)"),
        ("sparse_array", "lookahead: 4", "lookahead: 0", "x.yaml:9: bitlinear.lookahead: must be >= 1 (got 0)"),
        (
            "sparse_array",
            "lookahead: 4",
            "lookahead: 9",
            "x.yaml:9: bitlinear.lookahead: must be <= depth = 8: a lane looks no further than its slice (got 9)",
        ),
        ("sparse_array", "outputs: 2", "outputs: 0", "x.yaml:10: bitlinear.outputs: must be >= 1 (got 0)"),
        (
            "sparse_array",
            "acc_bits: 20",
            "acc_bits: 15",
            "x.yaml:11: bitlinear.acc_bits: must be >= 16, the width of a sum of 16 x 8 activations (got 15)",
        ),
        ("rom_array", "rows: 64", "rows: 0", "x.yaml:6: bitlinear.rows: must be >= 1 (got 0)"),
        ("rom_array", "cols: 32", "cols: 5000", "x.yaml:7: bitlinear.cols: must be <= 4096 (got 5000)"),
        ("rom_array", "banks: 2", "banks: 0", "x.yaml:8: bitlinear.banks: must be >= 1 (got 0)"),
        ("rom_array", "wake_cycles: 1", "wake_cycles: -1", "x.yaml:9: bitlinear.wake_cycles: must be >= 0 (got -1)"),
        (
            "rom_array",
            "acc_bits: 16",
            "acc_bits: 8",
            "x.yaml:10: bitlinear.acc_bits: must be >= 9, the width of one ternary product (got 8)",
        ),
        (
            "rom_array",
            "column_acc_bits: 32",
            "column_acc_bits: 15",
            "x.yaml:11: bitlinear.column_acc_bits: must be >= acc_bits = 16 (got 15)",
        ),
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
