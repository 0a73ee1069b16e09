"""A checkpoint's file of tensors: mapped where it is used, read where it is looked through once.

A page that was looked at through a mapping stays in the process's memory as long as the mapping does. So a file is
checked and hashed in pieces of a buffer, and what is laid out anew for a datapath is read into memory of its own, which
the caller drops; only float matrices that stay in use, embedding and head, are mapped.
"""

import hashlib
import mmap
import os
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from bitsim._untrusted import UnreadableError, open_regular
from bitsim.errors import CheckpointError
from bitsim.quant.packing import UInt8

_PIECE_BYTES = 1 << 20


class DataFile:
    """One file, open for reading until the object is gone. Raises `CheckpointError` if it can't be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = open_regular(path)
        except UnreadableError as error:
            raise CheckpointError(f"{path}: {error}") from None
        weakref.finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def _unreadable(self, error: OSError) -> CheckpointError:
        return CheckpointError(f"{self.path}: can't be read: {error.strerror or error}")

    @cached_property
    def mapped(self) -> UInt8:
        """All bytes, uint8, read-only and memory-mapped."""
        if not self.size:
            return np.empty(0, dtype=np.uint8)
        try:
            return np.frombuffer(mmap.mmap(self._descriptor, self.size, access=mmap.ACCESS_READ), dtype=np.uint8)
        except OSError as error:
            raise self._unreadable(error) from None

    def read(self, begin: int, end: int) -> UInt8:
        """The bytes `begin` to `end - 1` in new memory; they must be in the file (no more than its size is taken)."""
        buffer = np.empty(max(0, min(end, self.size) - begin), dtype=np.uint8)
        self._fill(buffer, begin)
        return buffer

    def pieces(self, begin: int, end: int, multiple: int = 1) -> Iterator[UInt8]:
        """The bytes `begin` to `end - 1` in order, in pieces of about a megabyte, all but the last of `multiple` bytes.

        All pieces share one buffer: a piece is valid until the next one is asked for.
        """
        step = max(1, _PIECE_BYTES // multiple) * multiple
        buffer = np.empty(min(step, end - begin), dtype=np.uint8)
        for at in range(begin, end, step):
            piece = buffer[: min(step, end - at)]
            self._fill(piece, at)
            yield piece

    def _fill(self, buffer: UInt8, begin: int) -> None:
        done, view = 0, buffer.data
        while done < len(buffer):
            try:
                got = os.preadv(self._descriptor, [view[done:]], begin + done)
            except OSError as error:
                raise self._unreadable(error) from None
            if not got:
                raise CheckpointError(f"{self.path}: became shorter while it was open: no byte {begin + done}")
            done += got

    def sha256(self) -> bytes:
        """SHA-256 of all bytes."""
        digest = hashlib.sha256()
        for piece in self.pieces(0, self.size):
            digest.update(piece.data)
        return digest.digest()
