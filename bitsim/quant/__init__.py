"""Numbers to few bits: the quantisers of the BitNet family, rounding by rounding, and the byte layouts of weights.

`contracts` is the registry of named contracts and `recipes` says which linears of a model use which; the formulas are
in `hf` (transformers and the authors' FAQ), `b1`, `b158`, `a48` and `v2`, built from `scaled` (integers), `fp4`, `topk`
and `weights`. `kv` stores keys and values in few bits, `groups` quantises shard by shard, `exact_means` has the means
and norms, `reference` the slow twin of everything. `packing` holds ternary weights as the simulator keeps them (Hugging
Face's 2 bits each) and the bfloat16 bit patterns; `tq`, `i2s` and `trits` are the byte layouts of other files, and
`layouts` lists all of them by name.
"""

__all__ = ["contracts", "groups", "i2s", "kv", "layouts", "packing", "recipes", "reference", "tq", "trits"]
