"""A technology: what an event costs at one node, and an SRAM grid."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bitsim.errors import UnknownNameError
from bitsim.events import event_kind, parsed
from bitsim.hw.constants import AreaUm2, Constant, Described, EnergyPJ, Text, in_unit
from bitsim.hw.library import Folder, FromFile, Kind, built_in_names
from bitsim.hw.rules import Rule, checked, example
from bitsim.hw.source import problem


def _priced_here(event: str) -> str:
    try:
        ledger = event_kind(event).ledger
    except UnknownNameError as error:
        raise problem(str(error)) from None
    owner = {"dram": "the chip's memory.dram.energy", "sram": "the list `sram`"}.get(parsed(event).unit)
    if owner:
        raise problem(f"this event is priced by {owner}")
    if ledger == "activity":
        raise problem("this event is counted but carries no energy")
    return event


def _ruled(rules: dict[str, Rule]) -> dict[str, Rule]:
    for pattern in rules:
        try:
            _priced_here(example(pattern))
        except PydanticCustomError as error:
            raise problem(error.message(), key=pattern) from None
    return checked(rules, "pJ")


def _area_ruled(rules: dict[str, Rule]) -> dict[str, Rule]:
    return checked(rules, "um2")


EventName = Annotated[str, AfterValidator(_priced_here)]


def is_finished_array(name: str) -> bool:
    """Whether an event or a part is a memory array, whose price or area has its wires in it already."""
    return name.startswith(("lut.sram.", "regfile.", "rom."))


class SramRow(Described):
    """One point of the SRAM grid: an array of `capacity_kb` (1 kB = 1024 bytes), accessed `width_bits` at a time.

    `area`: with everything that belongs to the array; None where no source tells it.
    """

    capacity_kb: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    width_bits: Annotated[int, Field(ge=1, le=4096)]
    read: EnergyPJ
    write: EnergyPJ
    leakage: Annotated[Constant, in_unit("mW")]
    area: Annotated[Constant, in_unit("mm2", positive=True)] | None = None


def _distinct(rows: tuple[SramRow, ...]) -> tuple[SramRow, ...]:
    points = [(row.capacity_kb, row.width_bits) for row in rows]
    for point in points:
        if points.count(point) > 1:
            raise problem(f"expected one row per capacity and width (got {point[0]:g} kB x {point[1]} bits twice)")
    return rows


class Technology(FromFile):
    """A price list for one node.

    `prices`: event -> energy of one event in pJ. Those of `pe.*`, `reg.*`, `acc.*`, `scale.*` and `vec.*` are
    synthesised logic before layout, to be multiplied by `layout_factor`; `add.*` and `mul.*` are the papers' own
    and stay as they are, and so do memory arrays (`lut.sram.*`, `regfile.*`, `rom.*`), here and in `areas`. An
    event without a price raises where it is priced (`bitsim.cost`).

    `supply`: the voltage at which logic was priced; needed only to scale to another node.

    `areas`: part of a datapath (`Datapath.parts`) -> cell area of one, before layout as well. What has no area here is
    reported as such where areas are added up.

    `rules`, `area_rules`: pattern of events or parts, such as `pe.ternary_a8_acc{acc}.add` -> what those cost that have
    no price or area of their own, as a function of the widths in their names (`bitsim.hw.rules`).

    `unpriced`: why there are neither prices nor areas nor an SRAM grid.
    """

    kind: Literal["technology"]
    node_nm: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    supply: Annotated[Constant, in_unit("V", positive=True)] | None = None
    layout_factor: Annotated[Constant, in_unit("ratio", positive=True)]
    prices: dict[EventName, EnergyPJ]
    areas: dict[Text, AreaUm2] = Field(default_factory=dict)
    rules: Annotated[dict[Text, Rule], AfterValidator(_ruled)] = Field(default_factory=dict)
    area_rules: Annotated[dict[Text, Rule], AfterValidator(_area_ruled)] = Field(default_factory=dict)
    sram: Annotated[tuple[SramRow, ...], Field(strict=False), AfterValidator(_distinct)]
    unpriced: Text | None = None

    @model_validator(mode="after")
    def _priced_or_not(self) -> "Technology":
        if self.unpriced is None and not self.sram:
            raise problem("expected at least one row of the SRAM grid (got none)", key="sram")
        if self.unpriced is not None and (self.prices or self.areas or self.rules or self.area_rules or self.sram):
            raise problem("expected neither prices nor areas nor sram beside it", key="unpriced")
        return self

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        return {"node": f"{self.node_nm:g} nm"}


TECHNOLOGY = Kind(
    name="technology",
    title="technology",
    plural="technologies",
    model=Technology,
    library=Folder(name="technology", unlisted="unpriced"),
)


def technology_names() -> list[str]:
    """Names of the technologies that come with bitsim."""
    return TECHNOLOGY.names()


def unpriced_names() -> list[str]:
    """Names of what chips are built in that nothing is priced for: FPGAs."""
    return built_in_names("unpriced")


def load_technology(name: str | Path | Technology) -> Technology:
    """A technology by its name or YAML file, unpriced ones included; a `Technology` is returned as it is.

    Raises `UnknownNameError` or `ConfigError`.
    """
    return TECHNOLOGY.load(name)
