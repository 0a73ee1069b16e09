"""The operands that a datapath takes, made from wider ones: so that narrow datapaths can stand beside others.

What comes out is no quantiser of any paper and no usable model: it has the shapes, and something of the statistics, of
the operands that it came from.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np

from bitsim.datapath.base import Array
from bitsim.model.executor import exact_matmul
from bitsim.quant.packing import TernaryWeight, pack_hf
from bitsim.study.recorded import LinearCall


class Legal(Protocol):
    """The integers that a datapath takes."""

    @property
    def act_range(self) -> tuple[int, int]: ...
    @property
    def zero_acts(self) -> bool: ...
    @property
    def zero_weights(self) -> bool: ...


def taken_call(call: LinearCall, datapath: Legal) -> tuple[LinearCall, tuple[str, ...]]:
    """`call` with operands that `datapath` takes and their exact sums, and how they were made; () if as they were."""
    x_q, of_x = narrowed(call.x_q, datapath.act_range, zero=datapath.zero_acts)
    codes = call.weight.codes()
    w, of_w = narrowed(codes, (-1, 1), zero=datapath.zero_weights)
    how = tuple(f"{name}: {rule}" for name, rule in (("x", of_x), ("w", of_w)) if rule)
    if not how:
        return call, ()
    weight = TernaryWeight(packed=pack_hf(w), n=call.weight.n, k=call.weight.k, scale=call.weight.scale)
    return replace(call, x_q=x_q, weight=weight, y=exact_matmul(x_q, w)), how


def narrowed(values: Array, legal: tuple[int, int], *, zero: bool) -> tuple[Array, str]:
    """`values` int8 as integers in `legal`, 0 among them only if `zero`, and the rule; "" if nothing had to change."""
    low, high = legal
    if values.min() >= low and values.max() <= high and (zero or values.all()):
        return values, ""
    if not zero:
        return np.where(values < 0, np.int8(-1), np.int8(1)), "sign, 0 as 1"
    if (low, high) == (-1, 1):
        return np.sign(values), "sign"
    bits = high.bit_length() + 1
    return values >> np.int8(8 - bits), f"upper {bits} of 8 bits"
