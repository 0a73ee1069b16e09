"""What a numerics contract is, and the checks that every quantiser makes on its input.

A contract says which float32 roundings happen between a linear's input, its integer sums and its output. The public
implementations and the papers differ in the last bit, so a result always names its contract.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.errors import OperandError
from bitsim.quant.rounding import WeightRounding
from bitsim.quant.weights import Floats, ternarise

Float32 = npt.NDArray[np.float32]
Int8 = npt.NDArray[np.int8]
Sums = npt.NDArray[np.int32] | npt.NDArray[np.int64] | npt.NDArray[np.float32]

ActivationQuantiser = Callable[[Float32], tuple[Int8, Float32]]
WeightQuantiser = Callable[[Floats], tuple[Int8, np.float32]]

EPS = np.float32(1e-5)

VectorWork = Callable[[int], Mapping[str, int]]


def absmax_work(k: int) -> dict[str, int]:
    """Vector operations of one token's absmax quantiser: the search, one division, the conversion.

    The K multiplications by the scale are counted with the linear, as arXiv 2310.11453 eq. 18 counts them.
    """
    return {"max": k, "div": 1, "cvt": k}


def absmean_work(k: int) -> dict[str, int]:
    """As `absmax_work` with a sum of magnitudes, K additions, instead of the search."""
    return {"add": k, "div": 1, "cvt": k}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One BitLinear, rounding by rounding.

    * `linear_class`: which models it executes: the Hugging Face class that computes it, or the paper whose linears
      these are ("b1", "a48", "v2"); "w158a16": ternary weights, activations as they are; None: no quantised linears.
    * `quantise_activations(x)`: float32 (M, K) -> codes int8 (M, K) and scales float32 (M, 1). Whether the scale
      multiplies or divides is between this function and `rescale`.
    * `rescale(acc, s, weight_scale)`: integer sums (M, N), as int32, int64 or float32 -> float32 (M, N). The weights'
      scale is one float32, or float32 (N,) where each row has its own.
    * `quantise_weights(w)`: float (N, K) -> codes int8 (N, K) and the tensor's mean |W|, float32.
    * `weights`: how the linears of a float model are rounded under this contract, instead of by `quantise_weights`;
      None: not at all. `weight_only`: activations stay as they are.
    * `stored_scale(mean)`: the weight scale that a checkpoint of this contract stores for a tensor of mean |W|.
    * `activation_bits`: what one stored or moved activation occupies.
    * `code_range`: the least and greatest activation code, as the integers that enter the matmul. For 4-bit floats it
      is wider than `activation_bits` says: an E2M1 value is one of 15 integers in -12..12.
    * `power_of_two`: whether K must be a power of two (a Hadamard transform).
    * `quantise_work(k)`: what the vector unit does to quantise one token of K values.
    * `assumed`: what `quantise_work` takes for granted that no source says; empty if nothing.
    * `source`: where the formula is written. `evidence`: what this implementation was found equal to.
    """

    name: str
    linear_class: str | None
    quantise_activations: ActivationQuantiser
    rescale: Callable[[Sums, Float32, Any], Float32]
    stored_scale: Callable[[np.float32], np.float32]
    quantise_weights: WeightQuantiser = ternarise
    activation_bits: int = 8
    weights: WeightRounding | None = None
    weight_only: bool = False
    code_range: tuple[int, int] = (-128, 127)
    power_of_two: bool = False
    quantise_work: VectorWork = absmax_work
    assumed: str = ""
    source: str = ""
    evidence: str = ""

    @property
    def quantised(self) -> bool:
        """Whether activations become codes at all."""
        return self.linear_class is not None and not self.weight_only


def check_activations(x: Float32) -> None:
    """Raise `OperandError` unless `x` is float32 (M, K) with K >= 1 and every value finite."""
    if x.ndim != 2 or x.dtype != np.float32 or x.shape[1] == 0:
        raise OperandError(f"activations: expected float32 (M, K), K >= 1, got {x.dtype} {x.shape}")
    finite = np.isfinite(x)
    if not finite.all():
        row, k = (int(i) for i in np.argwhere(~finite)[0])
        raise OperandError(f"activations[{row}, {k}]: expected a finite number, got {x[row, k]}")


def multiply_scales(acc: Sums, step: Float32, weight_scale: np.float32) -> Float32:
    """The papers' rescale: `f32(f32(acc) * f32(step * weight_scale))`, `step` (M, 1) multiplies as mean |W| does.

    The papers print one product, beta * gamma / Qb (2310.11453 section 2.1), and no order. Forming the product of the
    two scales first costs one multiplication per token and one per output.
    """
    return acc.astype(np.float32, copy=False) * (step * np.float32(weight_scale))


def divide_then_multiply(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    """`f32(f32(f32(acc) / s) * weight_scale)`: the rescale of public code that stores mean |W|; `s` (M, 1) divides."""
    return (acc.astype(np.float32, copy=False) / s) * np.float32(weight_scale)


def store_mean(mean: np.float32) -> np.float32:
    """Checkpoints store mean |W|, which multiplies."""
    return mean


def store_reciprocal(mean: np.float32) -> np.float32:
    """Checkpoints store f32(1 / mean |W|), which divides."""
    return np.float32(1) / mean
