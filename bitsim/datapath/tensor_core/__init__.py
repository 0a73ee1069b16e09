"""GPU tensor cores: `mma` multiplies as they do, bit for bit, by the parameters in hw_models/tensor_cores.

`float_formats` holds the number formats, `prepare` checks what is asked for, `reference` is the slow twin in exact
rational numbers (the specification), `floating` feeds the compiled kernels. `datapath` puts them on a chip, `encode`
rounds its operands.
"""

__all__ = ["datapath", "encode", "float_formats", "floating", "mma", "prepare", "reference"]
