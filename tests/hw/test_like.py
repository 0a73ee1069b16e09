"""`like:`: mappings are merged, lists and sourced statements replaced, and every mistake is where it was written."""

from pathlib import Path

import pytest

from bitsim.errors import ConfigError
from bitsim.hw import load_chip, load_dram, load_link, load_technology
from bitsim.hw.gpu import load_gpu
from bitsim.hw.source import Source

PRICE = '{value: 0.008, unit: pJ, evidence: measured, source: "my synthesis"}'
LATENCY = "{value: 5, unit: ns, evidence: measured, source: mine}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def over(changes: dict[str, object], base: dict[str, object]) -> dict[str, object]:
    def source(path: str, data: dict[str, object]) -> Source:
        places = {(): (path, 1)}

        def walk(item: object, at: tuple[str | int, ...]) -> None:
            pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
            for key, value in pairs:
                places[*at, key] = (path, 1)
                walk(value, (*at, key))

        walk(data, ())
        return Source(path=path, data=data, places=places)

    return source("changes", changes).over(source("base", base)).data


def test_mappings_are_merged_and_everything_else_is_replaced() -> None:
    base: dict[str, object] = {"a": {"b": 1, "c": {"d": 2}}, "list": [1, 2], "e": 3}
    assert over({"a": {"c": {"f": 4}}}, base) == {"a": {"b": 1, "c": {"d": 2, "f": 4}}, "list": [1, 2], "e": 3}
    assert over({"list": [5]}, base) == base | {"list": [5]}
    assert over({"a": 6}, base) == base | {"a": 6}
    assert over({"e": {"g": 7}}, base) == base | {"e": {"g": 7}}
    assert over({"a": {"b": None}, "e": None}, base) == {"a": {"c": {"d": 2}}, "list": [1, 2]}
    assert base == {"a": {"b": 1, "c": {"d": 2}}, "list": [1, 2], "e": 3}


def test_what_means_another_thing_is_replaced_as_a_whole() -> None:
    constant: dict[str, object] = {"value": 1, "source": "a book", "note": "of that book"}
    assert over({"c": {"value": 2, "source": "mine"}}, {"c": constant}) == {"c": {"value": 2, "source": "mine"}}
    assert over({"c": {"value": 2}}, {"c": constant}) == {"c": {"value": 2}}  # and not with the book as its source
    assert over({"d": {"kind": "y", "b": 1}}, {"d": {"kind": "x", "a": 1}}) == {"d": {"kind": "y", "b": 1}}
    assert over({"d": {"kind": "x", "b": 1}}, {"d": {"kind": "x", "a": 1}}) == {"d": {"kind": "x", "a": 1, "b": 1}}
    assert over({"d": {"like": "z"}}, {"d": {"a": 1}}) == {"d": {"like": "z"}}


def test_a_file_that_changes_one_price_has_three_lines(here: Path) -> None:
    (here / "mine.yaml").write_text(f"kind: technology\nlike: 7nm\nprices: {{add.int8: {PRICE}}}\n")
    mine, original = load_technology("mine.yaml"), load_technology("7nm")
    assert mine.prices["add.int8"].nominal == 0.008
    assert {event: price for event, price in mine.prices.items() if event != "add.int8"} == {
        event: price for event, price in original.prices.items() if event != "add.int8"
    }
    assert (mine.areas, mine.arrays, mine.supply) == (original.areas, original.arrays, original.supply)
    assert load_chip("ternary-ws-64x64").with_technology("mine.yaml").tech == mine


@pytest.mark.parametrize("name", ["16nm", "18nm", "65nm", "5nm"])
def test_a_node_that_is_made_of_others_is_changed_in_three_lines_too(here: Path, name: str) -> None:
    """The price is the file's own: it is neither joined nor multiplied once more."""
    (here / "techs").mkdir()
    (here / "techs" / "mine.yaml").write_text(f"kind: technology\nlike: {name}\nprices: {{reg.clock: {PRICE}}}\n")
    (here / "chip.yaml").write_text("kind: chip\nlike: ternary-ws-64x64\ntechnology: techs/mine.yaml\n")
    (here / "mine.yaml").write_text("kind: technology\nlike: techs/mine.yaml\nprices: {reg.clock: null}\n")
    mine, original = load_chip("chip.yaml").tech, load_technology(name)
    assert (mine.name, mine.node_nm) == ("mine", original.node_nm)
    assert (mine.prices["reg.clock"].nominal, mine.prices["reg.clock"].evidence) == (0.008, "measured")
    assert mine.prices.keys() == original.prices.keys()
    assert [event for event in mine.prices if mine.prices[event] != original.prices[event]] == ["reg.clock"]
    assert (mine.areas, mine.delays, mine.supply) == (original.areas, original.delays, original.supply)
    assert mine.sha256 != original.sha256
    assert "reg.clock" not in load_technology("mine.yaml").prices


def test_mistakes_in_a_changed_technology_have_their_line(here: Path) -> None:
    path = here / "mine.yaml"
    path.write_text("kind: technology\nlike: 16nm\nprices:\n  reg.clok: {value: 1}\n")
    with pytest.raises(ConfigError, match=r"^mine\.yaml:4: prices\.reg\.clok: unknown event 'reg\.clok'"):
        load_technology("mine.yaml")
    path.write_text("kind: technology\nlike: 17mm\n")
    with pytest.raises(ConfigError, match=r"^mine\.yaml:2: like: unknown technology '17mm'"):
        load_technology("mine.yaml")
    path.write_text("kind: technology\nlike: 3nm\n")
    with pytest.raises(
        ConfigError, match=r"^mine\.yaml:2: like: technology 3nm: expected 16nm, .* or a node between 7 and 45 nm"
    ):
        load_technology("mine.yaml")


