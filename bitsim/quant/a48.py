"""BitNet a4.8: ternary weights; INT4 or FP4 inputs of q, k, v, gate and up, sparse INT8 of o, INT8 of down.

No official code is public, so these contracts follow the equations and are checked against their twins and laws only.
Per token, as v2 says of the same quantisers (a4.8 does not say). eps, not given, is 1e-5. The FP4 variant's eps is a
clamp; the integer ones add it, as printed.
"""

import math
from dataclasses import replace

from bitsim.quant.b158 import int8_absmax
from bitsim.quant.base import Contract, absmax_work, absmean_work, multiply_scales, store_mean
from bitsim.quant.fp4 import E1M2, E2M1
from bitsim.quant.scaled import ScaledQuantiser
from bitsim.quant.topk import TOPK_ASSUMED, TopKQuantiser, topk_work
from bitsim.quant.weights import ternarise_added

_PAPER = "arXiv 2411.04965 section 2"
_EVIDENCE = "plain-Python twin of the printed formula (tests/quant/test_twins.py); no official code is public"

INT4_ABSMEAN = ScaledQuantiser(scaled_by="absmean", level=math.sqrt(7), eps="added", low=-8, high=7)
INT8_ABSMAX = int8_absmax(127, "added")

A48_INT8 = Contract(
    name="a48_int8",
    linear_class="a48",
    quantise_activations=INT8_ABSMAX,
    rescale=multiply_scales,
    stored_scale=store_mean,
    quantise_weights=ternarise_added,
    source=f"{_PAPER}, Q_INT8 (down_proj)",
    evidence=_EVIDENCE,
)
A48_TOPK_INT8 = replace(
    A48_INT8,
    name="a48_topk_int8",
    quantise_activations=TopKQuantiser(quantiser=INT8_ABSMAX),
    quantise_work=topk_work,
    assumed=TOPK_ASSUMED,
    source=f"{_PAPER}, Q_INT8 and mask (o_proj); of equal values at the boundary the lowest indices stay",
)
A48_TOPK_INT8_KEEP_ALL = replace(
    A48_INT8,
    name="a48_topk_int8_keep_all",
    quantise_activations=TopKQuantiser(quantiser=INT8_ABSMAX, ties="keep_all"),
    quantise_work=topk_work,
    assumed=TOPK_ASSUMED,
    source=f"{_PAPER}, Q_INT8 and mask (o_proj); all equal values at the boundary stay",
)
A48_INT4 = replace(
    A48_INT8,
    name="a48_int4",
    quantise_activations=INT4_ABSMEAN,
    quantise_work=absmean_work,
    activation_bits=4,
    code_range=(-8, 7),
    source=f"{_PAPER}, Q_INT4 (q, k, v, gate, up)",
)
A48_INT4_DOWN = replace(
    A48_INT4,
    name="a48_int4_down",
    quantise_activations=replace(INT4_ABSMEAN, scaled_by="twice_absmean"),
    source=f"{_PAPER}, Q_INT4 with beta = 2 mean|X|, the full-INT4 ablation's down_proj",
)
A48_E2M1 = replace(
    A48_INT4,
    name="a48_e2m1",
    quantise_activations=E2M1,
    quantise_work=absmax_work,
    code_range=(-E2M1.max_code, E2M1.max_code),
    source="arXiv 2411.04965 eq. 8, E2M1, the floor's place corrected",
)
A48_E1M2 = replace(
    A48_INT4,
    name="a48_e1m2",
    quantise_activations=E1M2,
    quantise_work=absmax_work,
    code_range=(-E1M2.max_code, E1M2.max_code),
    source="arXiv 2411.04965 eq. 8, E1M2, the floor's place corrected",
)
