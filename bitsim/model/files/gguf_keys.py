"""Keys of a GGUF file as bytes: name, type and value. Source: ggml `docs/gguf.md`."""

import struct
from collections.abc import Sequence

import numpy as np

from bitsim.quant.packing import Float32

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


def text_bytes(value: str) -> bytes:
    """A string with its length in front."""
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def text_key(key: str, value: str) -> bytes:
    return text_bytes(key) + struct.pack("<I", _STRING) + text_bytes(value)


def integer_key(key: str, value: int) -> bytes:
    """A uint32."""
    return text_bytes(key) + struct.pack("<II", _UINT32, value)


def float_key(key: str, value: float) -> bytes:
    """A float32."""
    return text_bytes(key) + struct.pack("<If", _FLOAT32, value)


def bool_key(key: str, value: bool) -> bytes:
    return text_bytes(key) + struct.pack("<I?", _BOOL, value)


def floats_key(key: str, values: Sequence[np.float32] | Float32) -> bytes:
    """An array of float32."""
    return _array(key, _FLOAT32, len(values)) + np.array(values, dtype="<f4").tobytes()


def integers_key(key: str, values: Sequence[int]) -> bytes:
    """An array of int32."""
    return _array(key, _INT32, len(values)) + np.array(values, dtype="<i4").tobytes()


def texts_key(key: str, values: Sequence[str]) -> bytes:
    """An array of strings."""
    return _array(key, _STRING, len(values)) + b"".join(map(text_bytes, values))


def _array(key: str, kind: int, count: int) -> bytes:
    return text_bytes(key) + struct.pack("<IIQ", _ARRAY, kind, count)
