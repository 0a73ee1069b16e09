"""A pipeline of stages that pass micro-batches on: how long a batch takes, and how long stages wait (bubbles)."""

from collections.abc import Sequence


def pipeline_time(stages: Sequence[float], micro_batches: int) -> float:
    """Seconds until the last stage has finished the last of equal micro-batches.

    `stages`: seconds of one micro-batch in each stage, sending included. A stage starts a micro-batch when it has
    finished the one before and the stage before has passed this one on: sum + (m - 1) max. With equal stages that is
    (m + P - 1) stages. Source: GPipe, arXiv 1811.06965.
    """
    return sum(stages) + (micro_batches - 1) * max(stages)


def bubble_share(stages: Sequence[float], micro_batches: int) -> float:
    """The share of all stages' time in which they have nothing to do; (P - 1) / (m + P - 1) if they are equal."""
    return 1 - micro_batches * sum(stages) / (len(stages) * pipeline_time(stages, micro_batches))
