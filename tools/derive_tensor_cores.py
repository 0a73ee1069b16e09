"""Derive energy and area of one multiply-accumulate of a tensor core from synthesised parts; used by both derivations.

No tensor core was synthesised. One multiply-accumulate is put together from a multiplier, its share of the adders that
sum a block of products, and its share of what the block needs once; of gates only:

* `int8`, `int4`: study A's 16-lane dot products and study B's multipliers. Adders: those of a tree of 16 products of
  twice the operand's bits and of the accumulator, b bits per product. low = the lesser of A zd and B zero + b
  `tree.depth5` low; nominal = B glitch + b `tree.depth5` nominal; high = A ud (nominal where that is more). Study A's
  INT4 dot product accumulates 24 bits: 8 bits more are added.
* Floating point, with the architecture's block length L and alignment bits (hw_models/tensor_cores): multiplier of the
  significands (fp16: B fp16_mul; bf16: B mul8 + add8 for the exponent; FP8: B mul4 + add8) + b `tree.depth5` for the
  adders of alignment bits + 3 that sum L products and the addend + 1 / L of an adder of the accumulator's format (B
  fp32_add or fp16_add), which stands for aligning the addend, normalising and rounding. low: zero delay, nominal: with
  glitches, high: every product is added by such an adder of its own (fp16: B's synthesised PEs pe_fp16_32, pe_fp16).

* Formats with scales, of FP8 as FP8 with 1 / 32 of an adder of 8 bits more, for the exponents of the scales. Of FP4:
  16 products are summed exactly, in 9 bits and up, then as above: 4 such groups, aligned. Product: low = study C's
  product_e2m1, which is not aligned; nominal, high = B mul4, because an E2M1 number is half of an integer of 4 bits and
  a sign, which is assumed. Scales: mxf4 as FP8; nvf4: per group B mul4 + add8, and mul8 times 13 x 8 / 64 bits, which
  multiplies the group's sum. high: with `tree.depth5` high, and an fp32_add per group.

Left out: the shifters that align each product (fp16_mul's own rounding, which a tensor core has not, is in), registers
of the pipeline, control. `tree.depth5` has the sign selection of ternary lanes in it; INT8 and FP8 units with longer
blocks have deeper trees than 5 adders in a row.
"""

from bitsim.hw.datapaths.tensor_core import BITS, INTEGERS
from bitsim.hw.tensor_core import load_tensor_core, tensor_core_names
from tools.study_units import Range, Unit, gates_a, glitching_gates

LANES = 16  # of study A's dot products
MULTIPLIERS = {  # units of study B
    "int8": ("mul8",),
    "int4": ("mul4",),
    "fp16": ("fp16_mul",),
    "bf16": ("mul8", "add8"),
    "e4m3": ("mul4", "add8"),
    "e5m2": ("mul4", "add8"),
}
ADDERS = {"fp32": "fp32_add", "fp16": "fp16_add"}
WHOLE = {"fp32": "pe_fp16_32", "fp16": "pe_fp16"}  # FP16 products into either format
DOT_PRODUCTS = {"int8": ("idot16_8x8_acc32", 32), "int4": ("idot16_4x4_acc24", 24)}


SCALED_FP8, FP4, GROUP = ("mxe4m3", "mxe5m2"), ("mxf4", "nvf4"), 16
PARTS = {"price": ("fJ_zero", "fJ_glitch"), "area": ("um2", "um2")}


def units() -> dict[str, tuple[str, str, int, int]]:
    """Unit in events -> format, accumulator's format, block length and alignment bits (0 for integers)."""
    found = {}
    for arch in tensor_core_names():
        core = load_tensor_core(arch)
        for name in MULTIPLIERS:
            if name in INTEGERS and core.integer_unit(name, name):
                found[f"{arch}_{name}_acc32"] = name, "int32", LANES, 0
            elif (unit := core.float_unit(name, name)) is not None:
                for acc in unit.outputs:
                    found[f"{arch}_{name}_acc{acc.removeprefix('fp')}"] = (
                        name,
                        acc,
                        unit.block_length,
                        unit.alignment_bits,
                    )
    return found


def adder_bits(number_format: str, block: int, alignment: int, acc_bits: int = 32) -> float:
    """Bits of adders per product."""
    width = alignment + 3 if alignment else 2 * BITS[number_format]
    levels = block.bit_length() - 1
    tree = sum((block >> level) * (width + level) for level in range(1, levels + 1))
    return (tree + (width + levels + 1 if alignment else acc_bits)) / block


