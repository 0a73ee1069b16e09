"""One layer stack on every shipped datapath: the same operands, the same outputs, and what each of them costs."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitsim._version import __version__
from bitsim.cost import Energy
from bitsim.cost.area import chip_area
from bitsim.cost.price import LEVELS
from bitsim.datapath.base import Toggles
from bitsim.datapath.outcomes import Deviation
from bitsim.datapath.template import SAMPLED_TILES
from bitsim.errors import OperandError, OutputMismatchError
from bitsim.hw import chip_names, load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.technology import Technology, load_technology
from bitsim.model.checkpoint import Model, load_model
from bitsim.quant.recipes import recipe_named
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.provenance import inputs_of
from bitsim.results.result import Result
from bitsim.results.setup import Execution, Scheduling, Workload
from bitsim.schedule.place import ASSUMPTIONS, Placement
from bitsim.study.compared_datapath import ComparedDatapath, Outputs
from bitsim.study.executor import ChipExecutor
from bitsim.study.held_out import HELD_OUT
from bitsim.study.recorded import LinearCall, recorded
from bitsim.study.taken import taken_call


@dataclass(frozen=True, kw_only=True, repr=False)
class DatapathComparison(Outcome):
    """All chips on the same operands. `inputs`: names and hashes of what they have in common."""

    rows: tuple[ComparedDatapath, ...]

    @property
    def kind(self) -> str:
        return "datapaths"

    @property
    def title(self) -> str:
        inputs = self.inputs
        return f"linears of {inputs['model']}, {inputs['tokens']} tokens, priced at {inputs['technology']}"

    def headline(self) -> dict[str, Any]:
        """How many chips gave which outputs, and which took least energy by the datapath convention.

        Only chips whose energy is whole are compared.
        """
        found = dict(sorted(Counter(f"chips_{row.outputs}" for row in self.rows).items()))
        priced = [row for row in self.rows if row.result is not None and "datapath" in row.result.priced and row.macs]
        least = min(priced, key=lambda row: _fj_per_mac(row), default=None)
        return {"chips": len(self.rows), **found} | {
            "least_energy": least and least.chip.name,
            "least_energy_datapath_fj_per_mac": least and _fj_per_mac(least),
        }

    def makers(self) -> Makers:
        return {
            "chips": lambda: [row.record() for row in self.rows],
            "events": self.events,
            "energies": self.energies,
            "areas": self.areas,
            "merit": self.merit,
        }

    def events(self) -> list[dict[str, Any]]:
        """One per chip and event."""
        counted = [(row.chip.name, row.result.events) for row in self.rows if row.result]
        return [{"chip": c, "event": e, "count": n} for c, events in counted for e, n in sorted(events.items())]

    def energies(self) -> list[dict[str, Any]]:
        """One per chip, convention and component, in pJ."""
        found: dict[tuple[str, str, str], Energy] = {}
        for result in (row.result for row in self.rows if row.result):
            for convention in result.priced_in_part:
                for _, component, energy in result.breakdown(convention, in_part=True):
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

    def merit(self) -> list[dict[str, Any]]:
        """What papers report of every chip as a whole, on these linears."""
        return [
            {"chip": row.chip.name} | dict(r) for row in self.rows if row.result for r in row.result.records("merit")
        ]


def _fj_per_mac(row: ComparedDatapath) -> float:
    """Nominal datapath energy per product of a chip that has one."""
    return 1e15 * row.result.energy("datapath") / row.macs if row.result else math.inf


def compare_datapaths(
    model: str | Path | Model,
    *,
    node: str | Path | Technology,
    chips: Sequence[str | Path | Chip] | None = None,
    limit: int = 64,
    toggles: Toggles = "exact",
    seed: int = 0,
    on_chip: Callable[[int, int], None] | None = None,
) -> DatapathComparison:
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
    technology = node if isinstance(node, Technology) else load_technology(node)
    given = [load_chip(name) for name in (chip_names() if chips is None else chips)]
    if chips is None:  # structures on an FPGA are not built of a node's cells
        given = [chip for chip in given if chip.tech.unpriced is None]
    selected = [chip.with_technology(technology) for chip in given]
    recipe = recipe_named(model.config.default_numerics)
    execution = Execution(recipe=recipe, toggles=toggles, seed=seed)
    calls, tokens = recorded(model, limit)
    rows = []
    for chip in selected:
        rows.append(_compared(chip, model, calls, execution))
        if on_chip:
            on_chip(len(rows), len(selected))
    common = {"bitsim": __version__, "model": model.name, "model_sha256": model.digest, "numerics": recipe.name}
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
    return DatapathComparison(
        rows=tuple(rows),
        inputs=common | {"tokens": tokens, "toggles": toggles, "seed": seed},
        notes=tuple(notes),
    )


def _compared(chip: Chip, model: Model, calls: Sequence[LinearCall], execution: Execution) -> ComparedDatapath:
    executor = ChipExecutor(Placement(chip), execution)
    exact, areas = executor.placement.bitlinear.exact, chip_area(chip)
    off, made = Deviation(outputs=0, wrong=0, largest=0.0, error_squares=0.0, exact_squares=0.0), Counter[str]()
    for recorded_call in calls:
        call, how = taken_call(recorded_call, executor.placement.bitlinear)
        made.update(how)
        try:
            y = executor.bitlinear(call.op, call.x_q, call.weight, call.live)
        except OperandError as error:
            return ComparedDatapath(chip=chip, exact=exact, outputs="refused", areas=areas, reason=str(error))
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
    return ComparedDatapath(
        chip=chip,
        exact=exact,
        outputs=outcome,
        areas=areas,
        deviation=off,
        made=made,
        toggle_columns=_toggle_columns(executor, execution.toggles),
        result=_result(chip, model, executor, execution, calls[0].op.m),
        toggle_notes=executor.toggle_notes() if execution.toggles == "off" else (),
    )


def _toggle_columns(executor: ChipExecutor, toggles: Toggles) -> str:
    """On how many output columns toggles were counted, of the linears that have more than one tile of them."""
    if toggles != "sample" or not executor.sampled:
        return "none" if toggles == "off" else "all"
    counted, of = (sum(sizes) for sizes in zip(*executor.sampled.values(), strict=True))
    return f"{counted:,} of {of:,}"


def _shared_notes(rows: Sequence[ComparedDatapath]) -> dict[str, list[str]]:
    """What was not counted, or on a sample only, and on which chips."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for note in row.toggle_notes:
            found.setdefault(note, []).append(row.chip.name)
    return found


def _result(chip: Chip, model: Model, executor: ChipExecutor, execution: Execution, tokens: int) -> Result:
    notes = [f"overflow: {name}: {n:,} times, first at {first}" for name, (n, first) in executor.overflowed.items()]
    notes = [f"{chip.name}: {note}" for note in notes]
    return Result(
        mode="run",
        chip=chip,
        rows=executor.ledger.rows(),
        inputs=inputs_of(model, chip, numerics=execution.recipe.name),
        notes=(*notes, *ASSUMPTIONS),
        workload=Workload(prefill=tokens, decode=0),
        scheduling=Scheduling(),
        recipe=execution.recipe,
    )
