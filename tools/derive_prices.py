"""Derive the prices in hw_models/technology/*.yaml from the measured tables of the two gate-level studies.

    python -m tools.derive_prices [tools/energy_tables.yaml]

The studies are told about in tools/study_units.py, tensor cores in tools/derive_tensor_cores.py.

* `reg.*.clock`, `reg.*.toggle`: study B's, B clk / flip-flops of the ternary PEs and int_ff / bits that flip per cycle
  (median); `low` and `high` reach to study A's flip-flop where it lies beyond.
* `high` of all gates that study A synthesised: what remains of the unit's energy with unit delays when its flip-flops
  have taken their `high`, so that gates and registers together are what was measured; nominal where that is more.
* `pe.*`, gates only: low = min(A zd, B zero), nominal = B glitch - int_ff - clk, high as said. Study A has no PE of 20
  bits: the mean of its 16 and 24 bits stands for it.
* `pe.*.idle`, a PE that holds its sum and meets weight 0 again: from study A's PEs of 24 bits with 0 to 0.9 of zeros z.
  All but z^2 of their cycles are taken to cost what they do at 1/3; the least squares of what is left, in proportion to
  that, times the price's low (zd) and high (ud). nominal is the geometric mean.
* `tree.depth*.add_bits`, per bit of adder, sign selection included, by adders in a row between registers: 5 from the
  synthesised 16-lane trees (four levels and the accumulator's adder), 1 from the ternary PE of 24 bits, as `pe.*`; on a
  straight line between the two, because glitches grow from adder to adder. Deeper stages have no source.
* `lut.g*_half.read`: study A's lookup with its 24-bit accumulator (table held: TS, changing every cycle: OS) without
  registers and clock, less its ternary PE of 24 bits, which has the same adder: low = TS zd, nominal = the geometric
  mean of TS zd and TS ud (study B's selection is written as a variable part-select and several times dearer), high =
  the larger ud less the `high` of PE and registers. A full table has twice the entries and is taken to cost twice as
  much.
* `lut.b4_t10.read`: likewise, from study A's lookup into 8 binary entries. Entries of 8 bits are taken to cost 8 / 10.
* `lut.build.depth*.add_bits`: study A's table builders without registers and clock, per bit of adder. Depth 1 is the
  builder of g = 2. What those of g = 3 and of the binary table take beyond their adders of depth 1 is depth 2: low =
  the lesser zd, high = the larger ud, nominal = geometric mean. At 7 nm they were not synthesised: depth 2 is scaled
  as depth 1. Deeper: on the straight line through depths 1 and 2.
* `lut.sram.*_bits`: per bit of the smallest SRAM of the node's data (hw_models/sram), 0.5 kB with 64-bit access.
* `regfile.*_bits`: likewise of 8 kB with 256-bit access; high = at least the literature's 8 kB with 64 bits.
* `serial.depth5.add_bits`, per bit of adder, from study A's bit-serial unit of 16 lanes (four levels and an accumulator
  of 24 bits, all of which work on each plane): low = zd, high = ud, both without registers and clock, nominal = their
  geometric mean. Study B has no such unit; other depths have no source. Its total is not rebuilt: it has one long
  register that takes a shifted plane in each cycle, bitsim's cell has two short ones (bitsim/datapath/bit_serial.py).
* `popcount.depth*.add_bits` and `serial.popcount_depth*.add_bits`, per bit of adder, XNOR gates included, as `pe.*`
  from study B's unit of 32 lanes (6 adders in a row) and study A's of 64 (7).
* `lane.add_bits`, `merge.depth*.add_bits`: as `tree.*`. `lane.look_bits`: as a bit of B's 8-bit adder. `gate.closed`:
  as a clocked flip-flop.
* `rom.read_bits`: at most what the published BitROM macro spends on a MAC (two operations), per bit of its weight.
* `dequant.*`: integers, FP8 and FP4 as B's 8-bit adder (high: its 32-bit one), 16-bit formats as its FP16 adder.
  `dequant.*.scale`: multipliers of tensor cores (tools/derive_tensor_cores.py). `dequant.*.select`: one of -s, 0 and +s
  is chosen as one of the 4 entries of 9 bits of study A's lookup with g = 2, times 16 / 9.
* `pe.ternary_fp16_acc*`: an FP16 or FP32 adder, which B synthesised by itself and in a PE behind an FP16 multiplier:
  low and high reach from one to the other (PE less multiplier), nominal = by itself with glitches. An FP32 adder takes
  operands of FP16 and BF16 alike. The sign selection of 16 bits is not in. `lut.build.fp16`, `tree.fp16.add` and
  `tree.fp32.add` are such adders, too. `lut.g*_fp16.read`: as of integer entries, times 16 bits over their width.
* adders and multipliers without registers: low = B zero, nominal = high = B glitch.

Prints both libraries' prices in pJ and how well gates + registers + clock reproduce study B's totals.
"""

