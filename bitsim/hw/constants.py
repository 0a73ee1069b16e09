"""Constants with a unit, a source and an evidence label: no number enters bitsim without them."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bitsim.hw.source import problem

Evidence = Literal["measured", "published", "derived", "assumed"]
Unit = Literal[
    "pJ",
    "pJ/bit",
    "GHz",
    "Top/s",
    "W",
    "GB/s",
    "Gbit/s",
    "GB",
    "MB",
    "kB",
    "ns",
    "us",
    "mW",
    "mW/GB",
    "um2",
    "mm2",
    "uW/kB",
    "bit",
    "C",
    "V",
    "ratio",
]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
LONGEST_NAME = 100
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,{LONGEST_NAME - 1}}}")


def _safe(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name:
        raise problem(
            f"expected at most {LONGEST_NAME} letters, digits and . _ + -, a letter or digit first, no two dots in a "
            f"row: files are called so (got {name[:60]!r})"
        )
    return name


SafeName = Annotated[str, AfterValidator(_safe)]
Model = TypeVar("Model", bound=BaseModel)
_LEVELS = ("low", "nominal", "high")


class Described(BaseModel):
    """Base of everything that is read from YAML: strict, immutable, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_strip_whitespace=True)


class Constant(Described):
    """A number of the real world: a `value`, or a range `low <= nominal <= high`; finite and >= 0.

    `low`, `nominal` and `high` are always there; they are equal if the YAML gives a `value`.

    * `value`: the number, in place of a range. `low`: the least that sources give, in place of a `value`.
    * `nominal`: what results show first, in place of a `value`. `high`: the most that sources give, in place of a
      `value`.
    * `unit`: the unit; each key that holds a constant has one that it must be. `source`: where the number comes from.
    * `evidence`: measured by us, published by others, derived from one of these, or assumed.
    * `note`: anything else that a reader should know.
    """

    # Not dumped: what is dumped is a range, and can be validated again.
    value: Annotated[Amount | None, Field(exclude=True)] = None
    low: Amount
    nominal: Amount
    high: Amount
    unit: Text
    source: Text
    evidence: Evidence
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = [level for level in _LEVELS if level in data]
        if "value" not in data:
            if not given:
                raise problem("expected `value`, or `low`, `nominal` and `high` (got neither)")
            return data
        if given:
            raise problem(f"expected `value` or a range, not both (got `value` and `{given[0]}`)")
        value = data["value"]
        if value is None:
            raise problem("expected a number (got nothing)", key="value")
        usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        # An unusable value is reported once, at `value`, instead of three times at the levels.
        return data | dict.fromkeys(_LEVELS, float(value) if usable else 0.0)

    @model_validator(mode="after")
    def _ordered(self) -> "Constant":
        if not self.low <= self.nominal <= self.high:
            raise problem(f"expected low <= nominal <= high (got {self.low:g}, {self.nominal:g}, {self.high:g})")
        return self

    def text(self) -> str:
        """For people: `0.34 pJ`, or `8 / 13 / 14 pJ/bit` for a range."""
        amount = f"{self.nominal:g}" if self.low == self.high else f"{self.low:g} / {self.nominal:g} / {self.high:g}"
        return amount if self.unit == "ratio" else f"{amount} {self.unit}"


@dataclass(frozen=True, slots=True)
class InUnit:
    """A constant field's unit and bounds; it checks a constant, and the reference of keys shows them."""

    unit: Unit
    positive: bool
    at_most: float

    def __call__(self, constant: Constant) -> Constant:
        if constant.unit != self.unit:
            raise problem(f"must be {self.unit!r} (got {constant.unit!r})", key="unit")
        if self.positive and not constant.low > 0:
            raise problem(f"must be > 0 (got {constant.low:g})", key="low" if constant.value is None else "value")
        if constant.high > self.at_most:
            raise problem(
                f"must be <= {self.at_most:g} (got {constant.high:g})",
                key="high" if constant.value is None else "value",
            )
        return constant


def in_unit(unit: Unit, *, positive: bool = False, at_most: float = math.inf) -> AfterValidator:
    """Declares which unit a field's constant must have, and its bounds beyond >= 0."""
    return AfterValidator(InUnit(unit, positive, at_most))


EnergyPJ = Annotated[Constant, in_unit("pJ")]
AreaUm2 = Annotated[Constant, in_unit("um2", positive=True)]


def constants_in(described: BaseModel, prefix: str = "") -> dict[str, Constant]:
    """All constants inside of a description, by their path in the YAML."""
    found: dict[str, Constant] = {}

    def walk(item: object, path: str) -> None:
        if isinstance(item, Constant):
            found[path] = item
        elif isinstance(item, BaseModel):
            for name in type(item).model_fields:
                walk(getattr(item, name), f"{path}.{name}" if path else name)
        elif isinstance(item, dict):
            for name, entry in item.items():
                walk(entry, f"{path}.{name}")
        elif isinstance(item, tuple):
            for index, entry in enumerate(item):
                walk(entry, f"{path}[{index}]")

    walk(described, prefix)
    return found


def replaced(described: Model, path: str, constant: Constant) -> Model:
    """A description with another constant at a path as `constants_in` gives it; nothing is validated again."""

    def changed(item: Any, keys: list[str]) -> Any:
        if not keys:
            return constant
        key, rest = keys[0], keys[1:]
        if isinstance(item, BaseModel):
            return item.model_copy(update={key: changed(getattr(item, key), rest)})
        if isinstance(item, dict):
            return item | {key: changed(item[key], rest)}
        return tuple(changed(entry, rest) if str(i) == key else entry for i, entry in enumerate(item))

    return cast(Model, changed(described, path.replace("[", ".").replace("]", "").split(".")))
