"""How a matmul is computed, bit for bit, and what switches while it is.

`base` is the contract of every datapath, `pe_array` the R x C array of processing elements, with `geometry` (tiles and
cycles), `sums` (outputs and overflows) and `switching` (toggles) as its parts. `i2s_dot` is bitnet.cpp's matmul, which
wraps. `reference` holds the slow twins in plain Python, `cycle_model` the array stepped register by register, `kernels`
the compiled loops.
"""

__all__ = [
    "base",
    "cycle_model",
    "formats",
    "geometry",
    "i2s_dot",
    "matmul",
    "packed",
    "pe_array",
    "reference",
    "registry",
    "sums",
    "switching",
    "toggles",
]
