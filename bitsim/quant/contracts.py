"""The registry of numerics contracts: every quantised linear of the BitNet family under one name.

`base.Contract` says what a contract is; the objects themselves stand beside their formulas: `hf` (transformers and the
authors' FAQ), `hf_bf16`, `bitnetcpp`, `bitnet_gpu`, `b1`, `b158`, `a48`, `v2`; of float models that are rounded,
`nearest`; of ternary weights with several scales, `scale_groups`. `recipes` says which of a model's linears uses which.
"""

from bitsim.errors import UnknownNameError
from bitsim.quant import a48, b1, b158, bitnet_gpu, bitnetcpp, hf, hf_bf16, nearest, scale_groups, v2
from bitsim.quant.base import EPS, Contract, Float32, Int8, Sums
from bitsim.quant.hf import absmax_int8
from bitsim.quant.weights import ternarise

__all__ = ["CONTRACTS", "EPS", "Contract", "Float32", "Int8", "Sums", "absmax_int8", "contract", "ternarise"]

CONTRACTS = {
    c.name: c
    for c in (
        hf.HF_BITLINEAR_FP32,
        hf_bf16.HF_BITLINEAR_BF16_EAGER,
        hf_bf16.HF_BITLINEAR_BF16_COMPILED,
        hf.HF_AUTOBITLINEAR,
        hf.FLOAT,
        hf.W158A16,
        scale_groups.W158A8,
        hf.FAQ,
        hf.FAQ_B1,
        bitnetcpp.BITNETCPP_I2S,
        bitnet_gpu.BITNET_GPU,
        b1.B1,
        b1.B1_RINT,
        b1.B1_NONNEGATIVE,
        b1.B1_NONNEGATIVE_RANGE,
        b158.B158_Q128_ADDED,
        b158.B158_Q128_CLAMPED,
        b158.B158_Q127_ADDED,
        b158.B158_Q127_CLAMPED,
        a48.A48_INT8,
        a48.A48_TOPK_INT8,
        a48.A48_TOPK_INT8_KEEP_ALL,
        a48.A48_INT4,
        a48.A48_INT4_DOWN,
        a48.A48_E2M1,
        a48.A48_E1M2,
        v2.V2_INT8,
        v2.V2_INT4,
        v2.V2_HADAMARD_INT8,
        v2.V2_HADAMARD_INT4,
        nearest.W8A8,
        nearest.W4A8,
        nearest.W8A16,
        *nearest.W4A16,
    )
}


def contract(name: str) -> Contract:
    """The contract called `name`; raises `UnknownNameError`."""
    if name not in CONTRACTS:
        raise UnknownNameError("numerics contract", name, CONTRACTS)
    return CONTRACTS[name]
