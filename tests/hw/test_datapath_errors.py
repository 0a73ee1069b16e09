"""Descriptions of datapaths that no hardware could have are refused with file, line, range and reason."""

from pathlib import Path

import pytest

from bitsim.datapath.registry import DATAPATHS
from bitsim.errors import ConfigError
from bitsim.hw import load_chip
from bitsim.hw.datapaths.base import DatapathDescription
from tests.hw.datapath_templates import CHIPS, TENSOR, TREE
from tests.hw.impossible_datapaths import IMPOSSIBLE


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


@pytest.mark.parametrize(("kind", "old", "new", "text"), IMPOSSIBLE)
def test_impossible_datapaths(here: Path, kind: str, old: str, new: str, text: str) -> None:
    content = CHIPS[kind]
    assert old in content
    assert message(here, content.replace(old, new, 1)) == text


def fields(content: str) -> list[tuple[int, str]]:
    """The numbered keys of the datapath whose value is an integer."""
    lines = enumerate(content.splitlines(), start=1)
    found = [(number, line.strip().partition(": ")) for number, line in lines if line.startswith("  ")]
    return [(number, key) for number, (key, _, value) in found if value.isdigit()]


FIELDS = [(kind, *field) for kind, content in CHIPS.items() for field in fields(content)]


@pytest.mark.parametrize("value", ["-1", "1000000000000", "2.5", "true", "text", "null", "[1]", ".nan"])
@pytest.mark.parametrize(("kind", "number", "key"), FIELDS)
def test_what_is_no_number_of_anything_is_refused_where_it_stands(
    here: Path, kind: str, number: int, key: str, value: str
) -> None:
    lines = CHIPS[kind].splitlines()
    lines[number - 1] = f"  {key}: {value}"
    if value == "null" and kind == "cpu_simd":
        pytest.skip("keys of tables may be null, where the kernel has none")
    found = message(here, "\n".join(lines) + "\n")
    assert "\n" not in found
    assert found.startswith(f"x.yaml:{number}: bitlinear.{key}: ")
    assert value not in ("-1", "2.5") or found.endswith(f"(got {value})")


@pytest.mark.parametrize("kind", CHIPS)
def test_every_kind_refuses_unknown_keys_and_missing_ones(here: Path, kind: str) -> None:
    content = CHIPS[kind]
    last = len(content.splitlines()) + 1
    assert message(here, content + "  xyzzy: red\n").startswith(
        f"x.yaml:{last}: bitlinear.xyzzy: unknown key; allowed: "
    )
    number, key = next(field for field in fields(content) if field[1] != "act_bits")  # the only one with a default
    lines = content.splitlines()
    del lines[number - 1]
    assert message(here, "\n".join(lines) + "\n").startswith(f"x.yaml:4: bitlinear.{key}: ")


def test_every_kind_has_a_template() -> None:
    missing = set(DATAPATHS) - set(CHIPS)
    assert not missing, f"add a small chip, one key a line, to CHIPS in tests/hw/datapath_templates.py for {missing}"


def test_an_unknown_kind_is_told_all_kinds(here: Path) -> None:
    *kinds, last = (repr(kind) for kind in DATAPATHS)
    text = f"x.yaml:5: bitlinear.kind: must be {', '.join(kinds)} or {last} (got 'abacus')"
    assert message(here, TREE.replace("adder_tree", "abacus")) == text


@pytest.mark.parametrize("name", sorted(CHIPS.keys() - {"pe_array", "tensor_core"}))
def test_datapaths_of_narrow_weights_can_not_be_wide(here: Path, name: str) -> None:
    wide = CHIPS[name].replace("bitlinear:", "wide:")
    kind = next(line for line in wide.splitlines() if "  kind:" in line).split()[1]
    assert message(here, wide) == (
        "x.yaml:5: wide.kind: must multiply floats or integers of several bits, as pe_array and tensor_core can: "
        f"attention multiplies activations by activations (got {kind!r})"
    )


def test_ternary_arrays_can_not_be_wide(here: Path) -> None:
    assert message(here, CHIPS["pe_array"].replace("bitlinear:", "wide:")) == (
        "x.yaml:6: wide.pe: must be 'fp16' or 'int8': attention multiplies activations by activations (got 'ternary')"
    )


def test_wide_tensor_cores_take_any_weights(here: Path) -> None:
    integers = TENSOR.replace("bitlinear:", "wide:")
    floats = integers.replace("format: int8", "format: fp16").replace("k32", "k16")
    for wide, bits in ((integers, 8), (floats, None)):
        assert message(here, wide) == (
            "x.yaml:11: wide.weights: must be 'full': attention and head have no ternary weights (got 'ternary')"
        )
        (here / "x.yaml").write_text(wide.replace("weights: ternary", "weights: full"))
        spec = load_chip("x.yaml").wide
        assert (spec.unit, spec.wide_bits) == (f"ampere_{'int8' if bits else 'fp16'}_acc32", bits)


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
    assert chip.sha256 == load_chip("x.yaml").sha256 != original.sha256
    (here / "x.yaml").write_text(TREE.replace("tokens: 2", "tokens: 1"))
    assert chip.sha256 != load_chip("x.yaml").sha256


def test_problems_are_reported_in_the_file_that_has_them(here: Path) -> None:
    unknown = TREE.replace("like: ternary-ws-64x64", "like: ternary-64")
    assert message(here, unknown).startswith("x.yaml:3: like: unknown chip 'ternary-64'; did you mean ternary-")
    (here / "x.yaml").write_text(TREE)
    where = load_chip("x.yaml")._source.where
    assert where(("memory", "dram", "pins")) == "hw_models/dram/lpddr4-4266-x32.yaml:4: memory.dram.pins"
    assert where(("bitlinear", "trees")) == "x.yaml:7: bitlinear.trees"
    wrong = message(here, TREE.replace("like: ternary-ws-64x64", "like: 3"))
    assert wrong == "x.yaml:3: like: expected a name or the path of a YAML file (got 3)"
    missing = message(here, TREE.replace("like: ternary-ws-64x64\n", ""))
    keys = ("summary", "technology", "clock", "wide", "vector", "memory")
    assert missing == "\n".join(f"x.yaml:1: {key}: required key is missing" for key in keys)


@pytest.mark.parametrize("name", ["unit", "macs_per_cycle", "text"])
def test_a_kind_that_does_not_say_what_it_is_has_no_silent_answer(name: str) -> None:
    bare = DatapathDescription(kind="bare", acc_bits=8)
    with pytest.raises(NotImplementedError):
        getattr(bare, name)()