def test_a_number_does_not_take_over_the_source_of_another(here: Path) -> None:
    (here / "mine.yaml").write_text("kind: technology\nlike: 7nm\nprices:\n  add.int8: {value: 0.008, unit: pJ}\n")
    with pytest.raises(ConfigError, match=r"^mine\.yaml:4: prices\.add\.int8\.source: required key is missing\n"):
        load_technology("mine.yaml")


def test_a_mistake_is_reported_in_the_file_that_made_it(here: Path) -> None:
    (here / "base.yaml").write_text("kind: chip\nlike: ternary-ws-64x64\nbitlinear:\n  rows: 32\n  acc_bits: 90\n")
    (here / "child.yaml").write_text("kind: chip\nlike: base.yaml\nbitlinear:\n  rows: 16\n")
    text = r"^base\.yaml:5: bitlinear\.acc_bits: must be 1 to 32"
    with pytest.raises(ConfigError, match=text):
        load_chip("child.yaml")
    (here / "child.yaml").write_text("kind: chip\nlike: base.yaml\nbitlinear:\n  rows: 0\n  acc_bits: 20\n")
    with pytest.raises(ConfigError, match=r"^child\.yaml:4: bitlinear\.rows: must be 1 to 1024[^\n]*$"):
        load_chip("child.yaml")
    (here / "child.yaml").write_text("kind: chip\nlike: ternary-ws-64x64\n\nclock: null\n")
    with pytest.raises(ConfigError, match=r"^child\.yaml:4: clock: required key is missing$"):
        load_chip("child.yaml")


def test_null_takes_away_what_the_other_has(here: Path) -> None:
    (here / "x.yaml").write_text("kind: gpu\nlike: a100-40gb\npeaks: {int4: null}\n")
    assert set(load_gpu("x.yaml").peaks) == set(load_gpu("a100-40gb").peaks) - {"int4"}


def test_a_chip_takes_a_dram_by_name_or_file_and_changes_it(here: Path) -> None:
    (here / "rams").mkdir()
    (here / "rams" / "slow.yaml").write_text(f"kind: dram\nlike: hbm2-u280\nlatency: {LATENCY}\n")
    (here / "x.yaml").write_text(
        "kind: chip\nlike: ternary-ws-64x64\nmemory:\n  dram:\n    like: rams/slow.yaml\n"
        "    capacity: {value: 1, unit: GB, evidence: assumed, source: s}\n"
    )
    dram, slow, hbm = load_chip("x.yaml").memory.dram, load_dram("rams/slow.yaml"), load_dram("hbm2-u280")
    assert (dram.bandwidth, dram.pins) == (hbm.bandwidth, None)  # and not the pins of what the chip is like
    assert dram.latency == slow.latency != hbm.latency
    assert dram.capacity.nominal == 1
    assert load_chip("x.yaml").memory.levels == load_chip("ternary-ws-64x64").memory.levels
    (here / "rams" / "slow.yaml").write_text("kind: dram\nlike: hbm2-u280\nlatency: 3\n")
    with pytest.raises(ConfigError, match=r"^rams/slow\.yaml:3: memory\.dram\.latency: expected keys and values"):
        load_chip("x.yaml")
    (here / "x.yaml").write_text("kind: chip\nlike: ternary-ws-64x64\nmemory:\n  dram: {like: nvlink}\n")
    with pytest.raises(ConfigError, match=r"^x\.yaml:4: memory\.dram\.like: unknown DRAM 'nvlink'"):
        load_chip("x.yaml")


def test_a_technology_beside_a_parent_is_found_from_the_childs_folder_too(here: Path) -> None:
    (here / "base").mkdir()
    (here / "child").mkdir()
    (here / "base" / "tech.yaml").write_text(f"kind: technology\nlike: 7nm\nprices: {{add.int8: {PRICE}}}\n")
    (here / "base" / "chip.yaml").write_text("kind: chip\nlike: ternary-ws-64x64\ntechnology: tech.yaml\n")
    (here / "child" / "chip.yaml").write_text("kind: chip\nlike: ../base/chip.yaml\n")
    assert load_chip("child/chip.yaml").tech.prices["add.int8"].nominal == 0.008
    (here / "base" / "tech.yaml").unlink()
    with pytest.raises(ConfigError, match=r"^child/\.\./base/chip\.yaml:3: technology: file not found"):
        load_chip("child/chip.yaml")


def test_thirty_two_files_may_be_like_one_another(here: Path) -> None:
    """nvlink, which is like no other, and files 1 to 31; one more is refused."""
    for number in range(1, 33):
        like = f"{number - 1}.yaml" if number > 1 else "nvlink"
        (here / f"{number}.yaml").write_text(f"kind: link\nname: link{number}\nlike: {like}\n")
    assert load_link("31.yaml").bandwidth == load_link("nvlink").bandwidth
    with pytest.raises(ConfigError, match="expected at most 32 files that are like one another"):
        load_link("32.yaml")
