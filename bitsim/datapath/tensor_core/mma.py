"""Matrix multiply-accumulate on the tensor cores of a GPU architecture, bit for bit."""

from pathlib import Path

import numpy as np

from bitsim.datapath.kernels.integer_mma import integer_mma
from bitsim.datapath.tensor_core.floating import float_mma
from bitsim.datapath.tensor_core.prepare import Array, Convention, FloatMatmul, Overflow, Request, prepare
from bitsim.hw.tensor_core import TensorCore


def mma(
    a: Array,
    b: Array,
    c: Array,
    arch: str | Path | TensorCore = "ampere",
    a_format: str = "fp16",
    b_format: str | None = None,
    acc_format: str | None = None,
    *,
    scale_a: Array | None = None,
    scale_b: Array | None = None,
    convention: Convention = "mmasim",
    overflow: Overflow = "wrap",
    instruction_k: int | None = None,
    clamp_k: int | None = None,
) -> Array:
    """D = A B + C as a GPU's tensor cores compute it: raw bit patterns in and out.

    * `a`: (M, K), `b`: (K, N), `c`: (M, N); returns (M, N) like `c`. K is a multiple of the instruction's; instructions
      are chained over ascending k, the accumulator of one is the C of the next.
    * `arch`: volta, turing, ampere, ada, hopper or blackwell; or a YAML file, or a `TensorCore`.
    * `a_format`, `b_format` (default: the same): fp16, bf16 (uint16); tf32 (uint32, the low 13 bits are dropped); e4m3,
      e5m2, mxe4m3, mxe5m2 (uint8); e2m1, mxe2m1, mxf4, nvf4 (uint8, one E2M1 code 0..15 per byte); int8, int4 (int8);
      uint8, uint4 (uint8), one number per byte. e2m1 and mxe2m1 go with FP8 of the same kind (K = 32), mxf4 and nvf4
      with themselves (K = 64).
    * `acc_format`: of `c` and the result: fp32 (uint32; the default), fp16 (uint16), int32 (int32; the default of
      integers).
    * `scale_a`, `scale_b`: of block-scaled formats, uint8 (M, K / s) and (K / s, N): UE8M0 for s = 32 neighbours in k
      (mxe4m3, mxe5m2, mxe2m1, mxf4), UE4M3 for s = 16 (nvf4).
    * `convention`: for corners that no public hardware output decides: `mmasim` or `leeds` (docs/tensor_cores.md).
    * `overflow`: what an int32 accumulator does: `wrap`, or `saturate` (PTX: satfinite).
    * `instruction_k`: K of the instruction; default: the largest that the architecture has and that divides K.
    * `clamp_k`: an int32 accumulator saturates after so many products, a divisor of the instruction's K; default: once
      per instruction.

    Bit-identical to public outputs of real GPUs where there are any (hw_models/tensor_cores says for which formats);
    NVIDIA specifies none of this. Integers are exact up to `overflow`. Raises `OperandError` for operands and
    combinations that the architecture does not have, naming those that it has, `UnknownNameError` and `ConfigError`.
    Source: MMA-Sim (arXiv 2511.10909); Khattak and Mikaitis (arXiv 2512.07004); NVIDIA PTX ISA, mma.
    """
    request = Request(
        a=a,
        b=b,
        c=c,
        arch=arch,
        a_format=a_format,
        b_format=b_format,
        acc_format=acc_format,
        scale_a=scale_a,
        scale_b=scale_b,
        convention=convention,
        overflow=overflow,
        instruction_k=instruction_k,
        clamp_k=clamp_k,
    )
    matmul = prepare(request)
    if isinstance(matmul, FloatMatmul):
        return float_mma(matmul)
    rows, columns = (operand.astype(np.int32, order="C") for operand in (matmul.a, matmul.b))
    return integer_mma(rows, columns, matmul.c, matmul.clamp_k, matmul.overflow == "saturate")
