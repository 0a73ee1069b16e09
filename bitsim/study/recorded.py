"""What a model's quantised linears saw: their operands and exact sums, recorded once for many datapaths."""

from dataclasses import dataclass

from bitsim.datapath.base import Array
from bitsim.model.checkpoint import Model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.operators import Operator
from bitsim.model.weights import CodedWeight
from bitsim.quant.packing import TernaryWeight
from bitsim.quant.recipes import recipe_named
from bitsim.study.held_out import byte_level_weights, first_window


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearCall:
    """One execution of a quantised linear: codes `x_q` (M, K), the weights, and the exact int64 sums `y` (M, N)."""

    op: Operator
    x_q: Array
    weight: TernaryWeight
    live: Array | None
    y: Array


class Recorder(ReferenceExecutor):
    """Executes a model exactly and keeps what its quantised linears saw."""

    def __init__(self) -> None:
        self.calls: list[LinearCall] = []

    def bitlinear(self, op: Operator, x_q: Array, weight: CodedWeight, live: Array | None = None) -> Array:
        assert isinstance(weight, TernaryWeight)  # numerics are the model's own
        y: Array = super().bitlinear(op, x_q, weight, live)
        self.calls.append(LinearCall(op=op, x_q=x_q, weight=weight, live=live, y=y))
        return y


def recorded(model: Model, limit: int) -> tuple[list[LinearCall], int]:
    """The calls of all quantised linears in a prefill of the held-out text, and how many tokens it has.

    The first `limit` bytes, one window at most. Raises `ConfigError` for a model without weights or BitLinear.
    """
    weights, tokens = byte_level_weights(model, quantised=True), first_window(model.config, limit)
    recorder, recipe = Recorder(), recipe_named(model.config.default_numerics)
    forward(model.config, weights, tokens, KVCache(model.config, 32), recorder, recipe)
    return recorder.calls, tokens.size
