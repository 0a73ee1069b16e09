"""What serving gives at many batches and device counts, whatever does it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What serving gives for all device counts (rows) and batches (columns).

    `fits`: whether memory has room. `step_s`: one new token for every sequence, averaged over the growing contexts;
    `prompt_s`: one sequence's prompt, per device count. `limit`: what a step spends most time on, or on a chip most of
    its time waits for. `memory_bytes`: per device. `communication_bytes`: what links move for a step.
    `energy_per_token_j`: of all devices, per new token of decoding; None if nobody knows their power.
    """

    devices: Numbers
    batch: Numbers
    fits: Numbers
    step_s: Numbers
    prompt_s: Numbers
    limit: Numbers
    memory_bytes: Numbers
    communication_bytes: Numbers
    parts_s: dict[str, Numbers]
    energy_per_token_j: Numbers | None
    new_tokens: int

    @property
    def tokens_per_s(self) -> Numbers:
        """New tokens of all sequences per second of decoding."""
        return np.asarray(self.batch[None, :] / self.step_s)

    @property
    def with_prompts_per_s(self) -> Numbers:
        """New tokens per second when the prompts' time counts too, one prompt after the other."""
        whole = self.new_tokens * self.step_s + self.batch[None, :] * self.prompt_s[:, None]
        return np.asarray(self.batch[None, :] * self.new_tokens / whole)

    def records(self) -> list[dict[str, Any]]:
        """One row per device count and batch that fits, in plain types."""
        tables: dict[str, Numbers | None] = {
            "step_s": self.step_s,
            "tokens_per_s": self.tokens_per_s,
            "with_prompts_per_s": self.with_prompts_per_s,
            "energy_per_token_j": self.energy_per_token_j,
            "memory_bytes": self.memory_bytes,
            "communication_bytes": self.communication_bytes,
        }
        tables |= {f"{name.replace(' ', '_')}_s": part for name, part in self.parts_s.items()}
        return [
            {"devices": int(self.devices[i]), "batch": int(self.batch[j])}
            | {name: None if table is None else float(table[i, j]) for name, table in tables.items()}
            | {"limit": str(self.limit[i, j])}
            for i, j in zip(*np.nonzero(self.fits), strict=True)
        ]


def power_per_token(watts: float, devices: Numbers, batch: Numbers, step_s: Numbers) -> Numbers:
    """Joules per new token if all devices draw `watts` each as long as a step takes."""
    return np.asarray(watts * devices[:, None] / (batch[None, :] / step_s))