import sys
from math import sqrt
from typing import Any

from bitsim.cost.sram_array import ENERGIES, array_price
from bitsim.hw import load_sram
from bitsim.hw.sram import Quantity
from tools.derive_tensor_cores import MULTIPLIERS, energies, scaled
from tools.study_units import (
    ACT_BITS,
    HIGH,
    LIBRARIES,
    LOW,
    NOMINAL,
    TABLES,
    TERNARY_ACC_BITS,
    TREE_BITS,
    TREE_DEPTH,
    FlipFlops,
    Range,
    Unit,
    flip_flops,
    flips_a,
    flips_b,
    gates,
    gates_a,
    glitching_gates,
    load_tables,
    study_a,
    study_b,
    study_c,
    whole_a,
)

SERIAL_BITS = sum((16 >> level) * (level + 2) for level in range(1, TREE_DEPTH))  # likewise, lanes of -1, 0 or 1
TOGGLE_EVENTS = ("act", "psum", "weight", "index", "table", "serial", *(f"tree{level}" for level in range(1, 8)))
CLOCK_EVENTS = ("reg.clock", "reg.act.clock", "reg.serial.clock", "reg.gated.clock")
LITERATURE_SRAM = {"nangate45": "Horowitz ISSCC 2014", "asap7": "Jouppi ISCA 2021"}
FLOAT_ADDERS = {16: ("fp16_add", "pe_fp16"), 32: ("fp32_add", "pe_fp16_32")}  # of a sum of so many bits, in study B
HALF_BITS = 16
ENTRY_BITS = {2: 9, 3: 10, 4: 10, 5: 11}  # of half a table of so many INT8 activations
BUILD_BITS = {"precompute_t_g3": (6 * 10, 4 * 10), "precompute_b_g4": (4 * 9, 8 * 10)}  # depth 1, depth 2


def pe_price(unit: Unit, other: Unit | None, registers: float) -> Range:
    """Gates of one PE operation in fJ, from study B's `unit` and study A's matching `other` with its `registers`."""
    low = gates(unit)
    nominal = high = glitching_gates(unit)
    if other:
        low, high = min(low, gates_a(other, "zd")), max(high, whole_a(other, "ud") - registers)
    return low, nominal, high


def between(small: Unit, large: Unit) -> Unit:
    """The unit half-way between two units of study A."""
    return {key: (small[key] + large[key]) / 2 for key in ("lanes", "pJ_mac_zd", "pJ_mac_ud", "reg_clk_pJ_cycle")}


def pe_prices(units_a: dict[str, Unit], units_b: dict[str, Unit], flops: FlipFlops) -> dict[str, Range]:
    """Unit of a PE -> gates of one operation in fJ."""
    others = {bits: units_a[f"tacc_a8_acc{bits}"] for bits in (16, 24, 32)}
    others[20] = between(others[16], others[24])
    prices = {
        f"ternary_a8_acc{bits}": pe_price(units_b[f"pe_t8_{bits}"], others[bits], flops.energy(bits, flips_a(bits)))
        for bits in TERNARY_ACC_BITS
    }
    registers = flops.energy(32, flips_a(32, weights="int8"))
    prices["int8_acc32"] = pe_price(units_b["pe_i8_32"], units_a["mac_i8i8_acc32"], registers)
    prices["fp16_acc16"] = pe_price(units_b["pe_fp16"], None, 0)
    for bits, (adder, pe) in FLOAT_ADDERS.items():
        behind = [
            whole - units_b["fp16_mul"][run]
            for whole, run in ((gates(units_b[pe]), "fJ_zero"), (glitching_gates(units_b[pe]), "fJ_glitch"))
        ]
        alone = [units_b[adder][run] for run in ("fJ_zero", "fJ_glitch")]
        low, high = min(alone[0], behind[0]), max(alone[1], behind[1])
        for operands in ("fp16", "bf16") if bits == 32 else ("fp16",):
            prices[f"ternary_{operands}_acc{bits}"] = low, alone[1], high
    return prices


