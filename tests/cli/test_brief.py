"""`--brief`: ten lines that name model, chip, speed, energy, what bounds it, area, power, TOPS and what follows."""

import pytest

from bitsim.cli.datapath_command import brief_comparison
from bitsim.cli.main import main
from bitsim.cli.merit import brief_compared, brief_result, mm2, number, view_merit
from bitsim.cost.area import NOT_COUNTED, Area, PartArea
from bitsim.study.compare import PairComparison
from bitsim.study.compare_datapaths import DatapathComparison
from bitsim.study.compared_datapath import ComparedDatapath
from tests.by_hand import chip, result, row
from tests.cli.conftest import Lines
from tests.results.test_figures_of_merit import made, small

ORDER = (
    "tokens/s", "J/token, arithmetic / datapath / system", "waits for", "area, mm2",
    "power, average on chip / system / peak", "TOPS (2 x MACs) / peak",
    "TOPS/W, arithmetic / datapath / on chip / system", "TOPS/mm2", "rests on",
)  # fmt: skip


def test_a_result_in_ten_lines(lines: Lines) -> None:
    """Decode of `made`: 2 tokens in 30 ns, half of the time for DRAM, 0.41 TOPS of 16.4; 0.35 pJ per token."""
    of = made(small())
    shown = lines(brief_result, of)
    assert len(shown) == 10
    assert shown[0] == "by hand on ternary-ws-64x64, 7nm, batch 2, decode"
    assert all(line.startswith(label) for line, label in zip(shown[1:], ORDER, strict=True))
    assert shown[1].endswith(" 66,666,667")
    assert " system 3.5e-13 J / 0 J / " in shown[2]
    assert shown[3] == "waits for dram 50%"
    (record,) = [r for r in of.records("merit") if r["phase"] == "decode"]
    assert shown[4] == f"area, mm2 {record['area_nominal_mm2']:.3g} (not all parts)"
    assert shown[6] == "TOPS (2 x MACs) / peak 0.41 / 16.4"
    assert shown[7].startswith("TOPS/W, arithmetic / datapath / on chip / system 11,703 / - / ")
    share = f"{100 * (of.assumed_share or 0.0):.0f} % of the system energy"
    assert shown[9] == f"rests on {len(of.assumed())} assumed constants ({share}), 0 notes"


def test_pairs_have_a_column_each(lines: Lines) -> None:
    slow = result(
        row("decode", "q", "linear", 0, macs=4096, cycles=60, bound="array", events={"overflow.psum": 1500}), decode=1
    )
    shown = lines(brief_compared, PairComparison(inputs={}, notes=(), results=(made(), slow)))
    assert len(shown) == 10
    assert shown[0] == "decode by hand@ternary-ws-64x64 by hand@ternary-ws-64x64"
    assert shown[1] == "tokens/s 66,666,667 33,333,333"
    assert shown[3] == "waits for dram 50% array 100%"
    assert shown[9].endswith(" 0 notes, 1,500 overflows")


def test_datapaths_are_named_by_what_each_is_best_at(lines: Lines) -> None:
    linear = row("prefill", "q", "linear", 0, bitlinear=True, macs=1_000_000, unit_cycles=500, cycles=900,
                 events={"reg.clock": 10**6})  # fmt: skip
    part = PartArea(component="bitlinear", part="cell", count=3, area=Area(low=1e3, nominal=2e3, high=3e3))
    counted = ComparedDatapath(
        chip=chip(), exact=True, outputs="identical", areas=(part,), result=result(linear, decode=0)
    )
    other = chip().model_copy(update={"name": "other"})
    refused = ComparedDatapath(chip=other, exact=True, outputs="refused", areas=(), reason="too wide")
    inputs = {"model": "m", "tokens": 2, "technology": "7nm"}
    shown = lines(brief_comparison, DatapathComparison(inputs=inputs, notes=("a note",), rows=(refused, counted)))
    joules = counted.result.energy("datapath") if counted.result else 0.0
    assert len(shown) <= 10
    assert shown[:3] == [
        "linears of m, 2 tokens, priced at 7nm",
        "outputs of chips 1 identical, 1 refused",
        "least cycles busy 500 ternary-ws-64x64",
    ]
    # 500 cycles at 2 GHz are 250 ns; 2e6 operations in them are 8 TOPS, on 0.002 mm2.
    assert f"least power while busy, W {number(joules / 250e-9)} ternary-ws-64x64" in shown
    assert f"most TOPS/W, datapath {number(2e6 / joules / 1e12)} ternary-ws-64x64" in shown
    assert "most TOPS/mm2 4,000 ternary-ws-64x64" in shown
    assert shown[-1] == "rests on 0 assumed constants, 1 notes"
    record = counted.record()
    assert (record["tops_datapath"], record["peak_tops_datapath"]) == (pytest.approx(8.0), pytest.approx(16.384))
    assert refused.record()["tops_datapath"] is None


