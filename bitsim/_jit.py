"""The one numba decorator of the project, so that every kernel is compiled with the same rules."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` at its first call and cache the machine code on disk.

    IEEE arithmetic is kept (never fastmath, no contraction) and the GIL is released.
    """
    return numba.njit(cache=True, error_model="numpy", nogil=True)(function)  # type: ignore[no-any-return]


def parallel_kernel(function: F) -> F:
    """As `kernel`, with `numba.prange` loops spread over threads."""
    return numba.njit(cache=True, error_model="numpy", nogil=True, parallel=True)(function)  # type: ignore[no-any-return]