def idle_share(units_a: dict[str, Unit], run: str) -> float:
    """Gates of study A's PE of 24 bits that holds still, relative to those of one that works; `run`: zd or ud."""
    working = gates_a(units_a["tacc_a8_acc24"], run)
    shares = {0.0: "_z0", 1 / 3: "", 0.42: "_z0.42", 0.5: "_z0.5", 0.7: "_z0.7", 0.9: "_z0.9"}
    left = {
        zeros**2: gates_a(units_a[f"tacc_a8_acc24{name}"], run) / working - (1 - zeros**2)
        for zeros, name in shares.items()
    }
    return sum(still * rest for still, rest in left.items()) / sum(still**2 for still in left)


def tree_price(units_a: dict[str, Unit], unit_b: Unit, flat: Range, flops: FlipFlops, depth: int) -> Range:
    """Gates of one bit of adder, with its share of the sign selection, in fJ; `flat`: of depth 1."""
    unit_a, bits_a, bits_b = units_a["tdot16_a8_acc24"], TREE_BITS + 24, TREE_BITS + 20
    nominal = glitching_gates(unit_b) / bits_b
    unit_delay = (whole_a(unit_a, "ud") - flops.energy(24, flips_a(24, lanes=16))) / bits_a
    deep = min(gates_a(unit_a, "zd") / bits_a, gates(unit_b) / bits_b), nominal, max(unit_delay, nominal)
    low, middle, high = (f + (d - f) * (depth - 1) / (TREE_DEPTH - 1) for f, d in zip(flat, deep, strict=True))
    return low, middle, high


def read_price(units_a: dict[str, Unit], lookup: str, pe: Range, flops: FlipFlops) -> Range:
    """Selection of one entry of half a table from registers, in fJ; `lookup`: `t_g3`, `b_g4`; `pe`: as it is priced."""
    held, changing = (units_a[f"lutread_{lookup}_{stimulus}"] for stimulus in ("TS", "OS"))
    own = units_a["tacc_a8_acc24"]
    zero, delayed = (gates_a(held, run) - gates_a(own, run) for run in ("zd", "ud"))
    g, weights = int(lookup[-1]), "ternary" if lookup[0] == "t" else "binary"
    high = max(
        whole_a(unit, "ud") - pe[HIGH] - flops.energy(24, flips_a(24, lanes=g, weights=weights, held=unit is held))
        for unit in (held, changing)
    )
    return zero, sqrt(zero * delayed), high


def build_prices(tables: dict[str, Any], library: str) -> dict[str, Range]:
    """Bits of adders that build entries, by adders in a row, in fJ."""
    synthesised = study_a(tables, "nangate45")

    def first(units: dict[str, Unit]) -> tuple[float, float]:
        return gates_a(units["precompute_t_g2"], "zd") / (2 * 9), gates_a(units["precompute_t_g2"], "ud") / (2 * 9)

    def rest(unit: str, run: int) -> float:
        shallow, deep = BUILD_BITS[unit]
        return (gates_a(synthesised[unit], ("zd", "ud")[run]) - shallow * first(synthesised)[run]) / deep

    here = first(study_a(tables, library))
    scale = [value / at_45nm for value, at_45nm in zip(here, first(synthesised), strict=True)]
    second = min(rest(unit, 0) for unit in BUILD_BITS) * scale[0], max(rest(unit, 1) for unit in BUILD_BITS) * scale[1]
    prices = {}
    for depth in range(1, 6):
        low, high = (one + (depth - 1) * (two - one) for one, two in zip(here, second, strict=True))
        prices[f"lut.build.depth{depth}.add_bits"] = low, sqrt(low * high), high
    return prices


