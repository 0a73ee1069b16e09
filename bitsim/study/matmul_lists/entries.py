"""One entry of a list, from somebody else's file, as a matmul: every value is checked, and said by its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bitsim.errors import ConfigError
from bitsim.study.matmuls import TERNARY_BITS, MatmulShape

MOST_ENTRIES = 100_000
LARGEST_SIZE, LARGEST_COUNT = 1 << 24, 1 << 32
KEYS = ("name", "m", "k", "n", "count", "bits")
NEEDED = ("m", "k", "n")


class ListError(ConfigError):
    """A list of matmuls that can't be read; names file and line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`values` by `KEYS`, numbers or their text; `where`: `file:line`, or a node of a graph.

    `keeps_bits`: its second operand are no weights, whose bits could be others.
    """

    values: Mapping[str, Any]
    where: str
    keeps_bits: bool = False

    def shape(self, default_name: str, bits: Fraction | None) -> MatmulShape:
        """The matmul; `bits`: bits per weight in place of what the entry says. Raises `ListError`."""
        for key in NEEDED:
            if key not in self.values:
                raise ListError(f"{self.where}: {key}: expected an integer, got nothing")
        name = self.values.get("name") or default_name
        if not isinstance(name, str) or len(name) > 200:
            raise ListError(f"{self.where}: name: expected text of at most 200 characters, got {_shown(name)}")
        said = bits_of(self.values.get("bits"), f"{self.where}: bits")
        stored = said if bits is None or self.keeps_bits else bits
        try:
            return MatmulShape(
                name=name.strip(),
                m=self.size("m"),
                k=self.size("k"),
                n=self.size("n"),
                count=self.size("count", LARGEST_COUNT) if "count" in self.values else 1,
                weight_bits=TERNARY_BITS if stored is None else stored,
            )
        except ListError:
            raise
        except ConfigError as error:
            raise ListError(f"{self.where}: {error}") from None

    def size(self, key: str, largest: int = LARGEST_SIZE) -> int:
        """The integer at `key`, 1 to `largest`."""
        return integer(self.values[key], f"{self.where}: {key}", 1, largest)


def integer(value: Any, what: str, least: int, largest: int) -> int:
    """An integer, or its decimal text; raises `ListError`: `what`, what was expected and what came."""
    number = value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal() and len(value) <= 20:
        number = int(value)
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= largest:
        raise ListError(f"{what}: expected an integer from {least} to {largest:,}, got {_shown(value)}")
    return number


def bits_of(value: Any, what: str) -> Fraction | None:
    """Bits per weight as files write them, such as 2, 1.6 or 8/5; None for nothing. Raises `ListError`."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 20:
            raise ValueError
        return Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        raise ListError(f"{what}: expected bits per weight such as 2, 1.6 or 8/5, got {_shown(value)}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
