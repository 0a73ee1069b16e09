"""What a run or an estimate gave: operators with their events, cycles and energy, and everything to trace them by."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bitsim.cost import CONVENTIONS
from bitsim.model.operators import Phase
from bitsim.quant.recipes import Recipe
from bitsim.results import figures_of_merit, tables
from bitsim.results.dram_table import dram_table
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.priced import PricedRows
from bitsim.results.setup import Scheduling

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(Outcome, PricedRows):
    """The outcome of `run`, `estimate` or `estimate_matmuls`.

    * `rows`: one per phase and operator. `tokens`: prompt and new tokens; `logits`: float32 (positions, vocabulary),
      None for an estimate. `workload`: tokens of each phase; `scheduling`: what the plans were chosen for; `recipe`:
      the numerics, None for matmuls by themselves.

    Tables: phases, merit (area, power, TOPS by phase), areas (of the chip's parts), kinds (of operators), components
    (of energy), conventions, dram, operators, events, energy, unpriced, sparsity, tokens.
    """

    mode: Literal["run", "estimate"]
    scheduling: Scheduling
    recipe: Recipe | None
    text: str | None = None
    tokens: tuple[int, ...] = ()
    logits: "npt.NDArray[np.float32] | None" = None

    @property
    def kind(self) -> str:
        return self.mode

    @property
    def title(self) -> str:
        """What is executed or estimated, on what, at which node, for how many sequences."""
        batch = f", batch {self.workload.batch}" if self.workload.batch > 1 else ""
        return f"{self.inputs['model']} on {self.chip.name}, {self.chip.tech.name}{batch}"

    def assumed(self) -> list[dict[str, Any]]:
        return self.assumed_constants()

    def headline(self) -> dict[str, Any]:
        """Time and energy of all phases, overflows, the text that was written, area, and merit of the last phase.

        An energy that is not whole has an `energy_*_without` beside it, which says what is missing.
        """
        found: dict[str, Any] = {"text": self.text, "cycles": self.cycles, "time_s": self.time_s}
        for name in CONVENTIONS:
            found |= self._energy(name, None, 1)
        found["assumed_share"] = self.assumed_share
        found["overflows"] = self.events.of_unit("overflow").count()
        return found | figures_of_merit.headline(self)

    def makers(self) -> Makers:
        makers = {
            "phases": tables.phases,
            "merit": figures_of_merit.merit,
            "areas": figures_of_merit.areas,
            "kinds": tables.kinds,
            "components": tables.components,
            "conventions": tables.conventions,
            "dram": dram_table,
            "operators": tables.operators,
            "events": tables.events,
            "energy": tables.energies,
            "unpriced": tables.unpriced,
            "sparsity": tables.sparsities,
        }
        tokens = [{"position": position, "token": token} for position, token in enumerate(self.tokens)]
        return {name: partial(make, self) for name, make in makers.items()} | {"tokens": lambda: tokens}

    def _energy(self, name: str, phase: Phase | None, tokens: int) -> dict[str, Any]:
        known = name in self.priced_in_part
        energy = self.energy_range(name, phase, in_part=True).nominal * 1e-12 / tokens if known else None
        return {f"energy_{name}_j": energy} | (
            {} if name in self.priced else {f"energy_{name}_without": self.without(name)}
        )

    def per_token(self) -> dict[str, Any]:
        """Cycles, seconds and joules of one decoded token, and what papers report of decoding; None if not known."""
        tokens = max(1, self.phase_tokens("decode"))
        record: dict[str, Any] = {"model": self.inputs["model"], "chip": self.chip.name, "text": self.text}
        record |= {"new_tokens": self.workload.decode, "cycles": self.phase_cycles("decode") / tokens}
        record["time_s"] = self.phase_time_s("decode") / tokens
        for name in CONVENTIONS:
            record |= self._energy(name, "decode", tokens)
        record |= figures_of_merit.in_short(self, "decode")
        return record | {"overflows": self.events.of_unit("overflow").count(), "notes": "; ".join(self.notes)}
