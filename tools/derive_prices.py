"""Derive the prices in hw_models/technology/*.yaml from the measured tables of the two gate-level studies.

    python tools/derive_prices.py [../shared/facts/energy_tables.yaml]

Study A (`pe_costs`): output-stationary stimulus, `zd` = zero delay, `ud` = unit delay (an upper bound on glitches).
Study B (`pe_costs_study_b`): weight-stationary stimulus, `zero` = zero delay, `glitch` = median liberty delays; it
splits its zero-delay energy into switch + int_comb (gates), int_ff (flip-flop data) and clk (flip-flop clock pins).

* `pe.*`, gates only: low = min(A zd, B zero), nominal = B glitch - int_ff - clk, high = max(nominal, A ud).
* `reg.clock`: B clk / flip-flops of the PE; `reg.*.toggle`: B int_ff / register bits that flip per cycle under study
  B's stimulus, which is simulated here because the study does not list them.
* `tree.depth*.add_bits`, per bit of adder, sign selection included, by adders in a row between registers: 5 from the
  synthesised 16-lane trees (four levels and the accumulator's adder), 1 from the ternary PE of 24 bits, as `pe.*`; on a
  straight line between the two, because glitches grow from adder to adder. Deeper stages have no source.
* `lut.g*_half.read`: study A's lookup with its 24-bit accumulator (table held: TS, changing every cycle: OS) without
  registers and clock, less its ternary PE of 24 bits, which has the same adder: low = TS zd, nominal = the geometric
  mean of TS zd and TS ud (study B's selection is written as a variable part-select and several times dearer), high =
  the larger ud. A full table has twice the entries and is taken to cost twice as much.
* `lut.b4_t10.read`: likewise, from study A's lookup into 8 binary entries. Entries of 8 bits are taken to cost 8 / 10.
* `lut.build.add_bits`: study A's table builders (g = 2 and, at 45 nm, 3) without registers and clock, per bit of adder:
  low = least zd, high = largest ud, nominal = their geometric mean.
* `lut.sram.*_bits`: per bit of CACTI's smallest SRAM, 2 kB with 64-bit access; for 7 nm at 22 nm, as an upper stand-in.
* `serial.depth5.add_bits`, per bit of adder, from study A's bit-serial unit of 16 lanes (four levels and an accumulator
  of 24 bits, all of which work on each plane): low = zd, high = ud, both without registers and clock, nominal = their
  geometric mean. Study B has no such unit; other depths have no source.
* `popcount.depth*.add_bits` and `serial.popcount_depth*.add_bits`, per bit of adder, XNOR gates included, as `pe.*`
  from study B's unit of 32 lanes (6 adders in a row) and study A's of 64 (7).
* `lane.add_bits`, `merge.depth*.add_bits`: as `tree.*`. `lane.look_bits`: as a bit of B's 8-bit adder. `gate.closed`:
  as a clocked flip-flop.
* `rom.read_bits`: at most what the published BitROM macro spends on a MAC (two operations), per bit of its weight.
* adders and multipliers without registers: low = B zero, nominal = high = B glitch.

Prints both libraries' prices in pJ and how well gates + registers + clock reproduce study B's totals.
"""

import sys
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

TABLES = Path(__file__).parents[2] / "shared" / "facts" / "energy_tables.yaml"
LIBRARIES = {"45nm": "nangate45", "7nm": "asap7"}
ACT_BITS = 8
TERNARY_ACC_BITS = (20, 24, 32)
TREE_DEPTH = 5  # adders in a row in the studies' trees
TREE_BITS = sum((16 >> level) * (ACT_BITS + level) for level in range(1, TREE_DEPTH))  # without the accumulator's
SERIAL_BITS = sum((16 >> level) * (level + 2) for level in range(1, TREE_DEPTH))  # likewise, lanes of -1, 0 or 1
TOGGLE_EVENTS = ("reg.act.toggle", "reg.psum.toggle", "reg.weight.toggle")
TOGGLE_EVENTS += ("reg.index.toggle", "reg.table.toggle", "reg.serial.toggle")
TOGGLE_EVENTS += tuple(f"reg.tree{level}.toggle" for level in range(1, 8))
CLOCK_EVENTS = ("reg.clock", "reg.act.clock", "reg.serial.clock", "reg.gated.clock")
TABLE_SRAM = {"nangate45": ("itrs-hp", 45), "asap7": ("itrs-lop", 22)}
Range = tuple[float, float, float]


def register_toggles(*, runs: int = 300, vectors: int = 1000, held: int = 100, seed: int = 0) -> dict[int, float]:
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


def spread(values: list[float]) -> Range:
    """Smallest, median and largest."""
    return min(values), median(values), max(values)


def gates(unit: dict[str, Any]) -> float:
    """Zero-delay energy of the combinational gates of a study-B unit, in fJ."""
    return float(unit["parts"]["switch"] + unit["parts"]["int_comb"])


