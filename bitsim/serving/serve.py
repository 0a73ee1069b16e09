"""Serving a model on GPUs: the largest batch, tokens per second, latency and energy per token, and what limits them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim._version import __version__
from bitsim.errors import BitsimError
from bitsim.hw.gpu import Gpu, load_gpu
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.forward import check_numerics
from bitsim.parallel.devices import EVEN, DeviceSplit
from bitsim.quant.recipes import recipe_named
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.provenance import notes_on_shape
from bitsim.serving.kernels import calibrated
from bitsim.serving.memory import WORKSPACE, Needs, check_fits, kv_storage, needs_of
from bitsim.serving.roofline import (
    FUSED,
    Hosted,
    Level,
    decode_time,
    kernel_calls,
    load_kernel,
    overhead_s,
    prompt_time,
)

Numbers = npt.NDArray[Any]
POWER = "energy is board power x time of all devices: an upper bound, whatever they do meanwhile"
POINTS = 200  # of a batch sweep


class ServeError(BitsimError):
    """A serving experiment with numbers that make no sense."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What serving gives for all device counts (rows) and batches (columns).

    `fits`: whether memory has room. `step_s`: one new token for every sequence, averaged over the growing contexts;
    `prompt_s`: one sequence's prompt, per device count. `limit`: what a step spends most time on. `memory_bytes`: per
    device. `communication_bytes`: what links move for a step.
    """

    devices: Numbers
    batch: Numbers
    fits: Numbers
    step_s: Numbers
    prompt_s: Numbers
    limit: Numbers
    memory_bytes: Numbers
    communication_bytes: Numbers
    parts_s: dict[str, Numbers]
    board_power_w: float
    new_tokens: int

    @property
    def tokens_per_s(self) -> Numbers:
        """New tokens of all sequences per second of decoding."""
        return np.asarray(self.batch[None, :] / self.step_s)

    @property
    def with_prompts_per_s(self) -> Numbers:
        """New tokens per second when the prompts' time counts too, one prompt after the other."""
        whole = self.new_tokens * self.step_s + self.batch[None, :] * self.prompt_s[:, None]
        return np.asarray(self.batch[None, :] * self.new_tokens / whole)

    @property
    def energy_per_token_j(self) -> Numbers:
        """Board power of all devices times the time per new token of decoding."""
        return np.asarray(self.board_power_w * self.devices[:, None] / self.tokens_per_s)

    def records(self) -> list[dict[str, Any]]:
        """One row per device count and batch that fits, in plain types."""
        tables = {
            "step_s": self.step_s,
            "tokens_per_s": self.tokens_per_s,
            "with_prompts_per_s": self.with_prompts_per_s,
            "energy_per_token_j": self.energy_per_token_j,
            "memory_bytes": self.memory_bytes,
            "communication_bytes": self.communication_bytes,
        } | {f"{name.replace(' ', '_')}_s": part for name, part in self.parts_s.items()}
        return [
            {"devices": int(self.devices[i]), "batch": int(self.batch[j])}
            | {name: float(table[i, j]) for name, table in tables.items()}
            | {"limit": str(self.limit[i, j])}
            for i, j in zip(*np.nonzero(self.fits), strict=True)
        ]


