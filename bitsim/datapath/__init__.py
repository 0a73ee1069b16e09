"""How a matmul is computed, bit for bit, and what switches while it is.

`base` is the contract of every datapath, `template` what all do alike, `registry` the list of kinds. Each kind is a
module that draws its structure and counts its events in closed form, with a slow twin in plain Python in `reference`
and compiled loops in `kernels`. Outputs come from one exact matmul (`matmul`, `packed`) and, where accumulators are too
narrow, from `accumulation`; `lanes` is shared by all that group K.

Parts of the PE array are `geometry` (tiles and cycles), `sums`, `switching` (toggles) and `cycle_model`, the array
stepped register by register. `i2s_dot` is bitnet.cpp's matmul, which wraps;
`tensor_core` is how tensor cores of GPUs compute, alone and as a datapath.
"""

__all__ = [
    "accumulation",
    "adder_tree",
    "base",
    "binary_lut",
    "bit_serial",
    "cpu_simd",
    "cycle_model",
    "formats",
    "geometry",
    "i2s_dot",
    "lane_schedule",
    "lanes",
    "matmul",
    "packed",
    "pe_array",
    "popcount",
    "reference",
    "registry",
    "rom_array",
    "simd_counts",
    "sparse_array",
    "stored_halves",
    "sums",
    "switching",
    "template",
    "tensor_core",
    "ternary_lut",
    "toggles",
]
