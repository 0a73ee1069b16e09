"""Stimuli of the two gate-level studies as operands of bitsim's datapaths, and the energy of counted events.

Study B holds weights for 100 vectors in a row at a random depth (`fJ_zero`, `fJ_glitch`); study A changes both operands
in every cycle (`pJ_mac_zd`, `pJ_mac_ud`) and has no operand registers, which are left out here as well.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitsim.datapath.adder_tree import AdderTree
from bitsim.datapath.pe_array.datapath import PEArray
from bitsim.datapath.popcount import Popcount
from bitsim.events import Events, total
from bitsim.hw import load_technology
from bitsim.hw.datapaths import AdderTreeSpec, PEArraySpec, PopcountSpec

LIBRARIES = {"45nm": "nangate45", "7nm": "asap7"}
DEPTH, HELD = 128, 100  # study B: depths, vectors per weight
OPERATIONS_B = HELD * DEPTH * 32
CYCLES, RUNS = 600, 16  # study A: vectors, here drawn so often
OPERATIONS_A = CYCLES * RUNS
WITHIN = 0.15


def pe_of_study_b(pe: str, acc_bits: int, act_bits: int) -> Events:
    """Events of OPERATIONS_B operations: columns of PEs, one at each depth, that hold their weights."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((HELD, DEPTH)), rng.standard_normal((32, DEPTH))
    if pe == "fp16":
        acts, weights = x.astype(np.float16), w.astype(np.float16)
    else:
        scale = 127 / np.abs(rng.standard_normal((64, 4096))).max(axis=1).mean()  # absmax of 4096 values
        ternary = np.clip(np.rint(w / np.sqrt(2 / np.pi)), -1, 1)  # absmean
        acts = np.clip(np.rint(scale * x), -128, 127).astype(np.int8)
        weights = (ternary if pe == "ternary" else np.clip(np.rint(scale * w), -128, 127)).astype(np.int8)
    spec = PEArraySpec(kind="pe_array", pe=pe, dataflow="weight_stationary", rows=DEPTH, cols=32, acc_bits=acc_bits)
    events = PEArray(spec).execute(acts, weights).events
    kept = {event: n for event, n in events.items() if event.startswith(("pe.", "reg.act.", "reg.psum."))}
    return Events(kept | {"reg.clock": OPERATIONS_B * (act_bits + acc_bits)})


def pe_of_study_a(pe: str, acc_bits: int, zeros: float = 1 / 3) -> Events:
    """Events of one PE that adds up CYCLES products, RUNS times."""
    rng = np.random.default_rng(1)
    spec = PEArraySpec(kind="pe_array", pe=pe, dataflow="output_stationary", rows=1, cols=1, acc_bits=acc_bits)
    runs = []
    for _ in range(RUNS):
        weights = gaussian(rng, (1, CYCLES)) if pe == "int8" else signs(rng, (1, CYCLES), zeros)
        events = PEArray(spec).execute(gaussian(rng, (1, CYCLES)), weights).events
        runs.append(without_operand_registers(events, "pe.", clocked=CYCLES * acc_bits))
    return total(runs)


def tree_of_16(acc_bits: int, zeros: float = 1 / 3) -> Events:
    """Events of a 16-lane tree that makes one long sum in CYCLES cycles, RUNS times."""
    rng = np.random.default_rng(2)
    tree = AdderTree(AdderTreeSpec(kind="adder_tree", lanes=16, trees=1, acc_bits=acc_bits))
    runs = []
    for _ in range(RUNS):
        x, w = gaussian(rng, (1, 16 * CYCLES)), signs(rng, (1, 16 * CYCLES), zeros)
        runs.append(without_operand_registers(tree.execute(x, w).events, "tree.", clocked=CYCLES * acc_bits))
    return total(runs)


def popcount_of(lanes: int) -> Events:
    """Events of one popcount of random bits in CYCLES cycles, RUNS times."""
    rng = np.random.default_rng(3)
    popcount = Popcount(PopcountSpec(kind="popcount", operands="binary", lanes=lanes, cols=1, acc_bits=16))
    runs = []
    for _ in range(RUNS):
        x, w = (rng.choice(np.array([-1, 1], np.int8), (1, CYCLES * lanes)) for _ in range(2))
        runs.append(without_operand_registers(popcount.execute(x, w).events, "popcount.", clocked=CYCLES * 16))
    return total(runs)


def without_operand_registers(events: Mapping[str, int], *logic: str, clocked: int) -> Events:
    """Events of `logic` and of the accumulator, of which `clocked` bits are clocked."""
    kept = {event: n for event, n in events.items() if event.startswith((*logic, "reg.psum."))}
    return Events(kept | {"reg.clock": clocked})


def gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> Any:
    """int8 activations whose standard deviation is a quarter of their range."""
    return np.clip(np.rint(rng.normal(0, 127 / 4, shape)), -127, 127).astype(np.int8)


def signs(rng: np.random.Generator, shape: tuple[int, int], zeros: float = 1 / 3) -> Any:
    """Ternary weights, `zeros` of them 0."""
    half = (1 - zeros) / 2
    return rng.choice(np.array([-1, 0, 1], np.int8), shape, p=[half, zeros, half])


def fj(events: Mapping[str, int], technology: str, level: str, operations: int) -> float:
    """Energy of one operation in fJ, before layout."""
    prices = load_technology(technology).prices
    return sum(1e3 * count * float(getattr(prices[event], level)) for event, count in events.items()) / operations
