"""The energy tables and ratios of BitNet (arXiv 2310.11453) and b1.58 (2402.17764), from bitsim's own operators.

In the convention of `reports.forward_energy`; the energies of other models are in `reports.energy_2504_12285`.
"""

from functools import cache

from bitsim.cost import CONVENTIONS, PriceList, price_operator
from bitsim.cost.energy import OperatorCost
from bitsim.datapath.base import arithmetic_events
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.zoo import load_shape, zoo_config
from bitsim.results import Result
from bitsim.study import run
from reports.comparison import Row, notes, prints_as, published
from reports.energy_2504_12285 import model_rows
from reports.energy_figure import draw
from reports.forward_energy import FP16_CHIP, TOKENS, forward_energy, joules
from reports.report import Progress, Report, comparison_report

FFN_WIDTH = "FFN width 4 d, inferred from Table 1"
FORMATS = {"32": "fp32", "16": "fp16", "1": "bitnet"}
PROMPT = "In the beginning God created the heaven and the earth. And the earth was without form, and void;"


def size_energy(size: str, kind: str, technology: str) -> dict[str, float]:
    """Joules of the additions (`add`) and multiplications (`mul`) of one forward pass of `size`."""
    if kind == "fp32":
        return joules(fp32_parts(size, load_chip(FP16_CHIP).with_technology(technology)))
    return forward_energy(f"{'bitnet' if kind == 'bitnet' else 'fp16'}-{size.lower()}", technology)


def fp32_parts(size: str, chip: Chip) -> list[tuple[str, float]]:
    """The FP16 model's operators with every operation in FP32: a format that no chip of ours executes."""
    prices = PriceList(chip)
    config = zoo_config(f"fp16-{size.lower()}")
    operators = forward_operators(config, phase="prefill", tokens=TOKENS, context=TOKENS, merge_heads=True)
    return [
        (part, energy.nominal)
        for op in operators
        if op.is_matmul
        for part, energy in price_operator(
            OperatorCost(
                name=op.name, kind=op.kind, events=arithmetic_events("fp32", op.m, op.k, op.n) * op.repeat, time_ns=0
            ),
            prices,
            CONVENTIONS["arithmetic"],
        ).items()
    ]


def table_1_rows() -> list[Row]:
    """The 36 cells of Table 1."""
    data = published("2310.11453")
    table = data["table_1"]
    hopeless = {(c["size"], str(c["weight_bits"]), c["column"]) for c in table["not_reproducible"]}
    rows = []
    for size, formats in table["rows"].items():
        for bits, values in formats.items():
            for column, value in zip(table["columns"], values, strict=True):
                technology, operation = column.split()
                ours = size_energy(size, FORMATS[str(bits)], technology)[operation.lower()]
                same = prints_as(ours, value, 2)
                missed = (size, str(bits), column) in hopeless
                rows.append(
                    Row(
                        paper=data["paper"],
                        location=table["location"],
                        item=f"{size} W{bits} {column}",
                        unit=table["unit"],
                        published=value,
                        ours=ours,
                        label="not reproducible" if missed else "derived",
                        uncertainty=0.005,
                        note=notes(
                            "" if same else "prints differently",
                            "no convention that was tried prints it" if missed else "",
                            FFN_WIDTH,
                        ),
                    )
                )
    return rows


def ratio_rows() -> list[Row]:
    """The nine end-to-end ratios FP16 / BitNet at 7nm, and the same at 45nm, which the paper does not print."""
    data = published("2310.11453")
    figures = [
        (data["paper"], data["energy_ratio_7nm"]),
        (data["energy_ratio_7nm_b158"]["paper"], data["energy_ratio_7nm_b158"]),
    ]
    rows = []
    for paper, figure in figures:
        for size, value in figure["rows"].items():
            for technology in ("7nm", "45nm"):
                full, small = (sum(size_energy(size, kind, technology).values()) for kind in ("fp16", "bitnet"))
                shown = value if technology == "7nm" else None
                differs = shown is not None and not prints_as(full / small, shown, 1)
                shape = load_shape(f"bitnet-{size.lower()}")
                assumed = shape.evidence == "assumed"
                rows.append(
                    Row(
                        paper=paper,
                        location=figure["location"],
                        item=f"{size} FP16 / BitNet {technology}",
                        unit=figure["unit"],
                        published=shown,
                        ours=full / small,
                        label="derived",
                        uncertainty=0.05,
                        note=notes(
                            "last digit differs" if differs else "",
                            FFN_WIDTH,
                            f"assumed shape: {shape.source}" if assumed else "",
                        ),
                    )
                )
    return rows


