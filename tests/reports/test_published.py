"""Every published number that reports hold, typed a second time: from the papers' tables, not from reports/published.

The same numbers were read a third time into shared/facts/published.yaml, which some checkouts have beside them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import reports
from reports.comparison import published

HELD = Path(reports.__file__).parent / "published"
Numbers = dict[str, float | None]

TABLE_1 = {  # arXiv 2310.11453: J of 7nm MUL, 7nm ADD, 45nm MUL, 45nm ADD
    "6.7B": {32: "4.41 1.28 12.46 3.03", 16: "1.14 0.54 3.70 1.35", 1: "0.02 0.04 0.08 0.13"},
    "13B": {32: "8.58 2.49 24.23 5.89", 16: "2.23 1.05 7.20 2.62", 1: "0.04 0.06 0.12 0.24"},
    "30B": {32: "20.09 5.83 56.73 13.80", 16: "5.21 2.45 16.87 6.13", 1: "0.06 0.14 0.20 0.53"},
}
ENERGY_RATIOS = {"125M": 8.8, "350M": 11.0, "760M": 15.0, "1.3B": 18.6, "2.7B": 21.7, "6.7B": 29.1, "13B": 32.9,
                 "30B": 38.8}  # fmt: skip
SIZES = {  # arXiv 2402.17764: GB, ms
    "llama-700m": (2.08, 1.18), "llama-1.3b": (3.34, 1.62), "llama-3b": (7.89, 5.07),
    "bitnet-b158-700m": (0.80, 0.96), "bitnet-b158-1.3b": (1.14, 0.97), "bitnet-b158-3b": (2.22, 1.87),
    "bitnet-b158-3.9b": (2.38, 2.11),
}  # fmt: skip
DIGITISED = {  # GB, ms
    "llama-7b": (14.6, 9.7), "llama-13b": (27.5, 16.9), "llama-70b": (131, 79),
    "bitnet-b158-7b": (3.35, 3.35), "bitnet-b158-13b": (5.4, 4.55), "bitnet-b158-70b": (18.5, 19.4),
}  # fmt: skip
RATIOS = [  # memory, latency
    ("llama-700m", "bitnet-b158-700m", 2.60, 1.23),
    ("llama-3b", "bitnet-b158-3.9b", 3.32, 2.40),
    ("llama-1.3b", "bitnet-b158-1.3b", 2.93, 1.67),
    ("llama-3b", "bitnet-b158-3b", 3.55, 2.71),
    ("llama-7b", "bitnet-b158-7b", 4.40, 2.90),
    ("llama-13b", "bitnet-b158-13b", 5.12, 3.68),
    ("llama-70b", "bitnet-b158-70b", 7.16, 4.10),
]
CPU_SIZES = ("125M", "350M", "700M", "1B", "1.5B", "2.5B", "3.8B", "7B", "13B", "30B", "70B", "100B")
CPU_SPEEDS: dict[str, tuple[float | None, ...]] = {  # arXiv 2410.16144 Table 4, tokens per second
    "llama.cpp": (434.4, 186.56, 114.47, 85.6, 60.95, 39.73, 28.31, 15.61, 8.79, 3.78, 1.71, None),
    "bitnet.cpp": (593.43, 281.51, 194.38, 169.45, 119.24, 96.21, 84.77, 52.36, 33.78, 17.07, 8.67, 6.58),
}
CPU_ENERGIES = {"llama.cpp": (0.314, 3.013, 28.02), "bitnet.cpp": (0.14, 1.068, 8.42)}  # J/token of 700M, 7B, 70B
SPARSITY = {  # arXiv 2411.04965 Table 2: qkv, out, up, gate, down, overall in %, activated in 1e9
    ("700M", "b1.58"): (1.2, 5.9, 1.2, 1.2, 21.8, 6.2, 0.638),
    ("700M", "a4.8"): (12.1, 50, 66.2, 12.1, 80.9, 42.5, 0.39),
    ("1.3B", "b1.58"): (1.3, 5.8, 1.2, 1.2, 22.8, 6.4, 1.1), ("1.3B", "a4.8"): (12.0, 50, 65.9, 12.1, 81.8, 42.7, 0.7),
    ("3B", "b1.58"): (1.4, 7.1, 1.3, 1.3, 30.0, 8.2, 3), ("3B", "a4.8"): (12.1, 50, 70.7, 12.1, 85.6, 44.7, 1.8),
    ("7B", "b1.58"): (1.7, 11.2, 1.4, 1.4, 24.2, 7.3, 6), ("7B", "a4.8"): (12.1, 50, 71.4, 12.0, 84.2, 44.5, 3.4),
}  # fmt: skip
HARDWARE: Numbers = {
    "trinity.token": 15.9, "trinity.tokens16": 467,
    "vitallm.decode_v1": 72.46, "vitallm.prefill_v1": 0.88, "vitallm.decode_v2": 70.70,
    "vitallm.logic": 0.933, "vitallm.core_v1": 0.816, "vitallm.core_v2": 0.933,
    "vitallm.dram_2b": None, "vitallm.dram_1p6b": None,
    "tereffic.named": 727, "tereffic.shaped": 727, "tereffic.dram": None, "tereffic.power": 46,
    "tereffic.onchip": 16300,
    "ternarycore.pass": 1031, "ternarycore.projections": 345.9, "ternarycore.paging": 645.7,
    "ternarycore.both": 991.6, "ternarycore.power": 0.1036,
    "ternarycore.token_0": 2880, "ternarycore.token_63": 2880, "ternarycore.token_127": 3023,
    "ternarycore.token_255": 3568, "ternarycore.token_511": 4656,
    "slim_llama.peak": 4.92, "slim_llama.token": 489, "tenet.a100": 2.7, "tom.rom": 498.54, "tom.token": 1.61,
    "cutie.op": 0.965, "bitmod.fp16": 1.155, "bitrom.efficiency": 20.8, "platinum.power": 3.2,
    "simba.efficiency": 9.5, "braintta.op": 67, "taalas.power": 250, "tellme.v1": 9, "tellme.v2": 25,
    "pd_swap.decode": 27, "pim_llm.speed": 80, "mr_wolf.leakage": 0.108,
    # mW, all that a chip draws
    "leakage.slim_llama": 4.69, "leakage.vitallm": 65.97, "leakage.eyeriss_v1": 278, "leakage.eyeriss_v2": 574,
    "leakage.vega": 49.4, "leakage.simba": 33.7, "leakage.alpha": 30, "leakage.groq": 300e3, "leakage.cs1": 20e6,
    "leakage.gc200": 150e3,
}  # fmt: skip


def flattened(content: Any, place: str = "") -> Iterator[tuple[str, float | None]]:
    """Numbers, and None where a source gives none, by their place in a file."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from flattened(value, f"{place}/{name}" if place else str(name))
    elif isinstance(content, list):
        for i, value in enumerate(content):
            yield from flattened(value, f"{place}/{i}")
    elif content is None or (isinstance(content, int | float) and not isinstance(content, bool)):
        yield place, content


