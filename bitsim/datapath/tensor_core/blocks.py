"""Numbers become operands of block-scaled formats: neighbours in k share a scale, chosen from the largest of them.

* mxe4m3, mxe5m2, mxf4: the scale is 2^(floor(log2 max) - e), e the exponent of the element's largest number (OCP
  Microscaling Formats 1.0, section 6.3); elements beyond the largest number saturate.
* nvf4: the scale is max / 6 as UE4M3, to nearest even, 6 being the largest E2M1 number (NVIDIA's NVFP4, with the scale
  of the whole tensor left at 1).

A block of zeros has the least scale; one with a number that is not finite has the scale NaN. A code and the scale of
its block travel as one word, the scale in the upper byte, so that an operand stays one array (rows, K).
"""

import numpy as np
from numpy.typing import NDArray

from bitsim.datapath.tensor_core.encode import encode
from bitsim.datapath.tensor_core.float_formats import Codes, FloatFormat, OperandFormat, decode

_BITS = 8
_UE8M0_BIAS = 127

Float32 = NDArray[np.float32]


def scaled_words(values: Float32, fmt: OperandFormat, *, unit_scale: bool = False) -> Codes:
    """`values` float32 (rows, K) as words uint16 (rows, K); `unit_scale`: 1 for all blocks, whatever they hold."""
    rows, k = values.shape
    blocks = np.pad(values, ((0, 0), (0, -k % fmt.scale_block))).reshape(rows, -1, fmt.scale_block)
    assert fmt.scale is not None
    largest = np.ones(blocks.shape[:2], np.float32) if unit_scale else np.abs(blocks).max(axis=2)
    scales = encode(largest, fmt.scale) if unit_scale else _scales(largest, fmt.scale, fmt.element)
    scale = decode(scales, fmt.scale).value
    with np.errstate(invalid="ignore"):
        divided = (blocks / np.where(scale > 0, scale, 1)[:, :, None]).astype(np.float32)
    words: Codes = scales[:, :, None].astype(np.uint16) << _BITS | encode(divided, fmt.element)
    return words.reshape(rows, -1)[:, :k]


def codes_and_scales(words: Codes, fmt: OperandFormat) -> tuple[Codes, Codes]:
    """What `bitsim.mma` takes, uint8: elements (rows, K) and scales (rows, K / block)."""
    return (words & 0xFF).astype(np.uint8), (words[:, :: fmt.scale_block] >> _BITS).astype(np.uint8)


def _scales(largest: Float32, scale: FloatFormat, element: FloatFormat) -> Codes:
    """The codes of the scales of blocks whose largest magnitudes are `largest`."""
    numbers = decode(np.arange(1 << (element.bits - 1), dtype=element.dtype), element).value
    top = float(numbers[np.isfinite(numbers)].max())
    if scale.name == "ue8m0":
        exponent = np.frexp(largest)[1] - np.frexp(top)[1]
        codes = np.clip(exponent + _UE8M0_BIAS, 0, 2 * _UE8M0_BIAS)
        codes[largest == 0] = 0
    else:
        codes = encode(largest / np.float32(top), scale)
    codes[~np.isfinite(largest)] = scale.max_code if scale.name == "ue8m0" else scale.max_code >> 1
    found: Codes = codes.astype(np.uint8)
    return found
