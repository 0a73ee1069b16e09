"""Generated pages are what the code says now."""

from typing import get_args

import pytest
from pydantic import BaseModel, ConfigDict

from bitsim.hw.datapaths import DatapathSpec
from reports.everything import PARTS
from tools import draw_readme, write_reference


@pytest.mark.parametrize("path", sorted(write_reference.pages()), ids=lambda path: path.name)
def test_reference_pages_are_current(path) -> None:
    assert path.read_text(encoding="utf-8") == write_reference.pages()[path], "run python -m tools.write_reference"


def test_every_kind_of_datapath_has_a_section_with_all_its_keys() -> None:
    page = write_reference.chip_page()
    for spec in get_args(get_args(DatapathSpec)[0]):
        (kind,) = get_args(spec.model_fields["kind"].annotation)
        section = page.split(f"### `{kind}`\n")[1].split("\n### ")[0]
        listed = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
        assert listed == list(spec.model_fields)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("pins", "| `pins` | integer | 1 to 65536 |  | none | data pins. |"),
        ("efficiency", "| `efficiency` | [constant](#constants) | > 0, <= 1 | ratio | - | the share of the peak"),
        ("holds", "| `holds` | list | `weights`, `acts`, `psums` |  | - | the operands that pass through it. |"),
        ("pipeline", "| `pipeline` | integer | 0 to 7 |  | `0` | ranks of registers inside of each tree;"),
        ("table_bits", "| `table_bits` | integer | 4 to 10 | bits | `10` | width of an entry."),
        ("wake_cycles", "| `wake_cycles` | integer | 0 to 1000 | cycles | `1` | from waking banks until"),
    ],
)
def test_type_range_unit_default_and_meaning_are_those_of_the_schema(key: str, row: str) -> None:
    assert any(line.startswith(row) for line in write_reference.chip_page().splitlines()), key


def test_a_key_without_a_meaning_is_an_error() -> None:
    class Silent(BaseModel):
        """* `told`: what it is."""

        model_config = ConfigDict(frozen=True)
        told: int
        untold: int

    with pytest.raises(SystemExit, match=r"Silent\.untold: expected a meaning"):
        write_reference.keys(Silent)


def test_the_picture_shows_the_executed_ratios() -> None:
    drawn = draw_readme.picture(draw_readme.matmul_rows())
    assert draw_readme.PICTURE.read_text(encoding="utf-8") == drawn, "run python -m tools.draw_readme"


def test_the_readme_counts_the_rows_of_all_reports() -> None:
    text = draw_readme.README.read_text(encoding="utf-8")
    rows = [row for part in PARTS.values() for row in part()]
    assert text == draw_readme.readme(text, rows), "run python -m tools.draw_readme"
