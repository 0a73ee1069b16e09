"""The numbers of quality that README.md gives are those of the table in docs/quality.md."""

import re

from tests.docs.blocks import ROOT


def test_readme_gives_the_first_column_of_the_table() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.search(r"1\.\d{4} in FP16;.*?b1\.58", readme, re.DOTALL)
    assert said is not None
    given = re.findall(r"1\.\d{4}", said[0])
    rows = [line.split("|") for line in (ROOT / "docs" / "quality.md").read_text(encoding="utf-8").splitlines()]
    table = {cells[1].strip(): cells[6].strip() for cells in rows if len(cells) == 11}
    names = ("tiny-fp16", "tiny-fp16, w8a8", "tiny-fp16, w4a8", "tiny-fp16, w4a16_g64", "tiny-b158")
    assert given == [table[name] for name in names]