def listed(place: str, values: Any) -> Numbers:
    return {f"{place}/{i}": float(value) for i, value in enumerate(values)}


def sizes(of: str, column: int) -> Numbers:
    """Memory or latency of arXiv 2402.17764."""
    found: Numbers = {f"{of}/uncertainty": 0.005, f"{of}/digitised/relative_uncertainty": 0.04}
    found |= {f"{of}/rows/{model}": values[column] for model, values in SIZES.items()}
    found |= {f"{of}/digitised/rows/{model}": values[column] for model, values in DIGITISED.items()}
    return found | {f"{of}/ratios/{i}/value": ratio[2 + column] for i, ratio in enumerate(RATIOS)}


def expected() -> dict[str, Numbers]:
    """By paper, all numbers of its file."""
    bitnet: Numbers = {"matmul_ratio_7nm/value": 71.4, "energy_ratio_7nm_b158/rows/70B": 41.2}
    bitnet |= {f"energy_ratio_7nm/rows/{size}": ratio for size, ratio in ENERGY_RATIOS.items()}
    for size, formats in TABLE_1.items():
        for bits, row in formats.items():
            bitnet |= listed(f"table_1/rows/{size}/{bits}", row.split())
    bitnet |= {f"table_1/not_reproducible/{i}/weight_bits": 1 for i in range(2)}
    throughput: Numbers = {
        "throughput/devices": 2, "throughput/positions": 512,
        "throughput/rows/llama-70b/batch": 16, "throughput/rows/llama-70b/tokens_per_s": 333,
        "throughput/rows/bitnet-b158-70b/batch": 176, "throughput/rows/bitnet-b158-70b/tokens_per_s": 2977,
        "throughput/batch_ratio": 11.0, "throughput/tokens_ratio": 8.9,
    }  # fmt: skip
    cpu: Numbers = {}
    for program, speeds in CPU_SPEEDS.items():
        cpu |= {f"speed/{program}/{size}": speed for size, speed in zip(CPU_SIZES, speeds, strict=True)}
        joules = zip(("700M", "7B", "70B"), CPU_ENERGIES[program], strict=True)
        cpu |= {f"energy/{program}/{size}": energy for size, energy in joules}
    a48: Numbers = {"claims/memory_vs_llama": 10, "claims/speed_vs_llama": 4, "claims/speed_vs_b158": 2}
    for (size, kind), row in SPARSITY.items():
        a48 |= listed(f"table_2/rows/{size}/{kind}", row)
    gpu: Numbers = {"end_to_end/prompt": 512, "end_to_end/new_tokens": 64, "end_to_end/bf16_ms": 709.65,
                    "end_to_end/w2a8_ms": 231.82, "end_to_end/ratio": 3.06}  # fmt: skip
    return {
        "2310.11453": bitnet,
        "2402.17764": sizes("memory", 0) | sizes("latency", 1) | throughput,
        "2410.16144": cpu,
        "2411.04965": a48,
        "2504.12285": {
            "cpu_time/value": 29,
            "energy/rows/LLaMA 3.2 1B": 0.258,
            "energy/rows/Gemma-3 1B": 0.186,
            "energy/rows/Qwen2.5 1.5B": 0.347,
            "energy/rows/SmolLM2 1.7B": 0.425,
            "energy/rows/MiniCPM 2B": 0.649,
            "energy/rows/BitNet b1.58 2B": 0.028,
        },
        "bitnet-gpu": gpu,
        "hardware": {f"values/{key}/value": value for key, value in HARDWARE.items()},
    }


