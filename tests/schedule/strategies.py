"""Hypothesis strategies for chips with any memories, matmuls and plans."""

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from bitsim.datapath.protocol import Datapath
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.datapaths import PEArraySpec
from bitsim.hw.memory import MemorySpec
from bitsim.schedule.homes import VALUE_BITS
from bitsim.schedule.matmul import DRAM, IN_DATAPATH, Matmul
from bitsim.schedule.plan import Loops, Plan
from tests.datapath.strategies import array_specs

# What levels hold, from the datapath outwards: one, two and three ranks, shared levels, operands that skip ranks.
Hierarchies = tuple[tuple[str, ...], ...]
HIERARCHIES: Hierarchies = (
    ("weights", "acts", "psums"),
    ("weights acts psums",),
    ("weights psums", "acts"),
    ("weights", "acts", "psums", "weights acts psums"),
    ("weights", "acts psums", "weights acts"),
    ("acts", "weights acts psums"),
    ("weights", "psums", "acts", "weights"),
    ("weights", "acts", "psums", "weights acts", "weights acts psums"),
    ("psums", "weights acts psums", "acts"),
)
ONE_RANK = HIERARCHIES[:3]


def memory(hierarchy: tuple[str, ...], **changes: Any) -> MemorySpec:
    """Levels `l0`, `l1`, ... of 1 kB and one port of 8 bits; `changes`: keys of `l0` and so on, of DRAM as `dram`."""
    levels = [
        {"name": f"l{i}", "holds": holds.split(), "capacity": constant(1, "kB"), "width_bits": 8}
        | changes.get(f"l{i}", {})
        for i, holds in enumerate(hierarchy)
    ]
    dram = {
        "bandwidth": constant(1, "GB/s"),
        "efficiency": constant(1, "ratio"),
        "latency": constant(0, "ns"),
        "energy": constant(10, "pJ/bit"),
        "capacity": constant(1, "GB"),
    }
    return MemorySpec.model_validate({"levels": levels, "dram": dram | changes.get("dram", {})})


def constant(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "source": "a test", "evidence": "assumed"}


def chip_with(memory: MemorySpec, datapath: PEArraySpec) -> Chip:
    """A shipped chip with other memories and another BitLinear datapath, at 1 GHz."""
    return load_chip("ternary-ws-64x64").model_copy(update={"memory": memory, "bitlinear": datapath})


@st.composite
def memories(draw: st.DrawFn, hierarchies: Hierarchies = HIERARCHIES) -> MemorySpec:
    """Generates memories that may be too small for anything; their rates make any of them the slowest."""
    hierarchy = draw(st.sampled_from(hierarchies))
    changes: dict[str, Any] = {
        f"l{i}": {
            "capacity": constant(draw(st.sampled_from((0.02, 0.1, 0.5, 4.0))), "kB"),
            "width_bits": draw(st.sampled_from((1, 7, 64, 512))),
            "ports": draw(st.integers(1, 3)),
            "double_buffered": draw(st.booleans()),
        }
        for i in range(len(hierarchy))
    }
    changes["dram"] = {
        "bandwidth": constant(draw(st.sampled_from((0.1, 1.7, 100.0))), "GB/s"),
        "efficiency": constant(draw(st.sampled_from((1.0, 0.85))), "ratio"),
        "latency": constant(draw(st.sampled_from((0.0, 3.5))), "ns"),
    }
    return memory(hierarchy, **changes)


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """Generates chips with small PE arrays."""
    return chip_with(draw(memories()), draw(array_specs()))


@st.composite
def matmuls(draw: st.DrawFn, chip: Chip, datapath: Datapath, largest: int = 13) -> Matmul:
    """Generates matmuls whose weights, activations and outputs may live anywhere, with packed weights in DRAM."""
    m, k, n, repeat = *(draw(st.integers(1, largest)) for _ in range(3)), draw(st.sampled_from((1, 1, 2, 5)))
    resident = [level.name for level in chip.memory.chain("weights") if level.resident]
    return Matmul(
        m=m,
        k=k,
        n=n,
        repeat=repeat,
        weight_bits=Fraction(datapath.streams(1, k, n).weight_writes, k * n),
        stored_bits=draw(st.integers(1, 3 * k * n * repeat)),
        act_bits=datapath.act_bits,
        stored_act_bits=draw(st.sampled_from((datapath.act_bits, VALUE_BITS))),
        sum_bits=datapath.sum_bits,
        weights_home=draw(st.sampled_from((DRAM, DRAM, IN_DATAPATH, *resident))),
        acts_inside=draw(st.booleans()),
        outputs_inside=draw(st.booleans()),
        content="weights",
    )


@st.composite
def plans(draw: st.DrawFn, matmul: Matmul, ranks: int) -> Plan:
    """Generates any tiles, orders and kept operands, whether there is room for them or not."""
    dims, loops = matmul.dims, []
    for _ in range(ranks):
        m, k, n = (draw(st.integers(1, size)) for size in dims)
        loops.append(Loops(tile=(m, k, n), order=draw(st.integers(0, 5)), keep=draw(st.integers(0, 7))))
        dims = (m, k, n)
    return Plan(loops=tuple(reversed(loops)), searched=0)


def small(ranks: int) -> int:
    """Sizes of matmuls that can be walked quickly through so many ranks of buffers."""
    return {1: 13, 2: 9}.get(ranks, 6)
