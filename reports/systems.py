"""What the reports on memory, latency and throughput of arXiv 2402.17764 share: rows, ratios and equivalences."""

from collections.abc import Callable, Mapping
from typing import Any

from bitsim.model.zoo import load_shape
from reports.comparison import Label, Row, notes

Value = Callable[[str], float]
SHAPE = "assumed shape"


def label_of(model: str, table: Mapping[str, Any]) -> Label:
    """Fitted if the published number of `model` set a parameter, else predicted."""
    return "fitted" if model in table.get("fits", ()) else "predicted"


def assumed_shape(*models: str) -> str:
    """A note on models whose shape is not published."""
    found = [model for model in models if load_shape(model).evidence == "assumed"]
    return f"{SHAPE}: {', '.join(found)}" if found else ""


def size_rows(
    data: Mapping[str, Any],
    what: str,
    value: Value,
    parameters: Mapping[str, tuple[str, ...]],
    note: Callable[[str], str],
) -> list[Row]:
    """Every size of Table 1 and of Figure 2; `parameters` by the kind of model, llama or bitnet."""
    table = data[what]
    digitised = table["digitised"]
    rows = []
    for location, numbers, relative in (
        (table["location"], table["rows"], 0.0),
        (digitised["location"], digitised["rows"], digitised["relative_uncertainty"]),
    ):
        for model, published in numbers.items():
            rows.append(
                Row(
                    paper=data["paper"],
                    location=location,
                    item=f"{model} {what}",
                    unit=table["unit"],
                    published=published,
                    ours=value(model),
                    label=label_of(model, table),
                    parameters=parameters[model.split("-")[0]],
                    uncertainty=max(table["uncertainty"], relative * published),
                    note=notes(note(model), assumed_shape(model)),
                )
            )
    return rows


def ratio_rows(
    data: Mapping[str, Any], what: str, value: Value, parameters: Mapping[str, tuple[str, ...]]
) -> list[Row]:
    """FP16 over BitNet; fitted if both numbers set a parameter."""
    table = data[what]
    rows = []
    for ratio in table["ratios"]:
        full, small = ratio["full"], ratio["small"]
        both = {label_of(full, table), label_of(small, table)} == {"fitted"}
        rows.append(
            Row(
                paper=data["paper"],
                location=ratio["location"],
                item=f"{full} / {small} {what}",
                unit="ratio",
                published=ratio["value"],
                ours=value(full) / value(small),
                label="fitted" if both else "predicted",
                parameters=tuple(dict.fromkeys(parameters["llama"] + parameters["bitnet"])),
                uncertainty=0.005,
                note=assumed_shape(full, small),
            )
        )
    return rows


def equivalence_rows(
    data: Mapping[str, Any], what: str, value: Value, parameters: Mapping[str, tuple[str, ...]]
) -> list[Row]:
    """BitNet over a smaller FP16 model: claimed to be below 1. Published: the quotient of the paper's own numbers."""
    table, claims = data[what], data["equivalences"]
    digitised = table["digitised"]
    printed = table["rows"] | digitised["rows"]
    rows = []
    for claim in claims["claims"]:
        full, small = claim["full"], claim["small"]
        shared: dict[str, Any] = {
            "paper": data["paper"],
            "location": f"{claims['location']}; quotient of {table['location']} and Figure 2",
            "item": f"{small} / {full} {what}, claimed < 1",
            "unit": "ratio",
        }
        if small in claims["unpublished"]:
            why = f"neither the shape of {small} nor its {what} is published"
            rows.append(Row(**shared, published=None, ours=None, label="not reproducible", note=why))
            continue
        published, ours = printed[small] / printed[full], value(small) / value(full)
        verdict = "holds" if published < 1 else "is contradicted by the paper's own figure"
        rows.append(
            Row(
                **shared,
                published=published,
                ours=ours,
                label="predicted",
                parameters=tuple(dict.fromkeys(parameters["llama"] + parameters["bitnet"])),
                uncertainty=2 * digitised["relative_uncertainty"] * published,
                note=notes(
                    f"the claim {verdict}; ours {'agrees' if ours < 1 else 'contradicts it'}",
                    assumed_shape(full, small),
                ),
            )
        )
    return rows
