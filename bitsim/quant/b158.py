"""BitNet b1.58: ternary weights and INT8 absmax activations, with both readings of eps and of Qb.

The paper prints `W / (gamma + eps)` and takes activations from b1 (Qb = 128); the authors' code clamps both scales
and uses 127; a4.8 prints 127 with an added eps. All four combinations are contracts; `b158_q128_added` is the paper
read literally, `b158_q127_added` what a4.8 prints for its INT8 inputs, `b158_q127_clamped` the FAQ's formula with one
correctly rounded division (not torch's reciprocal, for which see `faq`). All round to nearest even.

With Qb = 128 the absolute maximum scales to +-128: +128 is clipped to 127, -128 stays. With 127, -128 never occurs.
"""

from bitsim.quant.base import Contract, multiply_scales, store_mean
from bitsim.quant.scaled import EpsRule, ScaledQuantiser
from bitsim.quant.weights import ternarise, ternarise_added


def int8_absmax(qb: int, eps: EpsRule) -> ScaledQuantiser:
    """`clip(rint(x * qb / max|x|), -128, 127)` per token."""
    return ScaledQuantiser(scaled_by="absmax", level=qb, eps=eps, low=-128, high=127)


def _b158(qb: int, eps: EpsRule, source: str) -> Contract:
    return Contract(
        name=f"b158_q{qb}_{eps}",
        # The weights are stored as this class of checkpoint stores them: packed codes and mean|W|.
        linear_class="autobitlinear",
        quantise_activations=int8_absmax(qb, eps),
        rescale=multiply_scales,
        stored_scale=store_mean,
        quantise_weights=ternarise_added if eps == "added" else ternarise,
        source=source,
        evidence="plain-Python twin of the printed formula (tests/quant/test_twins.py)",
    )


B158_Q128_ADDED = _b158(128, "added", "arXiv 2402.17764 eq. 1-3 and section 2; 2310.11453 eq. 4")
B158_Q128_CLAMPED = _b158(128, "clamped", "arXiv 2402.17764 eq. 1-3 with eps as in bitnet-dllm 1.3.0 (Qb = 128)")
B158_Q127_ADDED = _b158(127, "added", "arXiv 2402.17764 eq. 1-3; 2411.04965 section 2, Q_INT8")
B158_Q127_CLAMPED = _b158(127, "clamped", "arXiv 2402.17764 eq. 1-3, eps and 127 as in microsoft/unilm's FAQ, fig. 4")
