"""The registry of numerics contracts: every quantised linear of the BitNet family under one name.

`base.Contract` says what a contract is; the objects themselves stand beside their formulas: `hf` (transformers and the
authors' FAQ).
"""

from bitsim.errors import UnknownNameError
from bitsim.quant import hf
from bitsim.quant.base import EPS, Contract, Float32, Int8, Sums
from bitsim.quant.hf import absmax_int8
from bitsim.quant.weights import ternarise

__all__ = ["CONTRACTS", "EPS", "Contract", "Float32", "Int8", "Sums", "absmax_int8", "contract", "ternarise"]

CONTRACTS = {
    c.name: c
    for c in (
        hf.HF_BITLINEAR_FP32,
        hf.HF_AUTOBITLINEAR,
        hf.FLOAT,
        hf.FAQ,
        hf.FAQ_B1,
    )
}


def contract(name: str) -> Contract:
    """The contract called `name`; raises `UnknownNameError`."""
    if name not in CONTRACTS:
        raise UnknownNameError("numerics contract", name, CONTRACTS)
    return CONTRACTS[name]
