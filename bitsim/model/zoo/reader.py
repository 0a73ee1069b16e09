"""Read the families: a file lists its shapes once, and the variants (1-bit, ternary, FP16) that each shape comes in."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.model.config import Dtype, HiddenAct, LinearClass, ModelConfig, Norm

Evidence = Literal["measured", "published", "derived", "assumed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooEntry:
    """A published shape. `assumed`: its fields that no source states, with the reason for the value taken."""

    config: ModelConfig
    source: str
    evidence: Evidence
    assumed: tuple[tuple[str, str], ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Common(_Strict):
    """What all shapes of a family share."""

    vocab_size: int = Field(gt=0)
    max_position_embeddings: int = Field(gt=0)
    rope_theta: float = Field(gt=0)
    rms_norm_eps: float = Field(gt=0)
    hidden_act: HiddenAct
    ffn: Literal["glu", "mlp"]
    norm: Norm = "rms"
    tie_embeddings: bool
    dtype: Dtype


class _Variant(_Strict):
    """`name` holds `{size}`. `weight_bits_per_weight`: a number or a fraction such as 8/5."""

    name: str
    linear_class: LinearClass | None
    weight_bits_per_weight: int | str
    sub_norms: bool


class _Shape(_Strict):
    size: str
    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    num_kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    source: str
    evidence: Evidence


class _Family(_Strict):
    title: str
    assumed: dict[str, str]
    common: _Common
    variants: tuple[_Variant, ...]
    shapes: tuple[_Shape, ...]


@lru_cache(maxsize=1)
def _entries() -> dict[str, ZooEntry]:
    entries: dict[str, ZooEntry] = {}
    folder = files("bitsim.model.zoo")
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name):
        where = f"bitsim/model/zoo/{file.name}"
        try:
            family = _Family.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (yaml.YAMLError, ValidationError) as error:
            raise ConfigError(f"{where}: {error}") from None
        for variant in family.variants:
            for shape in family.shapes:
                entry = _entry(family, variant, shape)
                if entry.config.name in entries:
                    raise ConfigError(f"{where}: {entry.config.name}: the name occurs twice")
                entries[entry.config.name] = entry
    return entries


def _entry(family: _Family, variant: _Variant, shape: _Shape) -> ZooEntry:
    common = family.common
    config = ModelConfig(
        name=variant.name.format(size=shape.size),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        num_kv_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        vocab_size=common.vocab_size,
        max_position_embeddings=common.max_position_embeddings,
        rope_theta=common.rope_theta,
        rms_norm_eps=common.rms_norm_eps,
        hidden_act=common.hidden_act,
        ffn=common.ffn,
        norm=common.norm,
        sub_norms=variant.sub_norms,
        tie_embeddings=common.tie_embeddings,
        linear_class=variant.linear_class,
        weight_bits_per_weight=Fraction(variant.weight_bits_per_weight),
        dtype=common.dtype,
    )
    return ZooEntry(
        config=config, source=shape.source, evidence=shape.evidence, assumed=tuple(sorted(family.assumed.items()))
    )


def zoo_names() -> tuple[str, ...]:
    """The names of all published shapes, family by family and in order of size."""
    return tuple(_entries())


def zoo_entry(name: str) -> ZooEntry:
    """The shape called `name` with its source; raises `UnknownNameError`."""
    entries = _entries()
    if name not in entries:
        raise UnknownNameError("model", name, entries)
    return entries[name]


def zoo_config(name: str) -> ModelConfig:
    """The config of the shape called `name`; raises `UnknownNameError`."""
    return zoo_entry(name).config
