"""Every mistake in a YAML file is reported with file, line, path, what was expected and what came."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bitsim.datapath.registry import DATAPATHS
from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import load_chip, load_technology

*MOST, LAST = (repr(kind) for kind in DATAPATHS)
KINDS = f"{', '.join(MOST)} or {LAST}"
TECHNOLOGY = """\
kind: technology
name: mine
node_nm: 7
summary: a test
layout_factor: {value: 1.5, unit: ratio, source: s, evidence: assumed}
prices:
  add.fp16:
    value: 0.16
    unit: pJ
    source: a book
    evidence: published
  mul.fp16:
    low: 0.3
    nominal: 0.4
    high: 0.5
    unit: pJ
    source: a book
    evidence: published
sram: sram-7nm
"""
CHIP = (Path(__file__).parents[2] / "hw_models" / "chips" / "ternary-ws-64x64.yaml").read_text(encoding="utf-8")
ADD_FP16 = "    value: 0.16\n    unit: pJ\n    source: a book\n    evidence: published\n"


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(load: Callable[[str], object], here: Path, content: str | bytes) -> str:
    (here / "x.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load("x.yaml")
    return str(caught.value)


def test_the_template_itself_loads(here: Path) -> None:
    (here / "x.yaml").write_text(TECHNOLOGY)
    technology = load_technology("x.yaml")
    assert technology.path == "x.yaml"
    assert technology.arrays is not None
    assert technology.arrays.name == "sram-7nm"
    add, mul = technology.prices["add.fp16"], technology.prices["mul.fp16"]
    assert (add.low, add.nominal, add.high, add.text()) == (0.16, 0.16, 0.16, "0.16 pJ")
    assert (mul.low, mul.nominal, mul.high, mul.text()) == (0.3, 0.4, 0.5, "0.3 / 0.4 / 0.5 pJ")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("value: 0.16", "value: -0.34", "x.yaml:8: prices.add.fp16.value: must be >= 0 (got -0.34)"),
        ("value: 0.16", "value: .nan", "x.yaml:8: prices.add.fp16.value: must be finite (got nan)"),
        ("value: 0.16", "value: .inf", "x.yaml:8: prices.add.fp16.value: must be finite (got inf)"),
        ("value: 0.16", "value: true", "x.yaml:8: prices.add.fp16.value: expected a number (got True)"),
        ("value: 0.16", "value: lots", "x.yaml:8: prices.add.fp16.value: expected a number (got 'lots')"),
        ("value: 0.16", "value:", "x.yaml:8: prices.add.fp16.value: expected a number (got nothing)"),
        (
            "value: 0.16",
            "values: 0.16",
            "x.yaml:7: prices.add.fp16: expected `value`, or `low`, `nominal` and `high` (got neither)",
        ),
        (
            "value: 0.16",
            "value: 0.16\n    low: 0",
            "x.yaml:7: prices.add.fp16: expected `value` or a range, not both (got `value` and `low`)",
        ),
        ("unit: pJ", "unit: nJ", "x.yaml:9: prices.add.fp16.unit: must be 'pJ' (got 'nJ')"),
        ("unit: ratio", "unit: pJ", "x.yaml:5: layout_factor.unit: must be 'ratio' (got 'pJ')"),
        (
            "sram-7nm",
            "sram-7mm",
            "x.yaml:19: sram: unknown SRAM 'sram-7mm'; did you mean sram-7nm or sram-65nm or sram-45nm?",
        ),
        ("sram-7nm", "[a]", "x.yaml:19: sram: expected text (got ['a'])"),
        ("value: 1.5", "value: 0", "x.yaml:5: layout_factor.value: must be > 0 (got 0)"),
        ("    source: a book\n", "", "x.yaml:7: prices.add.fp16.source: required key is missing"),
        ("source: a book", "source: ''", "x.yaml:10: prices.add.fp16.source: must not be empty (got '')"),
        (
            "evidence: published",
            "evidence: guess",
            "x.yaml:11: prices.add.fp16.evidence: must be 'measured', 'published', 'derived' or 'assumed' "
            "(got 'guess')",
        ),
        (
            "    source: a book",
            "    source: a book\n    sorce: b",
            "x.yaml:11: prices.add.fp16.sorce: unknown key; did you mean source?",
        ),
        (
            "node_nm: 7",
            "node_nm: 7\ncolour: red",
            "x.yaml:4: colour: unknown key; allowed: area_rules, areas, between, delays, kind, layout_factor, like, "
            "name, node_nm, prices, rules, scaled, sram, summary, supply, unpriced, voltage",
        ),
        ("value: 0.16", "value: 1\n    value: 2", "x.yaml:9: prices.add.fp16.value: duplicate key (first on line 8)"),
        ("mul.fp16:", "add.fp16:", "x.yaml:12: prices.add.fp16: duplicate key (first on line 7)"),
        (
            "low: 0.3",
            "low: 0.7",
            "x.yaml:12: prices.mul.fp16: expected low <= nominal <= high (got 0.7, 0.4, 0.5)",
        ),
        ("    low: 0.3\n", "", "x.yaml:12: prices.mul.fp16.low: required key is missing"),
        ("low: 0.3", "low: -3", "x.yaml:13: prices.mul.fp16.low: must be >= 0 (got -3)"),
        (
            "mul.fp16:",
            "mull.fp16:",
            "x.yaml:12: prices.mull.fp16: unknown event 'mull.fp16'; did you mean mul.{format}?",
        ),
        (
            "mul.fp16:",
            "dram.kv.read_bits:",
            "x.yaml:12: prices.dram.kv.read_bits: this event is priced by the chip's memory.dram.energy",
        ),
        (
            "mul.fp16:",
            "sram.acts.read_bits:",
            "x.yaml:12: prices.sram.acts.read_bits: this event is priced by the data that `sram` names",
        ),
        ("mul.fp16:", "overflow.psum:", "x.yaml:12: prices.overflow.psum: this event is counted but carries no energy"),
        (ADD_FP16, "    0.16\n", "x.yaml:7: prices.add.fp16: expected keys and values (got 0.16)"),
        ("    value: 0.16", "\tvalue: 0.16", "x.yaml:8: expected spaces for indentation (got a tab)"),
        ("name: mine\n", "", "x.yaml:1: name: required key is missing"),
        (
            "node_nm: 7",
            "node_nm: 2024-13-45",
            "x.yaml:3: node_nm: expected a decimal number without leading zeros, or text in quotes (got 2024-13-45)",
        ),
        ("summary: a test", "[a]: b", "x.yaml:4: file: expected text as key (got a collection)"),
        ("summary: a test", "summary: &a [*a]", "x.yaml:4: summary[0]: an alias must not contain itself"),
    ],
)
def test_technology(here: Path, old: str, new: str, text: str) -> None:
    assert message(load_technology, here, replaced(TECHNOLOGY, old, new)) == text


def test_all_problems_are_reported_a_line_each(here: Path) -> None:
    broken = replaced(replaced(TECHNOLOGY, "value: 0.16", "value: -1"), "sram: sram-7nm", "srams: sram-7nm")
    assert message(load_technology, here, broken).splitlines() == [
        "x.yaml:8: prices.add.fp16.value: must be >= 0 (got -1)",
        "x.yaml:19: srams: unknown key; did you mean sram?",
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "x.yaml:1: file: expected keys and values (got an empty file)"),
        (b"# a comment\n", "x.yaml:1: file: expected keys and values (got an empty file)"),
        (b"- a\n", "x.yaml:1: file: expected keys and values (got ['a'])"),
        (b"name: a\nsummary: caf\xe9\n", "x.yaml:2: expected UTF-8 text (got byte 0xe9)"),
    ],
)
def test_not_a_description(here: Path, content: bytes, text: str) -> None:
    assert message(load_technology, here, content) == text


@pytest.mark.parametrize(
    ("content", "start"),
    [
        ("name: a\nprices: {a: 1\nsram: 2\n", "x.yaml:3: malformed YAML: "),
        ('name: a\nsummary: "no end\n', "x.yaml:3: malformed YAML: "),
        ("name: *nothing\n", "x.yaml:1: malformed YAML: found undefined alias"),
        ("name: a\n---\nname: b\n", "x.yaml:2: malformed YAML: "),
        ("name: a\x01\n", "x.yaml:1: malformed YAML: "),
    ],
)
def test_malformed(here: Path, content: str, start: str) -> None:
    """The rest of the text is PyYAML's and depends on whether it has libyaml."""
    assert message(load_technology, here, content).startswith(start)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "rows: 64",
            "rows: 100000",
            "x.yaml:13: bitlinear.rows: must be 1 to 1024: more are not modelled (got 100000)",
        ),
        (
            "rows: 64",
            "rows: 0",
            "x.yaml:13: bitlinear.rows: must be 1 to 1024: without a row nothing is computed (got 0)",
        ),
        ("rows: 64", "rows: 64.5", "x.yaml:13: bitlinear.rows: expected an integer (got 64.5)"),
        (
            "acc_bits: 24",
            "acc_bits: 8",
            "x.yaml:15: bitlinear.acc_bits: must be >= 9, the width of one ternary product (got 8)",
        ),
        (
            "column_acc_bits: 32",
            "column_acc_bits: 16",
            "x.yaml:16: bitlinear.column_acc_bits: must be >= acc_bits = 24 (got 16)",
        ),
        (
            "column_acc_bits: 32",
            "column_acc_bits: 65",
            "x.yaml:16: bitlinear.column_acc_bits: must be 1 to 62: wider sums are not modelled (got 65)",
        ),
        ("  kind: pe_array\n", "", "x.yaml:9: bitlinear.kind: required key is missing"),
        ("kind: pe_array", "kind: lut", f"x.yaml:10: bitlinear.kind: must be {KINDS} (got 'lut')"),
        (
            "overflow: wrap",
            "overflow: clip",
            "x.yaml:17: bitlinear.overflow: must be 'wrap' or 'saturate' (got 'clip')",
        ),
        ("clock_gating: true", "clock_gating: 1", "x.yaml:18: bitlinear.clock_gating: expected true or false (got 1)"),
        (
            "  pe: fp16",
            "  pe: fp16\n  acc_bits: 32",
            "x.yaml:25: wide.acc_bits: must be 16 for a PE of fp16, which sums in FP16 (got 32)",
        ),
        (
            "technology: 7nm",
            "technology: 7mn",
            "x.yaml:4: technology: unknown technology '7mn'; did you mean 7nm?",
        ),
        ("technology: 7nm", "technology: my/8nm.yaml", "x.yaml:4: technology: file not found (my/8nm.yaml)"),
        ("unit: GHz", "unit: MHz", "x.yaml:5: clock.unit: must be 'GHz' (got 'MHz')"),
        ("value: 1.0, unit: GHz", "value: 0, unit: GHz", "x.yaml:5: clock.value: must be > 0 (got 0)"),
        (
            "{like: lpddr4-4266-x32}",
            "{like: lpddr5}",
            "x.yaml:79: memory.dram.like: unknown DRAM 'lpddr5'; did you mean lpddr5-6400-x32 or "
            "lpddr5x-8533-x64 or lpddr4-4266-x32?",
        ),
        (
            "    exp:",
            "    expo:",
            "x.yaml:39: vector.costs.expo: must be 'add', 'mul', 'max', 'exp', 'rsqrt', 'div' or 'cvt' (got 'expo')",
        ),
    ],
)
def test_chip(here: Path, old: str, new: str, text: str) -> None:
    assert message(load_chip, here, replaced(CHIP, old, new)) == text


