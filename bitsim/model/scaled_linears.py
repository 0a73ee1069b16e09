"""Ternary models whose linears have scales of their own: with activations as they are (W1.58A16), or in INT8 (W1.58A8).

A BitLinear datapath forms the sums of each group of K that has a scale; `scale_groups` of the config say how many. The
same codes, as floats with their scales in them, are what a wide datapath multiplies.
"""

from dataclasses import replace
from functools import partial
from math import lcm

from bitsim.errors import ConfigError
from bitsim.model.checkpoint import Model
from bitsim.model.decoded import ScaledTernary
from bitsim.model.rounded import LINEARS
from bitsim.model.weights import FloatWeight, LayerWeights, ModelWeights
from bitsim.quant.packing import TernaryWeight, unpack_hf_rows
from bitsim.quant.recipes import Recipe

_HAVE_ONE_SCALE = ("bitlinear", "autobitlinear")


def without_quantised_activations(model: Model, recipe: Recipe) -> Model:
    """`model` under W1.58A16 if `recipe` asks for it: the codes and scales of BitLinear, activations as they are."""
    config = model.config
    if recipe.linear_class != "w158a16" or config.linear_class not in _HAVE_ONE_SCALE:
        return model
    if config.linear_norm_eps is not None:
        raise ConfigError(
            f"{model.name}: numerics {recipe.name}: linears with norms of their own are executed as BitLinear only "
            f"(use {config.default_numerics!r})"
        )
    weights = model.weights
    if weights is not None:
        divides = config.linear_class == "bitlinear"
        weights = replace(weights, layers=tuple(_scaled(layer, divides=divides) for layer in weights.layers))
    note = f"activations are not quantised, an experiment on weights that were made for {config.default_numerics}"
    config = replace(config, linear_class="w158a16")
    return replace(model, config=config, weights=weights, notes=(*model.notes, note))


def by_groups(model: Model) -> Model:
    """A weight-only ternary model whose linears run on BitLinear datapaths: its config counts their groups of K."""
    weights = model.weights
    if weights is None:
        return model
    groups = tuple((name, count) for name, count in _groups(model, weights) if count > 1)
    return replace(model, config=replace(model.config, scale_groups=groups))


def with_codes(model: Model, recipe: Recipe) -> Model:
    """A weight-only ternary model with activations in INT8, if `recipe` (W1.58A8) asks for it."""
    if recipe.linear_class != "w158a8" or model.config.linear_class != "w158a16":
        return model
    note = "activations are quantised to INT8 per token; the scales of groups of K multiply their sums"
    model = replace(model, config=replace(model.config, linear_class="w158a8"), notes=(*model.notes, note))
    return by_groups(model)


def _groups(model: Model, weights: ModelWeights) -> list[tuple[str, int]]:
    """Of each linear, so many groups that each has one scale per row in all layers."""
    names = [name for name, _, _ in model.config.linear_shapes()]
    found = []
    for at, name in enumerate(names):
        counts = []
        for layer in weights.layers:
            weight = layer.linears()[at]
            if not isinstance(weight, ScaledTernary):
                raise ConfigError(f"{model.name}: {name}: expected ternary codes with scales, got floats")
            counts.append(weight.scales.shape[1])
        found.append((name, lcm(*counts)))
    return found


def _scaled(layer: LayerWeights, *, divides: bool) -> LayerWeights:
    changed: dict[str, FloatWeight] = {}
    for name in LINEARS:
        weight = getattr(layer, name)
        if isinstance(weight, TernaryWeight):
            changed[name] = _of_one_scale(weight, divides=divides)
    return replace(layer, **changed)  # type: ignore[arg-type]


def _of_one_scale(weight: TernaryWeight, *, divides: bool) -> ScaledTernary:
    scale = 1 / weight.scale if divides else weight.scale
    grid = scale.astype("float32").reshape(1, 1)
    packed, n, k = weight.packed, weight.n, weight.k
    return ScaledTernary(partial(unpack_hf_rows, packed), grid, n=n, k=k, bits=weight.bits, packed=packed)
