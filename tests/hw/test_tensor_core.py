"""The tensor cores that come with bitsim, and mistakes in the description of one's own."""

from pathlib import Path

import pytest

from bitsim.errors import ConfigError
from bitsim.hw.tensor_core import load_tensor_core, tensor_core_names

NAMES = tensor_core_names()

OWN = """kind: tensor_core
name: own
summary: a test
floating:
  - formats: [fp16]
    block_length: 8
    alignment_bits: 24
    instruction_k: [16]
    outputs:
      fp32: {rounding: toward_zero, fraction_bits: 23, evidence: assumed, source: a test}
integer: []
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_source(name: str) -> None:
    core = load_tensor_core(name)
    assert core.name == name
    outputs = [output for unit in core.floating for output in unit.outputs.values()]
    assert all(entry.source and entry.evidence for entry in [*outputs, *core.integer])
    assert load_tensor_core(core) is core


def test_what_no_public_hardware_output_confirms_is_not_called_measured() -> None:
    turing, blackwell = load_tensor_core("turing"), load_tensor_core("blackwell")
    published = [output for unit in turing.floating for output in unit.outputs.values()]
    for fmt in ("mxe4m3", "mxf4", "nvf4"):
        unit = blackwell.float_unit(fmt, fmt)
        assert unit is not None
        published += unit.outputs.values()
    assert {output.evidence for output in published} == {"published"}
    fp8 = blackwell.float_unit("e4m3", "e5m2")
    assert fp8 is not None
    assert {name: output.evidence for name, output in fp8.outputs.items()} == {"fp32": "measured", "fp16": "published"}
    for formats in (("e2m1", "e4m3"), ("e2m1", "e2m1"), ("mxe5m2", "mxe2m1")):
        mixed = blackwell.float_unit(*formats)
        assert mixed is not None
        assert {output.evidence for output in mixed.outputs.values()} == {"derived"}
    assert {unit.evidence for name in NAMES for unit in load_tensor_core(name).integer} == {"assumed"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("block_length: 8", "block_length: 0", r"own.yaml:6: floating\[0\].block_length: must be >= 1 \(got 0\)"),
        ("alignment_bits: 24", "alignment_bits: 41", r"own.yaml:7: .*alignment_bits: must be <= 40 \(got 41\)"),
        ("[16]", "[12]", r"own.yaml:8: .*instruction_k: must be multiples of block_length = 8 \(got 12\)"),
        ("[16]", "[16, 16]", r"own.yaml:8: .*expected at least one K, each once \(got \[16, 16\]\)"),
        ("[16]", "[]", r"own.yaml:8: .*expected at least one K, each once \(got \[\]\)"),
        ("bits: 23", "bits: 24", r"own.yaml:10: .*fraction_bits: must be <= 23 \(got 24\)"),
        ("fp32: {", "fp16: {", r"own.yaml:9: .*outputs: fp16 holds at most 10 fraction bits \(got 23\)"),
        ("block_length: 8", "block_length: 8\n    exact_group: 4", "exact_group: expected more than 1 for mxf4, nvf4"),
        ("[fp16]", "[nvf4]", "exact_group: expected more than 1 for mxf4, nvf4 and 1 for others"),
        ("[fp16]", "[nvf4]\n    exact_group: 3", "exact_group: must divide a block of 8"),
        ("[fp16]", "[fp17]", r"own.yaml:5: floating\[0\].formats\[0\]: must be 'fp16', 'bf16'"),
        ("toward_zero", "up", "must be 'toward_zero' or 'nearest_even'"),
        (", source: a test", "", "source: required key is missing"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    assert old in OWN
    path.write_text(OWN.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_tensor_core(path)


def test_products_of_a_block_share_a_scale(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        OWN.replace("[fp16]", "[mxe4m3]").replace("block_length: 8", "block_length: 64").replace("16]", "64]")
    )
    with pytest.raises(ConfigError, match=r"own.yaml:5: .*formats: 64 products do not share a scale"):
        load_tensor_core(path)


def test_exact_groups_belong_to_one_convention(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = OWN.replace("[fp16]", "[mxf4]\n    exact_group: 4")
    path.write_text(text.replace("rounding:", "leeds_floor: -20, rounding:"))
    with pytest.raises(ConfigError, match="the convention leeds has no exact groups"):
        load_tensor_core(path)
