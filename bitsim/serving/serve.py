"""Serving a model on GPUs, a CPU or a chip: the largest batch, tokens per second, latency, energy, and their limit."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from bitsim._version import __version__
from bitsim.errors import BitsimError
from bitsim.hw.chip import Chip
from bitsim.hw.cpu import Cpu
from bitsim.hw.gpu import Gpu, load_gpu
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.config import ModelConfig, Rounded
from bitsim.model.footprint import FP16_BITS
from bitsim.model.forward import check_numerics
from bitsim.parallel.devices import EVEN, DeviceSplit
from bitsim.quant.kv import KVStorage
from bitsim.quant.recipes import Recipe, recipe_named
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.provenance import notes_on, notes_on_shape
from bitsim.schedule import ASSUMPTIONS as SCHEDULE_ASSUMPTIONS
from bitsim.serving.grid import Grid, power_per_token
from bitsim.serving.hardware import Hardware, load_hardware, room_of
from bitsim.serving.memory import WORKSPACE, Needs, check_fits, kv_storage, needs_of
from bitsim.serving.on_chip import MODEL as CHIP_MODEL
from bitsim.serving.on_chip import chip_grid, chip_needs
from bitsim.serving.on_cpu import MODEL as CPU_MODEL
from bitsim.serving.on_cpu import NO_POWER, cpu_grid
from bitsim.serving.remarks import assumed_constants, kernel_note
from bitsim.serving.roofline import (
    FUSED,
    Hosted,
    Level,
    decode_time,
    kernel_calls,
    prompt_time,
)
from bitsim.study.numerics import executed_as

Numbers = npt.NDArray[Any]
POWER = "energy is board power x time of all devices: an upper bound, whatever they do meanwhile"
POINTS = 200  # of a batch sweep


class ServeError(BitsimError):
    """A serving experiment with numbers that make no sense."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Serving(Outcome):
    """One model on a number of devices at `batch`; `grid`: the sweep over batches up to the largest that fits.

    Tables: sweep (over batches), memory (bytes per device by part), step (what its time is spent on).
    """

    model: str
    hardware: Hardware
    devices: int
    prompt: int
    new_tokens: int
    largest_batch: int
    batch: int
    needs: Needs
    grid: Grid
    assumed_constants: tuple[dict[str, Any], ...]

    @property
    def kind(self) -> str:
        return "serve"

    @property
    def title(self) -> str:
        where = f"{self.model} on {self.devices} x {self.hardware.name}"
        return f"{where}, {self.prompt} prompt and {self.new_tokens} new tokens per sequence"

    def assumed(self) -> list[dict[str, Any]]:
        return list(self.assumed_constants)

    def at_batch(self) -> dict[str, Any]:
        """The row of the sweep for `batch`."""
        return next(row for row in self.grid.records() if row["batch"] == self.batch)

    def memory(self) -> dict[str, float]:
        """Bytes per device at `batch` by part, with what the device keeps for itself and what is free."""
        parts = {name: float(size) for name, size in self.needs.parts(self.devices, self.batch).items()}
        room = room_of(self.hardware)
        parts["reserved by the device"] = room.reserved
        return parts | {"free": room.capacity - sum(parts.values())}

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
    hardware: str | Path | Gpu | Cpu | Chip,
    *,
    devices: int = 1,
    prompt: int = 512,
    new_tokens: int = 512,
    batch: int | None = None,
    packing: str | None = None,
    kv_bits: int | None = None,
    head_bits: int | None = None,
    embedding_bits: int | None = None,
    numerics: str | None = None,
    split: DeviceSplit = EVEN,
) -> Serving:
    """Serve sequences of `prompt` and `new_tokens` tokens at `batch` (None: the largest that fits).

    `hardware`: GPUs, one CPU, or one chip, each with its own model of time: a roofline per kernel, one of the whole
    token, or an estimate for each batch. `kv_bits`: 16, 8, 4 or 3; None takes what the numerics say, else 16.
    `packing`, `head_bits`, `embedding_bits`: see `bitsim.model.variants`. `split`: how GPUs share the model. Raises
    `ConfigError` with the numbers if the model, or the batch, has no room.
    """
    numbers = {"devices": devices, "prompt": prompt, "new_tokens": new_tokens, "batch": 1 if batch is None else batch}
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise ServeError(f"{name}: expected an integer >= 1, got {value!r}")
    model, hardware = model if isinstance(model, Model) else load_model(model), load_hardware(hardware)
    if not isinstance(hardware, Gpu) and (devices > 1 or split is not EVEN):
        raise ServeError(f"{hardware.name}: expected one device without links; for several chips: bitsim parallel")
    model, recipe = executed_as(
        model, hardware if isinstance(hardware, Chip) else None, numerics=numerics, packing=packing, kv_bits=kv_bits,
        head_bits=head_bits, embedding_bits=embedding_bits,
    )  # fmt: skip
    check_numerics(model.config, recipe)
    if isinstance(hardware, Gpu) and model.config.linear_class in get_args(Rounded):
        raise ServeError(f"numerics {recipe.name}: no GPU kernel with such weights is known; choose a CPU or a chip")
    if isinstance(hardware, Gpu) and model.config.head_bits != FP16_BITS:
        raise ServeError(
            f"head_bits {float(model.config.head_bits):g}: no GPU kernel with such a head is known; choose a CPU or a "
            f"chip, or head_bits {FP16_BITS} for its values in FP16"
        )
    storage, room = recipe.kv or 16, room_of(hardware)
    asked = _Asked(
        model=model, hardware=hardware, recipe=recipe, storage=storage, devices=devices, prompt=prompt,
        new_tokens=new_tokens, split=split,
    )  # fmt: skip
    needs = asked.needs()
    largest = check_fits(model.config, hardware.name, room.free, needs, devices)
    if batch is not None and batch > largest:
        raise ServeError(
            f"batch {batch}: {model.config.name} on {devices} x {hardware.name} has room for {largest} sequences of "
            f"{asked.positions} tokens ({needs.total(devices, batch) / 1e9:.2f} GB per device needed, "
            f"{room.free / 1e9:.2f} there)"
        )
    chosen = batch or largest
    grid, assumed, remarks = asked.sweep(needs, largest, chosen)
    return Serving(
        inputs={"bitsim": __version__, "model": model.name, "model_sha256": model.digest}
        | {room.key: hardware.name, f"{room.key}_sha256": hardware.sha256, "numerics": recipe.name, "split": split.name}
        | {"kv": str(storage) if isinstance(storage, int) else storage.name, "devices": devices}
        | {"prompt": prompt, "new_tokens": new_tokens, "batch": chosen},
        model=model.name,
        hardware=hardware,
        devices=devices,
        prompt=prompt,
        new_tokens=new_tokens,
        largest_batch=largest,
        batch=chosen,
        needs=needs,
        grid=grid,
        notes=(*asked.notes(), *remarks),
        assumed_constants=tuple(assumed),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What `serve` was asked for; each kind of hardware answers in its own way."""

    model: Model
    hardware: Hardware
    recipe: Recipe
    storage: KVStorage
    devices: int
    prompt: int
    new_tokens: int
    split: DeviceSplit

    @property
    def positions(self) -> int:
        return self.prompt + self.new_tokens

    @property
    def kernels(self) -> list[str]:
        """The kernels that a GPU executes the model with; others have none."""
        if not isinstance(self.hardware, Gpu):
            return []
        return sorted({call.kernel for call in kernel_calls(self.model.config, self.recipe)})

    def needs(self) -> Needs:
        if isinstance(self.hardware, Chip):
            return chip_needs(self.model, self.hardware, self.recipe, self.positions)
        alone = needs_of(self.model.config, self.storage, prompt=self.prompt, positions=self.positions)
        return _shared(alone, self.split, self.model.config, self.devices)

    def sweep(self, needs: Needs, largest: int, chosen: int) -> tuple[Grid, list[dict[str, Any]], tuple[str, ...]]:
        """Batches up to the largest, the constants without a source that they rest on, and what to know of them."""
        hardware, lengths = self.hardware, {"prompt": self.prompt, "new_tokens": self.new_tokens}
        if isinstance(hardware, Chip):
            doubled = 2 ** np.arange(int(largest).bit_length(), dtype=np.int64)
            few = np.unique(np.append(doubled, [largest, chosen]))
            return chip_grid(self.model, hardware, self.recipe, needs, few, **lengths)
        batches = np.unique(np.append(np.geomspace(1, largest, POINTS).round().astype(np.int64), chosen))
        assumed = assumed_constants(hardware, self.kernels)
        if isinstance(hardware, Cpu):
            return cpu_grid(self.model.config, hardware, self.storage, needs, batches, **lengths), assumed, ()
        hosted = Hosted(config=self.model.config, recipe=self.recipe, gpu=hardware, split=self.split)
        return _grid(hosted, self.storage, [self.devices], batches, **lengths), assumed, ()

    def notes(self) -> tuple[str, ...]:
        """How time, memory and energy come about."""
        kept = self.storage if isinstance(self.storage, int) else self.storage.name
        first = f"numerics {self.recipe.name}; KV cache {kept}"
        if isinstance(self.hardware, Chip):
            said = notes_on(self.model, self.hardware, self.recipe, positions=self.positions)
            return (first, *said, CHIP_MODEL, *SCHEDULE_ASSUMPTIONS)
        shape = notes_on_shape(self.model, positions=self.positions)
        if isinstance(self.hardware, Cpu):
            return (first, *shape, CPU_MODEL, WORKSPACE, NO_POWER)
        kernels = [kernel_note(self.hardware, name) for name in self.kernels]
        return (first, *kernels, *shape, f"{self.split.name}: {self.split.note}", FUSED, WORKSPACE, POWER)


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
    hosted = Hosted(config=config, recipe=recipe, gpu=gpu, split=split, efficiency=efficiency)
    return _grid(hosted, kv_storage(kv_bits, recipe), devices, batches, prompt=prompt, new_tokens=new_tokens)


def _shared(needs: Needs, split: DeviceSplit, config: ModelConfig, devices: int) -> Needs:
    """`needs` with keys and values as often as `devices` store them."""
    return replace(needs, kv_per_sequence=needs.kv_per_sequence * split.kv_copies(config, devices))


def _grid(
    hosted: Hosted,
    storage: KVStorage,
    devices: list[int],
    batches: list[int] | Numbers,
    *,
    prompt: int,
    new_tokens: int,
) -> Grid:
    gpu, counts, sequences = hosted.gpu, np.asarray(devices), np.asarray(batches)
    rows, columns = counts.astype(np.float64)[:, None], sequences.astype(np.float64)[None, :]
    needs = needs_of(hosted.config, storage, prompt=prompt, positions=prompt + new_tokens)
    shared = [_shared(needs, hosted.split, hosted.config, int(count)) for count in counts]
    memory = np.concatenate([own.total(rows[[i]], columns) for i, own in enumerate(shared)])
    step = decode_time(hosted, devices=rows, batch=columns, storage=storage, first=prompt + 1, last=prompt + new_tokens)
    return Grid(
        devices=counts,
        batch=sequences,
        fits=memory <= gpu.capacity_bytes,
        step_s=step.total,
        prompt_s=prompt_time(hosted, rows[:, 0], prompt).total,
        limit=step.limits(),
        memory_bytes=memory,
        communication_bytes=hosted.split.communication_bytes(hosted.config, rows, columns),
        parts_s=step.parts(),
        energy_per_token_j=power_per_token(gpu.board_power.nominal, counts, sequences, step.total),
        new_tokens=new_tokens,
    )
