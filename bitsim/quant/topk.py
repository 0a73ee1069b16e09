"""The TopK mask of a4.8: keep the half of a token's values that are largest in magnitude."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitsim.quant.base import ActivationQuantiser, Float32, Int8, check_activations

Bool = npt.NDArray[np.bool_]
Ties = Literal["lowest_index", "keep_all"]


def topk_mask(x: Float32, ties: Ties = "lowest_index") -> Bool:
    """Which values stay: per token the `ceil(K / 2)` of largest |x|, float32 (M, K) -> bool (M, K).

    Several values may equal the smallest one kept. "lowest_index": of these, the first ones stay, so that exactly
    `ceil(K / 2)` do. "keep_all": all of them stay (what a comparison with the k-th largest value computes), so that a
    constant token loses nothing. The paper says 50 % and neither rounds K / 2 nor mentions ties.
    Source: arXiv 2411.04965 section 2 (mask M from |X|).
    """
    check_activations(x)
    magnitude = np.abs(x)
    kept = x.shape[1] - x.shape[1] // 2
    if ties == "keep_all":
        smallest: Float32 = -np.partition(-magnitude, kept - 1, axis=1)[:, kept - 1 : kept]
        return magnitude >= smallest
    order = np.argsort(-magnitude, axis=1, kind="stable")
    mask = np.zeros(x.shape, dtype=np.bool_)
    np.put_along_axis(mask, order[:, :kept], True, axis=1)
    return mask


TOPK_ASSUMED = "TopK takes 8 comparisons a value: 7 passes that bisect the 8-bit magnitudes, and one for the mask"


def topk_work(k: int) -> dict[str, int]:
    """Vector operations of absmax and mask: `absmax_work`, and the search for the threshold.

    The paper does not say how the largest half is found: `TOPK_ASSUMED`.
    """
    return {"max": k + 8 * k, "div": 1, "cvt": k}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopKQuantiser:
    """`quantiser(x)` with the codes outside `topk_mask(x)` set to 0; the scale is that of the whole token.

    With an absmax quantiser this equals quantising the masked token, because the largest value always stays.
    """

    quantiser: ActivationQuantiser
    ties: Ties = "lowest_index"

    def __call__(self, x: Float32) -> tuple[Int8, Float32]:
        mask = topk_mask(x, self.ties)
        codes, step = self.quantiser(x)
        return codes * mask, step
