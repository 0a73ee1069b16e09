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

# Model and its numerics (None: its own), chip, and how weights and activations are stored, in bits.
MODELS: tuple[tuple[str, str | None, str, str, str], ...] = (
    ("tiny-fp16", None, "fp16-ws-64x64", "16", "16"),
    ("tiny-fp16", "w8a16", "fp16-ws-64x64", "8", "16"),
    ("tiny-fp16", "w8a8", "int8-ws-64x64", "8", "8"),
    ("tiny-fp16", "w4a16_g32", "fp16-ws-64x64", "4.5", "16"),
    ("tiny-fp16", "w4a16_g64", "fp16-ws-64x64", "4.25", "16"),
    ("tiny-fp16", "w4a8", "int8-ws-64x64", "4", "8"),
    ("tiny-b1", None, "ternary-ws-64x64", "1", "8"),
    ("tiny-b158", None, "ternary-ws-64x64", "1.58", "8"),
    ("tiny-a48", None, "ternary-ws-64x64", "1.58", "4, 8 where sparse"),
    ("tiny-v2", None, "ternary-ws-64x64", "1.58", "4"),
)
KV_BITS = (32, 4, 3)
COLUMNS = ("model", "weight bits", "activation bits", "linear weights", "file", *(f"KV {b} bit" for b in KV_BITS))


def quality_report(on_step: Progress, limit: int | None = None) -> Report:
    """Evaluate every model at every KV width; `limit`: only the first bytes of the held-out text."""
    scores: dict[str, list[Score]] = {}
    inputs: dict[str, Any] = {"bitsim": __version__}
    for i, (model, numerics, chip, _, _) in enumerate(MODELS):
        name = _name(model, numerics)
        scores[name] = []
        for j, kv_bits in enumerate(KV_BITS):
            evaluation = evaluate(model, chip, numerics=numerics, limit=limit, kv_bits=kv_bits)
            scores[name].append(evaluation.score)
            inputs[name] = dict(evaluation.inputs)
            on_step(i * len(KV_BITS) + j + 1, len(MODELS) * len(KV_BITS))
    cells = []
    for model, numerics, _, weights, activations in MODELS:
        found = scores[_name(model, numerics)]
        bits = [f"{score.bits_per_byte:.4f}" for score in found]
        sparsity = found[0].sparsity.get("overall")
        shown = "-" if sparsity is None else f"{100 * sparsity:.1f}"
        size = _size(model) if numerics is None else "-"
        cells.append([_name(model, numerics), weights, activations, _linear_weights(found[0]), size, *bits, shown])
    columns = (*COLUMNS, "sparsity %")
    first = next(iter(scores.values()))[0]
    return Report(
        heading=f"bits per byte on {first.text}, {first.predicted_bytes:,} bytes, windows of {first.window}",
        columns=columns,
        cells=cells,
        rows=[score.record() for found in scores.values() for score in found],
        inputs=inputs,
        notes=("numerics behind a model's name: its linears are rounded to nearest, without calibration",),
        numbers={f"{model}_bits_per_byte": found[0].bits_per_byte for model, found in scores.items()},
        summary="bits per byte at the KV cache's width; sparsity: products of the linears that need not be formed",
        figure=draw(scores),
        texts={"quality.md": markdown(columns, cells)},
    )


def _name(model: str, numerics: str | None) -> str:
    return model if numerics is None else f"{model}, {numerics}"


def _linear_weights(score: Score) -> str:
    return f"{score.linear_weights / 1e6:.2f} M"


def _size(model: str) -> str:
    size = sum(path.stat().st_size for path in Path(model_path(model)).iterdir())
    return f"{size / 1e6:.2f} MB"
