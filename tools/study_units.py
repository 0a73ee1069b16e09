"""What the derivations of prices and areas share: the units of two gate-level studies, their stimuli and flip-flops.

Study A (`pe_costs`): output-stationary stimulus, `zd` = zero delay, `ud` = unit delay (an upper bound on glitches);
`reg_clk` is the energy of all flip-flops with their clock pins.
Study B (`pe_costs_study_b`): weight-stationary stimulus, `zero` = zero delay, `glitch` = median liberty delays; it
splits its zero-delay energy into switch + int_comb (gates), int_ff (flip-flop data) and clk (flip-flop clock pins).

Study C (tools/width_tables.yaml, tools/synthesise_widths.py): many widths of each unit without registers, `fJ_zero` and
`fJ_glitch` as study B's; it says how energy and area follow the width.

Studies A and B don't list how many register bits flip per cycle, so that their stimuli are drawn here and the flips
counted.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import yaml

TABLES = Path(__file__).with_name("energy_tables.yaml")
WIDTHS = Path(__file__).with_name("width_tables.yaml")
LIBRARIES = {"45nm": "nangate45", "7nm": "asap7"}
ACT_BITS = 8
TERNARY_ACC_BITS = (20, 24, 32)
TREE_DEPTH = 5  # adders in a row in the studies' trees
TREE_BITS = sum((16 >> level) * (ACT_BITS + level) for level in range(1, TREE_DEPTH))  # without the accumulator's
LOW, NOMINAL, HIGH = range(3)
Range = tuple[float, float, float]
Unit = dict[str, Any]
Weights = Literal["ternary", "int8", "binary"]


def load_tables(path: str | Path = TABLES) -> dict[str, Any]:
    """The measured tables."""
    loaded: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return loaded


def study_a(tables: dict[str, Any], library: str) -> dict[str, Unit]:
    """Unit -> its numbers in one library, `lanes` among them; units that were not synthesised to it are left out."""
    units = tables["pe_costs"]["units"]
    return {name: {"lanes": unit["lanes"]} | unit[library] for name, unit in units.items() if unit[library]}


def study_b(tables: dict[str, Any], library: str) -> dict[str, Unit]:
    """Unit -> its numbers in one library."""
    return {name: unit[library] for name, unit in tables["pe_costs_study_b"]["units"].items()}


@cache
def study_c(library: str) -> dict[str, Unit]:
    """Unit -> its numbers in one library."""
    units = yaml.safe_load(WIDTHS.read_text(encoding="utf-8"))["units"]
    return {name: unit[library] for name, unit in units.items()}


def gates(unit: Unit) -> float:
    """Zero-delay energy of the combinational gates of a study-B unit, in fJ."""
    return float(unit["parts"]["switch"] + unit["parts"]["int_comb"])


def glitching_gates(unit: Unit) -> float:
    """Energy of the combinational gates of a study-B unit with liberty delays, in fJ; flip-flops don't glitch."""
    return float(unit["fJ_glitch"] - unit["parts"]["int_ff"] - unit["parts"]["clk"])


def whole_a(unit: Unit, run: str) -> float:
    """Energy of a study-A unit per cycle, registers and clock included, in fJ; `run`: zd or ud."""
    return float(1e3 * unit["lanes"] * unit[f"pJ_mac_{run}"])


def gates_a(unit: Unit, run: str) -> float:
    """Energy of the combinational gates of a study-A unit per cycle, in fJ; `run`: zd or ud."""
    return whole_a(unit, run) - 1e3 * float(unit["reg_clk_pJ_cycle"])


