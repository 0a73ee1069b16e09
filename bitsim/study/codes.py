"""Whether a chip's BitLinear datapath takes the integers of a model under its numerics."""

from bitsim.errors import BitsimError
from bitsim.hw.chip import Chip
from bitsim.model.config import ModelConfig
from bitsim.quant.recipes import Recipe
from bitsim.schedule import Placement


class EstimateError(BitsimError):
    """The chip can't take the model's activations or weights."""


def check_codes(config: ModelConfig, chip: Chip, recipe: Recipe) -> None:
    """Raise `EstimateError` for numerics with activation codes that the chip's BitLinear does not take."""
    widest = chip.bitlinear.widest_act
    for contract in recipe.contracts if config.quantised else ():
        low, high = contract.code_range
        if contract.activation_bits > widest:
            raise EstimateError(
                f"numerics {recipe.name} have codes of {contract.activation_bits} bits, {chip.name} takes activations "
                f"of at most {widest} (choose other numerics or another chip)"
            )
        if not -(1 << widest - 1) <= low <= high < 1 << widest - 1:
            raise EstimateError(
                f"numerics {recipe.name} have codes of {low}..{high}, {chip.name} takes {-(1 << widest - 1)}.."
                f"{(1 << widest - 1) - 1} (choose other numerics or another chip)"
            )


def check_weights(config: ModelConfig, placement: Placement) -> None:
    """Raise `EstimateError` for weights beyond -1, 0 and 1 on a datapath that takes no others."""
    low, high = placement.bitlinear.weight_range
    if config.wide_weights and (low, high) == (-1, 1):
        raise EstimateError(
            f"{config.name}: the weights of {config.linear_class} are integers of up to 8 bits, "
            f"{placement.chip.name} takes -1, 0 and 1 (choose a chip with INT8 weights, such as int8-ws-64x64)"
        )
