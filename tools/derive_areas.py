"""Derive the areas in hw_models/technology/*.yaml from the measured tables of the two gate-level studies.

    python -m tools.derive_areas [tools/energy_tables.yaml]

Both studies give cell areas before layout. Where both synthesised a unit: low and high are the smaller and the larger,
nominal is study B's, as for energy. Study A's ternary and INT8 PEs lack the register that passes activations on; its
flip-flops are added.

* `reg.bit`: one flip-flop of the library itself. `gate`: as much, as for energy.
* `tree.add_bit`: the synthesised 16-lane trees without their flip-flops, per bit of adder, sign selection included.
* `popcount.add_bit`: the XNOR popcounts likewise, XNOR gates included: 183 bits of adder for 64 lanes (study A), 88 for
  32 (study B), and 16 of the accumulator.
* `popcount.mask_add_bit`: as much, because masks have a gate for each lane of each of their two trees.
* `serial.add_bit`: study A's bit-serial unit without 24 flip-flops, per bit of its tree and accumulator.
* `adder.bit`: study B's adders of 8, 20 and 32 bits, per bit: smallest, median, largest. `lane.look_bit`: as much, as
  for energy.
* `lut.g{g}_half.read`, `lut.b4_t10.read`: study A's lookups into half a ternary or a mirrored binary table less its
  ternary PE of 24 bits, which has the same accumulator. Full tables twice as much, entries of 8 bits 8 / 10, as for
  energy; FP16 entries 16 bits over the width of integer ones.
* `pe.ternary_fp16_acc*`, `pe.ternary_bf16_acc32`: study B's FP16 or FP32 adder and the flip-flops of a sum and an
  activation (low, nominal), or its PE less its FP16 multiplier (high).
* `mma.*.mac`: tools/derive_tensor_cores.py.
* `lut.sram.bit`, `regfile.bit`: per bit of the node's SRAM (hw_models/sram), 0.5 kB with 64-bit access and 8 kB with
  256, as the energies.
* `rom.bit`, half of a weight, with the area factors of logic (Stillmaker & Baas 2017): low = BitROM's density at 65 nm;
  nominal = ankhdjet's cell, at 45 nm that of sky130 as built, at 7 nm that of asap7; high = ankhdjet's asap7 block with
  all that is in it.

Prints both libraries' areas.
"""

import sys
from statistics import median
from typing import Any

from bitsim.cost.sram_array import array_price
from bitsim.hw import load_sram
from bitsim.hw.scaling import area_factor
from tools.derive_prices import ENTRY_BITS, FLOAT_ADDERS, HALF_BITS
from tools.derive_tensor_cores import areas as tensor_core_areas
from tools.derive_tensor_cores import scaled
from tools.study_units import ACT_BITS, LIBRARIES, TABLES, TREE_BITS, Range, load_tables, study_a, study_b, study_c

SERIAL_BITS = 56 + 24  # of the bit-serial unit's tree and accumulator
# Cells DFF_X1 and DFFHQNx1_ASAP7_75t_R of the libraries in The-OpenROAD-Project/OpenSTA @d1b2b39, which study A used.
FLIP_FLOP = {"nangate45": 4.522, "asap7": 0.2916}
BITROM_BIT_65NM = 1e6 / (4967 * 1024 * 8)  # um2; arXiv 2509.08542: 4967 kB / mm2
ANKHDJET_WEIGHT = {"45nm": (130, 2.21), "7nm": (7, 0.07)}  # node in nm, um2; PyPI ankhdjet 0.1.0: sky130, asap7
ANKHDJET_BLOCK_WEIGHT = 0.0640e6 / (2560 * 256)  # um2 at 7 nm; its block of 2560 x 256
# part -> unit of study B, unit of study A, flip-flops that study A's lacks
UNITS: dict[str, tuple[str | None, str | None, int]] = {
    "pe.ternary_a8_acc20": ("pe_t8_20", None, 0),
    "pe.ternary_a8_acc24": ("pe_t8_24", "tacc_a8_acc24", ACT_BITS),
    "pe.ternary_a8_acc32": ("pe_t8_32", "tacc_a8_acc32", ACT_BITS),
    "pe.int8_acc32": ("pe_i8_32", "mac_i8i8_acc32", ACT_BITS),
    "pe.fp16_acc16": ("pe_fp16", None, 0),
    "add.int8": ("add8", None, 0),
    "add.int20": ("add20", None, 0),
    "add.int32": ("add32", None, 0),
    "add.fp16": ("fp16_add", None, 0),
    "add.fp32": ("fp32_add", None, 0),
    "mul.int4": ("mul4", None, 0),
    "mul.int8": ("mul8", "mul_i8i8_comb", 0),
    "mul.fp16": ("fp16_mul", None, 0),
    "unit.bit_serial16_acc24": (None, "bs16_a8_acc24_8cyc", 0),
    "unit.lut_read_binary_g4_acc24": (None, "lutread_b_g4_TS", 0),
    "unit.lut_build_ternary_g2": (None, "precompute_t_g2", 0),
    "unit.lut_build_ternary_g3": (None, "precompute_t_g3", 0),
    "unit.lut_build_binary_g4": (None, "precompute_b_g4", 0),
}


