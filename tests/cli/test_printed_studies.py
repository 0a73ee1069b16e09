"""What `datapath`, `compare`, `eval`, `inspect` and `convert` print or write of small things that are given."""

from pathlib import Path
from typing import Any

import pytest

from bitsim.cli.compare_command import view_compared
from bitsim.cli.datapath_command import view_bounds, view_comparison, view_sizes
from bitsim.cli.eval_command import view_evaluation
from bitsim.cli.inspect_command import view_contents, view_listing
from bitsim.cli.machine_command import view_machine
from bitsim.cli.main import COMMANDS, main
from bitsim.cli.output import si
from bitsim.cli.parallel_command import view_parallel
from bitsim.cli.sensitivity_command import view_sensitivity
from bitsim.cli.validate_command import view_validation
from bitsim.cost import Energy
from bitsim.cost.area import Area, PartArea
from bitsim.datapath.base import Range
from bitsim.hw import load_link
from bitsim.measure.machine import Machine
from bitsim.model.checkpoint import load_checkpoint
from bitsim.parallel.parallel import Parallel
from bitsim.parallel.step import Step
from bitsim.study.array_size import ArrayPoint, ArraySizes
from bitsim.study.bound import AccumulatorBound, AccumulatorBounds
from bitsim.study.compare import PairComparison
from bitsim.study.compare_datapaths import DatapathComparison
from bitsim.study.compared_datapath import ComparedDatapath
from bitsim.study.evaluate import Evaluation, Score
from bitsim.study.width_energy import ByteEnergy
from reports.predictions import Prediction
from reports.validation import Compared, Validation
from tests.by_hand import chip, result, row
from tests.cli.conftest import Lines
from tests.sensitivity_by_hand import toy_sensitivity


def of(shown: list[str], start: str) -> str:
    """The only line that starts so."""
    (found,) = [line for line in shown if line.startswith(start)]
    return found


def test_datapaths_are_compared_per_mac_and_in_thousands_of_um2(lines: Lines) -> None:
    """1e6 additions of 0.007 pJ for 1e6 MACs are 7 fJ each; 1e6 MACs in 500 cycles of 4096 are 49 %."""
    linear = row("prefill", "q", "linear", 0, bitlinear=True, macs=1_000_000, unit_cycles=500, cycles=500,
                 events={"add.int8": 1_000_000})  # fmt: skip
    part = PartArea(component="bitlinear", part="cell", count=3, area=Area(low=1e3, nominal=2e3, high=1.234567e9))
    unknown = PartArea(component="bitlinear", part="cell", count=3, area=None, reason="no book has it")
    counted = ComparedDatapath(
        chip=chip(),
        exact=True,
        outputs="identical",
        areas=(part,),
        made={"x: sign": 2},
        result=result(linear, decode=0),
    )
    refused = ComparedDatapath(chip=chip(), exact=True, outputs="refused", areas=(unknown,), reason="too wide")
    inputs = {"model": "m", "tokens": 2, "technology": "7nm"}
    shown = lines(view_comparison, DatapathComparison(inputs=inputs, notes=("a note",), rows=(counted, refused)))
    assert shown[0] == "linears of m, 2 tokens, priced at 7nm"
    at = next(i for i, line in enumerate(shown) if line.startswith("ternary-ws-64x64"))
    first, second = shown[at : at + 2]
    assert first.startswith("ternary-ws-64x64 identical, narrowed 500 49% 7 ")
    assert first.endswith(" 2 [1 .. 1,234,567]")
    assert second == "ternary-ws-64x64 refused - - unpriced unpriced unpriced no area"
    assert shown[-1] == "a note"
    assert "too wide" in shown[-2]


def test_array_sizes_are_printed_with_their_utilisation_and_what_they_wait_for(lines: Lines) -> None:
    point = ArrayPoint(rows=8, cols=16, phase="prefill", macs=1, cycles=1_234_567, time_s=2e-3, utilisation=0.12345,
                       bound_utilisation=0.5, bound="dram")  # fmt: skip
    study = ArraySizes(inputs={"model": "m", "chip": "c"}, notes=("a note",), points=(point,))
    assert lines(view_sizes, study) == [
        "linears of m, all but the array as in c",
        "array phase cycles time utilisation at most waits for",
        "8 x 16 prefill 1,234,567 2 ms 12.35% 50.00% dram",
        "a note",
    ]


