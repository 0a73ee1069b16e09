"""How every kernel is compiled, and how many threads it gets.

Kernels are compiled with `NUMBA_DISABLE_JIT=1` too: they consist of vector instructions, which have no Python form.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from threading import Lock
from types import FunctionType
from typing import Any, TypeVar, cast

import numba

from bitsim._kernel_cache import cache_of

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` at its first call and cache the machine code on disk.

    IEEE arithmetic is kept (never fastmath, no contraction) and the GIL is released.
    """
    return cast(F, _cached(function))


def parallel_kernel(function: F) -> F:
    """As `kernel`, with `numba.prange` loops spread over threads; it may be called by several threads at a time.

    It is called from Python, not by other kernels.
    """
    return cast(F, _ParallelKernel(cast(FunctionType, function)))


def inlined(function: F) -> F:
    """Compile a helper of kernels that becomes part of its callers, so that vectors stay in registers."""
    return cast(F, compiled(function, forceinline=True))


@contextmanager
def team(macs: int, worth: int, threads: int | None = None) -> Iterator[None]:
    """Numba's number of threads, at most `threads`; one thread when there are fewer than `worth` MACs to do.

    Waking a team takes about as long as `worth` MACs take, and on a busy machine a thousand times longer.
    """
    before = numba.get_num_threads()
    wanted = (before if threads is None else min(threads, before)) if macs >= worth else 1
    if wanted == before:
        yield
        return
    numba.set_num_threads(wanted)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """`numba.njit` with the project's rules, whatever `NUMBA_DISABLE_JIT` says."""
    with _jit_on():
        dispatcher = numba.njit(error_model="numpy", nogil=True, **options)(function)
    compile_signature = dispatcher.compile

    def compile_with_jit(signature: Any) -> Any:
        with _jit_on():  # numba compiles its own functions when a signature asks for them
            return compile_signature(signature)

    dispatcher.compile = compile_with_jit
    return dispatcher


@contextmanager
def _jit_on() -> Iterator[None]:
    before, numba.config.DISABLE_JIT = numba.config.DISABLE_JIT, 0
    try:
        yield
    finally:
        numba.config.DISABLE_JIT = before


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher = compiled(function, **options)
    dispatcher._cache = cache_of(function)
    return dispatcher


class _ParallelKernel:
    """A kernel on all threads, or on the calling one in a process where the team of threads can't be used.

    GNU's OpenMP, which numba takes on Linux, ends a process that was forked from one with a team. Numba's own
    `workqueue`, its layer where there is no OpenMP, ends a process in which two threads use it at once.
    """

    def __init__(self, function: FunctionType) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        if _team.lost_by_fork:
            return self._alone(*arguments)
        if _takes_turns():
            with _team.turn:
                return self._together(*arguments)
        return self._together(*arguments)

    @cached_property
    def _together(self) -> Any:
        return _cached(self.function, parallel=True)

    @cached_property
    def _alone(self) -> Any:
        function = self.function
        alone = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
        alone.__qualname__ = f"{function.__qualname__}_alone"  # numba names its cache files after it
        return _cached(alone)


class _Team:
    """What has become of this process's threads for kernels."""

    def __init__(self) -> None:
        self.lost_by_fork = False
        self.turn = Lock()

    def forked(self) -> None:
        """Called in a new child process."""
        self.turn = Lock()
        try:
            self.lost_by_fork |= numba.threading_layer() == "omp"
        except ValueError:
            return  # no team was started before the fork


_team = _Team()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_team.forked)


@cache
def _takes_turns() -> bool:
    numba.get_num_threads()  # starts the team, after which its layer is known
    return bool(numba.threading_layer() == "workqueue")