def spread(study_b: float | None, study_a: float | None) -> Range:
    """Smaller, nominal and larger of two areas, of which one may be missing."""
    found = [area for area in (study_b, study_a) if area is not None]
    return min(found), found[0], max(found)


def derive(tables: dict[str, Any], node: str) -> dict[str, Range]:
    """Part -> (low, nominal, high) in um2 at one node; units that were not synthesised in its library are left out."""
    library = LIBRARIES[node]
    units_a, units_b, flop = study_a(tables, library), study_b(tables, library), FLIP_FLOP[library]

    def area_a(name: str) -> float:
        return float(units_a[name]["area_um2_per_lane"] * units_a[name]["lanes"])

    def area_b(name: str) -> float:
        return float(units_b[name]["um2"])

    def per_bit(area: float, flops: int, tree_bits: int) -> float:
        return (area - flops * flop) / (tree_bits + flops)

    areas: dict[str, Range] = {"reg.bit": (flop, flop, flop), "gate": (flop, flop, flop)}
    for part, (name_b, name_a, missing) in UNITS.items():
        in_a = area_a(name_a) + missing * flop if name_a in units_a else None
        in_b = None if name_b is None else area_b(name_b)
        if in_a is not None or in_b is not None:
            areas[part] = spread(in_b, in_a)
    for bits, (adder, pe) in FLOAT_ADDERS.items():
        alone = area_b(adder) + (HALF_BITS + bits) * flop
        for operands in ("fp16", "bf16") if bits == 32 else ("fp16",):
            behind = area_b(pe) - area_b("fp16_mul")
            areas[f"pe.ternary_{operands}_acc{bits}"] = min(alone, behind), alone, max(alone, behind)
    areas["tree.add_bit"] = spread(
        per_bit(area_b("tree16"), 20, TREE_BITS), per_bit(area_a("tdot16_a8_acc24"), 24, TREE_BITS)
    )
    areas["popcount.add_bit"] = spread(per_bit(area_b("xnor32"), 16, 88), per_bit(area_a("xnor64_acc16"), 16, 183))
    areas["popcount.mask_add_bit"] = areas["popcount.add_bit"]
    areas["serial.add_bit"] = spread(None, (area_a("bs16_a8_acc24_8cyc") - 24 * flop) / SERIAL_BITS)
    adders = [area_b(f"add{bits}") / bits for bits in (8, 20, 32)]
    areas["adder.bit"] = areas["lane.look_bit"] = min(adders), median(adders), max(adders)
    for g in range(2, 6):
        half = area_a(f"lutread_t_g{g}_TS") - area_a("tacc_a8_acc24")
        areas[f"lut.g{g}_half.read"], areas[f"lut.g{g}_full.read"] = (half,) * 3, (2 * half,) * 3
        wider = HALF_BITS / ENTRY_BITS[g] * half
        areas[f"lut.g{g}_half_fp16.read"], areas[f"lut.g{g}_full_fp16.read"] = (wider,) * 3, (2 * wider,) * 3
    binary = area_a("lutread_b_g4_TS") - area_a("tacc_a8_acc24")
    areas["lut.b4_t10.read"], areas["lut.b4_t8.read"] = (binary,) * 3, (0.8 * binary,) * 3
    areas["lut.sram.bit"], areas["regfile.bit"] = sram_bit(node, 0.5, 64), sram_bit(node, 8, 256)
    areas["rom.bit"] = rom_bit(node)
    areas |= tensor_core_areas(units_a, units_b, flop, areas["tree.add_bit"])
    return areas | scaled("area", units_b, study_c(library), areas["tree.add_bit"])


def rom_bit(node: str) -> Range:
    """One of the two bits of a ternary weight in ROM, in um2."""
    node_nm = float(node.removesuffix("nm"))
    cell_nm, cell = ANKHDJET_WEIGHT[node]
    return (
        BITROM_BIT_65NM * area_factor(65, node_nm),
        cell * area_factor(cell_nm, node_nm) / 2,
        ANKHDJET_BLOCK_WEIGHT * area_factor(7, node_nm) / 2,
    )


def sram_bit(node: str, kilobytes: float, width: int) -> Range:
    """One bit of an array of the node's SRAM, in um2."""
    area = array_price(load_sram(f"sram-{node}"), "area_mm2", kilobytes, width).scaled(1e6 / (kilobytes * 8192))
    return area.low, area.nominal, area.high


def main() -> None:
    tables = load_tables(sys.argv[1] if len(sys.argv) > 1 else TABLES)
    for node, library in LIBRARIES.items():
        print(f"\n{node} ({library}), um2: low / nominal / high")
        for part, areas in derive(tables, node).items():
            print(f"  {part:32s} " + " / ".join(f"{area:.6g}" for area in areas))


if __name__ == "__main__":
    main()
