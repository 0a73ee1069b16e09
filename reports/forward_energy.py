"""Convention C*: arithmetic energy of one forward pass over 512 tokens, as arXiv 2310.11453 set it and others kept it.

Every linear and the two attention matmuls, full and non-causal and not split into heads; a BitNet adds at INT8, scales
its linears with FP16 multiplications (2310.11453 eq. 18) and keeps attention at FP16. Embedding, head, norms and
softmax are not counted.
"""

from collections.abc import Iterable
from functools import cache

from bitsim.hw import load_chip
from bitsim.model.zoo import zoo_config
from bitsim.study import estimate

TOKENS = 512
TERNARY_CHIP, FP16_CHIP = "ternary-ws-64x64", "fp16-ws-64x64"


@cache
def forward_energy(model: str, technology: str) -> dict[str, float]:
    """Joules of the additions (`add`) and multiplications (`mul`) of a published shape."""
    chip = load_chip(TERNARY_CHIP if zoo_config(model).quantised else FP16_CHIP).with_technology(technology)
    result = estimate(model, chip, prefill=TOKENS, decode=0, merge_heads=True, beyond_capacity=True)
    return joules((part, energy.nominal) for _, part, energy in result.breakdown("arithmetic"))


def joules(parts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Picojoules by what is counted, such as `add int8`, as joules of additions and of multiplications."""
    listed = list(parts)
    return {
        operation: sum(picojoules for part, picojoules in listed if part.startswith(operation)) * 1e-12
        for operation in ("add", "mul")
    }
