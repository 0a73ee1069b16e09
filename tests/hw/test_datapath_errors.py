"""Descriptions of datapaths that no hardware could have are refused with file, line, range and reason."""

from pathlib import Path

import pytest

from bitsim.datapath.registry import DATAPATHS
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
LUT = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: ternary_lut
  g: 3
  table: half
  storage: registers
  tables: 4
  lanes: 8
  reuse: 2
  acc_bits: 20
"""
SERIAL = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: bit_serial
  act_bits: 4
  weights: binary
  lanes: 16
  rows: 2
  cols: 4
  skip_zero_planes: false
  acc_bits: 20
"""
POPCOUNT = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: popcount
  operands: ternary
  lanes: 32
  cols: 4
  tokens: 2
  acc_bits: 16
"""
CPU = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: cpu_simd
  kernel: tl1
  bm: 128
  bk: 64
  bmm: 64
  instructions_per_cycle: {value: 2, unit: ratio, evidence: assumed, source: a test}
"""
BINARY = """\
name: mine
summary: a test
like: ternary-ws-64x64
bitlinear:
  kind: binary_lut
  tables: 4
  lanes: 8
  table_bits: 8
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
BK = "so that blocks fill the kernel's registers and int16 holds their sums"
CHIPS = {
    "tensor_core": TENSOR,
    "sparse_array": SPARSE,
    "rom_array": ROM,
    "adder_tree": TREE,
    "cpu_simd": CPU,
    "binary_lut": BINARY,
    "ternary_lut": LUT,
    "bit_serial": SERIAL,
    "popcount": POPCOUNT,
}


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
        ("ternary_lut", "g: 3", "g: 6", "x.yaml:6: bitlinear.g: must be <= 5 (got 6)"),
        ("ternary_lut", "g: 3", "g: 1", "x.yaml:6: bitlinear.g: must be >= 2 (got 1)"),
        ("ternary_lut", "half", "third", "x.yaml:7: bitlinear.table: must be 'half' or 'full' (got 'third')"),
        ("ternary_lut", "lanes: 8", "lanes: 0", "x.yaml:10: bitlinear.lanes: must be >= 1 (got 0)"),
        (
            "ternary_lut",
            "tables: 4",
            "tables: 3",
            "x.yaml:9: bitlinear.tables: must be a power of two from 1 to 64, so that the tree of adders is balanced "
            "(got 3)",
        ),
        (
            "ternary_lut",
            "acc_bits: 20",
            "acc_bits: 11",
            "x.yaml:12: bitlinear.acc_bits: must be >= 12, the width of a sum of 12 activations, those of one cycle "
            "(got 11)",
        ),
        ("bit_serial", "act_bits: 4", "act_bits: 6", "x.yaml:6: bitlinear.act_bits: must be 4 or 8 (got 6)"),
        (
            "bit_serial",
            "weights: binary",
            "weights: int2",
            "x.yaml:7: bitlinear.weights: must be 'ternary' or 'binary' (got 'int2')",
        ),
        ("bit_serial", "lanes: 16", "lanes: 1", "x.yaml:8: bitlinear.lanes: must be >= 2 (got 1)"),
        (
            "bit_serial",
            "lanes: 16",
            "lanes: 48",
            "x.yaml:8: bitlinear.lanes: must be a power of two from 2 to 128, so that the tree is balanced (got 48)",
        ),
        ("bit_serial", "rows: 2", "rows: 0", "x.yaml:9: bitlinear.rows: must be >= 1 (got 0)"),
        ("bit_serial", "cols: 4", "cols: 0", "x.yaml:10: bitlinear.cols: must be >= 1 (got 0)"),
        (
            "bit_serial",
            "acc_bits: 20",
            "acc_bits: 8",
            "x.yaml:12: bitlinear.acc_bits: must be >= 9, the width of a sum of 16 activations of 4 bits (got 8)",
        ),
        (
            "popcount",
            "operands: ternary",
            "operands: int8",
            "x.yaml:6: bitlinear.operands: must be 'binary' or 'ternary' (got 'int8')",
        ),
        (
            "popcount",
            "lanes: 32",
            "lanes: 33",
            "x.yaml:7: bitlinear.lanes: must be a power of two from 2 to 1024, so that the trees are balanced (got 33)",
        ),
        ("popcount", "lanes: 32", "lanes: 2048", "x.yaml:7: bitlinear.lanes: must be <= 1024 (got 2048)"),
        ("popcount", "cols: 4", "cols: 0", "x.yaml:8: bitlinear.cols: must be >= 1 (got 0)"),
        ("popcount", "tokens: 2", "tokens: 0", "x.yaml:9: bitlinear.tokens: must be >= 1 (got 0)"),
        (
            "popcount",
            "acc_bits: 16",
            "acc_bits: 6",
            "x.yaml:10: bitlinear.acc_bits: must be >= 7, the width of a sum of 32 products of -1 or 1 (got 6)",
        ),
        (
            "binary_lut",
            "tables: 4",
            "tables: 3",
            "x.yaml:6: bitlinear.tables: must be a power of two from 1 to 16, so that the tree of adders is balanced "
            "(got 3)",
        ),
        ("binary_lut", "lanes: 8", "lanes: 0", "x.yaml:7: bitlinear.lanes: must be >= 1 (got 0)"),
        ("binary_lut", "table_bits: 8", "table_bits: 3", "x.yaml:8: bitlinear.table_bits: must be >= 4 (got 3)"),
        ("binary_lut", "table_bits: 8", "table_bits: 11", "x.yaml:8: bitlinear.table_bits: must be <= 10 (got 11)"),
        (
            "binary_lut",
            "acc_bits: 20",
            "acc_bits: 10",
            "x.yaml:9: bitlinear.acc_bits: must be >= 11, the width of a sum of 4 entries, those of one cycle (got 10)",
        ),
        (
            "cpu_simd",
            "bk: 64",
            "bk: 24",
            f"x.yaml:8: bitlinear.bk: must be a multiple of 16 from 16 to 256, {BK} (got 24)",
        ),
        ("cpu_simd", "bk: 64", "bk: 512", "x.yaml:8: bitlinear.bk: must be <= 256 (got 512)"),
        (
            "cpu_simd",
            "kernel: tl1",
            "kernel: tl2",
            f"x.yaml:8: bitlinear.bk: must be a multiple of 96 from 96 to 192, {BK} (got 64)",
        ),
        ("cpu_simd", "bm: 128", "bm: 96", "x.yaml:7: bitlinear.bm: must be a multiple of bmm = 64 (got 96)"),
        ("cpu_simd", "bmm: 64", "bmm: 48", "x.yaml:9: bitlinear.bmm: must be 32 or 64 (got 48)"),
        (
            "cpu_simd",
            "  bm: 128\n",
            "",
            "x.yaml:4: bitlinear.bm: must be given for tl1, which is compiled for it",
        ),
        (
            "cpu_simd",
            "kernel: tl1",
            "kernel: i2s_avx2",
            "x.yaml:7: bitlinear.bm: must be left out: i2s_avx2 has no blocks of tables (got 128)",
        ),
        ("cpu_simd", "value: 2", "value: 0", "x.yaml:10: bitlinear.instructions_per_cycle.value: must be > 0 (got 0)"),
        (
            "cpu_simd",
            "bmm: 64",
            "bmm: 64\n  acc_bits: 16",
            "x.yaml:10: bitlinear.acc_bits: must be 32, the width of the kernel's sums (got 16)",
        ),
        (
            "cpu_simd",
            "bmm: 64",
            "bmm: 64\n  overflow: saturate",
            "x.yaml:10: bitlinear.overflow: must be 'wrap', as the kernel's additions do (got 'saturate')",
        ),
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


def test_an_unknown_kind_is_told_all_kinds(here: Path) -> None:
    *kinds, last = (repr(kind) for kind in DATAPATHS)
    text = f"x.yaml:5: bitlinear.kind: must be {', '.join(kinds)} or {last} (got 'abacus')"
    assert message(here, TREE.replace("adder_tree", "abacus")) == text


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
