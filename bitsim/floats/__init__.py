"""Floating-point work that enters results, in stated orders and with stated functions, so that it is the same bits on
every machine: matmuls (`matmul`), sums and rows (`rows`), exp, log, sin, cos and powers (`functions`).

Only +, -, *, /, square roots, conversions and one fused multiply-add are used, which IEEE 754 rounds exactly; the BLAS,
libm and numpy's exp, log, sin, mean and sum are not. `reference` is the plain twin of all of it.
"""