def test_int8_needs_room_for_a_product(here: Path) -> None:
    broken = replaced(replaced(CHIP, "pe: ternary", "pe: int8"), "acc_bits: 24", "acc_bits: 15")
    text = "x.yaml:15: bitlinear.acc_bits: must be >= 16, the width of one int8 product (got 15)"
    assert message(load_chip, here, broken) == text


def test_wide_is_not_ternary(here: Path) -> None:
    broken = replaced(CHIP, "  pe: fp16", "  pe: ternary\n  acc_bits: 24")
    text = (
        "x.yaml:24: wide.pe: must be 'fp16' or 'int8': attention multiplies activations by activations (got 'ternary')"
    )
    assert message(load_chip, here, broken) == text


def test_output_stationary_has_no_column_accumulator(here: Path) -> None:
    broken = replaced(replaced(CHIP, "weight_stationary", "output_stationary"), "bits: 32", "bits: 40")
    text = "must be left out: only integer weight-stationary arrays have it (got 40)"
    assert message(load_chip, here, broken) == f"x.yaml:16: bitlinear.column_acc_bits: {text}"


def test_the_vector_unit_needs_all_operations(here: Path) -> None:
    line = next(line for line in CHIP.splitlines(keepends=True) if line.lstrip().startswith("cvt:"))
    text = "x.yaml:34: vector.costs: expected all of add, mul, max, exp, rsqrt, div, cvt (missing: cvt)"
    assert message(load_chip, here, replaced(CHIP, line, "")) == text


