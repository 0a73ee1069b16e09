"""Numbers to few bits: the numerics contracts of the public BitNet implementations and their weight packings.

`contracts` says how activations become int8 codes and how integer sums become outputs again, rounding by rounding;
`packing` holds ternary weights as checkpoints store them (2 bits each) and the bfloat16 bit patterns.
"""

__all__ = ["contracts", "packing"]
