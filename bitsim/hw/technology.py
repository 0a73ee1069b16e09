"""A technology: what an event costs at one node, and whose SRAM it has."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.events import event_kind, parsed
from bitsim.hw.constants import AreaUm2, Constant, EnergyPJ, Text, in_unit
from bitsim.hw.library import Folder, FromFile, Kind, built_in_names
from bitsim.hw.rules import Rule, checked, example
from bitsim.hw.source import is_path, problem
from bitsim.hw.sram import Sram
from bitsim.hw.sram_nodes import load_sram
from bitsim.hw.voltage import VoltageRule


def _priced_here(event: str) -> str:
    try:
        ledger = event_kind(event).ledger
    except UnknownNameError as error:
        raise problem(str(error)) from None
    owner = {"dram": "the chip's memory.dram.energy", "sram": "the data that `sram` names"}.get(parsed(event).unit)
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


class Technology(FromFile):
    """A price list for one node.

    `prices`: event -> energy of one event in pJ. Those of `pe.*`, `reg.*`, `acc.*`, `scale.*` and `vec.*` are
    synthesised logic before layout, to be multiplied by `layout_factor`; `add.*` and `mul.*` are the papers' own
    and stay as they are, and so do memory arrays (`lut.sram.*`, `regfile.*`, `rom.*`), here and in `areas`. An
    event without a price raises where it is priced (`bitsim.cost`).

    `supply`: the voltage at which logic was priced; needed only to scale to another node or voltage. `voltage`: how
    logic follows another one.

    `areas`: part of a datapath (`Datapath.parts`) -> cell area of one, before layout as well. What has no area here is
    reported as such where areas are added up.

    `rules`, `area_rules`: pattern of events or parts, such as `pe.ternary_a8_acc{acc}.add` -> what those cost that have
    no price or area of their own, as a function of the widths in their names (`bitsim.hw.rules`).

    `sram`: name or file of its SRAM (`bitsim.hw.sram`); without it, that of the node. `arrays` is what it names.
    `unpriced`: why there are neither prices nor areas nor SRAM.
    """

    kind: Literal["technology"]
    node_nm: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    supply: Annotated[Constant, in_unit("V", positive=True)] | None = None
    voltage: VoltageRule | None = None
    layout_factor: Annotated[Constant, in_unit("ratio", positive=True)]
    prices: dict[EventName, EnergyPJ]
    areas: dict[Text, AreaUm2] = Field(default_factory=dict)
    rules: Annotated[dict[Text, Rule], AfterValidator(_ruled)] = Field(default_factory=dict)
    area_rules: Annotated[dict[Text, Rule], AfterValidator(_area_ruled)] = Field(default_factory=dict)
    sram: Text | None = None
    unpriced: Text | None = None
    _arrays: Sram | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _priced_or_not(self) -> "Technology":
        if self.unpriced is not None and (
            self.prices or self.areas or self.rules or self.area_rules or self.sram is not None
        ):
            raise problem("expected neither prices nor areas nor sram beside it", key="unpriced")
        if self.voltage is not None and self.supply is None:
            raise problem("expected the supply that this starts from, as `supply`", key="voltage")
        return self

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.unpriced is None:
            self._arrays = self._load_sram(f"sram-{self.node_nm:g}nm" if self.sram is None else self.sram)

    def _load_sram(self, name: str) -> Sram:
        at, where = self.beside(name, ("sram",)), self._source.where(("sram",))
        if is_path(name) and not Path(at).exists():
            raise ConfigError(f"{where}: file not found ({at})")
        try:
            return load_sram(at)
        except (UnknownNameError, ConfigError) as error:
            if is_path(name):
                raise
            raise ConfigError(f"{where}: {error}") from None

    @property
    def arrays(self) -> Sram | None:
        """Its SRAM; None if nothing is priced."""
        return self._arrays

    @property
    def sha256(self) -> str:
        """Hash of what is described, its SRAM included."""
        mine = super().sha256
        return mine if self._arrays is None else sha256(f"{mine} {self._arrays.sha256}".encode()).hexdigest()

    def bad_voltage(self, volts: float) -> str:
        """Why logic can't be priced at a supply: the range and its source; empty if it can."""
        if self.unpriced is not None or (self.supply is not None and volts == self.supply.nominal):
            return ""
        if self.voltage is None or self.supply is None:
            return f"{self.path} has no `voltage`: it can't be priced at another supply than its own (got {volts:g} V)"
        outside = self.voltage.outside(volts, self.supply.nominal)
        return outside and f"logic of {self.name}: {outside}"

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        return {"node": f"{self.node_nm:g} nm"} | ({} if self.arrays is None else {"sram": self.arrays.name})


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
