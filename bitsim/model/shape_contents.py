"""What a shape says, as plain values: its sizes, what it would take in memory, and what was set aside."""

from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from bitsim.model.checkpoint import load_model
from bitsim.model.config import SELDOM, ModelConfig
from bitsim.model.files.hf_checkpoint import has_no_weights
from bitsim.model.files.hf_shape import read_shape
from bitsim.model.footprint import embedding_bits, kv_bits, linears_bits

FP16_BITS = 16


def is_shape(source: str) -> bool:
    """Whether `source` is a published shape, a YAML file, a config.json or a directory without weights."""
    if source.endswith(".json"):
        return not source.endswith(".index.json")
    path = Path(source)
    if path.is_dir():
        return has_no_weights(path)
    from bitsim.hw.source import is_path  # with pydantic, which a checkpoint does not need
    from bitsim.model.zoo import zoo_names

    return source in zoo_names() or is_path(source)


def shape_contents(source: str) -> dict[str, Any]:
    """Of what `is_shape` accepts. Raises `CheckpointError` naming file and key, `ConfigError` naming file and line."""
    model, path = load_model(source), Path(source)
    config = model.config
    file = path / "config.json" if path.is_dir() else path
    ignored = read_shape(file).ignored if file.suffix == ".json" else ()
    return {
        "name": model.name,
        "digest": config.digest,
        "shape": _said(config),
        "linear_weights": config.linear_weights,
        "embedding_weights": config.embedding_weights,
        "linear_bytes": linears_bits(config) // 8,
        "embedding_bytes": embedding_bits(config) // 8,
        "kv_bytes_per_position": kv_bits(config, FP16_BITS, 1) // 8,
        "ignored": list(ignored),
        "notes": list(model.notes),
    }


def _said(config: ModelConfig) -> dict[str, Any]:
    """All fields but the name, and what most models lack only where one has it."""
    values = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "name"}
    return {
        name: float(value) if isinstance(value, Fraction) else value if isinstance(value, int | float) else _text(value)
        for name, value in values.items()
        if name not in SELDOM or value != SELDOM[name]
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