def test_every_file_of_published_numbers_is_typed_a_second_time() -> None:
    assert {path.stem for path in HELD.glob("*")} == set(expected())


@pytest.mark.parametrize("paper", list(expected()))
def test_published_numbers_are_those_of_the_source(paper: str) -> None:
    content = published(paper)
    if paper == "hardware":  # the sources stand there once more, by name
        content = {"values": content["values"]}
    assert dict(flattened(content)) == expected()[paper]


def test_published_numbers_have_their_unit_place_and_paper() -> None:
    units = {
        (paper, place): value["unit"]
        for paper in expected()
        for place, value in published(paper).items()
        if isinstance(value, dict) and "unit" in value
    }
    assert units == {
        ("2310.11453", "table_1"): "J",
        ("2310.11453", "energy_ratio_7nm"): "ratio",
        ("2310.11453", "energy_ratio_7nm_b158"): "ratio",
        ("2310.11453", "matmul_ratio_7nm"): "ratio",
        ("2402.17764", "memory"): "GB",
        ("2402.17764", "latency"): "ms",
        ("2410.16144", "speed"): "token/s",
        ("2410.16144", "energy"): "J/token",
        ("2411.04965", "claims"): "ratio",
        ("2504.12285", "cpu_time"): "ms",
        ("2504.12285", "energy"): "J",
    }
    table = published("2310.11453")["table_1"]
    assert table["columns"] == ["7nm MUL", "7nm ADD", "45nm MUL", "45nm ADD"]
    missed = [(c["size"], c["weight_bits"], c["column"]) for c in table["not_reproducible"]]
    assert missed == [("6.7B", 1, "7nm ADD"), ("30B", 1, "7nm ADD")]
    assert published("2411.04965")["table_2"]["columns"] == ["qkv", "out", "up", "gate", "down", "overall", "activated"]
    for what in ("memory", "latency"):
        pairs = [(ratio["full"], ratio["small"]) for ratio in published("2402.17764")[what]["ratios"]]
        assert pairs == [(full, small) for full, small, _, _ in RATIOS]