def sram_prices(tables: dict[str, Any], library: str) -> dict[str, Range]:
    """Event -> fJ per bit of small SRAMs: tables, and the register file of a GPU."""
    sram = load_sram(next(f"sram-{node}" for node, name in LIBRARIES.items() if name == library))
    literature = next(
        1e3 * row["pJ"] / row["width_b"]
        for row in tables["sram_literature"]
        if row["source"] == LITERATURE_SRAM[library] and row["size_KB"] == 8
    )

    def per_bit(quantity: Quantity, kilobytes: float, width: int) -> Range:
        price = array_price(sram, quantity, kilobytes, width).scaled(1e3 / width)
        return price.low, price.nominal, price.high

    prices: dict[str, Range] = {}
    for quantity in ENERGIES:
        way = quantity.removesuffix("_pj")
        low, nominal, high = per_bit(quantity, 8, 256)
        prices[f"lut.sram.{way}_bits"] = per_bit(quantity, 0.5, 64)
        prices[f"regfile.{way}_bits"] = low, nominal, max(high, literature)
    return prices


def serial_price(unit: Unit) -> Range:
    """Gates of one bit of adder of study A's bit-serial unit, in fJ."""
    low, high = (gates_a(unit, run) / (SERIAL_BITS + 24) for run in ("zd", "ud"))
    return low, sqrt(low * high), high


def popcount_price(unit_a: Unit, unit_b: Unit, flops: FlipFlops) -> Range:
    """Gates of one bit of adder behind XNOR gates, in fJ, from the units of 64 and 32 lanes."""
    registers = flops.energy(16, flips_a(16, lanes=64, weights="binary"))
    low, nominal = gates(unit_b) / popcount_bits(5), glitching_gates(unit_b) / popcount_bits(5)
    delayed = (whole_a(unit_a, "ud") - registers) / popcount_bits(6)
    return min(low, gates_a(unit_a, "zd") / popcount_bits(6)), nominal, max(nominal, delayed)


def popcount_bits(levels: int) -> int:
    """Bits of a tree over 2^levels single bits, and of an accumulator of 16."""
    return sum((1 << (levels - level)) * (level + 1) for level in range(1, levels + 1)) + 16


def bare_prices(units_b: dict[str, Unit]) -> dict[str, Range]:
    """Event -> fJ of adders and multipliers without registers, or of what is taken to cost as much."""
    units = {"acc.add.int32": "add32", "acc.add.fp16": "fp16_add", "scale.mul.fp16": "fp16_mul"}
    units |= {"vec.add.fp16": "fp16_add", "vec.max.fp16": "fp16_add", "vec.cvt.fp16": "fp16_add"}
    units |= {"vec.mul.fp16": "fp16_mul", "dequant.fp16": "fp16_add", "dequant.bf16": "fp16_add"}
    units |= {"dequant.fp16.scale": "fp16_mul", "acc.add.fp32": "fp32_add"}
    prices: dict[str, Range] = {}
    for event, unit in units.items():
        prices[event] = units_b[unit]["fJ_zero"], units_b[unit]["fJ_glitch"], units_b[unit]["fJ_glitch"]
    zero, glitch = units_b["add8"]["fJ_zero"], units_b["add8"]["fJ_glitch"]
    for number_format in ("int8", "int4", "e4m3", "e5m2", "mxe4m3", "mxe5m2", "mxf4", "nvf4"):
        prices[f"dequant.{number_format}"] = zero, glitch, units_b["add32"]["fJ_glitch"]
    prices["dequant.bf16.scale"] = tuple(
        sum(units_b[unit][f"fJ_{run}"] for unit in MULTIPLIERS["bf16"]) for run in ("zero", "glitch", "glitch")
    )
    prices["lane.look_bits"] = zero / ACT_BITS, glitch / ACT_BITS, glitch / ACT_BITS
    return prices


def lookup_prices(units_a: dict[str, Unit], pe: Range, flops: FlipFlops) -> dict[str, Range]:
    """Event -> fJ of selecting an entry."""
    prices = {}
    for g in range(2, 6):
        half = read_price(units_a, f"t_g{g}", pe, flops)
        prices[f"lut.g{g}_half.read"] = half
        prices[f"lut.g{g}_full.read"] = 2 * half[LOW], 2 * half[NOMINAL], 2 * half[HIGH]
        for table in ("half", "full"):
            low, nominal, high = (HALF_BITS / ENTRY_BITS[g] * price for price in prices[f"lut.g{g}_{table}.read"])
            prices[f"lut.g{g}_{table}_fp16.read"] = low, nominal, high
    low, nominal, high = prices["lut.g2_half_fp16.read"]
    prices["dequant.fp16.select"] = prices["dequant.bf16.select"] = low, nominal, high
    binary = read_price(units_a, "b_g4", pe, flops)
    prices["lut.b4_t10.read"] = binary
    prices["lut.b4_t8.read"] = 0.8 * binary[LOW], 0.8 * binary[NOMINAL], 0.8 * binary[HIGH]
    return prices


