"""The models that have a name: shipped checkpoints and published shapes. Light: listing them imports no numpy."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bitsim.errors import UnknownNameError

SHIPPED = {
    "tiny-b158": "ternary, byte-level, trained on the King James text: 4.4 M linear weights, 6 layers of 256",
    "tiny-fp16": "FP16 twin of tiny-b158",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """`executable`: has weights; a shape without weights can be estimated, or run with random weights."""

    name: str
    executable: bool
    summary: str


def model_names() -> tuple[str, ...]:
    """Shipped checkpoints, then published shapes."""
    from bitsim.model.zoo import zoo_names

    return (*SHIPPED, *zoo_names())


def model_path(name: str) -> Path:
    """The directory of a shipped checkpoint; raises `UnknownNameError`."""
    if name not in SHIPPED:
        raise UnknownNameError("shipped model", name, SHIPPED)
    return Path(str(files("bitsim"))) / "models" / name


def catalogue() -> list[CatalogueEntry]:
    """All models with a line on each, in the order of `model_names`."""
    from bitsim.model.zoo import zoo_names

    shipped = [CatalogueEntry(name=name, executable=True, summary=text) for name, text in SHIPPED.items()]
    return shipped + [CatalogueEntry(name=name, executable=False, summary=_summary(name)) for name in zoo_names()]


def _summary(name: str) -> str:
    from bitsim.model.zoo import zoo_entry

    entry = zoo_entry(name)
    config, count = entry.config, entry.config.linear_weights
    kind = {1: "binary", 2: "ternary", 16: "FP16"}.get(int(config.weight_bits_per_weight), "low-bit")
    size = f"{count / 1e9:.3f} G" if count >= 1e9 else f"{count / 1e6:.1f} M"
    assumed = " (shape assumed)" if entry.evidence == "assumed" else ""
    return (
        f"{kind}, {size} linear weights, {config.num_layers} layers of {config.hidden_size}, "
        f"vocabulary {config.vocab_size}{assumed}"
    )
