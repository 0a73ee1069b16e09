"""The models that have a name: shipped checkpoints and published shapes. Light: listing them imports no numpy."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bitsim.errors import UnknownNameError

SHIPPED = {
    "tiny-b1": ("b1", "BitNet: binary weights, byte-level, 4.7 M linear weights, 6 layers of 256"),
    "tiny-b158": (
        "hf_autobitlinear",
        "BitNet b1.58: ternary weights, byte-level, 4.4 M linear weights, 6 layers of 256",
    ),
    "tiny-a48": ("a48", "BitNet a4.8: tiny-b158 trained on with 4-bit activations"),
    "tiny-v2": ("v2_a4", "BitNet v2: ternary weights, 4-bit activations, 4.1 M linear weights, 7 layers of 256"),
    "tiny-fp16": ("float", "FP16 twin of tiny-b158"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """`executable`: has weights; a shape without weights can be estimated, or run with random weights.

    `numerics`: what it is executed under unless told otherwise.
    """

    name: str
    executable: bool
    numerics: str
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

    shipped = [
        CatalogueEntry(name=name, executable=True, numerics=numerics, summary=text)
        for name, (numerics, text) in SHIPPED.items()
    ]
    return shipped + [_shape(name) for name in zoo_names()]


def _shape(name: str) -> CatalogueEntry:
    from bitsim.model.zoo import load_shape

    entry = load_shape(name)
    config = entry.config
    count = config.linear_weights
    kind = {1: "binary", 2: "ternary", 16: "FP16"}.get(int(config.weight_bits_per_weight), "low-bit")
    size = f"{count / 1e9:.3f} G" if count >= 1e9 else f"{count / 1e6:.1f} M"
    assumed = " (shape assumed)" if entry.evidence == "assumed" else ""
    return CatalogueEntry(
        name=name,
        executable=False,
        numerics=config.default_numerics,
        summary=f"{kind}, {size} linear weights, {config.num_layers} layers of {config.hidden_size}, "
        f"vocabulary {config.vocab_size}{assumed}",
    )
