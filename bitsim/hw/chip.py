"""A chip: datapaths, vector unit, memories and clock, on a technology. One YAML file describes one chip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw.constants import Constant, Described, Evidence, Text, constants_in, in_unit
from bitsim.hw.datapaths import DatapathDescription, DatapathSpec
from bitsim.hw.dram import DRAM
from bitsim.hw.host import HostSpec
from bitsim.hw.library import Folder, FromFile, Kind, built_in_names
from bitsim.hw.memory import MemorySpec
from bitsim.hw.source import Source, is_path, problem
from bitsim.hw.technology import Technology, load_technology

VectorOp = Literal["add", "mul", "max", "exp", "rsqrt", "div", "cvt"]
# Operations that have a price of their own: the additions and multiplications that each of them is.
ELEMENTARY: dict[VectorOp, tuple[int, int]] = {"add": (1, 0), "mul": (0, 1), "max": (0, 0), "cvt": (0, 0)}
VECTOR_OPS: tuple[VectorOp, ...] = ("add", "mul", "max", "exp", "rsqrt", "div", "cvt")


class OpCost(Described):
    """What one operation of the vector unit takes: cycles of a lane, elementary additions and multiplications.

    `max` and `cvt` are elementary on their own: they have a price and neither adds nor multiplies.

    * `cycles`: cycles of one lane. `add`: elementary additions. `mul`: elementary multiplications.
    * `source`: where these numbers come from. `evidence`: measured by us, published by others, derived from one of
      these, or assumed. `note`: anything else that a reader should know.
    """

    cycles: Annotated[int, Field(ge=1, le=1024)]
    add: Annotated[int, Field(ge=0, le=1024)]
    mul: Annotated[int, Field(ge=0, le=1024)]
    source: Text
    evidence: Evidence
    note: str = ""


def _complete(costs: dict[VectorOp, OpCost]) -> dict[VectorOp, OpCost]:
    missing = [op for op in VECTOR_OPS if op not in costs]
    if missing:
        raise problem(f"expected all of {', '.join(VECTOR_OPS)} (missing: {', '.join(missing)})")
    for op, expected in ELEMENTARY.items():
        if (given := (costs[op].add, costs[op].mul)) != expected:
            raise problem(f"{op} is elementary: expected add, mul = {expected} (got {given})")
    return costs


class VectorSpec(Described):
    """The unit for everything that is no matmul: `lanes` operations at a time in `format`.

    * `lanes`: operations that begin at the same time. `format`: their number format.
    * `costs`: what each operation takes; all operations are needed.
    """

    lanes: Annotated[int, Field(ge=1, le=65536)]
    format: Literal["fp16"]
    costs: Annotated[dict[VectorOp, OpCost], AfterValidator(_complete)]


def _wide(spec: DatapathDescription) -> DatapathDescription:
    if not spec.can_be_wide:
        raise spec.not_wide()
    return spec


class Chip(FromFile):
    """A chip: `bitlinear` computes quantised linears, `wide` the other matmuls, `vector` everything else.

    * `kind`: `chip`, what the file describes. `name`: what results call it. `summary`: one line about it.
    * `like`: the chip, by name or file, that the file takes its remaining keys from.
    * `technology`: name of a built-in technology, a node between two of them such as 16nm, or path of a YAML file,
      relative to the file that says so; `tech` is what it names.
    * `clock`: frequency of the chip; cycles become times with it.
    * `voltage`: supply of its logic and memories; without it, that of the technology.
    * `bitlinear`: the datapath of quantised linears. `wide`: the datapath of the other matmuls. `vector`: the unit of
      everything else.
    * `units_shared`: `bitlinear` and `wide` are the same units, which take turns: a part that both have is there once.
    * `head`: the datapath that computes logits. `bitlinear`: the one of quantised linears, in its codes: hidden states
      in as many bits as it takes, weights in 8 bits, or ternary where it takes no others. They are rounded without
      training, so that a model loses quality, which `bitsim eval --chip` measures.
    * `memory`: the levels on the chip and the DRAM, which may be `like` a DRAM of its own. `host`: what drives the
      chip; without it, that is not modelled.
    """

    kind: Literal["chip"]
    technology: Text
    clock: Annotated[Constant, in_unit("GHz", positive=True)]
    voltage: Annotated[Constant, in_unit("V", positive=True)] | None = None
    bitlinear: DatapathSpec
    wide: Annotated[DatapathSpec, AfterValidator(_wide)]
    units_shared: bool = False
    vector: VectorSpec
    head: Literal["wide", "bitlinear"] = "wide"
    memory: MemorySpec
    host: HostSpec | None = None
    _tech: Technology = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._tech = _technology_of(self.technology, context)
        self._check_voltage(context.where(("voltage",)))

    @property
    def tech(self) -> Technology:
        return self._tech

    @property
    def volts(self) -> float:
        """The supply in V: the chip's own, or its technology's; raises `ConfigError` if neither says one."""
        if self.voltage is not None:
            return self.voltage.nominal
        if self.tech.supply is None:
            raise ConfigError(f"{self.path}: voltage: required, since {self.tech.path} says no supply")
        return self.tech.supply.nominal

    def _check_voltage(self, where: str) -> None:
        """Both ends of the chip's own supply must be such that the technology's logic can be priced."""
        ends = () if self.voltage is None else (self.voltage.low, self.voltage.high)
        for volts in ends:
            if wrong := self.tech.bad_voltage(volts):
                raise ConfigError(f"{where}: {wrong}")

    def with_technology(self, name: str | Path | Technology) -> "Chip":
        """This chip on another technology: a built-in name, or a YAML file relative to the working directory.

        A supply of its own stays on a technology of the same node; on any other it has that technology's.
        """
        technology = name if isinstance(name, Technology) else load_technology(name)
        voltage = self.voltage if technology.node_nm == self.tech.node_nm else None
        named = technology.name if technology is name else str(name)
        other = self.model_copy(update={"technology": named, "voltage": voltage})
        other._tech = technology
        other._check_voltage(f"{self.path}: voltage on {technology.name}")
        return other

    def with_accumulators(self, bits: int | None = None, overflow: str | None = None) -> "Chip":
        """This chip with other integer accumulators for BitLinear, all of them `bits` wide.

        None leaves width or overflow as they are. Raises `ConfigError` for widths that the datapath can't have.
        """
        if (bits, overflow) != (None, None) and not self.bitlinear.integer:
            raise ConfigError(
                f"{self.name}: bitlinear: expected integer sums to change their accumulators, got {self.bitlinear.unit}"
            )
        changed = self.bitlinear.model_dump() | ({} if bits is None else self.bitlinear.accumulators(bits))
        if overflow is not None:
            changed["overflow"] = overflow
        try:
            spec = type(self.bitlinear).model_validate(changed)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(("bitlinear", *(str(part) for part in first["loc"])))
            raise ConfigError(f"{self.name}: {where}: {first['msg']} (bits {bits}, overflow {overflow!r})") from None
        return self.model_copy(update={"bitlinear": spec})

    def with_full_weights(self) -> "Chip":
        """This chip with a BitLinear datapath that is told to take weights as wide as activations, if it can be."""
        spec = self.bitlinear.with_full_weights()
        return self if spec is None else self.model_copy(update={"bitlinear": spec})

    def timing_constants(self) -> Mapping[str, Constant]:
        """The constants that times rest on, by name."""
        dram = self.memory.dram
        parts = constants_in(self.bitlinear, "bitlinear") | constants_in(self.wide, "wide")
        if self.host is not None:
            parts |= {path: c for path, c in constants_in(self.host, "host").items() if c.unit != "pJ/bit"}
        return {
            f"{self.name}: clock": self.clock,
            f"{self.name}: memory.dram.bandwidth": dram.bandwidth,
            f"{self.name}: memory.dram.efficiency": dram.efficiency,
        } | {f"{self.name}: {path}": constant for path, constant in parts.items()}

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        arrays = {"bitlinear": self.bitlinear.text(), "wide": self.wide.text()}
        arrays |= {} if self.host is None else {"host": self.host.text()}
        costs = {
            f"vector {op}": f"cycles {cost.cycles}, add {cost.add}, mul {cost.mul} ({cost.evidence}: {cost.source})"
            for op, cost in self.vector.costs.items()
        }
        if self.units_shared:
            arrays["wide"] += ", the same units as bitlinear"
        vector = {"vector": f"{self.vector.lanes} lanes, {self.vector.format}"}
        arrays |= {} if self.head == "wide" else {"head": "on the BitLinear datapath"}
        return {"technology": self.technology} | arrays | vector | costs


def _technology_of(name: str, source: Source) -> Technology:
    """The technology that a chip's file names; what is wrong with the name is reported at its line."""
    at = source.beside(name, ("technology",))
    if is_path(name) and not Path(at).exists():
        raise ConfigError(f"{source.where(('technology',))}: file not found ({at})")
    try:
        return load_technology(at)
    except (UnknownNameError, ConfigError) as error:
        if is_path(name):
            raise
        raise ConfigError(f"{source.where(('technology',))}: {error}") from None


CHIP = Kind(
    name="chip",
    title="chip",
    plural="chips",
    model=Chip,
    library=Folder(name="chips"),
    parts={("memory", "dram"): DRAM},
)


def chip_names() -> list[str]:
    """Names of the chips that come with bitsim."""
    return CHIP.names()


def load_chip(name: str | Path | Chip) -> Chip:
    """A chip by its name or YAML file; a `Chip` is returned as it is. Raises `UnknownNameError` or `ConfigError`."""
    if str(name) in built_in_names("gpus"):
        raise ConfigError(f"chip {str(name)!r}: expected a chip of datapaths, got a GPU (for GPUs: bitsim serve)")
    return CHIP.load(name)
