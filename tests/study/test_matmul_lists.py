"""Lists of matmuls that people have: the matmuls that are meant, and errors that name file and line."""

import json
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bitsim
from bitsim.errors import BitsimError, ConfigError
from bitsim.study import MatmulShape, estimate_matmuls
from bitsim.study.goal import placement_for
from bitsim.study.matmul_lists import read_matmuls

CHIP = "ternary-ws-64x64"
OWN = "name,m,k,n,count,bits\nup,4,64,96,3,8/5\n# a comment\n\ndown,4,96,64,,1.6\nhead,1,64,256,1,16\n"
GEMM = "Layer,M,N,K\nQKT,1024,1000,64\nLinear1, 1024, 4800, 1600,\n"
CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"


def listed(folder: Path, text: str | bytes, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_columns_in_any_order_and_defaults(tmp_path: Path) -> None:
    found = read_matmuls(listed(tmp_path, OWN))
    assert found.name == "list"
    assert found.shapes == (
        MatmulShape(name="up", m=4, k=64, n=96, count=3, weight_bits=Fraction(8, 5)),
        MatmulShape(name="down", m=4, k=96, n=64, weight_bits=Fraction(8, 5)),
        MatmulShape(name="head", m=1, k=64, n=256, weight_bits=Fraction(16)),
    )
    turned = read_matmuls(listed(tmp_path, "\ufeffn, K ,M\r\n200,300,1\r\n"))
    assert turned.shapes == (MatmulShape(name="matmul 1", m=1, k=300, n=200),)


def test_bits_of_the_caller_replace_those_of_the_file(tmp_path: Path) -> None:
    found = read_matmuls(listed(tmp_path, OWN), bits="5/3")
    assert {shape.weight_bits for shape in found.shapes} == {Fraction(5, 3)}
    assert any("bits per weight: 5/3, in place of" in note for note in found.notes)


def test_scale_sim_gemms_are_m_n_k(tmp_path: Path) -> None:
    first, second = read_matmuls(listed(tmp_path, GEMM)).shapes
    assert (first.m, first.n, first.k) == (1024, 1000, 64)
    assert (second.name, second.m, second.n, second.k) == ("Linear1", 1024, 4800, 1600)


@given(
    image=st.integers(1, 40), window=st.integers(1, 7), stride=st.integers(1, 4), channels=st.integers(1, 5),
    filters=st.integers(1, 9),
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_scale_sim_convolutions_have_the_macs_of_a_walk_over_the_image(
    tmp_path: Path, image: int, window: int, stride: int, channels: int, filters: int
) -> None:
    """SCALE-Sim rounds up: a last window that leaves the image counts as one."""
    if window > image:
        return
    row = f"Conv,{image},{image},{window},{window},{channels},{filters},{stride},\n"
    (shape,) = read_matmuls(listed(tmp_path, CONV + row)).shapes
    starts = [x for x in range(0, image - window + stride, stride)]
    assert shape.m == len(starts) ** 2
    assert (shape.k, shape.n, shape.count) == (window**2 * channels, filters, 1)


def test_scale_sim_strides_of_each_direction_depthwise_and_sparsity(tmp_path: Path) -> None:
    header = CONV.replace("Strides,", "Stride Height, Stride Width,")
    (shape,) = read_matmuls(listed(tmp_path, f"{header}a,9,17,3,5,2,4,2,4,\n")).shapes
    assert (shape.m, shape.k, shape.n) == (4 * 4, 3 * 5 * 2, 4)
    (deep,) = read_matmuls(listed(tmp_path, f"{CONV}ConvDP,9,9,3,3,32,1,1,\n")).shapes
    assert (deep.m, deep.k, deep.n, deep.count) == (49, 9, 1, 32)
    sparse = read_matmuls(listed(tmp_path, CONV.replace("Strides,", "Strides, Sparsity") + "a,9,9,3,3,2,4,2,1:4,\n"))
    assert any("Sparsity is not used" in note for note in sparse.notes)


def test_json_is_the_same_list(tmp_path: Path) -> None:
    entries = [
        {"name": "up", "m": 4, "k": 64, "n": 96, "count": 3, "bits": "8/5"},
        {"name": "down", "m": 4, "k": 96, "n": 64, "bits": 1.6},
        {"name": "head", "m": 1, "k": 64, "n": 256, "count": 1, "bits": 16},
    ]
    for content in (entries, {"matmuls": entries}):
        found = read_matmuls(listed(tmp_path, json.dumps(content, indent=2), "list.json"))
        assert found.shapes == read_matmuls(listed(tmp_path, OWN)).shapes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m,k,n\n1.5,2,3\n", "list.csv:2: m: expected an integer from 1 to 16,777,216, got '1.5'"),
        ("m,k,n\n\n# x\n1,0,3\n", "list.csv:4: k: expected an integer from 1 to "),
        ("m,k,n\n1,2,-3\n", "list.csv:2: n: expected an integer"),
        ("m,k,n\n1,2\n", r"list.csv:2: expected 3 values \(m, k, n\), got 2"),
        ("m,k,n,bits\n1,2,3,6\n", r"list.csv:2: matmul matmul 1: weight_bits: expected at most 3 .* 16 .*, got 6"),
        ("m,k,n,bits\n1,2,3,two\n", "list.csv:2: bits: expected bits per weight such as 2, 1.6 or 8/5, got 'two'"),
        ("m,k,n,bits\n1,2,3,1/0\n", "list.csv:2: bits: expected bits per weight"),
        ("m,k,n,count\n1,2,3,0\n", "list.csv:2: count: expected an integer from 1"),
        ("m,k\n1,2\n", "list.csv:1: expected a header with the columns m, k, n, got m, k"),
        ("m,k,n,h\n1,2,3,4\n", "list.csv:1: unknown column 'h'"),
        ("m,k,n,m\n1,2,3,4\n", "list.csv:1: the column 'm' occurs twice"),
        ("1,2,3\n", "list.csv:1: expected a header"),
        ("", "list.csv:1: expected a header such as name,m,k,n,count,bits, got an empty file"),
        ("m,k,n\n", "list.csv: expected at least one matmul, got none"),
        (b"m,k,n\n1,2,\xff\n", "list.csv:2: expected UTF-8 text, got byte 0xff"),
        ('m,k,n\n1,2,"3\n', "list.csv:[23]: malformed CSV: unexpected end of data"),
        (f"{CONV}a,3,9,5,3,2,4,1,\n", "list.csv:2: filterheight: expected at most ifmapheight = 3, got 5"),
        (f"{CONV}a,9,9,3,3,2,4,0,\n", "list.csv:2: strides: expected an integer from 1"),
        (f"{CONV}AlphaGoZero,\n", "list.csv:2: expected 8 values .*, got 1"),
    ],
)
def test_law_every_error_of_a_csv_names_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_matmuls(listed(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"m": 1, "k": 2, "n": 3},\n\n {"m": 1.5, "k": 2, "n": 3}]', "list.json:3: m: expected .*, got 1.5"),
        ('{"matmuls": [\n{"m": 1, "k": true, "n": 3}]}', "list.json:2: k: expected an integer.*, got True"),
        ('[{"m": 1, "n": 3}]', "list.json:1: k: expected an integer, got nothing"),
        ('[{"m": 1, "k": 2, "n": 3, "bit": 2}]', "list.json:1: unknown key 'bit'"),
        ('[{"m": 1, "k": 2, "n": 3, "name": 5}]', "list.json:1: name: expected text"),
        ('[\n5]', "list.json:2: expected an object"),
        ('{"m": 1}', "list.json:1: expected an array"),
        ('[{"m": 1, "m": 2}]', "list.json: .*the same key twice"),
        ("[NaN]", "list.json: "),
        ("[]", "list.json: expected at least one matmul"),
        ("[" * 100_000, "list.json: "),
    ],
)  # fmt: skip
def test_law_every_error_of_a_json_names_the_file_and_of_an_entry_its_line(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_matmuls(listed(tmp_path, content, "list.json"))


def test_only_ordinary_files_of_known_kinds_are_read(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none.csv", "none.csv: can't be read"),
        (tmp_path, "expected a file that ends with .csv, .json or .onnx"),
        (listed(tmp_path, OWN, "list.txt"), "expected a file that ends with .csv, .json or .onnx"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_matmuls(path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match="expected an ordinary file, got a directory"):
        read_matmuls(tmp_path / "folder.csv")
    with pytest.raises(ConfigError, match="dims: only ONNX graphs"):
        read_matmuls(listed(tmp_path, OWN), dims={"batch": 1})
    with pytest.raises(ConfigError, match="bits: expected bits per weight"):
        read_matmuls(listed(tmp_path, OWN), bits="many")


@given(st.text(alphabet='mkn,0123456789."\n\r\t#x\x00 ', max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_law_no_text_is_a_traceback(tmp_path: Path, text: str) -> None:
    for suffix in ("csv", "json"):
        path = listed(tmp_path, f"m,k,n\n{text}" if suffix == "csv" else f"[{text}", f"list.{suffix}")
        with suppress(BitsimError):
            read_matmuls(path)


def test_law_each_line_keeps_its_own_row_and_its_own_energy() -> None:
    one, other = MatmulShape(name="a", m=1, k=300, n=200), MatmulShape(name="a", m=2, k=64, n=64)
    both = estimate_matmuls([one, other, one], CHIP)
    assert [row.macs for row in both.rows] == [60_000, 8_192, 60_000]
    (alone,) = estimate_matmuls([one], CHIP).records("operators")
    rows = both.records("operators")
    assert rows[0] == rows[2] == alone
    assert rows[1]["energy_system_pj"] != alone["energy_system_pj"]
    assert sum(row["energy_system_pj"] for row in rows) == pytest.approx(both.energy("system") * 1e12)


def test_law_fp16_matmuls_equal_the_linears_of_an_fp16_model() -> None:
    model = bitsim.estimate("tiny-fp16", "fp16-ws-64x64", prefill=7, decode=0)
    linears = [row for row in model.rows if row.kind == "linear" and row.layer == 0]
    shapes = [
        MatmulShape(name=name, m=7, k=k, n=n, weight_bits=Fraction(16))
        for name, n, k in bitsim.load_model("tiny-fp16").config.linear_shapes()
    ]
    for one, row in zip(estimate_matmuls(shapes, "fp16-ws-64x64", phase="prefill").rows, linears, strict=True):
        assert (one.cycles, one.macs, one.bound, one.events) == (row.cycles, row.macs, row.bound, row.events)


@pytest.mark.parametrize(("numerics", "bits"), [("w8a8", 8), ("w4a8", 4)])
def test_law_integer_matmuls_equal_the_linears_of_a_rounded_model(numerics: str, bits: int) -> None:
    chip = "int8-ws-64x64"
    model = bitsim.estimate("tiny-fp16", chip, prefill=7, decode=0, numerics=numerics)
    linears = [row for row in model.rows if row.kind == "linear" and row.layer == 0]
    shapes = [
        MatmulShape(name=name, m=7, k=k, n=n, weight_bits=Fraction(bits))
        for name, n, k in bitsim.load_model("tiny-fp16").config.linear_shapes()
    ]
    for one, row in zip(estimate_matmuls(shapes, chip, phase="prefill").rows, linears, strict=True):
        assert (one.cycles, one.macs, one.bound, one.events) == (row.cycles, row.macs, row.bound, row.events)
    with pytest.raises(ConfigError, match=r"takes weights of -1, 0 and 1; expected weight_bits of at most 3 or 16"):
        estimate_matmuls(shapes, CHIP)


def test_binary_weights_have_no_zeros_and_ternary_ones_need_a_code(tmp_path: Path) -> None:
    binary = MatmulShape(name="a", m=1, k=64, n=64, weight_bits=Fraction(1))
    assert binary.statistics(placement_for(bitsim.load_chip(CHIP), "latency"), None).weight_zeros == 0
    assert estimate_matmuls([binary], "bit-serial-binary").cycles > 0
    with pytest.raises(
        ConfigError, match=r"matmul a: bit-serial-binary: .*takes binary weights.*expected weight_bits 1"
    ):
        estimate_matmuls([MatmulShape(name="a", m=1, k=64, n=64)], "bit-serial-binary")


@pytest.mark.parametrize("bits", [Fraction(5), Fraction(7, 2), 12, 32])
def test_weights_without_a_datapath_are_refused(bits: Any) -> None:
    with pytest.raises(ConfigError, match=r"weight_bits: expected at most 3 .*, 4 or 8 .* or 16 "):
        MatmulShape(name="a", m=1, k=1, n=1, weight_bits=bits)


def test_a_list_has_its_own_name_and_hash(tmp_path: Path) -> None:
    path = listed(tmp_path, OWN, "mine.csv")
    found = bitsim.read_matmuls(path)
    result = bitsim.estimate_matmuls(found.shapes, CHIP, name=found.name, notes=found.notes)
    assert (result.inputs["model"], result.kind) == ("mine", "estimate")
    assert f"matmuls from {path}" in result.notes
    assert result.inputs["model_sha256"] != bitsim.estimate_matmuls(found.shapes[:2], CHIP).inputs["model_sha256"]
