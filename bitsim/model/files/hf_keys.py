"""Typed access to the keys of a JSON object that somebody else wrote."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from bitsim.errors import CheckpointError

T = TypeVar("T")
_SHOWN = 200  # characters of a value in a message


class Keys:
    """The keys of one JSON object; every error names the file, the key and what came.

    A key that is asked for is taken; what is left in the end is `left`. `default` is what an absent key means; without
    one the key must be there. A null is a value, and no number, text or flag.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def fail(self, key: str, expected: str) -> CheckpointError:
        got = repr(self.values[key]) if key in self.values else "no such key"
        return CheckpointError(f"{self.where}{key}: expected {expected}, got {got[:_SHOWN]}")

    def take(self, key: str, default: Any = None) -> Any:
        self._taken.add(key)
        return self.values.get(key, default)

    def is_null(self, key: str) -> bool:
        """Whether the key is absent or null; it is taken then."""
        if self.values.get(key) is None:
            self._taken.add(key)
            return True
        return False

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise self.fail(key, "a positive integer")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.take(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e30:
            raise self.fail(key, "a positive number")
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def choice(self, key: str, known: Mapping[str, T], default: str | None = None) -> T:
        value = self.take(key, default)
        if not isinstance(value, str) or value not in known:
            raise self.fail(key, f"one of {', '.join(known)}")
        return known[value]

    def fixed(self, key: str, *allowed: Any, why: str = "nothing else is supported") -> None:
        """Take `key`, which must be absent or one of `allowed`."""
        value = self.take(key, allowed[0])
        if not any(value is one or (type(value) is type(one) and value == one) for one in allowed):
            raise self.fail(key, f"{allowed[0]!r} ({why})")

    def nested(self, key: str) -> "Keys":
        value = self.take(key)
        if not isinstance(value, dict):
            raise self.fail(key, "an object")
        return Keys(value, f"{self.where}{key}.")

    def left(self) -> Iterator[str]:
        """The keys that nobody took, in the order of the file."""
        return (key for key in self.values if key not in self._taken)

    def none_left(self) -> None:
        """Refuse the first key that nobody took."""
        for key in self.left():
            raise CheckpointError(f"{self.where}{key[:_SHOWN]}: unknown key, which could change the model's numbers")