def test_accumulators_are_printed_with_the_bits_that_they_have_need_and_use(lines: Lines) -> None:
    """1000 products of -128 .. 127 with -1 .. 1 lie in -128 000 .. 128 000: 18 bits; -300 .. 255 are 10."""
    worst = Range(low=-128_000, high=128_000)
    plain = AccumulatorBound(register="psum", bits=24, k=1000, worst=worst)
    seen = AccumulatorBound(
        register="psum", bits=24, k=1000, worst=worst, seen=Range(low=-300, high=255), seen_in="layers.0.q", seen_k=64
    )
    printed = lines(view_bounds, AccumulatorBounds(inputs={"chip": "c"}, notes=(), k=1000, bounds=(plain,)))
    assert printed == [
        "accumulators of c",
        "accumulator bits it has K = 1000: range bits needed",
        "psum 24 -128,000 .. 128,000 18",
    ]
    printed = lines(
        view_bounds, AccumulatorBounds(inputs={"chip": "c", "model": "m"}, notes=(), k=1000, bounds=(seen,))
    )
    assert printed[1].endswith(" bits needed seen with m bits in")
    assert printed[2] == "psum 24 -128,000 .. 128,000 18 -300 .. 255 10 layers.0.q, K = 64"
    assert lines(view_bounds, AccumulatorBounds(inputs={}, notes=("floats",), k=2, bounds=())) == ["floats"]


def test_pairs_are_compared_per_new_token(lines: Lines) -> None:
    """9000 cycles at 2 GHz for three tokens: 1.5 us each; 3e6 additions of 0.007 pJ: 7 nJ each."""
    first = row("decode", "q", "linear", 0, cycles=9000, events={"add.int8": 3_000_000, "overflow.psum": 1500})
    second = row("decode", "q", "linear", 0, cycles=3, events={"simd.avx2.load": 3})
    pairs = (result(first, decode=3), result(second, decode=3))
    shown = lines(view_compared, PairComparison(inputs={}, notes=(), results=pairs))
    assert shown[0] == "decode, per new token"
    assert shown[1] == "model chip cycles time energy, arithmetic energy, datapath energy, system"
    assert shown[2].startswith("by hand ternary-ws-64x64 3,000 1.5 us 7 nJ ")
    # What leaks and what DRAM draws at rest has a price, whatever adds.
    resting = (pairs[1].prices.leakage_mw().nominal + 8 * (7.7 + 44)) * 1.5e-12 / 3
    assert shown[3] == f"by hand ternary-ws-64x64 1 500 ps 0 J unpriced {si(resting, 'J')} without"
    assert shown[-3:] == [
        "by hand@ternary-ws-64x64: 1,500 overflows",
        *(f"by hand@ternary-ws-64x64: {name}: without simd.avx2.load (3)" for name in ("datapath", "system")),
    ]
    assert of(shown, "arithmetic: ")


def score(bits: float, **more: object) -> Score:
    given = dict(
        model="m", chip="c", numerics="float", kv="fp16", acc_bits=12, overflow="wrap", linear_weights=1, text="t.txt",
        window=256, predicted_bytes=1999, bits_per_byte=bits, overflows=0, first_overflow=None, wrong_sums=0,
        largest_sum_error=0.0, rms_sum_error=0.0, sparsity={},
    )  # fmt: skip
    return Score(**(given | more))  # type: ignore[arg-type]


def test_a_score_is_printed_in_words_and_several_as_a_table(lines: Lines) -> None:
    said = "m on c: 1.2346 bits per byte (1,999 bytes of t.txt, windows of 256, numerics float)"
    assert lines(view_evaluation, Evaluation(inputs={}, notes=(), scores=(score(1.23456),))) == [said]
    wrong = score(1.23456, overflows=2500, first_overflow="layers.0.q: (1, 2, 3)", wrong_sums=1000,
                  largest_sum_error=4096.0, rms_sum_error=0.0123)  # fmt: skip
    assert lines(view_evaluation, Evaluation(inputs={}, notes=(), scores=(wrong,))) == [
        said,
        "2,500 accumulator overflows, first in layers.0.q: (1, 2, 3)",
        "1,000 BitLinear sums differ from the exact ones, by 4,096 at most; root mean square 0.0123 of theirs",
    ]
    endless = score(1.0, wrong_sums=1, largest_sum_error=None, rms_sum_error=None)
    shown = lines(view_evaluation, Evaluation(inputs={}, notes=(), scores=(endless,)))
    assert shown[-1] == "1 BitLinear sums differ from the exact ones, some are not finite"
    joules = ByteEnergy(
        linears=Energy(low=1e-9, nominal=2e-9, high=4e-9), all_j=9e-9, without="without simd.avx2.load (3)"
    )
    several = score(1.5, energy=ByteEnergy(reason="no rates")), score(2.0, overflows=1500, energy=joules)
    assert lines(view_evaluation, Evaluation(inputs={}, notes=(), scores=several)) == [
        "m on c, 1,999 bytes of t.txt",
        "accumulator bits overflow KV cache bits per byte overflows linears, J per byte",
        "12 wrap fp16 1.5000 0 -",
        "12 wrap fp16 2.0000 1,500 2 nJ [1 nJ .. 4 nJ] without",
        "energy: no rates",
        "energy: without simd.avx2.load (3)",
    ]
    (_, second) = Evaluation(inputs={}, notes=(), scores=several).records()
    assert second["energy_linears_high_per_byte_j"] == 4e-9
    assert (second["energy_datapath_per_byte_j"], second["energy_without"]) == (9e-9, "without simd.avx2.load (3)")


