"""Time, energy and roofline figures of a result made by hand: every bar, roof, mark, unit and legend entry."""

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from bitsim.figures import style
from bitsim.figures.energy import energy_figure, energy_parts
from bitsim.figures.roofline import Roofs, roofline_figure, roofline_points, roofs_of
from bitsim.figures.time import time_figure
from bitsim.hw import load_chip
from bitsim.results import Result
from tests.by_hand import chip, result, row
from tests.figures.drawn import bars, is_hollow, labels, legend, points, scales, texts, ticks, titles


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def test_roofs_are_two_operations_per_mac_and_cycle_and_the_reached_bandwidth() -> None:
    """2 x 64 x 64 x 2e9 and 2 x 32 x 32 x 2e9 operations per second; 20e9 and 0.8 x 20e9 bytes per second."""
    assert roofs_of(chip()) == Roofs(bitlinear=16.384e12, wide=4.096e12, dram=16e9, dram_peak=20e9)


def roofline_result(wide: int = 32) -> Result:
    """Two layers' q_proj, an attention matmul without DRAM traffic, and a head, one in each phase."""
    read = {"dram.weights.read_bits": 6000, "dram.acts.write_bits": 2000}
    linear = {"kind": "linear", "bitlinear": True, "macs": 3000, "cycles": 10, "events": read}
    return result(
        row("prefill", "layers.0.q_proj", layer=0, **linear),  # type: ignore[arg-type]
        row("prefill", "layers.1.q_proj", layer=1, **linear),  # type: ignore[arg-type]
        row("prefill", "layers.0.qk", "qk", 0, macs=500, cycles=4),
        row("prefill", "layers.0.norm", "norm", 0, cycles=7),
        row("decode", "head", "head", macs=800, cycles=40, events={"dram.weights.read_bits": 12800}),
        on=chip(wide),
    )


def test_points_add_up_layers_and_have_two_operations_per_mac() -> None:
    q, qk, head = roofline_points(roofline_result())
    assert (q.operator, q.ops, q.dram_bytes, q.time_s) == ("q_proj", 12000, 2000.0, pytest.approx(10e-9))
    assert (q.intensity, q.rate) == (6.0, pytest.approx(1.2e12))
    assert (qk.ops, qk.dram_bytes, qk.intensity) == (1000, 0.0, float("inf"))
    assert (head.phase, head.ops, head.dram_bytes, head.time_s) == ("decode", 1600, 1600.0, pytest.approx(20e-9))
    roofs = roofs_of(chip())
    assert roofs.over(q) == pytest.approx(6 * 16e9)
    assert (roofs.over(qk), roofs.over(head)) == (4.096e12, pytest.approx(16e9))


def test_the_roofline_draws_both_arrays_level_and_the_dram_as_slopes_of_its_bandwidth() -> None:
    figure = drawn(roofline_figure(roofline_result()))
    (axes,) = figure.axes
    assert scales(axes) == ("log", "log")
    # Intensities: 6 and 1, ridges 16.384e12 / 16e9 = 1024 and 256; margins of 2.5 on all sides.
    assert axes.get_xlim() == pytest.approx((1 / 2.5, 1024 * 2.5))
    assert axes.get_ylim() == pytest.approx((1600 / 20e-9 / 2.5, 16.384e12 * 2.5))
    roofs = {line.get_label(): points(line) for line in axes.lines[:4]}
    assert roofs == {
        "BitLinear: 16.4 Tops/s": [(pytest.approx(819.2), 16.384e12), (2560.0, 16.384e12)],
        "other matmuls: 4.1 Tops/s": [(pytest.approx(204.8), 4.096e12), (2560.0, 4.096e12)],
        "DRAM, reached: 16 GB/s": [(0.4, pytest.approx(6.4e9)), (1024.0, 16.384e12)],
        "DRAM, peak: 20 GB/s": [(0.4, pytest.approx(8e9)), (pytest.approx(819.2), 16.384e12)],
    }
    assert [line.get_linestyle() for line in axes.lines[:4]] == ["-", "-.", "-", ":"]
    assert labels(axes) == (
        "operational intensity / (operations / byte of DRAM traffic)",
        "performance / (operations / s)",
    )
    assert titles(figure) == ["by hand on ternary-ws-64x64, 7nm"]


