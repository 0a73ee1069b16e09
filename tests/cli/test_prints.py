"""What `show`, `list`, `calibrate`, `serve` and `estimate` print of small things that are given: line by line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import bitsim
import hw_models
from bitsim.cli.calibrate_command import view_calibration
from bitsim.cli.main import main
from bitsim.cli.output import print_table, si
from bitsim.cli.present import joules, view_result, view_sparsity
from bitsim.cli.serve_command import view_serving
from bitsim.hw import load_chip, load_link
from bitsim.measure.calibrate import Calibration, Residual
from bitsim.measure.points import MeasuredPoint, MeasuredPoints
from bitsim.quant.recipes import NUMERICS
from tests.by_hand import chip, result, row, serving_by_hand
from tests.chips import amount
from tests.cli.conftest import Lines

HARDWARE = Path(hw_models.__file__).parent
LINK = """kind: link
name: mine
summary: two wires
bandwidth: {value: 10, unit: GB/s, evidence: published, source: a book}
efficiency: {low: 0.25, nominal: 0.5, high: 1.0, unit: ratio, evidence: assumed, source: nobody}
latency: {value: 400, unit: ns, evidence: measured, source: a clock}
startup: {value: 3.5, unit: us, evidence: derived, source: sums}
energy: {low: 1, nominal: 2, high: 3, unit: pJ/bit, evidence: assumed, source: guessed}
"""


def test_show_gives_every_constant_with_its_evidence_and_source(lines: Lines, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(LINK)
    assert lines("show", str(path)) == [
        "mine: two wires",
        f"file {path}, sha256 {load_link(path).sha256}",
        "settings",
        "what value",
        "constants",
        "what value evidence source",
        "bandwidth 10 GB/s published a book",
        "efficiency 0.25 / 0.5 / 1 assumed nobody",
        "latency 400 ns measured a clock",
        "startup 3.5 us derived sums",
        "energy 1 / 2 / 3 pJ/bit assumed guessed",
    ]


@pytest.mark.parametrize("name", ["a100-80gb", "rtx-4090", "ternary-ws-64x64", "lpddr4-4266-x32"])
def test_show_marks_as_assumed_exactly_what_the_description_assumes(lines: Lines, name: str) -> None:
    from bitsim.model.kinds import load_described

    marked = [line.split()[0] for line in lines("show", name) if " assumed " in line and "emulated" not in line]
    constants = load_described(name).constants()
    assert marked == [path for path, constant in constants.items() if constant.evidence == "assumed"]
    assert marked


def test_show_gives_settings_and_what_is_emulated(lines: Lines) -> None:
    shown = lines("show", "h100-sxm")
    at = shown.index("settings")
    assert shown[at + 1 : at + 4] == ["what value", "arch hopper", "SMs 132"]
    assert any(line.startswith("int4 emulated by int8 (") for line in shown)


@pytest.mark.parametrize(("what", "folder"), [("links", "links"), ("gpus", "gpus"), ("cpus", "cpus"), ("dram", "dram")])
def test_list_gives_every_file_with_its_summary(lines: Lines, what: str, folder: str) -> None:
    described = [yaml.safe_load(path.read_text()) for path in sorted((HARDWARE / folder).glob("*.yaml"))]
    assert lines("list", what) == [what, "name summary", *(f"{d['name']} {d['summary']}" for d in described)]


def test_list_of_models_says_which_can_be_executed(lines: Lines) -> None:
    shown = lines("list", "models")
    assert shown[:2] == ["models", "name executable numerics summary"]
    assert [line.split()[0] for line in shown if " yes " in line] == [
        "tiny-b1", "tiny-b158", "tiny-a48", "tiny-v2", "tiny-fp16",
    ]  # fmt: skip
    assert "tiny-fp16 yes float FP16 twin of tiny-b158" in shown
    # 24 layers of (4 x 1536^2 + 3 x 1536 x 4096) weights.
    (small,) = [line for line in shown if line.startswith("bitnet-b158-700m ")]
    assert 24 * (4 * 1536**2 + 3 * 1536 * 4096) == 679_477_248
    assert small.startswith("bitnet-b158-700m with --random-weights ")
    assert small.endswith("ternary, 679.5 M linear weights, 24 layers of 1536, vocabulary 32000")
    (large,) = [line for line in shown if line.startswith("llama-7b ")]
    assert "FP16, 6.476 G linear weights, 32 layers of 4096" in large  # 32 (4 x 4096^2 + 3 x 4096 x 11008)
    assert any(line.startswith("bitnet-125m ") and " binary, " in line for line in shown)


def test_list_marks_shapes_that_are_assumed_and_no_others(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    from bitsim.model.zoo import load_shape, zoo_names

    main(["list", "models", "--json"])
    records = bitsim_json(capsys)["models"]
    marked = {record["name"] for record in records if record["summary"].endswith(" (shape assumed)")}
    assert marked == {name for name in zoo_names() if load_shape(name).evidence == "assumed"}
    assert marked


def bitsim_json(capsys: pytest.CaptureFixture[str]) -> Any:
    import json

    return json.loads(capsys.readouterr().out)


def test_list_of_everything_has_a_table_per_kind_but_no_numerics_nor_shapes_twice(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["list", "--json"])
    assert list(bitsim_json(capsys)) == [
        "chips", "gpus", "cpus", "links", "technologies", "sram", "dram", "tensor_cores", "gpu_kernels", "models",
    ]  # fmt: skip
    main(["list", "numerics", "--json"])
    records = bitsim_json(capsys)["numerics"]
    assert [record["name"] for record in records] == list(NUMERICS)
    assert records[0].keys() == {"name", "linear class", "source", "evidence"}
    found = {record["name"]: record["linear class"] for record in records}
    assert (found["b1"], found["a48_kv3"], found["float"]) == ("b1", "a48", "-")
    main(["list", "wide_numerics", "--json"])
    records = bitsim_json(capsys)["wide_numerics"]
    assert [(record["name"], record["kv"]) for record in records] == [
        ("attention_int8", "kv8"),
        ("attention_int4", "kv4"),
    ]


def calibration() -> Calibration:
    """Two points of 1 and 2 ms, predicted as 1.1 and 1.8 ms: +10 % and -10 %."""
    at = [MeasuredPoint(line=i + 2, m=1, k=64, n=128 * (i + 1), time_s=(i + 1) * 1e-3) for i in range(2)]
    return Calibration(
        inputs={}, notes=(), chip=load_chip("ternary-ws-64x64"),
        measured=MeasuredPoints(path="points.csv", sha256="0" * 64, points=tuple(at)),
        efficiency=0.61234, latency_us=25.0, efficiency_error=0.01, latency_error_us=0.5,
        residuals=(
            Residual(point=at[0], predicted_s=1.1e-3, held_out_s=1.2e-3),
            Residual(point=at[1], predicted_s=1.8e-3, held_out_s=2.0e-3),
        ),
        binds=("a bound",),
    )  # fmt: skip


def test_calibrate_prints_parameters_residuals_and_bounds(lines: Lines) -> None:
    """The root mean square of 10 and -10 % is 10 %; of 20 and 0 % it is 20 / sqrt(2) = 14.14 %."""
    assert lines(view_calibration, calibration()) == [
        "ternary-ws-64x64, fitted to 2 points of points.csv",
        "parameter fitted standard error before",
        "DRAM efficiency 0.6123 0.01 0.85",
        "latency per matmul 25 us 500 ns none",
        "residuals; held out: by the fit to all other points",
        "line M x K x N measured predicted error % held-out error %",
        "2 1 x 64 x 128 1 ms 1.1 ms +10.00 +20.00",
        "3 1 x 64 x 256 2 ms 1.8 ms -10.00 +0.00",
        "root mean square error 10.00 %, held out (leave one out) 14.14 %",
        "a bound binds: a bound",
    ]


def test_serve_prints_the_batch_its_memory_its_time_and_the_sweep(lines: Lines) -> None:
    """2 sequences in 12 ms; two devices of 400 W; (1 + 1 + 2 GB) / 2 and 0.2 GB of workspace on each."""
    assert lines(view_serving, serving_by_hand()) == [
        "m on 2 x a100-80gb, 7 prompt and 50 new tokens per sequence",
        "serving",
        "what value",
        "largest batch 4, limited by memory",
        "batch 2",
        "new tokens per second 166.7 (125.0 with prompts)",
        "latency per token 12 ms",
        "one prompt 100 ms",
        "energy per token 4.8 J (800 W board power x time)",
        "limited by weight bandwidth",
        "memory per device",
        "part GB",
        "linears 0.500",
        "embedding and head 0.500",
        "kv cache 1.000",
        "workspace 0.200",
        "reserved by the device 0.500",
        "free 77.300",
        "time of a step",
        "spent on time share",
        "weight bandwidth 6 ms 50.0%",
        "compute 2 ms 16.7%",
        "attention 1 ms 8.3%",
        "kernel overhead 3 ms 25.0%",
        "communication 0 s 0.0%",
        "batch sweep",
        "batch tokens/s latency energy per token limited by",
        "1 100.0 10 ms 8 J weight bandwidth",
        "2 166.7 12 ms 4.8 J weight bandwidth",
        "4 200.0 20 ms 4 J compute",
        "0 assumed constants:",
        "notes:",
        "a note",
    ]


def test_serve_counts_and_names_what_is_assumed(lines: Lines) -> None:
    shown = lines(view_serving, bitsim.serve("bitnet-b158-3b", "a100-80gb", batch=1, prompt=8, new_tokens=8))
    at = shown.index("4 assumed constants:")
    assert [line.partition(" = ")[0] for line in shown[at + 1 : at + 5]] == [
        "a100-80gb: launch_overhead",
        "a100-80gb: reserved",
        "kernel fp16: compute_efficiency",
        "kernel w2a8: compute_efficiency",
    ]
    assert shown[at + 1].startswith("a100-80gb: launch_overhead = 2 / 3 / 5 us (kernels that follow each other")
    assert shown[at + 5] == "notes:"
    sweep = shown.index("batch sweep")
    batches = [int(line.split()[0]) for line in shown[sweep + 2 : at]]
    assert batches[0] == 1
    assert batches == sorted(set(batches))
    assert len(batches) <= 12


def test_a_result_prints_phases_kinds_components_and_what_it_does_not_count(lines: Lines) -> None:
    """At 2 GHz 4000 cycles are 2 us; their least are 3200: a gap of 25 %. 1 638 400 MACs of 4096 x 4000 are 10 %.

    Arithmetic: 1e6 x 0.007 pJ are 7 nJ for two tokens. DRAM: 80 000 bits x 4.6 / 8 / 14 pJ, 368 / 640 / 1120
    nJ; 8 GB are refreshed for 2.5 us, and stand by while no bit moves, at 160 bits per ns: 1500 + 500 ns.
    """
    made = result(
        row("prefill", "layers.0.q_proj", "linear", 0, bitlinear=True, macs=1_638_400, cycles=4000, least_cycles=3200,
            bound="dram", events={"add.int8": 1_000_000, "dram.weights.read_bits": 80_000}),
        row("prefill", "layers.0.norm", "norm", 0, cycles=1000, least_cycles=1000, bound="vector unit"),
        decode=0,
    )  # fmt: skip
    shown = lines(view_result, made)
    assert made.assumed_share is not None
    assert shown[:5] == [
        "by hand on ternary-ws-64x64 (7nm)",
        f"{100 * made.assumed_share:.0f} % of the system energy rests on assumed constants",
        "phases; energy per token",
        "phase tokens cycles time arithmetic datapath system",
        f"prefill 2 5,000 2.5 us 3.5 nJ 0 J {si(made.energy('system') / 2, 'J')}",
    ]
    assert "prefill linear 4,000 dram 25.0% 10.0% 0.01" in shown  # 80 000 bits are 0.01 MB
    assert "prefill norm 1,000 vector unit 0.0% - 0.00" in shown
    at = shown.index("energy by component, nominal [low .. high]")
    assert "add int8 7 nJ - -" in shown[at:]
    assert "dram weights - - 640 nJ [368 nJ .. 1.12 uJ]" in shown[at:]
    leakage_j = made.prices.leakage_mw().nominal * 2500e-12  # mW for the 2500 ns of both operators
    resting_j = 8e-12 * (7.7 * 2500 + 44 * 2000)
    assert made.energy("system") == pytest.approx(640e-9 + leakage_j + resting_j)
    assert any(line.startswith(f"total 7 nJ 0 J {si(made.energy('system'), 'J')} [") for line in shown[at:])
    conventions = [line.partition(":")[0] for line in shown if "; not counted: " in line]
    assert conventions == ["arithmetic", "datapath", "system"]
    assumed = made.assumed()
    assert shown[shown.index(f"{len(assumed)} assumed constants:") + len(assumed) + 1] == "notes:"
    (capacity,) = [constant for constant in assumed if constant["constant"].endswith("memory.dram.capacity")]
    share = resting_j / made.energy("system")  # of what the energy of DRAM at rest is
    assert capacity["share"] == pytest.approx(share)
    assert f"{capacity['constant']} = 8 GB, {100 * share:.0f} % of the system energy ({capacity['source']})" in shown


def test_what_has_no_price_is_said_and_does_not_hide_what_has_one(lines: Lines) -> None:
    counted = {"simd.avx2.load": 1_003, "simd.avx2.add": 2}
    made = result(row("prefill", "q", "linear", 0, cycles=2, events=counted), decode=0)
    leaked = made.prices.leakage_mw().nominal + 8 * (7.7 + 44)  # mW: pJ per ns, and it takes one; of SRAM and DRAM
    shown = lines(view_result, made)
    assert f"prefill 2 2 1 ns 0 J unpriced {si(leaked * 1e-12 / 2, 'J')} without" in shown
    assert any(line.startswith(f"total 0 J unpriced {si(leaked * 1e-12, 'J')} [") for line in shown)
    assert "without - 2 events 2 events" in shown
    datapath, system = (line for line in shown if "simd.avx2.load" in line)
    assert datapath.startswith("datapath: no energy: ")
    assert system.startswith("system: without simd.avx2.load (1,003), simd.avx2.add (2): ")
    stated = {r["convention"]: r for r in made.records("conventions")}
    assert system.endswith(" ".join(stated["system"]["unpriced"].split()))
    assert (stated["datapath"]["nominal_j"], stated["arithmetic"]["without"]) == (None, None)
    assert stated["system"]["nominal_j"] == pytest.approx(leaked * 1e-12)
    assert [(r["convention"], r["event"], r["count"]) for r in made.records("unpriced")] == [
        (name, event, count) for name in ("datapath", "system") for event, count in counted.items()
    ]


def test_sparsity_is_in_percent_and_not_shown_where_nothing_was_executed(lines: Lines) -> None:
    assert lines(view_sparsity, {}) == []
    shown = lines(view_sparsity, {"qkv": 0.125, "overall": 0.5})
    assert " ".join(shown) == "sparsity of the linears' products, % qkv overall 12.5 50.0"  # over several lines


def test_a_range_of_joules_is_shown_only_where_it_is_one() -> None:
    assert joules({"nominal_j": 2e-9, "low_j": 1e-9, "high_j": 4e-9}) == "2 nJ [1 nJ .. 4 nJ]"
    assert joules({"nominal_j": 2e-9, "low_j": 2e-9, "high_j": 2e-9}) == "2 nJ"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"), (1.234e-3, "1.23 ms"), (999.6e-6, "1 ms"), (2e-6, "2 us"), (3e-9, "3 ns"), (4.5e-12, "4.5 ps"),
        (1.0, "1 s"), (999.0, "999 s"), (1234.0, "1,234 s"), (-2e-3, "-2 ms"), (1e-15, "1e-15 s"),
    ],
)  # fmt: skip
def test_si_prefixes_of_printed_numbers(value: float, text: str) -> None:
    assert si(value, "s") == text


def test_an_assumed_clock_is_among_the_assumed_constants_and_a_measured_one_is_not() -> None:
    def names(evidence: str) -> set[str]:
        base = chip()
        clock = amount(base.clock, 2.0).model_copy(update={"evidence": evidence})
        on = base.model_copy(update={"clock": clock})
        return {constant["constant"] for constant in result(row("prefill", "n", "norm", 0), on=on).assumed()}

    assert names("assumed") - names("measured") == {"ternary-ws-64x64: clock"}


@pytest.mark.parametrize(
    ("given", "shown"), [(("--prompt", "In the"), "In the5 end\n\n"), (("--tokens", "1,2"), "5 end\n\n")]
)
def test_a_run_prints_its_prompt_then_new_tokens_as_text_or_else_as_numbers(
    given: tuple[str, ...], shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, on_token: Callable[[int, str], None], **__: Any) -> Any:
        on_token(5, "")
        on_token(7, "end")
        return result(row("prefill", "q", "linear", 0, cycles=2), decode=0)

    monkeypatch.setattr("bitsim.study.run", run)
    main(["run", "tiny-b158", *given])
    assert capsys.readouterr().out.startswith(f"{shown}by hand on ternary-ws-64x64 (7nm)")


def test_tables_fill_160_columns_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("t", ["words", "n"], [["x" * 1000, 1]])
    assert max(map(len, capsys.readouterr().out.splitlines())) == 160
