"""What a result was made from: versions, names and hashes, and what is assumed of a model."""

from dataclasses import replace
from typing import Any

from bitsim._version import __version__
from bitsim.cost.clock import clock_notes
from bitsim.cost.sram import notes_on_sram
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model
from bitsim.model.config import ModelConfig
from bitsim.quant.kv import STEP_BITS
from bitsim.quant.recipes import Recipe, recipe_named
from bitsim.schedule.place import Placement


def inputs_of(model: Model, chip: Chip, *, numerics: str) -> dict[str, Any]:
    """Names and hashes of everything that a result rests on."""
    return {
        "bitsim": __version__,
        "model": model.name,
        "model_sha256": model.digest,
        "weights": {"checkpoint": "checkpoint", "shape": "none", "random": "random"}[model.origin],
        "chip": chip.name,
        "chip_sha256": chip.sha256,
        "bitlinear": chip.bitlinear.text(),
        "technology": chip.tech.name,
        "technology_sha256": chip.tech.sha256,
        "numerics": numerics,
    }


def remarks_on(model: Model, placement: Placement, recipe: Recipe) -> tuple[str, ...]:
    """What a reader must know of the datapath that computes a model's BitLinear."""
    if not (model.config.quantised or recipe.ternary_floats):
        return ()
    datapath = placement.bitlinear
    return tuple(f"the BitLinear datapath {datapath!r} {remark}" for remark in datapath.remarks)


def notes_on_plans(placement: Placement) -> tuple[str, ...]:
    """Searches for tiles that left something out, and by how much their plans may be off."""
    cut = placement.cut_plans()
    if not cut:
        return ()
    worst = max(gap for _, gap in cut)
    kinds = ", ".join(sorted({text for text, _ in cut}))
    return (
        f"mapper: {len(cut)} plans come from a cut search ({kinds}); none is more than {worst:.1%} above its bound",
    )


def notes_on(model: Model, chip: Chip, recipe: Recipe, *, positions: int) -> tuple[str, ...]:
    """What a reader must know of model, numerics and chip: random weights, assumed shapes, limits that are exceeded."""
    config, notes = model.config, []
    if recipe.linear_class != recipe_named(config.default_numerics).linear_class:
        notes.append(
            f"numerics {recipe.name} are an experiment on these weights, which were made for "
            f"{config.default_numerics} (linear_class {config.linear_class})"
        )
    if config.quantised and chip.bitlinear.integer and min(c.activation_bits for c in recipe.contracts) < 8:
        narrow = chip.bitlinear.widest_act == 4
        occupied = "" if narrow else "occupy the datapath's 8-bit registers and adders and "
        in_papers = " by the arithmetic convention" if narrow else ""
        notes.append(f"4-bit activation codes {occupied}are priced as INT8{in_papers}")
    notes += [f"vector unit, assumed: {what}" for what in sorted({c.assumed for c in recipe.contracts} - {""})]
    notes += notes_on_wide(config, recipe)
    notes += notes_on_weight_only(config, chip, recipe)
    if recipe.kv is not None:
        back = "" if recipe.wide is not None else "; reading codes back as floats is not counted"
        notes.append(f"KV cache {recipe.kv.name}, assumed: a step of {STEP_BITS} bits per head and position{back}")
    if model.origin == "random":
        notes.append("the weights are random: text, toggles and overflows are not those of a trained model")
    if chip.host is None:
        notes.append("host I/O is not modelled: the chip's description has no `host`")
    elif chip.host.energy is None:
        notes.append("host I/O takes time, but its energy is not counted: the chip gives none per bit")
    if chip.host is not None and chip.host.work:
        notes.append(
            f"the host computes {', '.join(chip.host.work)} itself: their time is counted, their operations "
            "and energy are not, in any convention"
        )
    unknown = [what for what in ("refresh", "standby") if getattr(chip.memory.dram, what) is None]
    if unknown:
        notes.append(
            f"DRAM: {' and '.join(unknown)} {'are' if len(unknown) > 1 else 'is'} not counted: the chip gives none"
        )
    return (*notes, *notes_on_sram(chip), *clock_notes(chip), *notes_on_shape(model, positions=positions))


def wide_inputs(recipe: Recipe) -> dict[str, str]:
    """By which contract attention and head are integers, if they are."""
    head = {} if recipe.head is None else {"head_numerics": recipe.head.name}
    return head if recipe.wide is None else {"wide_numerics": recipe.wide.name} | head


def notes_on_wide(config: ModelConfig, recipe: Recipe) -> tuple[str, ...]:
    """What attention and head multiply, if it is integers."""
    wide, kv = recipe.wide, recipe.kv
    if recipe.head is not None:
        bits = f"weights in {float(config.head_bits):g} bits, hidden states in {recipe.head.bits}"
        text = f"the head is computed on the BitLinear datapath, {bits}: rounded without training, at a cost in quality"
        return (text, *notes_on_wide(config, replace(recipe, head=None)))
    if wide is None or kv is None:
        return ()
    return (
        f"attention and head are integers of at most {wide.bits} bits on the wide datapath ({wide.name}): KV cache "
        f"{kv.name}, head in {float(config.head_bits):g} bits",
    )


def notes_on_shape(model: Model, *, positions: int) -> tuple[str, ...]:
    """Where a published shape comes from, what of it is assumed, and whether the context is longer than it allows."""
    config, notes = model.config, list(model.notes)
    if positions > config.max_position_embeddings:
        notes.append(f"{positions} positions are estimated, the model was made for {config.max_position_embeddings}")
    if config.sliding_window is not None and positions > config.sliding_window:
        notes.append(
            f"attention is counted over all {positions} positions; layers of the model attend at most "
            f"{config.sliding_window}"
        )
    return tuple(notes)


def notes_on_weight_only(config: ModelConfig, chip: Chip, recipe: Recipe) -> tuple[str, ...]:
    """Where linears of quantised weights and activations as they are run."""
    if not config.weight_only:
        return ()
    said = f"{config.linear_class}: weights are quantised, activations are not: linears run on "
    if recipe.ternary_floats:
        said += f"the BitLinear datapath, activations rounded to {chip.bitlinear.number_format.upper()}"
        return (said + "; a scale multiplies each output" + (" of a group of K" if config.scale_groups else ""),)
    return (
        said + "the wide datapath as floats; weights are dequantised whenever they are fetched from where they are "
        "stored, by converters that keep up with it and whose area is not counted",
    )
