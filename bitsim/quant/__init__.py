"""Numbers to few bits: the numerics contracts of the public BitNet implementations and their weight packings.

`contracts` says how activations become int8 codes and how integer sums become outputs again, rounding by rounding;
`packing` holds ternary weights as the simulator keeps them (Hugging Face's 2 bits each) and the bfloat16 bit patterns;
`tq`, `i2s` and `trits` are the byte layouts of other files, and `layouts` lists all of them by name.
"""

__all__ = ["contracts", "i2s", "layouts", "packing", "tq", "trits"]