def test_tables_say_area_by_component_and_what_is_not_in_it(lines: Lines) -> None:
    shown = lines(view_merit, made(small()))
    assert shown[:2] == ["2 operations per MAC", "prefill decode"]
    assert "TOPS, of at most 2.56 of 16.4 0.41 of 16.4" in shown
    at = shown.index("area in mm2, nominal [low .. high]")
    assert shown[at + 1 : at + 3] == ["component area", "bitlinear 0.0989"]  # 2 (4096 x 12 + 320) um2
    assert shown[-2] == f"area: not counted: {NOT_COUNTED}"
    assert shown[-1] == "area: without 64 max.fp16 of vector, 64 cvt.fp16 of vector"


@pytest.mark.parametrize(
    "command",
    [
        ("run", "tiny-b158", "--prompt", "A", "--new-tokens", "1"),
        ("estimate", "tiny-b158", "--prefill", "2", "--decode", "1"),
        ("compare", "tiny-b158", "tiny-b158@int8-ws-64x64", "--prompt", "A", "--new-tokens", "1"),
        ("datapath", "compare", "--chips", "ternary-ws-64x64,cpu-tl1", "--bytes", "1"),
    ],
    ids=lambda words: words[0],
)
def test_commands_print_ten_lines_at_most_and_take_no_json_with_it(
    lines: Lines, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert 9 <= len(lines(*command, "--brief")) <= 10
    for both in (("--brief", "--json"), ("--json", "--brief")):
        with pytest.raises(SystemExit):
            main([*command, *both])
        assert "expected --brief or --json, not both" in capsys.readouterr().err


def test_what_was_made_equal_and_what_was_left_out_is_printed(lines: Lines) -> None:
    words = ("compare", "tiny-b158", "tiny-b158@int8-ws-64x64", "tiny-b158@cpu-tl1")
    words += ("--prompt", "A", "--new-tokens", "1", "--toggles", "off", "--iso", "area")
    shown = lines(*words)
    (row,) = [line for line in shown if line.startswith("tiny-b158 cpu-tl1 ")]
    assert row == "tiny-b158 cpu-tl1 not run not run not run not run not run"
    assert any(line.startswith("tiny-b158@cpu-tl1: not run: cpu-tl1: its area is not known") for line in shown)
    (note,) = [line for line in shown if ": equal area: int8-ws-64x64: bitlinear.cols 64 -> " in line]
    short = lines(*words, "--brief")
    assert len(short) == 10
    assert f"; bitlinear.cols 64 -> {note.partition(' -> ')[2].partition(':')[0]} (" in short[-1]
    assert short[-1].endswith(" % area) not run")


def test_matmuls_print_ten_lines(lines: Lines, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "list.csv"
    path.write_text("m,k,n\n4,64,64\n")
    shown = lines("matmuls", str(path), "--brief")
    assert len(shown) == 10
    assert shown[0].endswith(", prefill")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.012345, "0.0123"), (999.4, "999"), (1234.5, "1,234"), (0, "0")]
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_an_area_is_a_range_only_where_it_is_one() -> None:
    assert mm2(Area(low=1e6, nominal=2e6, high=4e6)) == "2 [1 .. 4]"
    assert mm2(Area(low=2e6, nominal=2e6, high=2e6)) == "2"