def test_the_roofline_marks_prefill_filled_and_decode_hollow_and_names_both() -> None:
    figure = drawn(roofline_figure(roofline_result()))
    marks = [(line.get_marker(), points(line)[0], is_hollow(line)) for line in figure.axes[0].lines[4:]]
    assert marks == [
        ("s", (1.0, pytest.approx(80e9)), True),  # the head's, in decode
        ("o", (6.0, pytest.approx(1.2e12)), False),
        ("^", (2560.0, pytest.approx(1000 / 2e-9)), False),  # no DRAM traffic: at the right edge
    ]
    assert legend(figure)[4:] == ["linears, prefill", "QKᵀ, prefill", "head, decode", "right edge: no DRAM traffic"]


def test_equal_arrays_have_one_roof_and_skipping_ones_say_so() -> None:
    assert legend(drawn(roofline_figure(roofline_result(wide=64))))[0] == "all matmuls: 16.4 Tops/s"
    skipping = chip().model_copy(update={"bitlinear": load_chip("sparse-array-16x256").bitlinear})
    figure = roofline_figure(result(*roofline_result().rows, on=skipping))
    assert legend(drawn(figure))[0].startswith("BitLinear, nothing skipped: ")


def test_no_matmul_gives_no_roofline_and_nothing_done_no_figure() -> None:
    assert roofline_figure(result(row("prefill", "n", "norm", 0, cycles=1))) is None
    assert time_figure(result()) is None
    assert energy_figure(result()) is None


def test_time_bars_stack_kinds_by_layer_in_a_unit_that_reads_well() -> None:
    """2 GHz: 4 000 cycles are 2 us. Layer 0: 2 us linears and 1 us norms; layer 1: 4 us linears; other: 0.5 us."""
    figure = drawn(
        time_figure(
            result(
                row("prefill", "embedding", "embedding", cycles=1000),
                row("prefill", "layers.0.q_proj", "linear", 0, cycles=3000),
                row("prefill", "layers.0.k_proj", "linear", 0, cycles=1000),
                row("prefill", "layers.0.norm", "norm", 0, cycles=2000),
                row("prefill", "layers.1.q_proj", "linear", 1, cycles=8000),
                decode=0,
                batch=3,
            )
        )
    )
    (axes,) = figure.axes
    assert legend(figure) == ["embedding", "norms", "linears"]
    assert bars(axes) == [
        (0.0, 0.0, pytest.approx(2.0)), (1.0, 0.0, pytest.approx(4.0)), (2.5, 0.0, 0.0),
        (0.0, pytest.approx(2.0), pytest.approx(1.0)), (1.0, pytest.approx(4.0), 0.0), (2.5, 0.0, 0.0),
        (0.0, pytest.approx(3.0), 0.0), (1.0, pytest.approx(4.0), 0.0), (2.5, 0.0, pytest.approx(0.5)),
    ]  # fmt: skip
    assert labels(axes) == ("layer (other: embedding, last norm, head)", "time / µs")
    assert ticks(axes.xaxis) == {0.0: "0", 1.0: "1", 2.5: "other"}
    assert axes.get_ylim() == pytest.approx((0, 1.08 * 4.0))
    assert axes.get_xlim() == pytest.approx((-0.8, 3.3))
    assert titles(figure) == ["prefill, 3 × 2 tokens: 7.5 µs in all"]
    assert figure.get_suptitle() == "by hand on ternary-ws-64x64, 7nm, batch 3"


def test_time_has_a_panel_per_phase_and_every_twentieth_label() -> None:
    rows = [row("prefill", f"layers.{i}.q_proj", "linear", i, cycles=2000) for i in range(45)]
    rows += [row("decode", "layers.0.q_proj", "linear", 0, cycles=2_000_000)]
    figure = drawn(time_figure(result(*rows, prefill=1234)))
    above, below = figure.axes
    assert titles(figure) == ["prefill, 1,234 tokens: 45 µs in all", "decode, 1 tokens: 1 ms in all"]
    assert (above.get_ylabel(), below.get_ylabel()) == ("time / µs", "time / ms")
    assert list(ticks(above.xaxis)) == [0.0, 3.0, 6.0, 9.0, *range(12, 45, 3)]  # ceil(45 / 20) = 3
    assert {patch.get_linewidth() for patch in above.patches} == {0}
    assert {patch.get_width() for patch in above.patches} == {1.0}  # more than 40 bars touch
    assert {patch.get_width() for patch in below.patches} == {0.82}


def energy_result() -> Result:
    """Arithmetic pJ: prefill 1e6 x 0.007 + 50 000 x 0.34 = 7 000 + 17 000 for 2 tokens; decode 3e6 x 0.007 = 21 000."""
    dram = {"dram.weights.read_bits": 1000, "dram.kv.read_bits": 500}
    return result(
        row("prefill", "layers.0.q_proj", "linear", 0, events={"add.int8": 1_000_000, "mul.fp16": 50_000}),
        row("decode", "layers.0.q_proj", "linear", 0, events={"add.int8": 3_000_000, "reg.clock": 100} | dram),
    )


