"""What a byte costs on the datapath at some width of its accumulators: an estimate to stand beside measured quality."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitsim.cost import Energy
from bitsim.cost.energy import total_energy
from bitsim.errors import BitsimError
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model
from bitsim.study.estimate import estimate

CONVENTION = "datapath"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteEnergy:
    """Joules per byte by the convention `datapath`: of the quantised `linears`, if there are any, and `all_j` of all.

    `without`: events that have no price, of which these energies know nothing; `reason`: why there is no estimate.
    """

    linears: Energy | None = None
    all_j: float | None = None
    without: str | None = None
    reason: str | None = None

    def record(self) -> dict[str, Any]:
        """As columns of a table."""
        found = self.linears
        joules = {level: None if found is None else getattr(found, level) for level in ("low", "nominal", "high")}
        return {f"energy_linears_{level}_per_byte_j": value for level, value in joules.items()} | {
            f"energy_{CONVENTION}_per_byte_j": self.all_j,
            "energy_without": self.without or self.reason,
        }


NO_ENERGY = ByteEnergy()


def byte_energy(model: str | Path | Model, chip: Chip, *, numerics: str | None, tokens: int) -> ByteEnergy:
    """Of a prompt of `tokens` bytes, with the statistics of recorded operands (`bitsim.study.estimate`)."""
    try:
        result = estimate(
            model, chip, prefill=tokens, decode=0, numerics=numerics, logits="all", beyond_capacity=True
        )  # fmt: skip
    except BitsimError as error:
        return ByteEnergy(reason=str(error))
    if CONVENTION not in result.priced_in_part:
        return ByteEnergy(reason=result.unpriced(CONVENTION))
    parts = result.breakdown(CONVENTION, in_part=True)
    linears, scale = [energy for row, _, energy in parts if row.bitlinear], 1e-12 / tokens
    found = total_energy(linears)
    per_byte = Energy(low=found.low * scale, nominal=found.nominal * scale, high=found.high * scale)
    return ByteEnergy(
        linears=per_byte if linears else None,
        all_j=total_energy(energy for _, _, energy in parts).nominal * scale,
        without=result.without(CONVENTION),
    )
