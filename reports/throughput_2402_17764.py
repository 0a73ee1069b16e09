"""`bitsim reproduce throughput`: Table 3 of arXiv 2402.17764, 70B on two A100-80GB.

Tokens per second at the paper's batch sizes are predicted with kernels fitted to single kernels' microseconds. The
batch sizes are not reproducible: memory only bounds them.
"""

from functools import cache
from typing import Any

from bitsim.hw.gpu import load_gpu
from bitsim.model.zoo import zoo_config
from bitsim.parallel.devices import EVEN, SERIAL, DeviceSplit
from bitsim.quant.recipes import recipe_named
from bitsim.serving.grid import Grid
from bitsim.serving.memory import kv_storage, needs_of
from bitsim.serving.roofline import Level
from bitsim.serving.serve import serving_grid
from reports.comparison import Row, notes, published
from reports.latency_2402_17764 import parameters
from reports.report import Progress, Report, comparison_report
from reports.systems import assumed_shape
from reports.systems_figure import draw_throughput

KV_BITS = {"llama-70b": 16, "bitnet-b158-70b": 8}
LEVELS: tuple[Level, Level] = ("low", "high")
PARAMETERS = {"llama-70b": parameters("fp16"), "bitnet-b158-70b": parameters("fp16", "w2a8")}


@cache
def numbers() -> dict[str, Any]:
    return published("2402.17764")


def grid(model: str, batches: list[int], split: DeviceSplit = EVEN, efficiency: Level = "nominal") -> Grid:
    """Decoding from the first position to the last."""
    setup = numbers()["throughput"]
    return serving_grid(
        model, setup["gpu"], devices=[setup["devices"]], batches=batches, prompt=1, new_tokens=setup["positions"] - 1,
        kv_bits=KV_BITS[model], split=split, efficiency=efficiency,
    )  # fmt: skip


def tokens_per_s(model: str, split: DeviceSplit = EVEN, efficiency: Level = "nominal") -> float:
    """At the paper's batch."""
    batch = numbers()["throughput"]["rows"][model]["batch"]
    return float(grid(model, [batch], split, efficiency).tokens_per_s[0, 0])


def kv_note(model: str) -> str:
    """What was assumed about the cache, and whether the paper's batch has room at 16 bits."""
    batch, room = numbers()["throughput"]["rows"][model]["batch"], largest_batch(model, 16)
    alone = "" if batch <= room else f": with 16 bits there is room for {room} only"
    return f"KV cache {KV_BITS[model]} bit assumed{alone}"


def largest_batch(model: str, kv_bits: int | None = None) -> int:
    """What memory has room for."""
    setup, config = numbers()["throughput"], zoo_config(model)
    storage = kv_storage(kv_bits or KV_BITS[model], recipe_named(config.default_numerics))
    needs = needs_of(config, storage, prompt=1, positions=setup["positions"])
    return needs.largest_batch(setup["devices"], load_gpu(setup["gpu"]).capacity_bytes)


def throughput_rows() -> list[Row]:
    """Everything that `bitsim reproduce throughput` prints."""
    setup = numbers()["throughput"]
    shared: dict[str, Any] = {"paper": numbers()["paper"], "location": setup["location"]}
    rows = []
    for model, found in setup["rows"].items():
        serial = tokens_per_s(model, SERIAL)
        low, high = (tokens_per_s(model, efficiency=level) for level in LEVELS)
        span = f"{low:.0f} to {high:.0f} over the assumed share of the peak rate"
        rows += [
            Row(
                **shared, item=f"{model} largest batch", unit="sequences", published=found["batch"],
                ours=largest_batch(model), label="not reproducible",
                note=notes(
                    "ours: the bound that memory sets; the paper's batches are multiples of 16 below it",
                    kv_note(model), assumed_shape(model),
                ),
            ),
            Row(
                **shared, item=f"{model} batch of the measurement", unit="sequences", published=found["batch"],
                ours=found["batch"], label="input", note=f"for tokens per second; {setup['setup']}",
            ),
            Row(
                **shared, item=f"{model} throughput at batch {found['batch']}", unit="tokens/s",
                published=found["tokens_per_s"], ours=tokens_per_s(model), label="predicted",
                parameters=PARAMETERS[model], uncertainty=0.5,
                note=notes(
                    EVEN.note, f"one device after the other: {serial:.0f}", span, kv_note(model), assumed_shape(model)
                ),
            ),
        ]  # fmt: skip
    full, small = setup["rows"]
    rows += [
        Row(
            **shared, item="batch, BitNet / LLaMA", unit="ratio", published=setup["batch_ratio"],
            ours=largest_batch(small) / largest_batch(full), label="not reproducible",
            note="quotient of two bounds that memory sets",
        ),
        Row(
            **shared, item="throughput, BitNet / LLaMA", unit="ratio", published=setup["tokens_ratio"],
            ours=tokens_per_s(small) / tokens_per_s(full), label="predicted", parameters=PARAMETERS[small],
            uncertainty=0.05, note="at the paper's batch sizes, which are inputs",
        ),
    ]  # fmt: skip
    return rows


def throughput_report(on_step: Progress) -> Report:
    """`bitsim reproduce throughput`."""
    rows = throughput_rows()
    on_step(1, 1)
    setup = numbers()["throughput"]
    sweeps = {model: grid(model, list(range(1, largest_batch(model) + 1))) for model in setup["rows"]}
    points = {model: (found["batch"], found["tokens_per_s"]) for model, found in setup["rows"].items()}
    inputs = {"kv bits (assumed)": KV_BITS, "split": EVEN.note}
    title = f"throughput of 2402.17764, {setup['setup']}"
    return comparison_report(title, rows, inputs, draw_throughput(sweeps, points))