def test_energy_bars_are_shares_of_a_phase_with_what_a_token_takes_above() -> None:
    figure = drawn(energy_figure(energy_result()))
    arithmetic, datapath, system = figure.axes
    assert titles(figure) == ["arithmetic", "datapath", "system"]
    # Sums of shares: add int8 29.17 + 100, mul fp16 70.83: the larger one at the bottom.
    assert bars(arithmetic) == [
        (0.0, 0.0, pytest.approx(100 * 7 / 24)), (1.0, 0.0, pytest.approx(100.0)),
        (0.0, pytest.approx(100 * 7 / 24), pytest.approx(100 * 17 / 24)), (1.0, pytest.approx(100.0), 0.0),
    ]  # fmt: skip
    assert legend(arithmetic) == ["mul fp16", "add int8"]
    assert texts(arithmetic) == ["12 nJ", "21 nJ"]
    assert ticks(arithmetic.xaxis) == {0.0: "prefill", 1.0: "decode"}
    assert (arithmetic.get_ylim(), arithmetic.get_xlim()) == ((0.0, 109.0), (-0.6, 1.6))
    assert [axes.get_ylabel() for axes in figure.axes] == ["share of the energy per token / %", "", ""]
    # 100 x 0.0013055 x 1.5 = 0.196 pJ of clocks; DRAM at 8 pJ/bit: 1000 + 500 bits are 12 nJ.
    assert texts(datapath)[1] == "0.196 pJ"
    assert texts(system)[1] == "12 nJ"
    assert figure.get_suptitle() == "by hand on ternary-ws-64x64, 7nm"


def test_energy_parts_of_the_system_are_memory_levels_and_one_of_all_units_in_joules() -> None:
    parts = energy_parts(energy_result(), "system")
    assert parts == {
        "prefill": {},
        "decode": {
            "matmul units": pytest.approx(100 * 0.0013055 * 1.5e-12),
            "DRAM weights": pytest.approx(8e-9),
            "DRAM kv": pytest.approx(4e-9),
        },
    }


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (2.0, (1.0, "")),
        (1.0, (1.0, "")),
        (0.5, (1e3, "m")),
        (2e-6, (1e6, "µ")),
        (3e-9, (1e9, "n")),
        (3e-11, (1e12, "p")),
    ],
)
def test_si_prefixes_give_numbers_from_1_to_1000(largest: float, expected: tuple[float, str]) -> None:
    assert style.scale_of(largest) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.192e12, "8.19 Tops/s"), (1e12, "1 Tops/s"), (16e9, "16 Gops/s"), (2e6, "2 Mops/s"), (999, "999 ops/s")],
)
def test_rates_have_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert style.rate_text(value, "ops/s") == text


def test_small_parts_are_one_only_if_there_are_two_and_all_bars_agree() -> None:
    (bar,) = style.merged([{"a": 98.5, "b": 0.9, "c": 0.6}])
    assert bar == {"a": 98.5, "2 others, < 1 % each": pytest.approx(1.5)}
    assert style.merged([{"a": 99.5, "b": 0.5}]) == [{"a": 99.5, "b": 0.5}]
    assert style.merged([{"a": 99.0, "b": 0.5, "c": 0.5}, {"b": 50.0, "c": 50.0}])[0] == {"a": 99.0, "b": 0.5, "c": 0.5}
    assert style.merged([{"a": 98.0, "b": 1.0, "c": 1.0}])[0] == {"a": 98.0, "b": 1.0, "c": 1.0}  # not below 1 %
    assert style.others([bar]) == ["2 others, < 1 % each"]


def test_parts_stand_by_size_then_name_and_what_was_merged_last() -> None:
    assert style.largest_first([{"b": 1.0, "a": 1.0, "9 others, < 1 % each": 5.0}, {"c": 2.0, "b": 0.5}]) == [
        "c", "b", "a", "9 others, < 1 % each",
    ]  # fmt: skip


def test_neighbours_differ_in_colour_and_hatch_and_legends_name_the_uppermost_first() -> None:
    found = style.fills([str(i) for i in range(48)])
    looks = [(fill["facecolor"], fill["hatch"]) for fill in found.values()]
    assert len(set(looks[:16])) == 16
    for (colour, hatch), (next_colour, next_hatch) in pairwise(looks):
        assert colour != next_colour
        assert hatch != next_hatch
    assert looks[:2] == [("#0072B2", ""), ("#E69F00", "////")]
    assert [patch.get_label() for patch in style.keys(found)][:2] == ["47", "46"]
