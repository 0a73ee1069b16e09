"""A float model with its linears rounded to nearest, as numerics such as `w4a16_g128` ask for it."""

from dataclasses import replace

from bitsim.errors import ConfigError, OperandError
from bitsim.model.checkpoint import Model
from bitsim.model.decoded import ScaledIntegers
from bitsim.model.weights import FloatWeight, IntegerWeight, LayerWeights, LinearWeight
from bitsim.quant.base import Contract
from bitsim.quant.recipes import Recipe

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")  # of `LayerWeights`


def rounded(model: Model, recipe: Recipe) -> Model:
    """`model` as `recipe` executes it: unchanged, or a float model with rounded linears, if there are weights.

    Nothing is calibrated. Raises `ConfigError` where groups don't divide a K.
    """
    contract, config = recipe.qkv, model.config
    rounding = contract.weights
    if rounding is None or config.linear_class is not None:
        return model
    for name, _, k in config.linear_shapes():
        if rounding.group and k % rounding.group:
            raise ConfigError(
                f"{model.name}: {name}: numerics {recipe.name} need a K that groups of {rounding.group} divide, got {k}"
            )
    config = replace(
        config,
        linear_class=contract.linear_class,  # type: ignore[arg-type]
        weight_bits_per_weight=rounding.bits_per_weight,
    )
    weights = model.weights
    if weights is not None:
        layers = tuple(_layer(contract, layer, model.name, i) for i, layer in enumerate(weights.layers))
        weights = replace(weights, layers=layers)
    note = f"the linears are rounded to nearest, without calibration: {recipe.name}"
    if rounding.group is None:
        note += "; the scales of rows are not counted"
    return replace(model, config=config, weights=weights, notes=(*model.notes, note))


def _layer(contract: Contract, layer: LayerWeights, model: str, number: int) -> LayerWeights:
    changed: dict[str, LinearWeight] = {}
    for name in LINEARS:
        weight = getattr(layer, name)
        if weight is not None:
            try:
                changed[name] = _linear(contract, weight)
            except OperandError as error:
                raise OperandError(f"{model}: layers.{number}: {name}: {error}") from None
    return replace(layer, **changed)  # type: ignore[arg-type]


def _linear(contract: Contract, weight: FloatWeight) -> LinearWeight:
    assert contract.weights is not None
    codes, scales = contract.weights.codes(weight.rows(0, weight.n))
    bits = 8 * weight.n * int(-(-weight.k * contract.weights.bits_per_weight // 8))
    if contract.weight_only:
        return ScaledIntegers(codes, scales, bits=bits)
    return IntegerWeight(values=codes, scale=scales[:, 0], bits=bits)
