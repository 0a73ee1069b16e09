"""Matmuls that stay wide, in integers: attention and head of a quantised model as codes and scales, without training.

QK^T takes queries of one scale per head and token, PV probabilities of one scale per row, the head hidden states of one
scale per token. Keys and values are the codes of the KV cache (a scale per head and position), the head's weights
integers with a scale per row. A scale along K can't be taken out of a sum, so that each position's scale of the values
is multiplied into the probabilities before these are quantised.
"""

from dataclasses import dataclass

import numpy as np

from bitsim.quant.base import Float32, Int8, check_activations
from bitsim.quant.kv import KV_FORMATS, KVFormat

# Scales have no floor such as the 1e-5 of activations: probabilities times scales of values are often smaller. So much
# is left that a scale is never subnormal, and a row of zeros has one.
LEAST = np.float32(2.0**-100)


@dataclass(frozen=True, slots=True, kw_only=True)
class WideContract:
    """Codes of `bits` for everything that the wide datapath multiplies.

    * `kv`: how keys and values are stored unless numerics say otherwise.
    * `source`: where the formulas are written. `evidence`: what this implementation was found equal to.
    """

    name: str
    bits: int
    kv: KVFormat
    source: str
    evidence: str

    @property
    def most(self) -> int:
        """The largest code; the least is its negative."""
        return int((1 << self.bits - 1) - 1)

    def quantise(self, x: Float32) -> tuple[Int8, Float32]:
        """Per row: `s = f32(max(absmax, 2^-100) / most)`, `q = rint(f32(x / s))`, which lies in -most..most.

        `x`: float32 (M, K) -> int8 (M, K) and float32 (M, 1), which multiplies. Raises `OperandError` for NaN or
        infinity.
        """
        check_activations(x)
        s = np.maximum(np.abs(x).max(axis=1, keepdims=True), LEAST) / np.float32(self.most)
        return np.rint(x / s).astype(np.int8), s

    def takes(self, kv: KVFormat) -> bool:
        """Whether the codes of a cache can be multiplied as they are: zero is a code, and none is too wide."""
        return kv.mapping == "centred" and max(kv.bits, kv.bos_bits) <= self.bits


def codes_of(values: Float32, steps: Float32) -> Int8:
    """The codes that `values` were read back from: `f32(code * step)`, "centred"; exact, int8 of the same shape."""
    codes: Int8 = np.rint(values / steps).astype(np.int8)
    return codes


_SOURCE = (
    "rows as activations per token in mit-han-lab/smoothquant fake_quant.py (arXiv 2211.10438), without its floor of "
    "the scale; keys and values as arXiv 2411.04965 section 2 stores them; scales of values multiplied into the "
    "probabilities: ours"
)
WIDE_CONTRACTS = {
    bits: WideContract(
        name=f"attention_int{bits}",
        bits=bits,
        kv=KV_FORMATS[f"kv{bits}"],
        source=_SOURCE,
        evidence="equal to its plain twin",
    )
    for bits in (8, 4)
}
