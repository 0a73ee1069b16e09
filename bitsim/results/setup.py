"""What an experiment is set up with, as objects: how values are executed, where work is put, how much of it there is.

Keywords stand at the public edge (`run`, `estimate`, ...); everything inside takes these.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from bitsim.datapath.base import Toggles
from bitsim.errors import ConfigError, UnknownNameError
from bitsim.model.experts import Experts
from bitsim.quant.recipes import Recipe
from bitsim.schedule import Objective

MOST_DECODE = 2**20  # contexts are summed tile by tile: minutes for so many
Wide = Literal["float32", "datapath"]
Causal = Literal["triangle", "full"]
PromptLogits = Literal["last", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How values are computed and which toggles are counted; see `bitsim.run` for what the settings mean.

    Raises `UnknownNameError` or `ConfigError` for settings that mean nothing.
    """

    recipe: Recipe
    toggles: Toggles = "sample"
    wide: Wide = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.toggles not in get_args(Toggles):
            raise UnknownNameError("toggles mode", str(self.toggles), get_args(Toggles))
        if self.wide not in get_args(Wide):
            raise UnknownNameError("wide mode", str(self.wide), get_args(Wide))
        check_count("seed", self.seed, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduling:
    """What tiles are chosen for, the most prompt tokens of a step (None: all), and whether memory may be too small."""

    objective: Objective = "latency"
    chunk: int | None = None
    beyond_capacity: bool = False

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise UnknownNameError("objective", str(self.objective), get_args(Objective))
        if self.chunk is not None:
            check_count("chunk", self.chunk, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Tokens per sequence in each phase, sequences, how attention, head and FFNs are read; see `bitsim.estimate`."""

    prefill: int
    decode: int
    batch: int = 1
    merge_heads: bool = False
    causal: Causal = "triangle"
    logits: PromptLogits = "last"
    experts: Experts | None = None

    def __post_init__(self) -> None:
        if self.causal not in get_args(Causal):
            raise UnknownNameError("causal mode", str(self.causal), get_args(Causal))
        if self.logits not in get_args(PromptLogits):
            raise UnknownNameError("logits mode", str(self.logits), get_args(PromptLogits))
        if self.merge_heads and self.causal != "full":
            raise ConfigError('merge_heads: the table that counts so has no causal mask: expected causal="full"')
        for name, value, least in (("prefill", self.prefill, 0), ("decode", self.decode, 0), ("batch", self.batch, 1)):
            check_count(name, value, least)
        if self.decode > MOST_DECODE:
            raise ConfigError(f"decode: expected at most {MOST_DECODE:,} tokens, got {self.decode:,}")


def check_count(name: str, value: object, least: int) -> None:
    """Raise `ConfigError` unless `value` is an integer of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name}: expected an integer >= {least}, got {value!r}")
