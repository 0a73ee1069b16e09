"""Published shapes: a file lists the sizes of a family once, and the variants (1-bit, ternary, FP16) of every size."""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field

from bitsim.errors import ConfigError
from bitsim.hw.complaints import validate
from bitsim.hw.constants import Described, Text
from bitsim.hw.library import Kind
from bitsim.hw.source import Places, Source
from bitsim.hw.yaml_file import KeyPath, read_yaml
from bitsim.model.config import ModelConfig
from bitsim.model.zoo.shape import Shape


class Family(Described):
    """A shape for every one of `variants`, whose name holds `{size}`, and of `shapes`, which say their `size`.

    What a size says wins over its variant, and that over `common`. The keys are those of `Shape`.
    """

    kind: Text
    title: Text
    assumed: dict[str, Any]
    common: dict[str, Any]
    variants: tuple[dict[str, Any], ...] = Field(strict=False)
    shapes: tuple[dict[str, Any], ...] = Field(strict=False)


class Families:
    """The published shapes as a library, family by family and in order of size."""

    def names(self) -> list[str]:
        return list(_sources())

    def has(self, name: str) -> bool:
        return name in _sources()

    def source(self, name: str) -> Source:
        return _sources()[name]


SHAPE = Kind(
    name="shape",
    title="model",
    plural="shapes",
    model=Shape,
    library=Families(),
    own=("name", "like", "summary", "source", "evidence"),
)


@lru_cache(maxsize=1)
def _sources() -> dict[str, Source]:
    sources: dict[str, Source] = {}
    folder = files("bitsim.model.zoo")
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name):
        path = f"bitsim/model/zoo/{file.name}"
        for source in members(Source.of_file(path, *read_yaml(file, path))):
            name = source.data["name"]
            if name in sources:
                raise ConfigError(f"{source.where(('name',))}: {name}: the name occurs twice")
            sources[name] = source
    return sources


def members(family: Source) -> list[Source]:
    """The shapes of a family's file, each with the lines of that file."""
    described = validate(Family, family)
    if described.kind != "shapes":
        raise ConfigError(f"{family.where(('kind',))}: expected `kind: shapes` (got {described.kind!r})")
    variants, sizes = range(len(described.variants)), range(len(described.shapes))
    return [_member(family, variant, size) for variant in variants for size in sizes]


def _member(family: Source, variant: int, size: int) -> Source:
    data: dict[str, Any] = {"kind": "shape", "summary": family.data["title"], "assumed": family.data["assumed"]}
    places: Places = {(): family.places["shapes", size]}
    places |= {path: place for path, place in family.places.items() if path[:1] == ("assumed",)}
    parts: list[KeyPath] = [("common",), ("variants", variant), ("shapes", size)]
    for part in parts:
        for key, value in _at(family.data, part).items():
            data[key] = value
            places[key,] = family.places[*part, key]
    for needed in ("name", "size"):
        if not isinstance(data.get(needed), str):
            raise ConfigError(f"{family.where((*parts[1 if needed == 'name' else 2], needed))}: expected text")
    data["name"] = data["name"].format(size=data.pop("size"))
    return Source(path=family.path, data=data, places=places)


def _at(data: Any, path: KeyPath) -> dict[str, Any]:
    for key in path:
        data = data[key]
    found: dict[str, Any] = data
    return found


def zoo_names() -> tuple[str, ...]:
    """The names of all published shapes, family by family and in order of size."""
    return tuple(SHAPE.names())


def load_shape(name: str | Path | Shape) -> Shape:
    """A shape by its name or YAML file; a `Shape` is returned as it is. Raises `UnknownNameError` or `ConfigError`."""
    return SHAPE.load(name)


def zoo_config(name: str | Path) -> ModelConfig:
    """The config of the shape called `name`, or in a file; raises as `load_shape`."""
    return load_shape(name).config
