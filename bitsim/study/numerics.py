"""A model as a chip executes it: under which numerics, with which linears, tables and cache."""

from dataclasses import replace

from bitsim.datapath.registry import build_datapath
from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model
from bitsim.model.experts import Experts
from bitsim.model.rounded import rounded
from bitsim.model.scaled_linears import by_groups, with_codes, without_quantised_activations
from bitsim.model.variants import TABLE_BITS, stored_as
from bitsim.quant.recipes import Recipe, recipe_named, with_kv
from bitsim.quant.wide import WIDE_CONTRACTS

_ARRAY_BITS = 8  # of a head on a BitLinear datapath that takes more than ternary weights


def executed_as(
    model: Model,
    chip: Chip | None,
    *,
    numerics: str | None = None,
    packing: str | None = None,
    kv_bits: int | None = None,
    head_bits: int | None = None,
    embedding_bits: int | None = None,
    experts: Experts | None = None,
) -> tuple[Model, Recipe]:
    """`model` and the recipe that executes it; None: as the model's own numerics and storage say, and on no chip.

    On a chip whose wide datapath multiplies integers, attention and head become codes of its width: the recipe names
    the contract, keys and values are kept in its format and the head in its bits unless fewer are asked for.
    Weight-only ternary models run on the BitLinear datapath where it takes activations that are not quantised, else on
    the wide one. Raises `ConfigError` for models with linears of floats on an integer wide datapath, and for what is
    wider than it. A chip whose `head` is `bitlinear` computes it there, in codes of 8 bits or ternary ones.
    """
    recipe = with_kv(recipe_named(numerics or model.config.default_numerics), kv_bits)
    model = with_codes(without_quantised_activations(rounded(model, recipe), recipe), recipe)
    if chip is not None and chip.bitlinear.takes_floats and model.config.linear_class == "w158a16":
        model, recipe = by_groups(model), replace(recipe, ternary_floats=True)
    ternary = False
    if chip is not None and chip.head == "bitlinear":
        recipe, ternary = _head_on_array(chip, recipe, head_bits)
        head_bits = None if ternary else head_bits or _ARRAY_BITS
    if chip is not None and chip.wide.wide_bits is not None:
        recipe = _in_integers(model, chip, recipe, kv_bits, experts)
        head_bits = _head_bits(model, chip, head_bits) if recipe.head is None else head_bits
    model = stored_as(model, packing=packing, head_bits=head_bits, embedding_bits=embedding_bits, ternary_head=ternary)
    return model, recipe


def _head_on_array(chip: Chip, recipe: Recipe, asked: int | None) -> tuple[Recipe, bool]:
    """The recipe for a head on the BitLinear datapath, and whether the head has to be ternary."""
    spec, where = chip.bitlinear, f"{chip.name}: head on the BitLinear datapath"
    if not spec.integer or not spec.zero_weights:
        raise ConfigError(f"{where}: expected one that takes integers, 0 among the weights, got {spec.text()}")
    ternary = build_datapath(spec).weight_range == (-1, 1)
    if asked is not None and (ternary or asked > _ARRAY_BITS):
        wanted = "none, since its weights are ternary" if ternary else f"at most {_ARRAY_BITS}"
        raise ConfigError(f"{where}: head_bits: expected {wanted}, got {asked}")
    return replace(recipe, head=WIDE_CONTRACTS[8 if spec.widest_act >= 8 else 4]), ternary


def chip_for(model: Model, chip: Chip) -> Chip:
    """`chip` as it executes `model`: tensor cores take integer weights as they take ternary ones that they dequantise.

    The result's `bitlinear` says how weights are held.
    """
    return chip.with_full_weights() if model.config.wide_weights else chip


def _in_integers(model: Model, chip: Chip, recipe: Recipe, kv_bits: int | None, experts: Experts | None) -> Recipe:
    contract = WIDE_CONTRACTS[chip.wide.wide_bits or 0]
    if not (model.config.quantised or recipe.ternary_floats) or experts is not None:
        floats = "the linears are" if experts is None else "routers of experts are"
        raise ConfigError(
            f"{model.name} on {chip.name}: {floats} floats, and its wide datapath multiplies integers of "
            f"{contract.bits} bits (choose a chip whose wide datapath is FP16)"
        )
    kv = recipe.kv or (contract.kv if kv_bits is None else None)
    if kv is None or not contract.takes(kv):
        raise ConfigError(
            f"{chip.name}: expected keys and values in codes of at most {contract.bits} bits around zero, which its "
            f"wide datapath multiplies, got {kv.name if kv else kv_bits} (leave kv_bits out, or choose fewer)"
        )
    return replace(recipe, kv=kv, wide=contract)


def _head_bits(model: Model, chip: Chip, asked: int | None) -> int:
    """Bits of the head: as asked for, or as it is if these are codes that the wide datapath takes, else its own.

    Blocks of a packed head have scales along K, which no integer sum takes: its rows are rounded once more.
    """
    most = chip.wide.wide_bits or 0
    if asked is not None and asked > most:
        raise ConfigError(
            f"{chip.name}: expected a head of at most {most} bits, which its wide datapath multiplies, got {asked} "
            "(leave head_bits out, or choose fewer)"
        )
    own = model.config.head_bits
    return asked or (int(own) if own in TABLE_BITS and own <= most else most)
