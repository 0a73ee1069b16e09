"""What a result was made from: versions, names and hashes."""

from bitsim import __version__
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model


def inputs_of(model: Model, chip: Chip, *, numerics: str) -> dict[str, str]:
    """Names and hashes of everything that a result rests on."""
    return {
        "bitsim": __version__,
        "model": model.name,
        "model_sha256": model.digest,
        "chip": chip.name,
        "chip_sha256": chip.sha256,
        "technology": chip.tech.name,
        "technology_sha256": chip.tech.sha256,
        "numerics": numerics,
    }
