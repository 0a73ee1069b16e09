"""Threads of a run: the kernels have the cores, the BLAS does its small matmuls on the calling thread."""

from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


def kernels_first() -> AbstractContextManager[object]:
    """Hold the BLAS to one thread: its idle threads spin for milliseconds and keep the kernels' threads waiting."""
    limit: AbstractContextManager[object] = ThreadpoolController().limit(limits=1, user_api="blas")
    return limit
