"""A technology: what an event costs at one node, and whose SRAM it has."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.events import event_kind, parsed
from bitsim.hw.between import CURVE, Data, joined, scaled
from bitsim.hw.complaints import validate
from bitsim.hw.constants import AreaUm2, Constant, Described, EnergyPJ, Text, in_unit
from bitsim.hw.library import Folder, FromFile, Kind, built_in_names
from bitsim.hw.rules import Rule, checked, example
from bitsim.hw.source import Source, is_path, problem
from bitsim.hw.sram import Sram
from bitsim.hw.sram_nodes import load_sram
from bitsim.hw.voltage import VoltageRule
from bitsim.hw.yaml_file import KeyPath, shown


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


DelayNs = Annotated[Constant, in_unit("ns", positive=True)]
Ratio = Annotated[Constant, in_unit("ratio", positive=True)]


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


class Scaled(Described):
    """A technology as another one times factors: `base` is its name or file, relative to the file that says so.

    * `energy`, `area`, `delay`: the factors of all constants in pJ, um2 and ns.
    """

    base: Text
    energy: Ratio
    area: Ratio
    delay: Ratio


class Technology(FromFile):
    """A price list for one node.

    `prices`: event -> energy of one event in pJ. Those of `pe.*`, `reg.*`, `acc.*`, `scale.*` and `vec.*` are
    synthesised logic before layout, to be multiplied by `layout_factor`; `add.*` and `mul.*` are the papers' own
    and stay as they are, and so do memory arrays (`lut.sram.*`, `regfile.*`, `rom.*`), here and in `areas`. An
    event without a price raises where it is priced (`bitsim.cost`).

    `supply`: the voltage at which logic was priced; needed only to scale to another node or voltage. `voltage`: how
    logic follows another one.

    `areas`: part of a datapath (`Datapath.parts`) -> cell area of one, before layout as well. What has no area here is
    reported as such where areas are added up. `delays`: logic between two registers -> critical path, before layout, at
    `supply`.

    `rules`, `area_rules`: pattern of events or parts, such as `pe.ternary_a8_acc{acc}.add` -> what those cost that have
    no price or area of their own, as a function of the widths in their names (`bitsim.hw.rules`).

    `sram`: name or file of its SRAM (`bitsim.hw.sram`); without it, that of the node. `arrays` is what it names.
    `unpriced`: why there are neither prices nor areas nor SRAM.

    `between`: the two technologies that constants lie between, larger node first, which is then all that is needed
    beside `node_nm`. `scaled`: likewise, from one technology and factors. Constants that are given nonetheless stay.
    """

    kind: Literal["technology"]
    node_nm: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    between: Annotated[tuple[Text, Text], Field(strict=False)] | None = None
    scaled: Scaled | None = None
    supply: Annotated[Constant, in_unit("V", positive=True)] | None = None
    voltage: VoltageRule | None = None
    layout_factor: Annotated[Constant, in_unit("ratio", positive=True)]
    prices: dict[EventName, EnergyPJ]
    areas: dict[Text, AreaUm2] = Field(default_factory=dict)
    delays: dict[Text, DelayNs] = Field(default_factory=dict)
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
        made = {} if self.between is None else {"between": ", ".join(self.between)}
        made |= {} if self.scaled is None else {"scaled": f"from {self.scaled.base}"}
        return {"node": f"{self.node_nm:g} nm"} | made | ({} if self.arrays is None else {"sram": self.arrays.name})


ENDS = {"45nm": 45, "7nm": 7}  # the synthesised ones, between which a node needs no file
_NODE = re.compile(r"(\d+(?:\.\d+)?)nm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes(Folder):
    """The files, and `<number>nm` for every node between the synthesised ones."""

    def has(self, name: str) -> bool:
        return Folder.has(self, name) or _NODE.fullmatch(name) is not None

    def source(self, name: str) -> Source:
        node = None if Folder.has(self, name) else _NODE.fullmatch(name)
        if node is None:
            return Folder.source(self, name)
        node_nm, (most, least) = float(node[1]), ENDS.values()
        if not least < node_nm < most:
            raise ConfigError(
                f"technology {name}: expected {', '.join(self.names())} or a node between {least} and {most} nm, where "
                "units were synthesised (ASAP7 and Nangate45): sources reach no further"
            )
        data: dict[str, Any] = {"kind": "technology", "name": name, "node_nm": node_nm, "between": list(ENDS)}
        return Source(path=name, data=data, places={(): (name, 1)})


def _made(source: Source, other: Callable[[KeyPath, str], Technology]) -> Source | None:
    """What a technology consists of that says `between` or `scaled`, as data."""
    keys = [key for key in ("like", "between", "scaled") if source.data.get(key) is not None]
    if len(keys) > 1:
        raise ConfigError(f"{source.where((keys[1],))}: expected one of {', '.join(keys)}")
    if keys in ([], ["like"]):
        return None
    if not isinstance(source.data.get("node_nm"), int | float):
        raise ConfigError(f"{source.where(('node_nm',))}: required beside `{keys[0]}`, as a number")
    where = source.where((keys[0],))
    try:
        data = (_between if keys == ["between"] else _scaled)(source, other)
    except ConfigError as error:
        raise (error if str(error).startswith(source.path) else ConfigError(f"{where}: {error}")) from None
    here = source.places.get((keys[0],), source.places[()])
    data["name"] = Path(source.path).stem
    return Source(path=source.path, data=data, places={(): here} | {(key,): here for key in data})


def _between(source: Source, other: Callable[[KeyPath, str], Technology]) -> Data:
    given, node_nm = source.data["between"], float(source.data["node_nm"])
    if not isinstance(given, list) or len(given) != len(ENDS):
        raise ConfigError(f"expected two technologies, the one of the larger node first (got {shown(given)})")
    large, small = (_priced(other(("between", i), name)) for i, name in enumerate(given))
    summary = f"{node_nm:g} nm: between {large.name} and {small.name} along the curves of {CURVE}"
    return joined(node_nm, large.model_dump(), small.model_dump()) | {"summary": summary}


def _scaled(source: Source, other: Callable[[KeyPath, str], Technology]) -> Data:
    factors = validate(Scaled, source.part(("scaled",)) or source)
    base = _priced(other(("scaled", "base"), factors.base))
    summary = f"{source.data['node_nm']:g} nm: {base.name} times factors of energy, area and delay"
    return scaled(base.model_dump(), factors.model_dump(exclude={"base"})) | {"summary": summary}


def _priced(technology: Technology) -> Technology:
    if technology.unpriced is not None:
        raise ConfigError(f"expected a technology with prices (got {technology.name})")
    return technology


TECHNOLOGY = Kind(
    name="technology",
    title="technology",
    plural="technologies",
    model=Technology,
    library=Nodes(name="technology", unlisted="unpriced"),
    own=("name", "like", "summary", "between", "scaled"),
    made=_made,
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