def test_unknown_names_and_files(here: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown chip 'ternary-64'; did you mean ternary-ws-64x64 or"):
        load_chip("ternary-64")
    with pytest.raises(UnknownNameError, match=r"^unknown technology '3'; known: 16nm, 22nm, .*, 65nm, 7nm$"):
        load_technology("3")
    with pytest.raises(ConfigError, match=r"^no/such\.yaml: file not found$"):
        load_chip("no/such.yaml")
    (here / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"^folder\.yaml: expected an ordinary file, got a directory$"):
        load_chip("folder.yaml")


def test_technology_beside_the_chip(here: Path) -> None:
    """A relative path starts at the chip's file; what is wrong in the technology is reported in its own file."""
    (here / "mine").mkdir()
    (here / "mine" / "tech.yaml").write_text(TECHNOLOGY)
    (here / "mine" / "chip.yaml").write_text(replaced(CHIP, "technology: 7nm", "technology: tech.yaml"))
    chip = load_chip(Path("mine") / "chip.yaml")
    assert (chip.path, chip.tech.path, chip.tech.name) == ("mine/chip.yaml", "mine/tech.yaml", "mine")
    (here / "mine" / "tech.yaml").write_text(replaced(TECHNOLOGY, "value: 0.16", "value: -1"))
    with pytest.raises(ConfigError, match=r"^mine/tech\.yaml:8: prices\.add\.fp16\.value: must be >= 0 \(got -1\)$"):
        load_chip("mine/chip.yaml")


def test_unknown_buffer() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown memory level 'act'; did you mean acts\?$"):
        load_chip("ternary-ws-64x64").memory.level("act")
