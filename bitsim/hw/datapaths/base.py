"""What every datapath's description has: the little that the rest of bitsim asks of one."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from bitsim.hw.constants import Described
from bitsim.hw.source import problem

OverflowMode = Literal["wrap", "saturate"]
TERNARY_PRODUCT_BITS = 9  # -(-128) needs 9
COLUMN_ACC_BITS = 32


@dataclass(frozen=True, slots=True)
class Within:
    """An integer field's range; it checks a value, and the reference of keys shows it."""

    low: int
    high: int
    least: str
    most: str

    def __call__(self, value: int) -> int:
        if self.low <= value <= self.high:
            return value
        raise problem(
            f"must be {self.low} to {self.high}: {self.least if value < self.low else self.most} (got {value})"
        )


def within(low: int, high: int, least: str, most: str = "more are not modelled") -> AfterValidator:
    """A check of an integer field: `low` to `high`; `least` and `most` say why no less and no more."""
    return AfterValidator(Within(low, high, least, most))


def at_least_one(high: int, of: str) -> AfterValidator:
    """As `within`, from 1 `of` something on."""
    return within(1, high, f"without {of} nothing is computed")


SumBits = Annotated[int, within(1, 32, "a register has at least one bit", "wider sums are not modelled")]
Interval = Annotated[int, within(1, 1024, "a step takes at least one cycle")]
ColumnBits = Annotated[int, within(1, 62, "a register has at least one bit", "wider sums are not modelled")]


class DatapathDescription(Described):
    """Base of all datapath descriptions; `kind` tells them apart.

    * `kind`: the structure; it says which keys there are.
    * `acc_bits`: width of the sums. `overflow`: what integer sums do that leave it.
    * `implemented_in`: module and class below `bitsim.datapath`, if they aren't named after the kind and this class.
    * `side_by_side`: the key that says how many of its units stand side by side and compute different outputs; a
      datapath grows and shrinks by it (`resized`). Empty if it can't.
    """

    implemented_in: ClassVar[str] = ""
    side_by_side: ClassVar[str] = ""
    kind: str
    acc_bits: int
    overflow: OverflowMode = "wrap"

    @property
    def unit(self) -> str:
        """The unit's name in events and results; it says all that a price depends on."""
        raise NotImplementedError

    @property
    def rates(self) -> str:
        """Which measured rates of data-dependent events an estimate uses (`bitsim.datapath.base.Statistics`)."""
        return self.kind

    @property
    def widest_act(self) -> int:
        """Bits of the widest activation codes that it takes."""
        return 8

    @property
    def zero_weights(self) -> bool:
        """Whether a weight may be 0: it has a code for it."""
        return True

    @property
    def cycles_vary(self) -> bool:
        """Whether cycles depend on operands; an estimate is for those without zeros, all outputs needed."""
        return False

    @property
    def macs_per_cycle(self) -> int | Fraction:
        """Multiply-accumulates of one cycle when nothing idles; a fraction where a step takes several cycles."""
        raise NotImplementedError

    @property
    def units_side_by_side(self) -> int:
        """How many units compute different outputs; 1 where that can't be changed."""
        return getattr(self, self.side_by_side) if self.side_by_side else 1

    @property
    def most_side_by_side(self) -> int:
        """How many of them there may be."""
        if not self.side_by_side:
            return 1
        checks = type(self).model_fields[self.side_by_side].metadata
        return next(c.func.high for c in checks if isinstance(c, AfterValidator) and isinstance(c.func, Within))

    def resized(self, count: int) -> Self:
        """The same with `count` units side by side, 1 to `most_side_by_side`; raises `ValidationError` for others."""
        return type(self).model_validate(self.model_dump() | {self.side_by_side: count})

    @property
    def integer(self) -> bool:
        """Whether it sums integers."""
        return True

    @property
    def number_format(self) -> str:
        """What it multiplies, in events."""
        return f"int{self.widest_act}" if self.integer else "fp16"

    @property
    def takes_floats(self) -> bool:
        """Whether it takes activations that are not quantised, with ternary weights: W1.58A16."""
        return False

    def with_full_weights(self) -> "DatapathDescription | None":
        """The same hardware on weights as wide as its activations, if it can be told to take these; else None."""
        return None

    @property
    def can_be_wide(self) -> bool:
        """Whether it can be a chip's `wide`: both of its operands are numbers of more than a trit or a sign."""
        return not self.integer

    @property
    def wide_bits(self) -> int | None:
        """As a chip's `wide`: bits of the codes that it multiplies; None: floating-point numbers."""
        return self.widest_act if self.integer else None

    def text(self) -> str:
        """The structure in one line, for people."""
        raise NotImplementedError

    def accumulators(self, bits: int) -> dict[str, int]:
        """The fields to change so that all accumulators are `bits` wide."""
        return {"acc_bits": bits}

    def not_wide(self) -> PydanticCustomError:
        """Why this description can't be a chip's `wide`."""
        return problem(
            "must multiply floats or integers of several bits, as pe_array and tensor_core can: attention multiplies "
            f"activations by activations (got {self.kind!r})",
            key="kind",
        )


def levels_over(leaves: int) -> int:
    """Levels of adders that join `leaves` numbers pair by pair."""
    return (leaves - 1).bit_length()


def nodes_at(leaves: int, level: int) -> int:
    """Numbers that are left behind a level; one without a partner passes on."""
    return -(-leaves >> level)


def adders_at(leaves: int, level: int) -> int:
    """Adders of a level, from 1 on: one for each pair."""
    return nodes_at(leaves, level - 1) // 2


def macs_per_interval(macs: int, interval: int) -> int | Fraction:
    """MACs per cycle of what does `macs` in `interval` cycles."""
    share = Fraction(macs, interval)
    return share.numerator if share.denominator == 1 else share


def plain(macs: int | Fraction) -> int | float:
    """For files: a whole number, or a float."""
    return macs if isinstance(macs, int) else float(macs)


def too_narrow(least: int, why: str, got: int) -> PydanticCustomError:
    """The complaint about an accumulator that can't hold what enters it."""
    return problem(f"must be >= {least}, {why} (got {got})", key="acc_bits")


def slower(interval: int) -> str:
    """How `interval` reads in a description."""
    return "" if interval == 1 else f", a step every {interval} cycles"


def gating(on: bool) -> str:
    """How `clock_gating` reads in a description."""
    return f"clock gating {'on' if on else 'off'}"