def scaled(what: str, units_b: dict[str, Unit], units_c: dict[str, Unit], adder: Range) -> dict[str, Range]:
    """Event or part of the formats with scales -> fJ or um2; `what`: price or area, `adder`: of one bit of it."""
    core, (zero, glitch), found = load_tensor_core("blackwell"), PARTS[what], {}
    add8, mul4, mul8, once = (units_b[name] for name in ("add8", "mul4", "mul8", "fp32_add"))
    for name in SCALED_FP8:
        unit = core.float_unit(name, name)
        assert unit is not None
        bits = adder_bits(name.removeprefix("mx"), unit.block_length, unit.alignment_bits)
        low, nominal = (
            mul4[run] + add8[run] * (1 + 1 / 32) + bits * price + once[run] / unit.block_length
            for run, price in ((zero, adder[0]), (glitch, adder[1]))
        )
        high = mul4[glitch] + add8[glitch] * (1 + 1 / 32) + once[glitch]
        found[f"mma.blackwell_{name}_acc32.mac"] = low, nominal, max(nominal, high)
    for name in FP4:
        unit = core.float_unit(name, name)
        assert unit is not None
        groups = unit.block_length // GROUP
        exact = sum((GROUP >> level) * (9 + level) for level in range(1, GROUP.bit_length())) / GROUP
        bits = exact + adder_bits("mxf4", groups, unit.alignment_bits) / GROUP
        product, scale = units_c["product_e2m1"], {"mxf4": _shared_exponents, "nvf4": _scaled_sums}[name]
        low = product[zero] + bits * adder[0] + once[zero] / unit.block_length + scale(add8, mul4, mul8, zero)
        rest = mul4[glitch] + scale(add8, mul4, mul8, glitch)
        nominal = rest + bits * adder[1] + once[glitch] / unit.block_length
        found[f"mma.blackwell_{name}_acc32.mac"] = low, nominal, rest + bits * adder[2] + once[glitch] / GROUP
    return found


def _shared_exponents(add8: Unit, mul4: Unit, mul8: Unit, run: str) -> float:
    return float(add8[run]) / 32


def _scaled_sums(add8: Unit, mul4: Unit, mul8: Unit, run: str) -> float:
    return float(mul4[run] + add8[run] + mul8[run] * 13 * 8 / 64) / GROUP


def energies(units_a: dict[str, Unit], units_b: dict[str, Unit], adder: Range) -> dict[str, Range]:
    """Event -> fJ; `adder`: of one bit of an adder of a tree."""
    return {f"mma.{unit}.mac": _energy(kind, units_a, units_b, adder) for unit, kind in units().items()}


def _energy(kind: tuple[str, str, int, int], units_a: dict[str, Unit], units_b: dict[str, Unit], adder: Range) -> Range:
    name, acc, block, alignment = kind
    parts, bits = [units_b[unit] for unit in MULTIPLIERS[name]], adder_bits(name, block, alignment)
    zero, glitch = (sum(unit[f"fJ_{run}"] for unit in parts) for run in ("zero", "glitch"))
    if name in INTEGERS:
        unit, acc_bits = DOT_PRODUCTS[name]
        more = 32 - acc_bits
        dot_zero, dot_delayed = (
            (gates_a(units_a[unit], run) + more * price) / LANES for run, price in (("zd", adder[0]), ("ud", adder[2]))
        )
        nominal = glitch + bits * adder[1]
        return min(dot_zero, zero + bits * adder[0]), nominal, max(nominal, dot_delayed)
    once = units_b[ADDERS[acc]]
    nominal = glitch + bits * adder[1] + once["fJ_glitch"] / block
    alone = glitching_gates(units_b[WHOLE[acc]]) if name == "fp16" else glitch + once["fJ_glitch"]
    return zero + bits * adder[0] + once["fJ_zero"] / block, nominal, max(nominal, alone)


def areas(units_a: dict[str, Unit], units_b: dict[str, Unit], flop: float, adder: Range) -> dict[str, Range]:
    """Part -> um2 of one multiply-accumulate per cycle; `flop`: a flip-flop's, `adder`: that of a bit of a tree."""
    return {f"mma.{unit}.mac": _area(kind, units_a, units_b, flop, adder) for unit, kind in units().items()}


def _area(
    kind: tuple[str, str, int, int], units_a: dict[str, Unit], units_b: dict[str, Unit], flop: float, adder: Range
) -> Range:
    name, acc, block, alignment = kind
    multiplier, bits = sum(units_b[unit]["um2"] for unit in MULTIPLIERS[name]), adder_bits(name, block, alignment)
    if name in INTEGERS:
        unit, acc_bits = DOT_PRODUCTS[name]
        dot = units_a[unit]["area_um2_per_lane"] + ((32 - acc_bits) * adder[1] - acc_bits * flop) / LANES
        nominal = multiplier + bits * adder[1]
        return min(dot, nominal), nominal, max(dot, nominal)
    once = units_b[ADDERS[acc]]["um2"]
    nominal = multiplier + bits * adder[1] + once / block
    return multiplier + bits * adder[0] + once / block, nominal, max(nominal, multiplier + once)
