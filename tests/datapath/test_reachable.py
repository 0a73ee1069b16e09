"""Every variant that a kind of datapath offers can be had from YAML, and computes what its twin does."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsim.datapath.registry import build_datapath
from bitsim.hw import load_chip
from tests.datapath.zoo import ZOO
from tests.hw.datapath_templates import CHIPS

Changes = list[tuple[str, str]]
TERNARY_LUTS: list[Changes] = [
    [("g: 3", f"g: {g}"), ("half", table), ("storage: registers", f"storage: {storage}")]
    for g, table, storage in product((2, 3, 4, 5), ("half", "full"), ("registers", "sram"))
]
BIT_SERIAL: list[Changes] = [
    [("act_bits: 4", f"act_bits: {bits}"), ("binary", weights), ("planes: false", f"planes: {skip}")]
    for bits, weights, skip in product((4, 8), ("ternary", "binary"), ("true", "false"))
]
SPARSE: list[Changes] = [
    [("lookahead: 4", f"lookahead: {lookahead}\n  weight_gating: {gating}")]
    for lookahead, gating in product((1, 2, 8), ("true", "false"))
]
ROM: list[Changes] = [
    [("banks: 2", f"banks: {banks}\n  zero_gating: {gating}"), ("rows: 64", "rows: 8")]
    for banks, gating in product((1, 3), ("true", "false"))
]
POPCOUNT: list[Changes] = [[("operands: ternary", f"operands: {operands}")] for operands in ("binary", "ternary")]
BINARY_LUT: list[Changes] = [[("table_bits: 8", f"table_bits: {bits}")] for bits in range(4, 11)]
BLOCKS = "  bm: 128\n  bk: 64\n  bmm: 64\n"
CPU: list[Changes] = [
    [(BLOCKS, "  pad: true\n" + blocks), ("kernel: tl1", f"kernel: {kernel}")]
    for kernel, blocks in (
        ("i2s_avx2", ""),
        ("i2s_neon", ""),
        ("tl1", BLOCKS),
        ("tl2", "  bm: 128\n  bk: 96\n  bmm: 32\n"),
    )
]
ARRAYS: list[Changes] = [
    [("weight_stationary\n", f"{dataflow}\n"), ("pe: ternary", f"pe: {pe}"), ("  column_acc_bits: 32\n", "")]
    for dataflow, pe in product(
        ("weight_stationary", "output_stationary", "weight_stationary\n  between_tiles: keep"), ("ternary", "int8")
    )
]
TENSOR = [
    ("volta", "fp16", "m8n8k4", 64, ""),
    ("turing", "int4", "m8n8k32", 64, "wrap"),
    ("turing", "int8", "m8n8k16", 64, "saturate"),
    ("ampere", "int4", "m16n8k64", 64, "saturate"),
    ("ampere", "bf16", "m16n8k16", 64, ""),
    ("ada", "e5m2", "m16n8k32", 64, ""),
    ("hopper", "e4m3", "m64n16k32", 64, ""),
    ("blackwell", "e4m3", "m16n8k32", 64, ""),
    ("blackwell", "mxe5m2", "m16n8k32", 64, ""),
    ("blackwell", "nvf4", "m16n8k64", 64, ""),
]
TENSOR_CORES: list[Changes] = [
    [
        ("ampere", arch),
        ("int8", number_format),
        ("m16n8k32", instruction),
        ("unit_macs: 512", f"unit_macs: {macs}" + (f"\n  overflow: {overflow}" if overflow else "")),
    ]
    for arch, number_format, instruction, macs, overflow in TENSOR
]
VARIANTS = [
    (kind, changes)
    for kind, found in (
        ("pe_array", ARRAYS),
        ("ternary_lut", TERNARY_LUTS),
        ("bit_serial", BIT_SERIAL),
        ("popcount", POPCOUNT),
        ("sparse_array", SPARSE),
        ("rom_array", ROM),
        ("binary_lut", BINARY_LUT),
        ("tensor_core", TENSOR_CORES),
        ("cpu_simd", CPU),
    )
    for changes in found
]


@pytest.mark.parametrize(
    ("kind", "changes"), VARIANTS, ids=[f"{kind}-{'-'.join(new for _, new in changes)}" for kind, changes in VARIANTS]
)
def test_a_variant_from_yaml_equals_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, changes: Changes
) -> None:
    monkeypatch.chdir(tmp_path)
    content = CHIPS[kind]
    for old, new in changes:
        assert old in content
        content = content.replace(old, new, 1)
    Path("x.yaml").write_text(content)
    spec = load_chip("x.yaml").bitlinear
    datapath: Any = build_datapath(spec)
    rng = np.random.default_rng(0)
    x = rng.integers(datapath.act_range[0], datapath.act_range[1] + 1, (3, 39)).astype(np.int8)
    w = rng.integers(-1, 2, (11, 39)).astype(np.int8)
    x[x == 0] = 0 if datapath.zero_acts else 1
    w[w == 0] = 0 if datapath.zero_weights else 1
    twin = next(member.twin for member in ZOO.values() if member.kind == kind)
    done, expected = datapath.execute(x, w), twin(x, w, spec)
    np.testing.assert_array_equal(done.y, expected.y)
    assert done.events == expected.events
    assert done.cycles == expected.cycles
    if datapath.exact:
        np.testing.assert_array_equal(done.y, x.astype(np.int64) @ w.T)
    elif spec.integer or kind == "tensor_core":
        assert done.deviation.wrong == np.count_nonzero(done.y != x.astype(np.int64) @ w.T)