@dataclass(frozen=True, kw_only=True, repr=False)
class Serving(Outcome):
    """One model on a number of GPUs at `batch`; `grid`: the sweep over batches up to the largest that fits.

    Tables: sweep (over batches), memory (bytes per device by part), step (what its time is spent on).
    """

    model: str
    gpu: Gpu
    devices: int
    prompt: int
    new_tokens: int
    largest_batch: int
    batch: int
    needs: Needs
    grid: Grid
    assumed_constants: tuple[dict[str, str], ...]

    @property
    def kind(self) -> str:
        return "serve"

    @property
    def title(self) -> str:
        return (
            f"{self.model} on {self.devices} x {self.gpu.name}, {self.prompt} prompt and {self.new_tokens} new tokens "
            "per sequence"
        )

    def assumed(self) -> list[dict[str, str]]:
        return list(self.assumed_constants)

    def at_batch(self) -> dict[str, Any]:
        """The row of the sweep for `batch`."""
        return next(row for row in self.grid.records() if row["batch"] == self.batch)

    def memory(self) -> dict[str, float]:
        """Bytes per device at `batch` by part, with what the device keeps for itself and what is free."""
        parts = {name: float(size) for name, size in self.needs.parts(self.devices, self.batch).items()}
        parts["reserved by the device"] = self.gpu.reserved.nominal * 1e9
        return parts | {"free": self.gpu.memory.capacity.nominal * 1e9 - sum(parts.values())}

    def step(self) -> list[dict[str, Any]]:
        """What a step at `batch` spends its time on."""
        at = self.at_batch()
        seconds = {name: at[f"{name.replace(' ', '_')}_s"] for name in self.grid.parts_s}
        return [{"part": name, "time_s": time, "share": time / at["step_s"]} for name, time in seconds.items()]

    def headline(self) -> dict[str, Any]:
        """At `batch`: new tokens per second, seconds of a token and of a prompt, joules per token, what limits it."""
        at = self.at_batch()
        found = {"largest_batch": self.largest_batch, "prompt_s": float(self.grid.prompt_s[0])}
        names = ("batch", "tokens_per_s", "with_prompts_per_s", "step_s", "energy_per_token_j", "limit")
        return found | {name: at[name] for name in names}

    def makers(self) -> Makers:
        return {
            "sweep": self.grid.records,
            "memory": lambda: [{"part": part, "bytes": size} for part, size in self.memory().items()],
            "step": self.step,
        }


def serve(
    model: str | Path | Model,
    gpu: str | Path | Gpu,
    *,
    devices: int = 1,
    prompt: int = 512,
    new_tokens: int = 512,
    batch: int | None = None,
    kv_bits: int | None = None,
    numerics: str | None = None,
    split: DeviceSplit = EVEN,
) -> Serving:
    """Serve sequences of `prompt` and `new_tokens` tokens at `batch` (None: the largest that fits).

    `kv_bits`: 16, 8, 4 or 3; None takes what the numerics say, else 16. `split`: how devices share the model. Raises
    `ConfigError` with the numbers if the model, or the batch, has no room.
    """
    numbers = {"devices": devices, "prompt": prompt, "new_tokens": new_tokens, "batch": 1 if batch is None else batch}
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise ServeError(f"{name}: expected an integer >= 1, got {value!r}")
    model, gpu = model if isinstance(model, Model) else load_model(model), load_gpu(gpu)
    config = model.config
    recipe = recipe_named(numerics or config.default_numerics)
    check_numerics(config, recipe)
    storage = kv_storage(kv_bits, recipe)
    needs = needs_of(config, storage, prompt=prompt, positions=prompt + new_tokens)
    largest = check_fits(config, gpu, needs, devices)
    if batch is not None and batch > largest:
        raise ServeError(
            f"batch {batch}: {config.name} on {devices} x {gpu.name} has room for {largest} sequences of "
            f"{prompt + new_tokens} tokens ({needs.total(devices, batch) / 1e9:.2f} GB per device needed, "
            f"{gpu.capacity_bytes / 1e9:.2f} there)"
        )
    chosen = batch or largest
    batches = np.unique(np.append(np.geomspace(1, largest, POINTS).round().astype(np.int64), chosen))
    grid = serving_grid(
        model, gpu, devices=[devices], batches=batches, prompt=prompt, new_tokens=new_tokens, kv_bits=kv_bits,
        numerics=recipe.name, split=split,
    )  # fmt: skip
    kernels = sorted({call.kernel for call in kernel_calls(config, recipe)})
    return Serving(
        inputs={"bitsim": __version__, "model": model.name, "model_sha256": model.digest}
        | {"gpu": gpu.name, "gpu_sha256": gpu.sha256, "numerics": recipe.name, "split": split.name}
        | {"kv": str(storage) if isinstance(storage, int) else storage.name, "devices": devices}
        | {"prompt": prompt, "new_tokens": new_tokens, "batch": chosen},
        model=model.name,
        gpu=gpu,
        devices=devices,
        prompt=prompt,
        new_tokens=new_tokens,
        largest_batch=largest,
        batch=chosen,
        needs=needs,
        grid=grid,
        notes=(
            f"numerics {recipe.name}; KV cache {storage if isinstance(storage, int) else storage.name}",
            *(kernel_note(gpu, name) for name in kernels),
            *notes_on_shape(model, positions=prompt + new_tokens),
            f"{split.name}: {split.note}",
            FUSED,
            WORKSPACE,
            POWER,
        ),
        assumed_constants=assumed_constants(gpu, kernels),
    )