def test_what_a_checkpoint_holds_is_printed_with_zeros_weighted_by_size(lines: Lines) -> None:
    """Layer 0: a quarter of 100 and three quarters of 300 weights are zeros: 250 of 400, 62.5 %."""
    linear = {"layer": 0, "name": "a", "kind": "2bit", "n": 10, "k": 10, "bits_per_weight": 2.0, "zero_fraction": 0.25}
    found = {
        "path": "m.gguf", "layers": 1, "hidden_size": 10, "intermediate_size": 30, "hidden_act": "silu", "heads": 2,
        "kv_heads": 1, "vocab_size": 256, "packing": "2bit", "linear_class": "bitlinear", "numerics": "n",
        "linear_weights": 1400, "linear_bytes": 2000, "linear_bits_per_weight": 2.5, "zero_fraction": 0.625,
        "size_bytes": 12345, "digest": "00ff", "scale": {"min": 0.5, "max": 1.25}, "sliding_window": 64,
        "absent_keys": {"a": 1, "b": "x"}, "ignored": ["c", "d"], "notes": ["a note", "another"],
        "linears": [linear | {"scale": 0.5}, linear | {"name": "b", "k": 30, "zero_fraction": 0.75, "scale": None}],
    }  # fmt: skip
    shown = lines(view_contents, found)
    assert shown[:4] == [
        "m.gguf: 1 layers of 10, FFN 30 (silu), 2 heads, 1 KV heads, vocabulary 256",
        "linears: 2bit, class bitlinear, numerics n, 1,400 weights in 2,000 bytes = 2.5000 bits per weight, "
        "62.50% zeros",
        "all tensors: 12,345 bytes, sha256 00ff",
        "scales: min 0.5, max 1.25",
    ]
    assert shown[4:9] == [
        "sliding_window: 64",
        "absent keys, and what they are taken for: a = 1, b = x",
        "ignored, because they change no number: c, d",
        "note: a note",
        "note: another",
    ]
    assert shown[9:] == [
        "linears",
        "tensor N x K type bits per weight zeros scale",
        "a 10 x 10 2bit 2.0000 25.00% 0.5",
        "b 10 x 30 2bit 2.0000 75.00% -",
        "zeros per layer",
        "layer zeros",
        "0 62.50%",
    ]
    bare = found | {"scale": None, "absent_keys": {}, "ignored": [], "notes": []}
    del bare["sliding_window"]
    assert lines(view_contents, bare) == [*shown[:3], *shown[9:]]


def test_tensors_of_a_file_that_is_no_model_are_listed(lines: Lines) -> None:
    tensors = [
        {"name": "a", "kind": "F32", "shape": [2, 3], "size_bytes": 1200},
        {"name": "b", "kind": "U8", "shape": [], "size_bytes": 1},
    ]
    assert lines(view_listing, {"path": "x.safetensors", "size_bytes": 12345, "tensors": tensors}) == [
        "x.safetensors: 2 tensors, 12,345 bytes",
        "tensors",
        "tensor type shape bytes",
        "a F32 2 x 3 1,200",
        "b U8 - 1",
    ]


