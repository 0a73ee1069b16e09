"""Compiled kernels on disk: where numba puts them, else in a temporary folder of the user's; damaged files don't count.

Numba alone fails at import where it finds no folder that it can write to, and at the first call of a kernel where the
disk is full or a file of the cache is damaged.
"""

import atexit
import hashlib
import os
import pickle
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, NullCache
from numba.core.serialize import dumps

_DIGEST_BYTES = 32
_InTree: Any = next(place for place in CompileResultCacheImpl._locator_classes if "InTree" in place.__name__)


class KernelCacheWarning(UserWarning):
    """Compiled kernels can't be kept where they belong."""


class DamagedError(OSError):
    """A file doesn't hold what was written to it. Numba takes an `OSError` for a file that is not there."""


def cache_of(function: Callable[..., Any]) -> Any:
    """The cache of a kernel on disk, or one that keeps nothing if there is no place for it at all."""
    try:
        return KernelCache(function)
    except (OSError, RuntimeError):  # numba's word for no place
        _say("nowhere: every process compiles them anew")
        return NullCache()


class _CheckedFiles(IndexDataCacheFile):
    """Numba's index and data files, each with the SHA-256 of what it holds."""

    def _dump(self, content: Any) -> bytes:
        pickled: bytes = dumps(content)
        return hashlib.sha256(pickled).digest() + pickled

    def _load_index(self) -> dict[Any, str]:
        try:
            with open(self._index_path, "rb") as file:
                version = pickle.load(file)
                stamp, names = _checked(file.read())
        except Exception:  # not there, not readable, or damaged: pickle raises anything then
            return {}
        return names if (version, stamp) == (self._version, self._source_stamp) else {}

    def _load_data(self, name: str) -> Any:
        return _checked(Path(self._data_path(name)).read_bytes())


def _checked(content: bytes) -> Any:
    digest, pickled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(pickled).digest() != digest:
        raise DamagedError("expected the SHA-256 of what follows")
    return pickle.loads(pickled)


class _Temporary(_InTree):
    """Numba's way to name a folder: the last one that it tries."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(_temporary_folder() / self.get_suitable_cache_subpath(file))


class _Places(CompileResultCacheImpl):
    _locator_classes = (*CompileResultCacheImpl._locator_classes, _Temporary)


class KernelCache(FunctionCache):
    """Numba's cache of one kernel. What can't be written goes to the temporary folder, and is found there again."""

    _impl_class = _Places

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._use(self._impl.locator)
        if isinstance(self._impl.locator, _Temporary):
            _say(f"in {_temporary_folder()}")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        return self._load_elsewhere(sig, target_context) if found is None else found

    def _load_elsewhere(self, sig: Any, target_context: Any) -> Any:
        try:
            if not _temporary_name().exists():
                return None
            with self._moved():
                return super().load_overload(sig, target_context)
        except OSError:  # no temporary folder
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            self._save_elsewhere(sig, data)

    def _save_elsewhere(self, sig: Any, data: Any) -> None:
        try:
            with self._moved():
                super().save_overload(sig, data)
        except OSError:
            _say("nowhere: every process compiles them anew")
        else:
            _say(f"in {_temporary_folder()}")

    def _use(self, locator: Any) -> None:
        self._impl._locator = locator
        self._cache_path = locator.get_cache_path()
        self._cache_file = _CheckedFiles(
            cache_path=self._cache_path,
            filename_base=f"{self._impl.filename_base}.checked",
            source_stamp=locator.get_source_stamp(),
        )

    @contextmanager
    def _moved(self) -> Iterator[None]:
        usual = self._impl.locator
        self._use(_Temporary(self._py_func, usual._py_file))
        try:
            yield
        finally:
            self._use(usual)


def _temporary_name() -> Path:
    return Path(tempfile.gettempdir()) / f"bitsim-kernels-{getattr(os, 'getuid', lambda: 0)()}"


@cache
def _temporary_folder() -> Path:
    """A folder that only this user can write to, for compiled code is run as it is found there.

    If somebody else has made one of its name, a new one for this process. Raises `OSError` if none can be made.
    """
    folder = _temporary_name()
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    is_ours = hasattr(os, "getuid") and stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if is_ours and not stat.S_IMODE(found.st_mode) & 0o077:
        return folder
    folder = Path(tempfile.mkdtemp(prefix="bitsim-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _say(where: str) -> None:
    text = f"neither the package's folders nor the user's cache can be written: compiled kernels are kept {where}"
    warnings.warn(text, KernelCacheWarning, stacklevel=2)
