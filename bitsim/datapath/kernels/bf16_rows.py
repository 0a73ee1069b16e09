"""A few rows of float32 times a large matrix stored in bfloat16, read once and converted in registers.

Every output is the sum of four vectors of partial sums, lane l of vector v adding the products of k = 64 i + 16 v + l
in order, all in float32; then the 64 partial sums are added one by one. The order does not depend on threads.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from bitsim._jit import parallel_kernel
from bitsim.datapath.kernels.simd import F32X16, I32X16, element_pointer, lane_operation, llvm_type, load, splat, store

STEP = 64
_ROWS_OF_A_THREAD = 256


@lane_operation
def load_bf16(typingctx: Any, array: Any, offset: Any) -> Any:
    """`load_bf16(array, offset)`: 16 bfloat16 patterns from a C-contiguous uint16 array, as float32 lanes (exact)."""
    if not (isinstance(array, types.Array) and array.layout == "C" and array.dtype == types.uint16):
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        halves = ir.VectorType(ir.IntType(16), F32X16.lanes)
        pointer = element_pointer(context, builder, sig.args[0], args[0], args[1], halves)
        words = builder.zext(builder.load(pointer, align=2), llvm_type(I32X16))
        shift = ir.Constant(llvm_type(I32X16), [16] * F32X16.lanes)
        return builder.bitcast(builder.shl(words, shift), llvm_type(F32X16))

    return F32X16(array, types.int64), emit


@parallel_kernel
def bf16_matmul(a: Any, w: Any, y: Any) -> None:
    """`a` float32 (M, K) times `w`, bfloat16 patterns uint16 (N, K), into `y` float32 (M, N); K a multiple of 64."""
    m_size, k_size = a.shape
    n_size = w.shape[0]
    for block in numba.prange((n_size + _ROWS_OF_A_THREAD - 1) // _ROWS_OF_A_THREAD):
        lanes = np.empty(STEP, np.float32)
        zero = splat(np.float32(0))
        for n in range(block * _ROWS_OF_A_THREAD, min(n_size, (block + 1) * _ROWS_OF_A_THREAD)):
            for m in range(m_size):
                sum0, sum1, sum2, sum3 = zero, zero, zero, zero
                for k in range(0, k_size, STEP):
                    x, v = m * k_size + k, n * k_size + k
                    sum0 += load_bf16(w, v) * load(a, x)
                    sum1 += load_bf16(w, v + 16) * load(a, x + 16)
                    sum2 += load_bf16(w, v + 32) * load(a, x + 32)
                    sum3 += load_bf16(w, v + 48) * load(a, x + 48)
                store(lanes, 0, sum0)
                store(lanes, 16, sum1)
                store(lanes, 32, sum2)
                store(lanes, 48, sum3)
                total = np.float32(0)
                for lane in range(STEP):
                    total += lanes[lane]
                y[m, n] = total
