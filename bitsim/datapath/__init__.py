"""How a matmul is computed, bit for bit, and what switches while it is.

`base` is the contract of every datapath, `pe_array` the R x C array of processing elements, with `geometry` (tiles and
cycles), `sums` (outputs and overflows) and `switching` (toggles) as its parts. `reference` is its slow twin in plain
Python, `cycle_model` the same array stepped register by register. `tensor_core` is how tensor cores of GPUs compute.
`kernels` holds the compiled loops.
"""

__all__ = [
    "base",
    "cycle_model",
    "formats",
    "geometry",
    "matmul",
    "packed",
    "pe_array",
    "reference",
    "registry",
    "sums",
    "switching",
    "tensor_core",
    "toggles",
]