@cache
def flips_b(*, runs: int = 300, vectors: int = 1000, held: int = 100, seed: int = 0) -> dict[int, float]:
    """Register bits that flip per cycle in study B's ternary PE, by accumulator width (mean over `runs`).

    A PE at a random row depth 0..127 holds its weight for `held` vectors. Activations are Gaussian, quantised by the
    absmax of 4096; weights ternary by absmean. Registers: the activation (8 bits) and the partial sum.
    """
    rng = np.random.default_rng(seed)
    scale = 127 / np.abs(rng.standard_normal((64, 4096))).max(axis=1).mean()
    flips = dict.fromkeys((ACT_BITS, *TERNARY_ACC_BITS), 0)
    for _ in range(runs):
        acts, psums = [], []
        for _ in range(vectors // held):
            depth = rng.integers(0, 128)
            g = rng.standard_normal(depth + 1)
            w = np.clip(np.rint(g / np.sqrt(2 / np.pi)), -1, 1).astype(np.int64)
            x = np.clip(np.rint(scale * rng.standard_normal((held, depth + 1))), -128, 127).astype(np.int64)
            acts.append(x[:, depth])
            psums.append(x @ w)
        for width in flips:
            held_values = np.concatenate(acts if width == ACT_BITS else psums)
            flipped = (held_values[1:] ^ held_values[:-1]) & ((1 << width) - 1)
            flips[width] += int(np.bitwise_count(flipped).sum())
    cycles = runs * (vectors - 1)
    return {width: (flips[ACT_BITS] + flips[width]) / cycles for width in TERNARY_ACC_BITS}


@cache
def flips_a(
    acc_bits: int, *, lanes: int = 1, weights: Weights = "ternary", zeros: float = 1 / 3, held: bool = False
) -> float:
    """Accumulator bits that flip per cycle under study A's stimulus: 600 vectors, here drawn 300 times.

    Each cycle adds the products of `lanes` activations N(0, 127 / 4) and weights, all of them new; `held`: the
    activations stay (table-stationary). `binary` operands are -1 and 1.
    """
    rng, shape = np.random.default_rng(0), (300, 600, lanes)
    x = _int8(rng, (300, 1, lanes) if held else shape)
    if weights == "binary":
        x, w = (rng.choice(np.array([-1, 1]), shape) for _ in range(2))
    elif weights == "int8":
        w = _int8(rng, shape)
    else:
        half = (1 - zeros) / 2
        w = rng.choice(np.array([-1, 0, 1]), shape, p=[half, zeros, half])
    sums = np.cumsum((x * w).sum(axis=2), axis=1)
    flipped = (sums[:, 1:] ^ sums[:, :-1]) & ((1 << acc_bits) - 1)
    return float(np.bitwise_count(flipped).mean())


def _int8(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return np.clip(np.rint(rng.normal(0, 127 / 4, shape)), -127, 127).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipFlops:
    """Energy per bit in fJ: of being clocked for a cycle, and of flipping."""

    clock: Range
    toggle: Range

    def energy(self, bits: int, flips: float, level: int = HIGH) -> float:
        """Of a register of `bits`, of which `flips` flip per cycle."""
        return bits * self.clock[level] + flips * self.toggle[level]


def flip_flops(tables: dict[str, Any], library: str) -> FlipFlops:
    """Nominal is study B's, low and high reach to study A's where it lies beyond.

    Study A lists one number per unit: c bits + t flips. Its flips are drawn, c and t are the least squares of the units
    whose registers are known.
    """
    units_a, units_b = study_a(tables, library), study_b(tables, library)
    known = {f"tacc_a8_acc{bits}": (bits, flips_a(bits)) for bits in (16, 24, 32)}
    for zeros in (0, 0.42, 0.5, 0.7, 0.9):
        known[f"tacc_a8_acc24_z{zeros:g}"] = 24, flips_a(24, zeros=zeros)
    for zeros in (0, 0.42, 0.5, 0.7):
        known[f"tdot16_a8_z{zeros:g}"] = 24, flips_a(24, lanes=16, zeros=zeros)
    known["tdot16_a8_acc24"] = 24, flips_a(24, lanes=16)
    known["mac_i8i8_acc32"] = 32, flips_a(32, weights="int8")
    known["idot16_8x8_acc32"] = 32, flips_a(32, lanes=16, weights="int8")
    measured = [1e3 * units_a[unit]["reg_clk_pJ_cycle"] for unit in known]
    (clock, toggle), *_ = np.linalg.lstsq(np.array(list(known.values())), np.array(measured), rcond=None)
    parts = {bits: units_b[f"pe_t8_{bits}"]["parts"] for bits in TERNARY_ACC_BITS}
    flips = flips_b()
    return FlipFlops(
        clock=_reach([p["clk"] / (ACT_BITS + bits) for bits, p in parts.items()], float(clock)),
        toggle=_reach([p["int_ff"] / flips[bits] for bits, p in parts.items()], float(toggle)),
    )


def _reach(study_b: list[float], study_a: float) -> Range:
    return min(*study_b, study_a), median(study_b), max(*study_b, study_a)
