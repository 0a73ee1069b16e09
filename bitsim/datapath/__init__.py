"""How a matmul is computed, bit for bit, and what switches while it is.

`protocol` is the contract of every datapath, `structure` what a class tells, `template` what all do alike, `registry`
the list of kinds. Each kind is a
module that draws its structure and counts its events in closed form, with a slow twin in plain Python in `reference`
and compiled loops in `kernels`. Outputs come from one exact matmul (`matmul`, `packed`) and, where accumulators are too
narrow, from `accumulation`; `lanes` is shared by all that group K.

Plans call a datapath in `tiles`: `tiled` says what they count, `tiled_execution` executes them, `joined` adds up.

A package each are `pe_array` and `tensor_core`, which is how tensor cores of GPUs compute, alone and as a datapath.
`i2s_dot` is bitnet.cpp's matmul, which wraps.
"""

__all__ = [
    "accumulation",
    "adder_tree",
    "base",
    "binary_lut",
    "bit_serial",
    "cpu_simd",
    "formats",
    "i2s_dot",
    "joined",
    "lane_schedule",
    "lanes",
    "matmul",
    "outcomes",
    "packed",
    "pe_array",
    "popcount",
    "prepared",
    "protocol",
    "reference",
    "registers",
    "registry",
    "rom_array",
    "simd_counts",
    "sparse_array",
    "structure",
    "template",
    "tensor_core",
    "ternary_lut",
    "tiled",
    "tiled_execution",
    "tiles",
    "toggles",
]