def test_steps_on_devices_are_printed_with_units_and_those_without_room_are_named(lines: Lines) -> None:
    def step(devices: int, sync: str, stored: int) -> Step:
        rest: dict[str, Any] = dict.fromkeys(Step.__dataclass_fields__, 0)
        rest |= {"devices": devices, "tensor": 2, "pipeline": devices // 2, "sync": sync, "time_s": 5e-3}
        rest |= {"speed_up": 1.625, "compute_s": 4e-3, "communication_s": 1e-3, "bubble_share": 0.254, "messages": 1200}
        rest |= {"bytes": 34_560_000, "communication_j": 2e-6, "sync_calls": 4800, "sync_s": 7e-6, "layers": (3, 3)}
        return Step(**(rest | {"stored_bytes": stored, "dram_bytes": 1_000_000, "layers": (12,)}))

    study = Parallel(
        inputs={"model": "m"}, notes=("a note",), chip=chip(), link=load_link("nvlink"), phase="decode", tokens=1,
        context=512, batch=3,
        steps=(step(2, "grouped", 1_000_001), step(2, "paper", 1_000_001), step(4, "grouped", 1_000_000)),
    )  # fmt: skip
    numbers = "5 ms 1.62 4 ms 1 ms 25% 1,200 34.56 2 uJ 4,800 7 us"
    assert lines(view_parallel, study) == [
        "m on ternary-ws-64x64 over nvlink: one decode step, batch 3, context 512",
        "devices tensor x stages sync step speed-up computing communication bubbles messages MB link energy "
        "sync: calls time",
        f"2 2 x 1 grouped {numbers}",
        f"2 2 x 1 paper {numbers}",
        f"4 2 x 2 grouped {numbers}",
        "2 devices: each needs 1,000,001 bytes, its memory has 1,000,000",
        "a note",
    ]


def test_a_machine_is_printed_rate_by_rate(lines: Lines) -> None:
    found = Machine(inputs={}, notes=(), isa="arm64", threads=8, bandwidth_gb_s=123.45, int8_top_s=1.2345,
                    float32_top_s=0.5, capacity_gb=64.0, weights_mb=512, repeats=5)  # fmt: skip
    assert lines(view_machine, found) == [
        "arm64, 8 threads, best of 5",
        "what rate unit",
        "memory, packed weights 123 GB/s",
        "int8 x ternary 1.23 Top/s",
        "float32 0.5 Top/s",
        "memory 64 GB",
    ]


def test_predictions_are_printed_beside_what_was_published_with_all_remarks(lines: Lines) -> None:
    it = Prediction(key="k", chip="c", quantity="time", unit="ms", value=15.0, bounds="dram 100 %")
    row = Compared(prediction=it, published=10.0, evidence="read", source="s", leaves_out="DRAM", note="n")
    shown = lines(view_validation, Validation(inputs={}, notes=("remark one", "remark two"), rows=(row,)))
    assert shown == [
        "predicted and published",
        "design quantity unit predicted published error % bound by fitted leaves out evidence",
        "c time ms 15 10 +50.0 dram 100 % none DRAM read",
        "remark one",
        "remark two",
    ]


@pytest.mark.parametrize(
    ("arguments", "written"),
    [([], "2bit"), (["--packing", "1.6bit"], "trits5_offset"), (["--packing", "2bit"], "2bit")],
)
def test_convert_writes_the_packing_that_is_asked_for(arguments: list[str], written: str, tmp_path: Path) -> None:
    main(["convert", "tiny-b158", str(tmp_path / "copy"), "--format", "hf", *arguments])
    assert load_checkpoint(tmp_path / "copy").packing == written


def test_help_starts_all_descriptions_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    shown = capsys.readouterr().out.splitlines()
    starts = {
        line.index(text.split()[0])
        for name, text in COMMANDS.items()
        for line in shown
        if line.startswith(f"  {name} ")
    }
    assert len(starts) == 1


def test_a_sensitivity_prints_its_number_the_constants_that_move_it_and_percentiles(lines: Lines) -> None:
    """100 multiplications of 1 / 2 / 4 pJ and 3 additions of 10 / 10 / 30: 230 pJ, 130 to 430 and 230 to 290."""
    found = toy_sensitivity()
    shown = lines(view_sensitivity, found)
    assert of(shown, "ternary-ws-64x64 7nm") == "ternary-ws-64x64 7nm 230 pJ 0 %"
    at = shown.index("one by one, 2 of 2 constants with a range")
    evidence = [record["evidence"] for record in found.ranking]
    assert shown[at + 2 : at + 4] == [
        f"7nm: prices.mul.fp16 {evidence[0]} 1 / 2 / 4 pJ 130 pJ 430 pJ 130.4% 87.0%",
        f"7nm: prices.add.fp16 {evidence[1]} 10 / 10 / 30 pJ 230 pJ 290 pJ 26.1% 13.0%",
    ]
    at = shown.index("all at once, 500 draws")
    assert shown[at + 1] == "draws below energy_j"
    assert len([line for line in shown[at + 2 :] if " % " in line and line.endswith(" pJ")]) == 9
    two = lines(view_sensitivity, toy_sensitivity(versus=(100, 1)))
    at = two.index("one by one, 2 of 2 constants with a range")
    assert two[at + 2].endswith(" 230 pJ 290 pJ 26.1% 13.0% 1.1 1.26 15.1%")
    assert two[two.index("all at once, 500 draws") + 1] == "draws below energy_j versus_energy_j ratio"
