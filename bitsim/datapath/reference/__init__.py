"""The slow, obvious twins of the datapaths, in plain Python integers: the specification, one file per kind.

Every twin is a function of activations (M, K), weights (N, K) and a description that walks the matmul operation by
operation, keeps what each register holds, and returns outputs, events and the first overflow (m, k, n) or None.
"""

from bitsim.datapath.reference import (
    adder_tree,
    binary_lut,
    bit_serial,
    common,
    cpu_machine,
    cpu_simd,
    cpu_tables,
    i2s,
    pe_array,
    popcount,
    rom_array,
    sparse_array,
    tensor_core,
    ternary_lut,
)

__all__ = [
    "adder_tree",
    "binary_lut",
    "bit_serial",
    "common",
    "cpu_machine",
    "cpu_simd",
    "cpu_tables",
    "i2s",
    "pe_array",
    "popcount",
    "rom_array",
    "sparse_array",
    "tensor_core",
    "ternary_lut",
]