def derive(tables: dict[str, Any], library: str) -> dict[str, Range]:
    """Event -> (low, nominal, high) in pJ for one cell library."""
    units_a, units_b, flops = study_a(tables, library), study_b(tables, library), flip_flops(tables, library)
    pes = pe_prices(units_a, units_b, flops)
    prices = bare_prices(units_b) | build_prices(tables, library) | sram_prices(tables, library)
    prices |= lookup_prices(units_a, pes["ternary_a8_acc24"], flops)
    for unit, price in pes.items():
        prices |= {
            f"pe.{unit}.{action}": price for action in (("add", "sub", "skip") if "ternary" in unit else ("mac",))
        }
    for bits, events in {16: ("lut.build.fp16", "tree.fp16.add"), 32: ("tree.fp32.add",)}.items():
        prices |= dict.fromkeys(events, pes[f"ternary_fp16_acc{bits}"])
    low_share, high_share = idle_share(units_a, "zd"), idle_share(units_a, "ud")
    for unit in (unit for unit in pes if unit.startswith("ternary")):
        low, _, high = pes[unit]
        still, glitching = low_share * low, high_share * high
        prices[f"pe.{unit}.idle"] = still, sqrt(still * glitching), glitching
    low, nominal, high = pes["ternary_a8_acc24"]
    for depth in range(1, TREE_DEPTH + 1):
        price = tree_price(units_a, units_b["tree16"], (low / 24, nominal / 24, high / 24), flops, depth)
        prices[f"tree.depth{depth}.add_bits"] = price
        prices[f"{'lane' if depth == 1 else f'merge.depth{depth}'}.add_bits"] = price
    prices["serial.depth5.add_bits"] = serial_price(units_a["bs16_a8_acc24_8cyc"])
    for name in ("popcount.depth6", "popcount.depth7", "serial.popcount_depth6", "serial.popcount_depth7"):
        prices[f"{name}.add_bits"] = popcount_price(units_a["xnor64_acc16"], units_b["xnor32"], flops)
    prices |= dict.fromkeys((*CLOCK_EVENTS, "gate.closed"), flops.clock)
    prices |= dict.fromkeys((f"reg.{register}.toggle" for register in TOGGLE_EVENTS), flops.toggle)
    macros = {macro["id"]: macro for macro in tables["asic_published_per_op"]}
    prices["rom.read_bits"] = 0.0, macros["bitrom"]["fJ_per_op"], macros["bitrom"]["fJ_per_op"]
    prices |= energies(units_a, units_b, prices["tree.depth5.add_bits"])
    prices |= scaled("price", units_b, study_c(library), prices["tree.depth5.add_bits"])
    return {event: (low / 1e3, nominal / 1e3, high / 1e3) for event, (low, nominal, high) in prices.items()}


def rebuilt(tables: dict[str, Any], library: str, prices: dict[str, Range]) -> dict[int, float]:
    """Gates (zero delay) + registers + clock at study B's stimulus, relative to the total that study B reports."""
    ratios = {}
    for bits in TERNARY_ACC_BITS:
        unit = study_b(tables, library)[f"pe_t8_{bits}"]
        registers = flips_b()[bits] * prices["reg.psum.toggle"][1] + (ACT_BITS + bits) * prices["reg.clock"][1]
        ratios[bits] = (gates(unit) + 1e3 * registers) / unit["fJ_zero"]
    return ratios


def main() -> None:
    tables = load_tables(sys.argv[1] if len(sys.argv) > 1 else TABLES)
    print("register bits flipped per cycle under study B's stimulus, by accumulator width:")
    print("  " + ", ".join(f"acc{bits} {count:.2f}" for bits, count in flips_b().items()))
    for node, library in LIBRARIES.items():
        prices = derive(tables, library)
        print(f"\n{node} ({library}), pJ: low / nominal / high")
        for event, (low, nominal, high) in prices.items():
            print(f"  {event:30s} {low:.6g} / {nominal:.6g} / {high:.6g}")
        ratios = rebuilt(tables, library, prices)
        print("  rebuilt / reported: " + ", ".join(f"acc{bits} {ratio:.4f}" for bits, ratio in ratios.items()))


if __name__ == "__main__":
    main()
