"""The slow, obvious twin of every quantiser, in plain Python: the specification.

Each function takes one token (or one tensor) as a list of floats that are float32 values, and writes the formula of its
contract out, one `f32` per rounding. Python computes in float64; rounding its +, -, *, / of float32 values to float32
gives what a float32 operation gives (53 bits are more than 2 * 24 + 1). Means are exact fractions, rounded to float64
by the sum, by the quotient, and then to float32. A value beyond float32 or bfloat16 raises `OverflowError`.
`tests/quant` holds the fast quantisers against these.
"""

import math
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal

Token = Sequence[float]
Quantised = tuple[list[int], float]


def f32(value: float) -> float:
    """The float32 nearest to `value`, ties to even."""
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return single


def bf16(value: float) -> float:
    """The bfloat16 (8 significant bits, the exponents of float32) nearest to `value`, ties to even."""
    _, exponent = math.frexp(value)
    spacing = 2.0 ** (max(exponent, -125) - 8)
    nearest = round(value / spacing) * spacing
    if abs(nearest) >= 2.0**128:
        raise OverflowError(f"{value} is beyond bfloat16")
    return math.copysign(nearest, value)


def f16(value: float) -> float:
    """The float16 nearest to `value`, ties to even; raises `OverflowError` beyond float16."""
    half: float = struct.unpack("<e", struct.pack("<e", value))[0]
    return half


EPS = f32(1e-5)
SQRT7 = f32(math.sqrt(7))


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def absmax(x: Token) -> float:
    return max(abs(v) for v in x)


def mean(x: Token) -> float:
    """In float64: the exact sum, rounded, over the count, rounded."""
    return float(sum(map(Fraction, x))) / len(x)


def absmean(x: Token) -> float:
    return f32(mean([abs(v) for v in x]))


def rounded(x: Token, scale: float, low: int, high: int) -> list[int]:
    """`clip(rint(f32(x * scale)), low, high)`; Python's round is half to even."""
    return [int(clip(round(f32(v * scale)), low, high)) for v in x]


def torch_absmax(x: Token) -> Quantised:
    """transformers and FAQ: the reciprocal is rounded before it is multiplied; the scale divides."""
    s = f32(f32(1 / max(absmax(x), EPS)) * 127)
    return rounded(x, s, -128, 127), s


def torch_absmax_bf16_eager(x: Token) -> Quantised:
    """transformers in bfloat16, every operation rounded, to float32 and then to bfloat16."""
    x = [bf16(v) for v in x]
    s = bf16(bf16(f32(1 / max(absmax(x), bf16(EPS)))) * 127)
    return [int(clip(round(bf16(v * s)), -128, 127)) for v in x], s


def torch_absmax_bf16_compiled(x: Token) -> Quantised:
    """The same compiled: float32 inside, and only the scale rounded to bfloat16."""
    x = [bf16(v) for v in x]
    s = bf16(f32(f32(1 / max(absmax(x), EPS)) * 127))
    return rounded(x, s, -128, 127), s


def i2s_absmax(x: Token) -> Quantised:
    """bitnet.cpp: one division, rounded once to float32; the scale divides."""
    s = f32(127 / max(absmax(x), 1e-5))
    return rounded(x, s, -128, 127), s


def b1(x: Token) -> Quantised:
    """Eq. 4 as printed, with the float clip, then floor."""
    gamma = max(absmax(x), EPS)
    s = f32(128 / gamma)
    return [math.floor(clip(f32(v * s), f32(-128 + EPS), f32(128 - EPS))) for v in x], f32(gamma / 128)


def b1_rint(x: Token) -> Quantised:
    gamma = max(absmax(x), EPS)
    return rounded(x, f32(128 / gamma), -128, 127), f32(gamma / 128)


def b1_nonnegative(x: Token) -> Quantised:
    """The printed clip to [eps, Qb - eps], then floor; eta = min x."""
    gamma, eta = max(absmax(x), EPS), min(x)
    s = f32(128 / gamma)
    return [math.floor(clip(f32(f32(v - eta) * s), EPS, f32(128 - EPS))) for v in x], f32(gamma / 128)


def b1_nonnegative_range(x: Token) -> Quantised:
    eta = min(x)
    shifted = [f32(v - eta) for v in x]
    gamma = max(absmax(shifted), EPS)
    s = f32(128 / gamma)
    return [math.floor(clip(f32(v * s), EPS, f32(128 - EPS))) for v in shifted], f32(gamma / 128)


def int8_added(x: Token, qb: int) -> Quantised:
    """`(gamma / Qb) * RoundClip(Qb / (gamma + eps) * X)`: eps is in the one and not in the other."""
    gamma = absmax(x)
    return rounded(x, f32(qb / f32(gamma + EPS)), -128, 127), f32(gamma / qb)


def int8_clamped(x: Token, qb: int) -> Quantised:
    gamma = max(absmax(x), EPS)
    return rounded(x, f32(qb / gamma), -128, 127), f32(gamma / qb)


def int8(x: Token) -> Quantised:
    return int8_added(x, 127)


