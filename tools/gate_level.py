"""Energy of a small combinational unit at gate level: a netlist of yosys, cells of liberty files, toggles of all nets.

Energy of a toggle: internal energy of the driving cell (mean over rise, fall and `when`; summed over power pins, mean
over related pins; in the middle of the slews and loads) and C V^2 / 2 of all input pins behind it. Without delays each
net toggles at most once per cycle; with them a cell waits for the median of its delays, and its output changes when
what it computes has stood for so long (inertial). No wires, no layout: as study B (tools/study_units.py).
"""

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

_TOKEN = re.compile(r'/\*.*?\*/|\\\n|"(?:[^"\\]|\\.|\\\n)*"|[{}();:,]|[^\s{}();:,"]+', re.S)
_LONGEST = 4000  # ticks until a circuit must have settled
Bits = Any  # uint8 (width, cycles)
Words = Any  # uint64 (nets, words): 64 cycles per word


@dataclass
class Group:
    """A group of a liberty file."""

    kind: str
    args: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def all(self, *kinds: str) -> list["Group"]:
        return [group for group in self.groups if group.kind in kinds]

    def table(self) -> list[list[float]]:
        rows = (row.replace("\\\n", " ").replace(",", " ").split() for row in self.attributes["values"])
        return [[float(number) for number in row] for row in rows]

    def middle(self) -> float:
        rows = self.table()
        row = rows[len(rows) // 2]
        return row[len(row) // 2]


def read_liberty(path: Path) -> Group:
    """The library of one file."""
    tokens = [t for t in _TOKEN.findall(path.read_text()) if not t.startswith("/*") and t != "\\\n"]
    root = Group("root", [])
    stack, i = [root], 0
    while i < len(tokens):
        token, following = tokens[i], tokens[i + 1] if i + 1 < len(tokens) else ""
        if token == "}":
            stack.pop()
        elif following == ":":
            stack[-1].attributes[token] = tokens[i + 2].strip('"')
            i += 2
        elif following == "(":
            end = tokens.index(")", i)
            args = [t.strip('"') for t in tokens[i + 2 : end] if t != ","]
            i = end
            if end + 1 < len(tokens) and tokens[end + 1] == "{":
                stack[-1].groups.append(group := Group(token, args))
                stack.append(group)
                i += 1
            else:
                stack[-1].attributes.setdefault(token, args)
        i += 1
    return root.all("library")[0]


@dataclass(frozen=True)
class Cell:
    """A combinational cell with one output; capacitances and internal energy in fF and fJ, delay in the file's unit."""

    name: str
    area: float
    inputs: tuple[str, ...]
    output: str
    capacitance: Mapping[str, float]
    function: str
    internal: float
    delay: float


@cache
def cells_of(*paths: Path) -> dict[str, Cell]:
    """The cells of all files that have one output and no state."""
    found = [_cell(group) for path in paths for group in read_liberty(path).all("cell") if not group.all("ff", "latch")]
    return {cell.name: cell for cell in found if cell is not None}


def _cell(group: Group) -> Cell | None:
    pins = {pin.args[0]: pin for pin in group.all("pin")}
    outputs = [name for name, pin in pins.items() if pin.attributes.get("direction") == "output"]
    if len(outputs) != 1 or "function" not in pins[outputs[0]].attributes:
        return None
    output = pins[outputs[0]]
    inputs = tuple(name for name, pin in pins.items() if pin.attributes.get("direction") == "input")
    by_pin: dict[str, dict[str, list[float]]] = {}
    for power in output.all("internal_power"):
        values = [table.middle() for table in power.all("rise_power", "fall_power")]
        related = by_pin.setdefault(power.attributes.get("related_pg_pin", ""), {})
        related.setdefault(power.attributes.get("related_pin", ""), []).append(float(np.mean(values)))
    internal = sum(float(np.mean([np.mean(v) for v in related.values()])) for related in by_pin.values())
    delays = [
        value
        for timing in output.all("timing")
        for table in timing.all("cell_rise", "cell_fall")
        for row in table.table()
        for value in row
    ]
    return Cell(
        name=group.args[0],
        area=float(group.attributes["area"]),
        inputs=inputs,
        output=outputs[0],
        capacitance={name: float(pins[name].attributes["capacitance"]) for name in inputs},
        function=output.attributes["function"],
        internal=internal,
        delay=float(np.median(delays)) if delays else 0.0,
    )


@cache
def _evaluates(function: str, inputs: tuple[str, ...]) -> Callable[..., Words]:
    text = re.sub(r"(\([^()]*\)|\w+)'", r"!\1", function.strip())
    text = text.replace("!", "~").replace("*", "&").replace("+", "|")
    text = re.sub(r"\b0\b", "ZERO", re.sub(r"\b1\b", "ONE", text))
    names = {"ZERO": np.uint64(0), "ONE": ~np.uint64(0)}
    found: Callable[..., Words] = eval(f"lambda {', '.join(inputs)}: {text}", names)
    return found


def synthesised(verilog: str, yosys: str, liberties: Sequence[Path], folder: Path) -> dict[str, Any]:
    """The module `u` of a source as yosys (synth -flatten, abc without a timing target) maps it to the cells."""
    (folder / "u.v").write_text(verilog)
    for path in liberties:  # a yosys in WebAssembly sees its working folder only
        copyfile(path, folder / path.name)
    library = " ".join(f"-liberty {path.name}" for path in liberties)
    script = f"read_verilog -sv u.v; synth -flatten -top u; abc {library}; opt_clean -purge; write_json u.json"
    subprocess.run([yosys, "-q", "-p", script], check=True, cwd=folder)
    module: dict[str, Any] = json.loads((folder / "u.json").read_text())["modules"]["u"]
    return module


class Netlist:
    """Gates in the order in which signals pass through them."""

    def __init__(self, module: dict[str, Any], cells: Mapping[str, Cell]) -> None:
        ports = module["ports"]
        self.inputs = {name: port["bits"] for name, port in ports.items() if port["direction"] == "input"}
        self.outputs = {name: port["bits"] for name, port in ports.items() if port["direction"] == "output"}
        gates = []
        for gate in module["cells"].values():
            cell, wires = cells[gate["type"]], gate["connections"]
            gates.append((cell, tuple(wires[pin][0] for pin in cell.inputs), wires[cell.output][0]))
        self.area = sum(cell.area for cell, _, _ in gates)
        nets: dict[Any, int] = {"0": 0, "1": 1, "x": 0}
        for bits in [*self.inputs.values(), *self.outputs.values(), *([*ins, out] for _, ins, out in gates)]:
            for bit in bits:
                nets.setdefault(bit, len(nets))
        self.nets = nets
        self.gates = [(cell, [nets[i] for i in ins], nets[out]) for cell, ins, out in _in_order(gates)]
        self.load, self.internal = np.zeros(len(nets)), np.zeros(len(nets))
        for cell, ins, out in self.gates:
            self.internal[out] = cell.internal
            for pin, net in zip(cell.inputs, ins, strict=True):
                self.load[net] += cell.capacitance[pin]

    def settled(self, inputs: Mapping[str, Words]) -> Words:
        """All nets after the inputs have passed."""
        values = np.zeros((len(self.nets), next(iter(inputs.values())).shape[1]), np.uint64)
        values[1] = ~np.uint64(0)
        self._apply(values, inputs)
        for cell, ins, out in self.gates:
            values[out] = _evaluates(cell.function, cell.inputs)(*(values[i] for i in ins))
        return values

    def _apply(self, values: Words, inputs: Mapping[str, Words]) -> None:
        for name, bits in self.inputs.items():
            values[[self.nets[bit] for bit in bits]] = inputs[name]

    def output(self, name: str, values: Words, cycles: int) -> Bits:
        """Bits of an output port, uint8 (width, cycles)."""
        words = np.ascontiguousarray(values[[self.nets[bit] for bit in self.outputs[name]]])
        return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, :cycles]

    def energies(self, stimulus: Mapping[str, Bits], volts: float, tick: float) -> tuple[float, float]:
        """fJ per cycle without delays, and with delays of whole ticks."""
        cycles = next(iter(stimulus.values())).shape[1] - 1
        after = {name: packed(bits[:, 1:]) for name, bits in stimulus.items()}
        start, end = self.settled({n: packed(bits[:, :-1]) for n, bits in stimulus.items()}), self.settled(after)
        mask = packed(np.ones((1, cycles), np.uint8))[0]
        per_toggle = self.internal + 0.5 * self.load * volts**2
        once = np.bitwise_count((start ^ end) & mask).sum(axis=1)
        return float(per_toggle @ once) / cycles, float(
            per_toggle @ self._toggles(start, end, after, mask, tick)
        ) / cycles

    def _toggles(self, start: Words, end: Words, after: Mapping[str, Words], mask: Words, tick: float) -> Any:
        values = start.copy()
        self._apply(values, after)
        toggles = np.bitwise_count((start ^ values) & mask).sum(axis=1)
        alike: dict[str, list[tuple[Cell, list[int], int]]] = {}
        for gate in self.gates:
            alike.setdefault(gate[0].name, []).append(gate)
        groups = []
        for members in alike.values():
            cell, outs = members[0][0], np.array([out for _, _, out in members])
            ticks = max(1, round(cell.delay / tick))
            ins = np.array([ins for _, ins, _ in members]).T
            groups.append(
                (_evaluates(cell.function, cell.inputs), ins, outs, np.repeat(start[outs][None], ticks, axis=0))
            )
        longest, quiet = max(len(history) for *_, history in groups), 0
        for now in range(_LONGEST):
            new = []
            for evaluate, ins, outs, history in groups:
                history[now % len(history)] = evaluate(*(values[i] for i in ins))
                steady_ones, steady_zeros = np.bitwise_and.reduce(history), np.bitwise_or.reduce(history)
                new.append((outs, steady_ones | (values[outs] & steady_zeros)))
            quiet += 1
            for outs, value in new:
                changed = (values[outs] ^ value) & mask
                if changed.any():
                    toggles[outs] += np.bitwise_count(changed).sum(axis=1)
                    values[outs], quiet = value, 0
            if quiet > longest:
                break
        if not np.array_equal(values & mask, end & mask):
            raise RuntimeError("the circuit does not settle")
        return toggles


def _in_order(gates: list[tuple[Cell, tuple[Any, ...], Any]]) -> list[tuple[Cell, tuple[Any, ...], Any]]:
    driven_by = {out: gate for gate in gates for out in [gate[2]]}
    done: dict[Any, tuple[Cell, tuple[Any, ...], Any]] = {}
    for gate in gates:
        stack = [gate]
        while stack:
            waiting = [driven_by[net] for net in stack[-1][1] if net in driven_by and net not in done]
            if waiting:
                stack += waiting
            else:
                done.setdefault(stack[-1][2], stack[-1])
                stack.pop()
    return list(done.values())


def packed(bits: Bits) -> Words:
    """Cycles as bits of uint64 words."""
    width, cycles = bits.shape
    padded = np.zeros((width, -(-cycles // 64) * 64), np.uint8)
    padded[:, :cycles] = bits
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def bits_of(values: Any, width: int) -> Bits:
    """Two's complement of integers, the lowest bit first: uint8 (width, cycles); bits beyond 63 repeat the sign."""
    shifts = np.minimum(np.arange(width), 63)[:, None]
    return ((np.asarray(values, np.int64)[None, :] >> shifts) & 1).astype(np.uint8)
