"""The papers' quality claims on a small scale: the five shipped models' bits per byte, executed on the simulator.

The papers say that ternary weights (b1.58), 4-bit activations (a4.8, v2) and few-bit KV caches cost little quality at
scale. These models have 4 to 5 million parameters and one book; the order of the numbers is what can be compared.
"""

from pathlib import Path
from typing import Any

from bitsim._version import __version__
from bitsim.model.catalogue import model_path
from bitsim.study import Score, evaluate
from reports.quality_figure import draw
from reports.report import Progress, Report, markdown

# Model, chip, and how weights and activations are stored, in bits.
MODELS = (
    ("tiny-fp16", "fp16-ws-64x64", "16", "16"),
    ("tiny-b1", "ternary-ws-64x64", "1", "8"),
    ("tiny-b158", "ternary-ws-64x64", "1.58", "8"),
    ("tiny-a48", "ternary-ws-64x64", "1.58", "4, 8 where sparse"),
    ("tiny-v2", "ternary-ws-64x64", "1.58", "4"),
)
KV_BITS = (32, 4, 3)
COLUMNS = ("model", "weight bits", "activation bits", "linear weights", "file", *(f"KV {b} bit" for b in KV_BITS))


def quality_report(on_step: Progress, limit: int | None = None) -> Report:
    """Evaluate every model at every KV width; `limit`: only the first bytes of the held-out text."""
    scores: dict[str, list[Score]] = {}
    inputs: dict[str, Any] = {"bitsim": __version__}
    for i, (model, chip, _, _) in enumerate(MODELS):
        scores[model] = []
        for j, kv_bits in enumerate(KV_BITS):
            evaluation = evaluate(model, chip, limit=limit, kv_bits=kv_bits)
            scores[model].append(evaluation.score)
            inputs[model] = dict(evaluation.inputs)
            on_step(i * len(KV_BITS) + j + 1, len(MODELS) * len(KV_BITS))
    cells = []
    for model, _, weights, activations in MODELS:
        bits = [f"{score.bits_per_byte:.4f}" for score in scores[model]]
        sparsity = scores[model][0].sparsity.get("overall")
        shown = "-" if sparsity is None else f"{100 * sparsity:.1f}"
        cells.append([model, weights, activations, _linear_weights(scores[model][0]), _size(model), *bits, shown])
    columns = (*COLUMNS, "sparsity %")
    first = scores[MODELS[0][0]][0]
    return Report(
        heading=f"bits per byte on {first.text}, {first.predicted_bytes:,} bytes, windows of {first.window}",
        columns=columns,
        cells=cells,
        rows=[score.record() for found in scores.values() for score in found],
        inputs=inputs,
        notes=(),
        numbers={f"{model}_bits_per_byte": found[0].bits_per_byte for model, found in scores.items()},
        summary="bits per byte at the KV cache's width; sparsity: products of the linears that need not be formed",
        figure=draw(scores),
        texts={"quality.md": markdown(columns, cells)},
    )


def _linear_weights(score: Score) -> str:
    return f"{score.linear_weights / 1e6:.2f} M"


def _size(model: str) -> str:
    size = sum(path.stat().st_size for path in Path(model_path(model)).iterdir())
    return f"{size / 1e6:.2f} MB"
