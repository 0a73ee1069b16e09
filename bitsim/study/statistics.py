"""Statistics of real operands, for estimates without weights: measured on the shipped models, kept as data.

Weights and activation codes of the papers differ (binary weights, 4-bit codes, a half that TopK masks), so that each
kind of model has its own, measured on the shipped model of that kind.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, get_args

import yaml

from bitsim.datapath.base import Statistics
from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.model.config import LinearClass, ModelConfig, WeightOnly

MEASURED_ON: Mapping[LinearClass | None, str] = {
    "bitlinear": "tiny-b158",
    "autobitlinear": "tiny-b158",
    "b1": "tiny-b1",
    "a48": "tiny-a48",
    "v2": "tiny-v2",
    "w8a8": "tiny-fp16@w8a8",
    "w4a8": "tiny-fp16@w4a8",
    "w158a8": "tiny-b158",
    **dict.fromkeys(get_args(WeightOnly), "tiny-fp16"),
    "w158a16": "tiny-b158@w158a16",
    None: "tiny-fp16",
}


def default_statistics(linear_class: LinearClass | None = "autobitlinear") -> Statistics:
    """What `tools/measure_statistics.py` measured on the shipped model with linears of this class (or without any)."""
    data = _measured()[MEASURED_ON[linear_class]]
    return Statistics(weight_zeros=data["weight_zeros"], rates=data["rates"], source=data["source"])


def statistics_for(config: ModelConfig, chip: Chip, given: Statistics | None = None) -> Statistics:
    """What an estimate of `config` on `chip` rests on: `given`, or what was measured on the shipped model of its kind.

    Raises `ConfigError` if the chip's BitLinear datapath has no code for the weights of such models.
    """
    if config.quantised and not config.binary and not chip.bitlinear.zero_weights:
        raise ConfigError(
            f"{chip.name}: {chip.bitlinear.text()}: takes binary weights, -1 and 1, but those of {config.name} are "
            "ternary (choose a binary model or a ternary datapath)"
        )
    used = given or default_statistics(config.linear_class)
    if config.binary and used.weight_zeros:
        return replace(used, weight_zeros=0.0, source=f"{used.source}; binary weights have no zeros")
    return used


@cache
def _measured() -> Any:
    return yaml.safe_load(files("bitsim").joinpath("study", "statistics.yaml").read_text(encoding="utf-8"))
