"""Models without hardware: shapes and published families, checkpoints, operators, and the forward pass.

`config` and `zoo` describe a model, `checkpoint` reads one, `build_operators` lists the work of a step, `forward` does
it with numpy and hands every matmul to the `executor` it was given, `generate` and `tokenizer` turn text into tokens
and back. Nothing here knows a chip.
"""

__all__ = [
    "build_operators",
    "catalogue",
    "checkpoint",
    "config",
    "executor",
    "forward",
    "generate",
    "kv_cache",
    "operators",
    "tokenizer",
    "weights",
    "zoo",
]
