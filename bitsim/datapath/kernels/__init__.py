"""The compiled loops: arrays and integers in, arrays and counts out. They know numpy, numba and `bitsim._jit` only.

`simd`, `simd_dot` and `simd_half` are SIMD values inside numba, `tiles` and `pack` the register and memory layouts,
`gemm` the exact matmul, `i2s` bitnet.cpp's that wraps, `psum_toggles`, `fp16_array`, `overflow` and `saturating` count
what an array's sums do, `team` decides how many threads are worth waking.
"""
