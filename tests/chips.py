"""The shipped chips by what they are, and chips that differ from them in one thing.

Tests say by a property which chips they mean, so that a new chip finds its tests by itself.
"""

from functools import cache
from typing import Any

from bitsim.datapath.tensor_core.float_formats import OPERAND_FORMATS
from bitsim.hw import Chip, chip_names, load_chip
from bitsim.hw.constants import Constant
from bitsim.hw.datapaths import DatapathDescription, TensorCoreSpec
from bitsim.model.catalogue import SHIPPED
from bitsim.model.checkpoint import load_model
from bitsim.model.config import ModelConfig
from bitsim.quant.recipes import Recipe, recipe_named
from bitsim.study.numerics import executed_as

SYNTHESISED = ("45nm", "7nm")  # technologies whose constants come from gate level; all others are made from these


@cache
def takes(chip: str, model: str) -> bool:
    """Whether the chip's datapaths have codes for the model's weights and activations, by what both declare."""
    loaded, config = load_chip(chip), load_model(model).config
    spec = loaded.bitlinear
    if not config.quantised:
        return loaded.wide.wide_bits is None
    widest = max(contract.activation_bits for contract in recipe_named(config.default_numerics).contracts)
    return widest <= spec.widest_act and (config.binary or spec.zero_weights)


def executed_on(chip: Chip | str, model: str, numerics: str | None = None) -> tuple[ModelConfig, Recipe]:
    """The model's config and recipe as the chip executes it."""
    executed, recipe = executed_as(load_model(model), load_chip(chip), numerics=numerics)
    return executed.config, recipe


def chips_that_take(model: str) -> list[str]:
    return [name for name in chip_names() if takes(name, model)]


def a_model_for(chip: str) -> str:
    """tiny-b158 if the chip takes it, else the first shipped model that it takes."""
    return next(model for model in ("tiny-b158", *SHIPPED) if takes(chip, model))


def has_fp4_multipliers(spec: DatapathDescription) -> bool:
    return isinstance(spec, TensorCoreSpec) and not spec.integer and OPERAND_FORMATS[spec.format].element.bits == 4


def has_narrow_float_multipliers(spec: DatapathDescription) -> bool:
    """Of FP8 and FP4."""
    return isinstance(spec, TensorCoreSpec) and not spec.integer and OPERAND_FORMATS[spec.format].element.bits <= 8


def unpriced_components(spec: DatapathDescription) -> set[str]:
    """Components of events that no technology prices: no source has instructions of CPUs."""
    return {"simd"} if spec.kind == "cpu_simd" else set()


def chips_on_fpgas() -> list[str]:
    """Their technologies say that they have no prices, and why."""
    return [name for name in chip_names() if load_chip(name).tech.unpriced is not None]


def priced_chips() -> list[str]:
    """Chips all of whose events have a price in their technology."""
    fpgas = chips_on_fpgas()
    return [name for name in chip_names() if name not in fpgas and not unpriced_components(load_chip(name).bitlinear)]


def amount(like: Constant, value: float) -> Constant:
    """The constant with another value."""
    return like.model_copy(update=dict.fromkeys(("value", "low", "nominal", "high"), value))


def with_level(chip: Chip, name: str, *, capacity: float | None = None, **changed: Any) -> Chip:
    """`chip` with another capacity (kB) or other plain fields of one memory level."""
    old = chip.memory.level(name)
    if capacity is not None:
        changed["capacity"] = amount(old.capacity, capacity)
    new = old.model_copy(update=changed)
    levels = tuple(new if level is old else level for level in chip.memory.levels)
    return chip.model_copy(update={"memory": chip.memory.model_copy(update={"levels": levels})})
