"""How many tokens of a prompt are worked off together in attention: small blocks skip more of what causality masks."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from bitsim.model.attention_operators import of_block
from bitsim.model.config import ModelConfig
from bitsim.model.step import Step
from bitsim.quant.recipes import Recipe
from bitsim.schedule.place import Placement

CANDIDATES, MOST_BLOCKS = 3, 128
SMALLEST, TIMES = 8, 4  # tokens of the smallest block, and how many of them the next one takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """The attention of one model on one chip; `config` with any number of layers, which are alike."""

    placement: Placement
    config: ModelConfig
    recipe: Recipe
    batch: int = 1
    causal: bool = True

    def block(self, tokens: int, context: int) -> int:
        """Tokens of a block in a step of `tokens` that attends `context` positions, these included.

        The best of a few sizes and of all tokens at once, by what plans are chosen for: the block in the middle stands
        for all. Ties go to fewer blocks.
        """
        if not self.causal or tokens == 1:
            return tokens
        sizes = [tokens, *reversed(candidates(tokens))]
        return min(sizes, key=partial(self._score, tokens, context))

    def note(self, chunks: Iterable[tuple[int, int]]) -> tuple[str, ...]:
        """What the attention of a prompt in these steps, from a first to a last token each, computes in vain."""
        sizes, computed, needed = dict[int, None](), 0, 0
        for start, stop in chunks:
            size = self.block(stop - start, stop)
            sizes[size] = None
            for first in range(start, stop, size):
                last = min(first + size, stop)
                computed += (last - first) * last
                needed += (last - first) * (first + last + 1) // 2
        if not computed:
            return ()
        blocks = " or ".join(f"{size:,}" for size in sizes)
        return (
            f"attention of a prompt in blocks of {blocks} tokens: {computed:,} pairs of token and position are "
            f"computed, {needed:,} of them are not masked",
        )

    def _score(self, tokens: int, context: int, size: int) -> tuple[float, ...]:
        """What all blocks of a size take: least is best."""
        past = context - tokens
        middle = (-(-tokens // size) - 1) // 2 * size
        step = Step(
            config=self.config,
            phase="prefill",
            tokens=tokens,
            context=context,
            batch=self.batch,
            recipe=self.recipe,
            kv=self.recipe.kv or 16,
            merge_heads=False,
            query_block=size,
            logits="none",
        )
        stop = past + min(middle + size, tokens)
        placed = [self.placement.place(op) for op in of_block(step, 0, past + middle, stop)]
        return self.placement.rank(placed, -(-tokens // size))


def candidates(tokens: int) -> list[int]:
    """Sizes of blocks that are tried beside all tokens, ascending."""
    found: list[int] = []
    size = SMALLEST
    while size < tokens and len(found) < CANDIDATES:
        if -(-tokens // size) <= MOST_BLOCKS:
            found.append(size)
        size *= TIMES
    return found