def gates_a(unit: dict[str, Any], run: str) -> float:
    """Energy of the combinational gates of a study-A unit, in fJ; `run`: zd or ud."""
    return float(1e3 * (unit["lanes"] * unit[f"pJ_mac_{run}"] - unit["reg_clk_pJ_cycle"]))


def pe_price(unit: dict[str, Any], other: dict[str, Any] | None) -> Range:
    """Gates of one PE operation in fJ, from study B's `unit` and study A's matching `other`."""
    low = gates(unit)
    nominal = high = unit["fJ_glitch"] - unit["parts"]["int_ff"] - unit["parts"]["clk"]
    if other:
        low, high = min(low, gates_a(other, "zd")), max(high, gates_a(other, "ud"))
    return low, nominal, high


def tree_price(study_a: dict[str, Any], study_b: dict[str, Any], depth: int) -> Range:
    """Gates of one bit of adder, with its share of the sign selection, in fJ."""
    tree_a, tree_b = study_a["tdot16_a8_acc24"], study_b["tree16"]
    bits_a, bits_b = TREE_BITS + 24, TREE_BITS + 20
    zero_a, unit_a = (gates_a(tree_a, run) / bits_a for run in ("zd", "ud"))
    glitch = (tree_b["fJ_glitch"] - tree_b["parts"]["int_ff"] - tree_b["parts"]["clk"]) / bits_b
    deep = min(zero_a, gates(tree_b) / bits_b), glitch, max(unit_a, glitch)
    flat = [price / 24 for price in pe_price(study_b["pe_t8_24"], study_a["tacc_a8_acc24"])]
    low, nominal, high = (f + (d - f) * (depth - 1) / (TREE_DEPTH - 1) for f, d in zip(flat, deep, strict=True))
    return low, nominal, high


def read_price(study_a: dict[str, Any], lookup: str) -> Range:
    """Selection of one entry of half a table from registers, in fJ; `lookup`: `t_g3`, `b_g4`."""
    pe = study_a["tacc_a8_acc24"]
    held_zd, held_ud, changing_ud = (
        gates_a(study_a[f"lutread_{lookup}_{stimulus}"], run) - gates_a(pe, run)
        for stimulus, run in (("TS", "zd"), ("TS", "ud"), ("OS", "ud"))
    )
    return held_zd, sqrt(held_zd * held_ud), max(held_ud, changing_ud)


def build_price(study_a: dict[str, Any]) -> Range:
    """One bit of an adder that builds entries, in fJ: half tables have 2 adders of 9 bits and 10 of 10."""
    builders = {2 * 9: study_a["precompute_t_g2"], 10 * 10: study_a["precompute_t_g3"]}
    zero, unit = (
        [gates_a(unit, run) / bits for bits, unit in builders.items() if unit is not None] for run in ("zd", "ud")
    )
    low, high = min(zero), max(unit)
    return low, sqrt(low * high), high


def table_sram_prices(tables: dict[str, Any], library: str) -> dict[str, float]:
    """Event -> fJ per bit of the smallest SRAM."""
    rows = tables["sram_cacti7"]["grid"]
    wanted = (*TABLE_SRAM[library], 2, 64)
    row = next(r for r in rows if (r["cell"], r["node_nm"], r["size_KB"], r["width_b"]) == wanted)
    return {f"lut.sram.{way}_bits": 1e3 * row[f"{way}_pJ"] / row["width_b"] for way in ("read", "write")}


def serial_price(unit: dict[str, Any]) -> Range:
    """Gates of one bit of adder of study A's bit-serial unit, in fJ."""
    low, high = (gates_a(unit, run) / (SERIAL_BITS + 24) for run in ("zd", "ud"))
    return low, sqrt(low * high), high


def popcount_price(unit_a: dict[str, Any], unit_b: dict[str, Any]) -> Range:
    """Gates of one bit of adder behind XNOR gates, in fJ, from the units of 64 and 32 lanes."""
    zero, delayed = (gates_a(unit_a, run) / popcount_bits(6) for run in ("zd", "ud"))
    low, nominal, _ = (price / popcount_bits(5) for price in pe_price(unit_b, None))
    return min(low, zero), nominal, max(nominal, delayed)


def popcount_bits(levels: int) -> int:
    """Bits of a tree over 2^levels single bits, and of an accumulator of 16."""
    return sum((1 << (levels - level)) * (level + 1) for level in range(1, levels + 1)) + 16


