"""The energies of six models of one to two billion weights in arXiv 2504.12285, from their shapes alone."""

from bitsim.model.zoo import load_shape
from reports.comparison import Row, notes, prints_as, published
from reports.forward_energy import TOKENS, forward_energy

SHAPES = {
    "LLaMA 3.2 1B": "llama-3.2-1b",
    "Gemma-3 1B": "gemma-3-1b",
    "Qwen2.5 1.5B": "qwen2.5-1.5b",
    "SmolLM2 1.7B": "smollm2-1.7b",
    "MiniCPM 2B": "minicpm-2b",
    "BitNet b1.58 2B": "bitnet-b158-2b4t",
}


def model_rows() -> list[Row]:
    """The energy row of Table 1."""
    data = published("2504.12285")
    table = data["energy"]
    rows = []
    for model, value in table["rows"].items():
        shape = load_shape(SHAPES[model])
        ours = sum(forward_energy(shape.name, "7nm").values())
        rows.append(
            Row(
                paper=data["paper"],
                location=table["location"],
                item=f"{model}, {TOKENS} tokens, 7nm",
                unit=table["unit"],
                published=value,
                ours=ours,
                label="derived",
                uncertainty=0.0005,
                note=notes(
                    "" if prints_as(ours, value, 3) else "prints differently",
                    f"of {TOKENS} tokens together: {1e6 * ours / TOKENS:.0f} uJ per token",
                    *(f"not modelled: {what}" for what in sorted(shape.not_modelled)),
                ),
            )
        )
    return rows
