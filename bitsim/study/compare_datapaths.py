"""One layer stack on every shipped datapath: the same operands, the same outputs, and what each of them costs."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bitsim.cost import CONVENTIONS, Energy
from bitsim.cost.area import Area, PartArea, chip_area, total_area
from bitsim.cost.prices import LEVELS
from bitsim.datapath.base import Deviation, Toggles
from bitsim.datapath.template import SAMPLED_TILES
from bitsim.errors import OperandError, OutputMismatchError
from bitsim.hw import chip_names, load_chip
from bitsim.hw.between import technology_at
from bitsim.hw.chip import Chip
from bitsim.hw.technology import Technology
from bitsim.model.checkpoint import Model, load_model
from bitsim.results.provenance import inputs_of
from bitsim.results.result import Result
from bitsim.schedule.place import ASSUMPTIONS, Placement
from bitsim.study.executor import ChipExecutor
from bitsim.study.held_out import HELD_OUT
from bitsim.study.recorded import LinearCall, recorded
from bitsim.study.taken import taken_call
from bitsim.study.threads import kernels_first

Outputs = Literal["identical", "rounded", "overflowed", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One chip's BitLinear datapath on the recorded linears.

    `outputs`: "identical" to the int64 matmul; "rounded" by a datapath that is not exact; "overflowed": exact, but sums
    left their registers; "refused": the datapath takes no such operands, for `reason`, and nothing was counted.
    `deviation`: of the needed outputs from the exact sums. `made`: by how operands were made that the datapath takes
    (`bitsim.study.taken`), in how many linears; empty if all were the model's own. `toggle_columns`: on how many
    output columns the toggles of registers that see running sums were counted: "all", "none" or "96 of 512".
    `toggle_notes`: see `ChipExecutor`.
    """

    chip: Chip
    exact: bool
    outputs: Outputs
    areas: tuple[PartArea, ...]
    reason: str = ""
    deviation: Deviation | None = None
    made: Mapping[str, int] = field(default_factory=dict)
    toggle_columns: str = "none"
    result: Result | None = None
    toggle_notes: tuple[str, ...] = ()

    @property
    def operands(self) -> str:
        """Of what the datapath multiplied: "model", or how that was made from the model's."""
        return "; ".join(self.made) or "model"

    @property
    def datapath_parts(self) -> tuple[PartArea, ...]:
        return tuple(part for part in self.areas if part.component == "bitlinear")

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.result.rows) if self.result else 0

    @property
    def datapath_cycles(self) -> int | None:
        """Cycles in which the datapath is busy; DRAM may take longer."""
        return sum(row.unit_cycles for row in self.result.rows) if self.result else None

    @property
    def utilisation(self) -> float | None:
        """Products per cycle, of those that it could form; above 1 where it skips some."""
        busy = self.datapath_cycles
        return self.macs / (busy * self.chip.bitlinear.macs_per_cycle) if busy else None

    @property
    def area(self) -> Area | None:
        """Of the BitLinear datapath; None if some part of it has no area."""
        parts = self.datapath_parts
        return None if any(part.area is None for part in parts) else total_area(parts)

    def record(self) -> dict[str, Any]:
        """The headline numbers, in plain types; None for what is not known."""
        spec, result, area = self.chip.bitlinear, self.result, self.area
        record: dict[str, Any] = {"chip": self.chip.name, "kind": spec.kind, "exact": self.exact}
        record |= {"operands": self.operands, "outputs": self.outputs} | self._differences()
        record |= {"macs": self.macs, "datapath_cycles": self.datapath_cycles}
        record |= {"cycles": None if result is None else result.cycles, "utilisation": self.utilisation}
        for name in CONVENTIONS:
            energy = result.energy_range(name) if result is not None and name in result.priced else None
            record |= {f"energy_{name}_{level}_pj": energy and getattr(energy, level) for level in LEVELS}
        record |= {f"area_datapath_{level}_um2": area and getattr(area, level) for level in LEVELS}
        return record | {
            "macs_per_cycle": spec.macs_per_cycle,
            "toggle_columns": self.toggle_columns,
            "structure": spec.text(),
            "notes": "; ".join(self.notes),
        }

    def _differences(self) -> dict[str, float | None]:
        """How many outputs are not the exact sums, and by how much; None where one of them is not finite."""
        off = self.deviation
        if off is None:
            return {"differing": None, "largest_error": None, "rms_relative_error": None}
        finite = math.isfinite(off.largest)
        sizes = (off.largest, off.rms_relative) if finite else (None, None)
        return {"differing": off.wrong, "largest_error": sizes[0], "rms_relative_error": sizes[1]}

    @property
    def notes(self) -> list[str]:
        """What is missing of this row or sets it apart, and why."""
        notes = [self.reason] if self.reason else []
        notes += [f"not the model's operands: {how}, in {n} linears" for how, n in self.made.items()]
        if self.deviation is not None and self.deviation.wrong:
            notes.append(str(self.deviation))
        unpriced = [] if self.result is None else [self.result.unpriced(name) for name in CONVENTIONS]
        notes += dict.fromkeys(f"unpriced: {reason}" for reason in unpriced if reason)
        missing = [part for part in self.datapath_parts if part.area is None]
        return notes + [f"no area: {part.count:,} x {part.part}: {part.reason}" for part in missing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All chips on the same operands. `inputs`: names and hashes of what they have in common."""

    rows: tuple[Compared, ...]
    inputs: dict[str, Any]
    notes: tuple[str, ...]

    def records(self) -> list[dict[str, Any]]:
        """One per chip: outputs, cycles, energies, area."""
        return [row.record() for row in self.rows]

    def events(self) -> list[dict[str, Any]]:
        """One per chip and event."""
        counted = [(row.chip.name, row.result.events) for row in self.rows if row.result]
        return [{"chip": c, "event": e, "count": n} for c, events in counted for e, n in sorted(events.items())]

    def energies(self) -> list[dict[str, Any]]:
        """One per chip, convention and component, in pJ."""
        found: dict[tuple[str, str, str], Energy] = {}
        for result in (row.result for row in self.rows if row.result):
            for convention in result.priced:
                for _, component, energy in result.breakdown(convention):
                    key = (result.chip.name, convention, component)
                    found[key] = found.get(key, Energy()) + energy
        return [
            {"chip": chip, "convention": convention, "component": component}
            | {f"{level}_pj": getattr(energy, level) for level in LEVELS}
            for (chip, convention, component), energy in found.items()
        ]

    def areas(self) -> list[dict[str, Any]]:
        """One per chip, component and part."""
        return [{"chip": row.chip.name} | part.record() for row in self.rows for part in row.areas]


def compare_datapaths(
    model: str | Path | Model,
    *,
    node: str | Path | Technology,
    chips: Sequence[str | Path | Chip] | None = None,
    limit: int = 64,
    toggles: Toggles = "exact",
    seed: int = 0,
    on_chip: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Execute the quantised linears of `model` on the BitLinear datapath of every chip (None: all shipped but FPGAs).

    The model reads the first `limit` bytes of the held-out text (one window at most) in one prefill, exactly; its
    linears' operands are recorded and given to all datapaths, so that one that rounds does not change what the next
    layer sees. A datapath that takes narrower operands gets such as were made from them (`bitsim.study.taken`), and its
    row says so. `node`: the technology that prices all chips, or a node between 45 nm and 7 nm, as `22nm`. Attention,
    norms and head are left out.

    Raises `OutputMismatchError` if an exact datapath gives other sums without an overflow, `ConfigError` for a model
    without weights or BitLinear.
    """
    model = model if isinstance(model, Model) else load_model(model)
    technology = node if isinstance(node, Technology) else technology_at(node)
    given = [load_chip(name) for name in (chip_names() if chips is None else chips)]
    if chips is None:  # structures on an FPGA are not built of a node's cells
        given = [chip for chip in given if chip.tech.unpriced is None]
    selected = [chip.with_technology(technology) for chip in given]
    calls, tokens = recorded(model, limit)
    rows = []
    with kernels_first():
        for chip in selected:
            rows.append(_compared(chip, model, calls, toggles, seed))
            if on_chip:
                on_chip(len(rows), len(selected))
    common = {"model": model.name, "model_sha256": model.digest, "numerics": model.config.default_numerics}
    common |= {"technology": technology.name, "technology_sha256": technology.sha256, "text": HELD_OUT}
    notes = [
        f"linears of {model.name} on {tokens} tokens of {HELD_OUT} in one prefill; attention, norms, head left out"
    ]
    notes.append("area: cells of the BitLinear datapath times the layout factor; control is not counted")
    if sizes := sorted({row.toggle_columns for row in rows} - {"all", "none"}):
        notes.append(
            "toggles of registers that see running sums: counted on whole tiles of columns (at most "
            f"{SAMPLED_TILES} of an operator, seed {seed}) and scaled up; by structure on {', '.join(sizes)} columns"
        )
    if any(row.made for row in rows):
        notes.append(
            "narrowed: operands that the datapath takes, made from the model's; compares structures, not models"
        )
    notes += dict.fromkeys(note for row in rows if row.result for note in row.result.notes)
    notes += [f"{', '.join(names)}: {note}" for note, names in _shared_notes(rows).items()]
    return Comparison(
        rows=tuple(rows),
        inputs=common | {"tokens": tokens, "toggles": toggles, "seed": seed},
        notes=tuple(notes),
    )


def _compared(chip: Chip, model: Model, calls: Sequence[LinearCall], toggles: Toggles, seed: int) -> Compared:
    executor = ChipExecutor(Placement(chip), toggles=toggles, wide="float32", seed=seed)
    exact, areas = executor.placement.bitlinear.exact, chip_area(chip)
    off, made = Deviation(outputs=0, wrong=0, largest=0.0, error_squares=0.0, exact_squares=0.0), Counter[str]()
    for recorded_call in calls:
        call, how = taken_call(recorded_call, executor.placement.bitlinear)
        made.update(how)
        try:
            y = executor.bitlinear(call.op, call.x_q, call.weight, call.live)
        except OperandError as error:
            return Compared(chip=chip, exact=exact, outputs="refused", areas=areas, reason=str(error))
        needed = np.ones(y.shape, bool) if call.live is None else call.live
        wrong = (y != call.y) & needed
        if wrong.any() and exact and call.op.name not in executor.overflowed:
            m, n = (int(i) for i in np.argwhere(wrong)[0])
            raise OutputMismatchError(
                f"{chip.name}: {call.op.name}: expected {call.y[m, n]} at token {m}, output {n}, got {y[m, n]} from an "
                "exact datapath without an overflow"
            )
        if needed.any():
            off += Deviation.between(y[needed], call.y[needed])
    outcome: Outputs = "identical" if not off.wrong else "overflowed" if exact else "rounded"
    return Compared(
        chip=chip,
        exact=exact,
        outputs=outcome,
        areas=areas,
        deviation=off,
        made=made,
        toggle_columns=_toggle_columns(executor, toggles),
        result=_result(chip, model, executor, calls[0].op.m),
        toggle_notes=executor.toggle_notes() if toggles == "off" else (),
    )


def _toggle_columns(executor: ChipExecutor, toggles: Toggles) -> str:
    """On how many output columns toggles were counted, of the linears that have more than one tile of them."""
    if toggles != "sample" or not executor.sampled:
        return "none" if toggles == "off" else "all"
    counted, of = (sum(sizes) for sizes in zip(*executor.sampled.values(), strict=True))
    return f"{counted:,} of {of:,}"


def _shared_notes(rows: Sequence[Compared]) -> dict[str, list[str]]:
    """What was not counted, or on a sample only, and on which chips."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for note in row.toggle_notes:
            found.setdefault(note, []).append(row.chip.name)
    return found


def _result(chip: Chip, model: Model, executor: ChipExecutor, tokens: int) -> Result:
    notes = [f"overflow: {name}: {n:,} times, first at {first}" for name, (n, first) in executor.overflowed.items()]
    notes = [f"{chip.name}: {note}" for note in notes]
    return Result(
        mode="run",
        chip=chip,
        rows=executor.ledger.rows(),
        inputs=inputs_of(model, chip, numerics=model.config.default_numerics),
        notes=(*notes, *ASSUMPTIONS),
        prompt_tokens=tokens,
        new_tokens=0,
    )
