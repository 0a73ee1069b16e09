"""The slow, obvious twins of the datapaths, in plain Python integers: the specification, one file per kind.

Every twin is a function of activations (M, K), weights (N, K) and a description that walks the matmul operation by
operation, keeps what each register holds, and returns outputs, events and the first overflow (m, k, n) or None.
"""

from bitsim.datapath.reference import adder_tree, common, i2s, pe_array, tensor_core

__all__ = ["adder_tree", "common", "i2s", "pe_array", "tensor_core"]
