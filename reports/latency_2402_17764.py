"""`bitsim reproduce latency`: latencies of arXiv 2402.17764 and the A100 kernels of microsoft/BitNet.

Two kernels are fitted to their published microseconds (two parameters each); everything else is predicted with them:
the latency per token of whole models, of which batch and context are not stated, and one end-to-end run.
"""

from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from bitsim.hw.gpu import load_gpu
from bitsim.model.config import ModelConfig
from bitsim.model.zoo import zoo_config
from bitsim.parallel.devices import EVEN, SERIAL
from bitsim.quant.recipes import recipe_named
from bitsim.serving.kernels import calibrated
from bitsim.serving.memory import needs_of
from bitsim.serving.roofline import Hosted, decode_time, prompt_time
from reports.comparison import Row, published
from reports.report import Progress, Report, comparison_report
from reports.systems import equivalence_rows, ratio_rows, size_rows
from reports.systems_figure import draw_sizes

GPU = "a100-80gb"
CONTEXT = 512  # neither batch nor context is stated
KERNELS = {"llama": "fp16", "bitnet": "w2a8"}
ONE = np.asarray(1.0)


def parameters(*kernels: str) -> tuple[str, ...]:
    return tuple(f"{kernel} {what}" for kernel in kernels for what in ("overhead", "bandwidth efficiency"))


PARAMETERS = {"llama": parameters("fp16"), "bitnet": parameters("fp16", "w2a8")}


@cache
def numbers() -> dict[str, Any]:
    return published("2402.17764")


def fewest_devices(config: ModelConfig) -> int:
    """As many GPUs as one sequence needs; they work one after the other."""
    needs = needs_of(config, 16, prompt=CONTEXT, positions=CONTEXT)
    found = needs.fewest_devices(load_gpu(GPU).capacity_bytes)
    assert found is not None
    return found


@cache
def latency_ms(model: str) -> float:
    """One token of one sequence."""
    config = zoo_config(model)
    hosted = Hosted(config=config, recipe=recipe_named(config.default_numerics), gpu=load_gpu(GPU), split=SERIAL)
    devices = np.asarray(float(fewest_devices(config)))
    step = decode_time(hosted, devices=devices, batch=ONE, storage=16, first=CONTEXT, last=CONTEXT)
    return 1e3 * float(step.total)


def note(model: str) -> str:
    devices = fewest_devices(zoo_config(model))
    where = f"{devices} x {GPU} one after the other" if devices > 1 else GPU
    return f"batch 1, context {CONTEXT} assumed, {where}"


def kernel_rows() -> list[Row]:
    """The microseconds that the kernels are fitted to, with what the fit says when it has not seen them."""
    rows = []
    for kernel in KERNELS.values():
        calibration = calibrated(kernel)
        for time in calibration.times:
            rows.append(
                Row(
                    paper="microsoft/BitNet 16da220",
                    location="gpu/README.md",
                    item=f"{kernel} kernel, N = {time.n}, K = {time.k}, {calibration.gpu}",
                    unit="us",
                    published=1e6 * time.measured_s,
                    ours=1e6 * time.fitted_s,
                    label="fitted",
                    parameters=parameters(kernel),
                    uncertainty=0.005,
                    note=f"left out of the fit: {1e6 * time.left_out_s:.2f} us ({100 * time.left_out_error:+.1f} %)",
                )
            )
    return rows


def end_to_end_ms(kind: str) -> float:
    """Prompt and new tokens of the 2B model, W2A8 or in 16 bits, on one GPU."""
    setup = published("bitnet-gpu")["end_to_end"]
    config = zoo_config(setup["model"])
    if kind == "bf16":
        config = replace(config, linear_class=None, weight_bits_per_weight=Fraction(16))
    recipe, gpu = recipe_named(config.default_numerics), load_gpu(published("bitnet-gpu")["gpu"])
    hosted = Hosted(config=config, recipe=recipe, gpu=gpu, split=EVEN)
    prompt, new = setup["prompt"], setup["new_tokens"]
    step = decode_time(hosted, devices=ONE, batch=ONE, storage=16, first=prompt + 1, last=prompt + new)
    return 1e3 * float(prompt_time(hosted, ONE, prompt).total + new * step.total)


def end_to_end_rows() -> list[Row]:
    """The published run of the 2B model."""
    data = published("bitnet-gpu")
    setup = data["end_to_end"]
    shared: dict[str, Any] = {"paper": data["paper"], "location": data["location"], "label": "predicted"}
    what = f"{setup['model']}, {setup['prompt']} prompt and {setup['new_tokens']} new tokens"
    ours = {kind: end_to_end_ms(kind) for kind in ("bf16", "w2a8")}
    why = "the run's host time and its kernels between matmuls are not modelled"
    rows = [
        Row(
            **shared, item=f"{what}, {kind}", unit="ms", published=setup[f"{kind}_ms"], ours=ours[kind],
            parameters=PARAMETERS["llama" if kind == "bf16" else "bitnet"], uncertainty=0.005, note=why,
        )
        for kind in ours
    ]  # fmt: skip
    ratio = ours["bf16"] / ours["w2a8"]
    rows.append(
        Row(
            **shared, item=f"{what}, bf16 / w2a8", unit="ratio", published=setup["ratio"], ours=ratio,
            parameters=PARAMETERS["bitnet"], uncertainty=0.005, note=why,
        )
    )  # fmt: skip
    return rows


def latency_rows() -> list[Row]:
    """Everything that `bitsim reproduce latency` prints."""
    return (
        kernel_rows()
        + size_rows(numbers(), "latency", latency_ms, PARAMETERS, note)
        + ratio_rows(numbers(), "latency", latency_ms, PARAMETERS)
        + equivalence_rows(numbers(), "latency", latency_ms, PARAMETERS)
        + end_to_end_rows()
    )


def latency_report(on_step: Progress) -> Report:
    """`bitsim reproduce latency`."""
    rows = latency_rows()
    on_step(1, 1)
    fitted = {
        kernel: {
            "overhead_us": 1e6 * calibrated(kernel).overhead_s,
            "bandwidth_efficiency": calibrated(kernel).bandwidth_efficiency,
            "mean_left_out_error": calibrated(kernel).left_out_error,
        }
        for kernel in KERNELS.values()
    }
    title = "latency of 2402.17764 and kernels of microsoft/BitNet, A100"
    return comparison_report(title, rows, {"fitted parameters": fitted}, draw_sizes(rows, "latency", "ms"))