@pytest.mark.parametrize("paper", [name for name in expected() if name[0].isdigit()])
def test_files_are_named_by_their_paper(paper: str) -> None:
    assert published(paper)["paper"] == paper


@pytest.mark.parametrize(("column", "place"), [(0, 2), (1, 3)])
def test_printed_ratios_are_those_of_the_printed_sizes(column: int, place: int) -> None:
    """GB or ms of one model over those of the other, to what both last digits and reading a figure (4 % each) leave."""
    for ratio in RATIOS:
        full, small = ({**SIZES, **DIGITISED}[model][column] for model in ratio[:2])
        digits = 0.005 / full + 0.005 / small if ratio[0] in SIZES else 0.08
        assert full / small == pytest.approx(ratio[place], rel=digits + 0.005 / ratio[place])


def test_throughput_ratios_are_quotients_of_their_rows() -> None:
    assert 176 / 16 == 11.0
    assert round(2977 / 333, 1) == 8.9


def test_vitallms_energy_is_its_power_over_its_rate_and_ternarycores_sum_is_of_its_parts() -> None:
    assert HARDWARE["vitallm.logic"] == round(65.97 / 70.70, 3)
    assert HARDWARE["ternarycore.both"] == pytest.approx(345.9 + 645.7)
    assert HARDWARE["ternarycore.power"] == pytest.approx(1.803 - 1.6994)


def facts() -> dict[str, Any]:
    """The numbers that were read a third time, if they are there."""
    for folder in Path(__file__).resolve().parents:
        path = folder / "shared" / "facts" / "published.yaml"
        if path.exists():
            return {entry["key"]: entry["value"] for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["data"]}
    pytest.skip("no shared/facts beside this checkout")


def test_the_numbers_typed_here_are_those_of_the_shared_facts() -> None:
    known = facts()
    for size, formats in TABLE_1.items():
        for bits, row in formats.items():
            name = {32: "fp32", 16: "fp16", 1: "w1a8"}[bits]
            columns = ("mul_7nm", "add_7nm", "mul_45nm", "add_45nm")
            assert [known[f"b1.energy.{size}.{name}.{c}"] for c in columns] == [float(v) for v in row.split()]
    assert {size: known[f"b1.energy_ratio_7nm.{size}"] for size in ENERGY_RATIOS} == ENERGY_RATIOS
    assert known["b158.matmul_energy_ratio_7nm"] == 71.4
    assert known["b158.e2e_energy_ratio.70B"] == 41.2
    for prefix, models in (("b158", SIZES), ("b158.fig2_digitised", DIGITISED)):
        for model, values in models.items():
            kind, size = ("LLaMA" if model.startswith("llama") else "BitNet"), model.rpartition("-")[2].upper()
            assert tuple(known[f"{prefix}.{what}.{kind}-{size}"] for what in ("memory", "latency")) == values
    for full, small, memory, latency in RATIOS:
        size = small.rpartition("-")[2].upper() + ("_vs_3B" if (full, small[-4:]) == ("llama-3b", "3.9b") else "")
        assert (known[f"b158.memory_ratio.{size}"], known[f"b158.latency_ratio.{size}"]) == (memory, latency)
    for model, batch, rate in (("LLaMA", 16, 333), ("BitNet", 176, 2977)):
        assert known[f"b158.throughput.{model}-70B"] == {"batch": batch, "tokens_s": rate}
    for program, key in (("llama.cpp", "llama"), ("bitnet.cpp", "bitnet")):
        assert tuple(known[f"cpp1.tok_s.M2.{key}.Table4"][size] for size in CPU_SIZES) == CPU_SPEEDS[program]
        assert tuple(known[f"cpp1.energy.M2.{key}"].values()) == CPU_ENERGIES[program]
    for (size, kind), row in SPARSITY.items():
        found = known[f"a48.sparsity.{size}.{kind}"]
        percent = tuple(found[column] for column in ("qkv", "out", "up", "gate", "down", "overall"))
        assert (*percent, found["activated_params"] / 1e9) == row
    assert known["2b4t.cpu_tpot.BitNet-2B4T"] == 29