def derive(tables: dict[str, Any], library: str, toggles: dict[int, float]) -> dict[str, Range]:
    """Event -> (low, nominal, high) in pJ for one cell library."""
    study_a = {
        name: None if unit[library] is None else {"lanes": unit["lanes"]} | unit[library]
        for name, unit in tables["pe_costs"]["units"].items()
    }
    study_b = {name: unit[library] for name, unit in tables["pe_costs_study_b"]["units"].items()}
    prices: dict[str, Range] = {}
    for bits in TERNARY_ACC_BITS:
        low, nominal, high = pe_price(study_b[f"pe_t8_{bits}"], study_a.get(f"tacc_a8_acc{bits}"))
        if bits == 20:  # study A has no such PE; its wider one bounds this one from above
            low = min(low, pe_price(study_b["pe_t8_24"], study_a["tacc_a8_acc24"])[0])
        for action in ("add", "sub", "skip"):
            prices[f"pe.ternary_a8_acc{bits}.{action}"] = low, nominal, high
    for depth in range(1, TREE_DEPTH + 1):
        prices[f"tree.depth{depth}.add_bits"] = tree_price(study_a, study_b, depth)
        unit = "lane" if depth == 1 else f"merge.depth{depth}"
        prices[f"{unit}.add_bits"] = prices[f"tree.depth{depth}.add_bits"]
    bare = study_b["add8"]
    prices["lane.look_bits"] = bare["fJ_zero"] / ACT_BITS, bare["fJ_glitch"] / ACT_BITS, bare["fJ_glitch"] / ACT_BITS
    for g in range(2, 6):
        half = read_price(study_a, f"t_g{g}")
        prices[f"lut.g{g}_half.read"] = half
        prices[f"lut.g{g}_full.read"] = 2 * half[0], 2 * half[1], 2 * half[2]
    low, nominal, high = read_price(study_a, "b_g4")
    prices["lut.b4_t10.read"] = low, nominal, high
    prices["lut.b4_t8.read"] = 0.8 * low, 0.8 * nominal, 0.8 * high
    prices["lut.build.add_bits"] = build_price(study_a)
    prices |= {event: (price,) * 3 for event, price in table_sram_prices(tables, library).items()}
    prices["serial.depth5.add_bits"] = serial_price(study_a["bs16_a8_acc24_8cyc"])
    for name in ("popcount.depth6", "popcount.depth7", "serial.popcount_depth6", "serial.popcount_depth7"):
        prices[f"{name}.add_bits"] = popcount_price(study_a["xnor64_acc16"], study_b["xnor32"])
    prices["pe.int8_acc32.mac"] = pe_price(study_b["pe_i8_32"], study_a["mac_i8i8_acc32"])
    prices["pe.fp16_acc16.mac"] = pe_price(study_b["pe_fp16"], None)
    flops = {bits: study_b[f"pe_t8_{bits}"]["parts"] for bits in TERNARY_ACC_BITS}
    for event in CLOCK_EVENTS:
        prices[event] = spread([parts["clk"] / (ACT_BITS + bits) for bits, parts in flops.items()])
    prices["gate.closed"] = prices["reg.clock"]
    macros = {macro["id"]: macro for macro in tables["asic_published_per_op"]}
    prices["rom.read_bits"] = 0.0, macros["bitrom"]["fJ_per_op"], macros["bitrom"]["fJ_per_op"]
    for event in TOGGLE_EVENTS:
        prices[event] = spread([parts["int_ff"] / toggles[bits] for bits, parts in flops.items()])
    units = {"acc.add.int32": "add32", "acc.add.fp16": "fp16_add", "scale.mul.fp16": "fp16_mul"}
    units |= {"vec.add.fp16": "fp16_add", "vec.max.fp16": "fp16_add", "vec.cvt.fp16": "fp16_add"}
    for event, unit in (units | {"vec.mul.fp16": "fp16_mul"}).items():
        low, nominal = study_b[unit]["fJ_zero"], study_b[unit]["fJ_glitch"]
        prices[event] = low, nominal, nominal
    return {event: (low / 1e3, nominal / 1e3, high / 1e3) for event, (low, nominal, high) in prices.items()}


def rebuilt(
    tables: dict[str, Any], library: str, toggles: dict[int, float], prices: dict[str, Range]
) -> dict[int, float]:
    """Gates (zero delay) + registers + clock at study B's stimulus, relative to the total that study B reports."""
    ratios = {}
    for bits in TERNARY_ACC_BITS:
        unit = tables["pe_costs_study_b"]["units"][f"pe_t8_{bits}"][library]
        registers = toggles[bits] * prices["reg.psum.toggle"][1] + (ACT_BITS + bits) * prices["reg.clock"][1]
        ratios[bits] = (gates(unit) + 1e3 * registers) / unit["fJ_zero"]
    return ratios


def main() -> None:
    tables = yaml.safe_load(Path(sys.argv[1] if len(sys.argv) > 1 else TABLES).read_text(encoding="utf-8"))
    toggles = register_toggles()
    print("register bits flipped per cycle under study B's stimulus, by accumulator width:")
    print("  " + ", ".join(f"acc{bits} {count:.2f}" for bits, count in toggles.items()))
    for node, library in LIBRARIES.items():
        prices = derive(tables, library, toggles)
        print(f"\n{node} ({library}), pJ: low / nominal / high")
        for event, (low, nominal, high) in prices.items():
            print(f"  {event:30s} {low:.6g} / {nominal:.6g} / {high:.6g}")
        ratios = rebuilt(tables, library, toggles, prices)
        print("  rebuilt / reported: " + ", ".join(f"acc{bits} {ratio:.4f}" for bits, ratio in ratios.items()))


if __name__ == "__main__":
    main()