def int4(x: Token) -> Quantised:
    """`(beta / sqrt 7) * RoundClip(sqrt 7 / (beta + eps) * X, -8, 7)`."""
    beta = absmean(x)
    return rounded(x, f32(SQRT7 / f32(beta + EPS)), -8, 7), f32(beta / SQRT7)


def int4_down(x: Token) -> Quantised:
    beta = f32(2 * absmean(x))
    return rounded(x, f32(SQRT7 / f32(beta + EPS)), -8, 7), f32(beta / SQRT7)


def topk(x: Token) -> list[bool]:
    """The ceil(K / 2) of largest magnitude; of equal ones the first."""
    order = sorted(range(len(x)), key=lambda i: (-abs(x[i]), i))
    kept = set(order[: -(-len(x) // 2)])
    return [i in kept for i in range(len(x))]


def topk_keep_all(x: Token) -> list[bool]:
    """All that are at least as large as the ceil(K / 2)-th."""
    smallest = sorted((abs(v) for v in x), reverse=True)[-(-len(x) // 2) - 1]
    return [abs(v) >= smallest for v in x]


def masked(x: Token, mask: list[bool]) -> Quantised:
    codes, step = int8(x)
    return [q if keep else 0 for q, keep in zip(codes, mask, strict=True)], step


def fp4(x: Token, mantissa_bits: int, max_code: int) -> Quantised:
    """Spacing 1 below 2^(M+1), and twice as wide with every power of two above."""
    gamma = max(absmax(x), EPS)
    s = f32(max_code / gamma)
    codes = []
    for value in x:
        v, spacing = f32(value * s), 1
        while abs(v) >= 2 ** (mantissa_bits + 1) * spacing:
            spacing *= 2
        codes.append(round(v / spacing) * spacing)
    return codes, f32(gamma / max_code)


def nearest_token(x: Token) -> Quantised:
    """W8A8 and W4A8: one division for the step, one for each code; the step multiplies."""
    step = f32(max(absmax(x), EPS) / 127)
    return [round(f32(v / step)) for v in x], step


def nearest_weights(w: Token, bits: int) -> Quantised:
    """A row, or a group of one, to integers of `bits`; the scale is an FP16 value."""
    most = 2 ** (bits - 1) - 1
    scale = f16(f32(max(absmax(w), EPS) / most))
    return [int(clip(round(f32(v / scale)), -most - 1, most)) for v in w], scale


def wide_row(x: Token, bits: int) -> Quantised:
    """A row for an integer wide datapath: a scale without a floor but for rows of zeros."""
    most = 2 ** (bits - 1) - 1
    step = f32(max(absmax(x), 2.0**-100) / most)
    return [round(f32(v / step)) for v in x], step


def wide_scores(q: Token, keys: Sequence[Sequence[int]], steps: Token, bits: int) -> list[float]:
    """One query with the codes of keys, each of which has a step; a head's logits with its rows in their place."""
    codes, s = wide_row(q, bits)
    return [
        f32(f32(sum(a * b for a, b in zip(codes, key, strict=True))) * f32(s * step))
        for key, step in zip(keys, steps, strict=True)
    ]


def wide_mixed(p: Token, values: Sequence[Sequence[int]], steps: Token, bits: int) -> list[float]:
    """One token's probabilities with the codes of values, whose steps are multiplied into the probabilities."""
    codes, s = wide_row([f32(a * step) for a, step in zip(p, steps, strict=True)], bits)
    return [
        f32(f32(sum(a * b for a, b in zip(codes, column, strict=True))) * s) for column in zip(*values, strict=True)
    ]


def hadamard(x: Token) -> list[float]:
    """`H_m [a; b] = [H a + H b; H a - H b]`, then one multiplication by 1 / sqrt n."""

    def unnormalised(part: list[float]) -> list[float]:
        if len(part) == 1:
            return part
        half = len(part) // 2
        a, b = unnormalised(part[:half]), unnormalised(part[half:])
        pairs = list(zip(a, b, strict=True))
        return [f32(p + q) for p, q in pairs] + [f32(p - q) for p, q in pairs]

    factor = f32(math.sqrt(1 / len(x)))
    return [f32(v * factor) for v in unnormalised(list(x))]


ACTIVATIONS: dict[str, Callable[[Token], Quantised]] = {
    "hf_bitlinear_fp32": torch_absmax,
    "hf_bitlinear_bf16_eager": torch_absmax_bf16_eager,
    "hf_bitlinear_bf16_compiled": torch_absmax_bf16_compiled,
    "hf_autobitlinear": torch_absmax,
    "faq": torch_absmax,
    "faq_b1": torch_absmax,
    "bitnetcpp_i2s": i2s_absmax,
    "bitnet_gpu": torch_absmax_bf16_compiled,
    "b1": b1,
    "b1_rint": b1_rint,
    "b1_nonnegative": b1_nonnegative,
    "b1_nonnegative_range": b1_nonnegative_range,
    "b158_q128_added": lambda x: int8_added(x, 128),
    "b158_q128_clamped": lambda x: int8_clamped(x, 128),
    "b158_q127_added": lambda x: int8_added(x, 127),
    "b158_q127_clamped": lambda x: int8_clamped(x, 127),
    "a48_int8": int8,
    "a48_topk_int8": lambda x: masked(x, topk(x)),
    "a48_topk_int8_keep_all": lambda x: masked(x, topk_keep_all(x)),
    "a48_int4": int4,
    "a48_int4_down": int4_down,
    "a48_e2m1": lambda x: fp4(x, mantissa_bits=1, max_code=12),
    "a48_e1m2": lambda x: fp4(x, mantissa_bits=2, max_code=7),
    "v2_int8": int8,
    "v2_int4": int4,
    "v2_hadamard_int8": lambda x: int8(hadamard(x)),
    "v2_hadamard_int4": lambda x: int4(hadamard(x)),
    "w158a8": torch_absmax,
    "w8a8": nearest_token,
    "w4a8": nearest_token,
}


def trit(v: float) -> int:
    """`clip(rint(f32(v)), -1, 1)`; held at +-2 first, as v may be beyond float32."""
    return int(clip(round(f32(clip(v, -2, 2))), -1, 1))


def ternarise(w: Token) -> Quantised:
    """Clamped eps, reciprocal first."""
    gamma = max(absmean(w), EPS)
    reciprocal = f32(1 / gamma)
    return [trit(v * reciprocal) for v in w], gamma


def ternarise_bf16(w: Token) -> Quantised:
    """Every step in bfloat16, by way of float32; what is stored is the reciprocal of the reciprocal."""
    w = [bf16(v) for v in w]
    s = bf16(f32(1 / max(bf16(absmean(w)), bf16(EPS))))
    products = [bf16(f32(clip(v * s, -4, 4))) for v in w]
    return [int(clip(round(p), -1, 1)) for p in products], bf16(f32(1 / s))


def ternarise_added(w: Token) -> Quantised:
    gamma = absmean(w)
    guarded = f32(gamma + EPS)
    return [trit(v / guarded) for v in w], gamma


def binarise(w: Token) -> Quantised:
    """Sign(W - alpha) with Sign(0) = -1."""
    alpha = f32(mean(w))
    return [1 if v > alpha else -1 for v in w], absmean(w)


def binarise_faq(w: Token) -> Quantised:
    """The same with sign(0) = 0."""
    alpha = f32(mean(w))
    return [(v > alpha) - (v < alpha) for v in w], absmean(w)


_CLAMPED = (
    "hf_bitlinear_fp32",
    "hf_bitlinear_bf16_eager",
    "hf_bitlinear_bf16_compiled",
    "hf_autobitlinear",
    "w158a8",
    "faq",
    "bitnetcpp_i2s",
    "b158_q127_clamped",
    "b158_q128_clamped",
)
_BINARY = ("b1", "b1_rint", "b1_nonnegative", "b1_nonnegative_range")
WEIGHTS: dict[str, Callable[[Token], Quantised]] = {
    **dict.fromkeys((name for name in ACTIVATIONS if ACTIVATIONS[name] is not nearest_token), ternarise_added),
    **dict.fromkeys(_CLAMPED, ternarise),
    **dict.fromkeys(_BINARY, binarise),
    "faq_b1": binarise_faq,
    "bitnet_gpu": ternarise_bf16,
}


def rescale(name: str, acc: int, s: float, weight_scale: float) -> float:
    """The output of one integer sum under the contract called `name`."""
    exact = f32(acc)
    if name == "hf_bitlinear_fp32":
        return f32(exact / f32(weight_scale * s))
    if name == "hf_bitlinear_bf16_eager":
        return bf16(f32(bf16(exact) / bf16(f32(bf16(weight_scale) * s))))
    if name == "hf_bitlinear_bf16_compiled":
        return bf16(f32(bf16(exact) / f32(bf16(weight_scale) * s)))
    if name == "faq":
        return f32(f32(exact / weight_scale) / s)
    if name == "w158a8":
        return f32(f32(exact * weight_scale) / s)
    if name in {"hf_autobitlinear", "faq_b1", "bitnetcpp_i2s"}:
        return f32(f32(exact / s) * weight_scale)
    if name == "bitnet_gpu":
        return bf16(f32(f32(exact / s) * bf16(weight_scale)))
    return f32(exact * f32(s * weight_scale))


def layer_norm(x: Token) -> list[float]:
    """In float64, rounded once to float32."""
    centre = mean(x)
    centred = [v - centre for v in x]
    deviation = math.sqrt(mean([d * d for d in centred]) + 1e-5)
    return [f32(d / deviation) for d in centred]


def kv(x: Token, bits: int, mapping: Literal["centred", "full_range"]) -> tuple[list[int], list[float]]:
    """One head at one position: unsigned codes and the values they stand for."""
    gamma, half = max(absmax(x), EPS), 2 ** (bits - 1)
    if mapping == "centred":
        level, zero = half - 1.0, float(half)
        codes = [int(clip(round(f32(v * f32(level / gamma))), -level, level)) + half for v in x]
    else:
        level = zero = half - 0.5
        codes = [int(clip(math.floor(f32(v * f32(level / gamma))), -half, half - 1)) + half for v in x]
    return codes, [f32((q - zero) * f32(gamma / level)) for q in codes]