def equivalence_rows() -> list[Row]:
    """BitNet over a smaller FP16 model: b1.58 claims less energy, and prints none, so that nothing is beside these."""
    data = published("2402.17764")
    claims = data["equivalences"]
    rows = []
    for claim in claims["claims"]:
        small, full = claim["energy"]["small"], claim["energy"]["full"]
        ours = sum(size_energy(small, "bitnet", "7nm").values()) / sum(size_energy(full, "fp16", "7nm").values())
        rows.append(
            Row(
                paper=data["paper"],
                location=claims["location"],
                item=f"BitNet {small} / FP16 {full} energy 7nm, claimed < 1",
                unit="ratio",
                published=None,
                ours=ours,
                label="derived",
                note=notes(f"the claim {'holds' if ours < 1 else 'does not hold'}", "shapes of 2310.11453", FFN_WIDTH),
            )
        )
    return rows


def matmul_rows() -> list[Row]:
    """71.4x, and what is left of it when a real model's linears are executed and more of the hardware is counted."""
    figure = published("2310.11453")["matmul_ratio_7nm"]
    prices = PriceList(load_chip("fp16-ws-64x64").with_technology("7nm"))
    pj = {name: prices.must_price(name, 1, "matmul").nominal for name in ("mul.fp16", "add.fp16", "add.int8")}
    shared = {"paper": figure["paper"], "location": figure["location"], "unit": figure["unit"]}
    rows = [
        Row(
            **shared,
            item="(FP16 mul + FP16 add) / INT8 add, 7nm",
            published=figure["value"],
            ours=(pj["mul.fp16"] + pj["add.fp16"]) / pj["add.int8"],
            label="derived",
        )
    ]
    full, small = tiny_runs()
    for convention, meaning in CONVENTIONS.items():
        ratio = linear_energy(full, convention) / linear_energy(small, convention)
        rows.append(
            Row(
                **shared,
                item=f"linears of tiny-fp16 / tiny-b158, executed, {convention} convention, 7nm",
                published=None,
                ours=ratio,
                label="measured",
                note=meaning.includes,
            )
        )
    return rows


@cache
def tiny_runs() -> tuple[Result, Result]:
    """The shipped FP16 and ternary models on their chips, same prompt, prefill and decode."""
    return (
        run("tiny-fp16", "fp16-ws-64x64", prompt=PROMPT, new_tokens=16, wide="datapath"),
        run("tiny-b158", "ternary-ws-64x64", prompt=PROMPT, new_tokens=16),
    )


def linear_energy(result: Result, convention: str) -> float:
    """Nominal pJ of the linear layers of a result."""
    return sum(energy.nominal for row, _, energy in result.breakdown(convention) if row.kind == "linear")


def inputs() -> dict[str, dict[str, str]]:
    """Versions and hashes of what the executed rows rest on."""
    return {result.inputs["model"]: dict(result.inputs) for result in tiny_runs()}


def energy_rows() -> list[Row]:
    """Everything that `bitsim reproduce energy` prints."""
    return matmul_rows() + table_1_rows() + ratio_rows() + equivalence_rows() + model_rows()


def energy_report(on_step: Progress) -> Report:
    """`bitsim reproduce energy`."""
    rows = energy_rows()
    on_step(1, 1)
    title = "energy: 2310.11453, 2402.17764 and 2504.12285, arithmetic convention unless the item says otherwise"
    return comparison_report(title, rows, inputs(), draw(rows))