def serving_grid(
    model: str | Path | Model,
    gpu: str | Path | Gpu,
    *,
    devices: list[int],
    batches: list[int] | Numbers,
    prompt: int = 512,
    new_tokens: int = 512,
    kv_bits: int | None = None,
    numerics: str | None = None,
    split: DeviceSplit = EVEN,
    efficiency: Level = "nominal",
) -> Grid:
    """All device counts times all batches at once; what does not fit is marked, not refused.

    `efficiency`: which end of the kernels' assumed share of the peak rates.
    """
    model, gpu = model if isinstance(model, Model) else load_model(model), load_gpu(gpu)
    config = model.config
    recipe = recipe_named(numerics or config.default_numerics)
    storage = kv_storage(kv_bits, recipe)
    rows, columns = np.asarray(devices, dtype=np.float64)[:, None], np.asarray(batches, dtype=np.float64)[None, :]
    needs = needs_of(config, storage, prompt=prompt, positions=prompt + new_tokens)
    memory = needs.total(rows, columns)
    hosted = Hosted(config=config, recipe=recipe, gpu=gpu, split=split, efficiency=efficiency)
    step = decode_time(hosted, devices=rows, batch=columns, storage=storage, first=prompt + 1, last=prompt + new_tokens)
    return Grid(
        devices=np.asarray(devices),
        batch=np.asarray(batches),
        fits=memory <= gpu.capacity_bytes,
        step_s=step.total,
        prompt_s=prompt_time(hosted, rows[:, 0], prompt).total,
        limit=step.limits(),
        memory_bytes=memory,
        communication_bytes=split.communication_bytes(config, rows, columns),
        parts_s=step.parts(),
        board_power_w=gpu.board_power.nominal,
        new_tokens=new_tokens,
    )


def kernel_note(gpu: Gpu, name: str) -> str:
    """Which kernel, in which format it multiplies here, and how well it is known."""
    calibration, rate = calibrated(name), gpu.rate(load_kernel(name).multiply)
    how = "" if rate.native else f", emulated by {rate.by}: {gpu.emulated[load_kernel(name).multiply].source}"
    error = (
        f"; left-out error {100 * calibration.left_out_error:.1f} %; {calibration.within_l2} of its "
        f"{len(calibration.times)} times are of matrices that fit L2"
        if calibration.times
        else ""
    )
    share = 100 * calibration.bandwidth_efficiency
    return (
        f"kernel {name}: {1e6 * overhead_s(gpu, name):.1f} us per call, {share:.0f} % of the bandwidth, "
        f"fitted on {calibration.gpu} ({calibration.evidence}: {calibration.source}){error}{how}"
    )


def assumed_constants(gpu: Gpu, kernels: list[str]) -> tuple[dict[str, str], ...]:
    """The constants of GPU and kernels that no source gives."""
    constants = {f"{gpu.name}: {path}": constant for path, constant in gpu.constants().items()}
    for name in kernels:
        constants |= {f"kernel {name}: {path}": constant for path, constant in load_kernel(name).constants().items()}
    return tuple(
        {"constant": path, "value": constant.text(), "source": constant.source}
        for path, constant in constants.items()
        if constant.evidence == "assumed"
    )
