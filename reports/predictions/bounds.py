"""Leakage of the SRAM of whole chips, which must lie below all that they were published to draw."""

from collections.abc import Iterator
from dataclasses import dataclass

from bitsim.cost.sram import Buffer
from bitsim.hw.constants import Constant
from bitsim.hw.memory import LevelSpec
from bitsim.hw.sram import Flavour
from bitsim.hw.sram_nodes import sram_at
from reports.predictions.common import Prediction

LARGEST_KB = 32768  # a buffer; larger memories are several of them
FAST: Flavour = "high_performance"
SLOW: Flavour = "low_leakage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories:
    """`kb` of SRAM at a node and a `flavour`, which is assumed; `volts`: its supply if it is not the usual one."""

    key: str
    chip: str
    node_nm: float
    kb: float
    flavour: Flavour
    volts: float | None = None
    secondary: str = ""


# Capacity and node are published unless `secondary` says otherwise. Flavours: edge chips leak little, others are fast.
CHIPS = (
    Memories(key="slim_llama", chip="Slim-Llama", node_nm=28, kb=500, flavour=SLOW),
    Memories(key="vitallm", chip="VitaLLM", node_nm=16, kb=120, flavour=SLOW),
    Memories(key="eyeriss_v1", chip="Eyeriss v1", node_nm=65, kb=181.5, flavour=FAST, secondary="kB"),
    Memories(key="eyeriss_v2", chip="Eyeriss v2", node_nm=65, kb=246, flavour=FAST, secondary="kB"),
    Memories(key="vega", chip="Vega", node_nm=22, kb=1600, flavour=SLOW),
    Memories(key="simba", chip="Simba chiplet", node_nm=16, kb=752, flavour=FAST, volts=0.42, secondary="kB"),
    Memories(key="alpha", chip="ALPhA-Vision", node_nm=16, kb=2176, flavour=FAST, volts=0.6),
    Memories(key="groq", chip="Groq TSP", node_nm=14, kb=235520, flavour=FAST, secondary="power"),
    Memories(key="cs1", chip="Cerebras CS-1", node_nm=16, kb=18874368, flavour=FAST),
    Memories(key="gc200", chip="Graphcore GC200", node_nm=7, kb=921600, flavour=FAST, secondary="power"),
)


def leakages() -> Iterator[Prediction]:
    """All of them, in mW."""
    for it in CHIPS:
        low, nominal, high = leakage_mw(it)
        at = "" if it.volts is None else f" at {it.volts:g} V"
        yield Prediction(
            key=f"leakage.{it.key}",
            chip=it.chip,
            quantity=f"leakage of {it.kb:g} kB at {it.node_nm:g} nm{at}",
            unit="mW",
            value=nominal,
            spread=(low, high),
            assumed=f"flavour {it.flavour}" + (f"; {it.secondary} (secondary)" if it.secondary else ""),
            energy="leakage of SRAM only",
            below=True,
        )


def leakage_mw(it: Memories) -> tuple[float, float, float]:
    """Low, nominal and high, over the temperatures that chips usually have."""
    count = -(-int(it.kb) // LARGEST_KB)
    kb = Constant(
        low=it.kb / count, nominal=it.kb / count, high=it.kb / count, unit="kB", evidence="published", source=it.chip
    )
    level = LevelSpec(name="sram", holds=("weights",), capacity=kb, width_bits=64)
    volts = None
    if it.volts is not None:
        volts = Constant(low=it.volts, nominal=it.volts, high=it.volts, unit="V", evidence="published", source=it.chip)
    sram = sram_at(it.node_nm)
    buffer = Buffer(level=level, sram=sram, flavour=it.flavour, clock_ghz=0.1, volts=volts, name=it.chip)
    price = buffer.leakage()
    return count * price.low, count * price.nominal, count * price.high
