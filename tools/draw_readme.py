"""Draw docs/images/energy.svg and write the README's table of papers, both from bitsim's own results.

    python -m tools.draw_readme            writes them
    python -m tools.draw_readme --check    exit code 1 if one is not what this would write

The picture is plain SVG, so that it depends on the numbers and on nothing else.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from reports.comparison import Row
from reports.energy_2310_11453 import matmul_rows
from reports.everything import PARTS

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "energy.svg"
README = ROOT / "README.md"
BEGIN, END = "<!-- papers: python -m tools.draw_readme -->", "<!-- end of papers -->"
PAPERS = {
    "2310.11453": "[BitNet](https://arxiv.org/abs/2310.11453)",
    "2402.17764": "[b1.58](https://arxiv.org/abs/2402.17764)",
    "2411.04965": "[a4.8](https://arxiv.org/abs/2411.04965)",
    "2410.16144": "[bitnet.cpp](https://arxiv.org/abs/2410.16144)",
    "2504.12285": "[2B4T](https://arxiv.org/abs/2504.12285)",
}
BARS = (
    ("two operations, as published", "FP16 multiply and add against one INT8 add", "#9aa5b1"),
    ("arithmetic", "the papers' own: adds and multiplies of linears", "#4c78a8"),
    ("datapath", "true accumulators, registers, clocks, scale multipliers", "#f58518"),
    ("system", "the datapath, vector unit, SRAM, DRAM, leakage", "#54a24b"),
)
LEFT, TOP, WIDTH, STEP, SCALE = 330, 56, 720, 42, 4.6


def picture(rows: Sequence[Row]) -> str:
    """How many times less energy ternary linears take than FP16 ones, in each convention, as SVG."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{TOP + STEP * len(rows) + 6}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="12" y="22" font-size="15" font-weight="bold">Energy of FP16 linears over ternary ones, 7 nm</text>',
        '<text x="12" y="41" fill="#555">a trained tiny-fp16 and tiny-b158, executed on 64 x 64 arrays</text>',
    ]
    for index, (row, (name, what, colour)) in enumerate(zip(rows, BARS, strict=True)):
        assert row.ours is not None
        y, length = TOP + STEP * index, SCALE * row.ours
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{name}</text>',
            f'<text x="{LEFT - 8}" y="{y + 29}" text-anchor="end" font-size="10.5" fill="#555">{what}</text>',
            f'<rect x="{LEFT}" y="{y + 4}" width="{length:.1f}" height="26" fill="{colour}"/>',
            f'<text x="{LEFT + length + 7:.1f}" y="{y + 22}">{row.ours:.1f}x</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def place(row: Row) -> str:
    """The table or figure of a row, without what its location says beyond it."""
    return row.location.partition(" (")[0].partition(",")[0].partition(";")[0]


def status(rows: Iterable[Row]) -> str:
    """What came out of the published numbers of one table or figure."""
    labels = [row.label for row in rows]
    earned = labels.count("derived") + labels.count("predicted")
    parts = [f"{sum(row.reproduced for row in rows)} of {earned} reproduced"] if earned else []
    parts += [f"{labels.count(label)} {label}" for label in ("fitted", "input", "not reproducible") if label in labels]
    return ", ".join(parts)


def paper_table(rows: Sequence[Row]) -> str:
    """Papers, their tables and figures, and how many of their numbers come out."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.published is not None:
            found.setdefault((PAPERS.get(row.paper, row.paper), place(row)), []).append(row)
    order = sorted(found, key=lambda key: [paper for paper, _ in found].index(key[0]))
    lines = [
        f"| {paper} | {where} | {len(found[paper, where])} | {status(found[paper, where])} |" for paper, where in order
    ]
    return "\n".join(["| paper | where | published numbers | status |", "|---|---|---|---|", *lines])


def readme(text: str, rows: Sequence[Row]) -> str:
    """The README with its table of papers as `rows` say."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{paper_table(rows)}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether picture and table are current")
    check = parser.parse_args().check
    old = README.read_text(encoding="utf-8")
    wanted = {PICTURE: picture(matmul_rows()), README: readme(old, [row for part in PARTS.values() for row in part()])}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        sys.exit(f"not current: {', '.join(path.name for path in stale)}; run python -m tools.draw_readme")
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
