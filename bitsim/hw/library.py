"""One mechanism for all descriptions: a `Kind` finds them by name or file, reads them and follows their `like:`.

Every file says its `kind`. A description that is `like` another, a built-in by its name or a file by its path (from the
folder of the file that says so), takes from it what it leaves out, except for name and summary. Chains are allowed,
circles are not.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib.resources import files
from os.path import realpath
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import PrivateAttr

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw.complaints import validate
from bitsim.hw.constants import Constant, Described, SafeName, Text, constants_in
from bitsim.hw.source import Source, is_path
from bitsim.hw.yaml_file import KeyPath, read_yaml, shown

LONGEST_CHAIN = 32  # of files that are like one another


class FromFile(Described):
    """A description that knows its file: `path` as the user named it. `like`: what it takes from another one."""

    kind: str
    name: SafeName
    like: Text | None = None
    summary: Text
    _source: Source = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        self._source = context

    @property
    def path(self) -> str:
        return self._source.path

    @property
    def files(self) -> frozenset[str]:
        """The files that it was put together from, as they were named."""
        return frozenset(path for path, _ in self._source.places.values())

    @property
    def sha256(self) -> str:
        """Hash of what is described, whichever files and defaults it was put together from."""
        content = json.dumps(_without_like(self.model_dump(mode="json")), sort_keys=True)
        return sha256(content.encode()).hexdigest()

    def constants(self) -> dict[str, Constant]:
        """All constants by their path in the YAML."""
        return constants_in(self)

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        return {}

    def beside(self, name: str, at: KeyPath) -> str:
        """A name or file that the key `at` gives; a file is looked for from the folder of the file that says it."""
        return self._source.beside(name, at)


def _without_like(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_like(value) for key, value in content.items() if key != "like"}
    return [_without_like(item) for item in content] if isinstance(content, list) else content


Item = TypeVar("Item", bound=FromFile)


class Library(Protocol):
    """The descriptions of one kind that come with bitsim."""

    def names(self) -> list[str]:
        """Their names, in the order in which they are listed."""

    def has(self, name: str) -> bool:
        """Whether there is one of that name, listed or not."""

    def source(self, name: str) -> Source:
        """The description of that name as data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of `hw_models` with one file per description; those in `unlisted` are found, but not listed."""

    name: str
    unlisted: str | None = None

    def names(self) -> list[str]:
        return built_in_names(self.name)

    def has(self, name: str) -> bool:
        return any(name in built_in_names(folder) for folder in (self.name, self.unlisted) if folder)

    def source(self, name: str) -> Source:
        folder = self.name if self.unlisted is None or name in self.names() else self.unlisted
        path = f"hw_models/{folder}/{name}.yaml"
        return Source.of_file(path, *read_yaml(_built_in(folder) / f"{name}.yaml", path))


def _built_in(folder: str) -> Path:
    """Beside bitsim: `import hw_models` would find a folder of the user's in the working directory."""
    return Path(str(files("bitsim"))).parent / "hw_models" / folder


def built_in_names(folder: str) -> list[str]:
    """Names of the YAML files in a built-in folder, sorted."""
    return sorted(Path(file.name).stem for file in _built_in(folder).iterdir() if file.name.endswith(".yaml"))


def read_source(path: str | Path) -> Source:
    """What a user's file says, as it stands."""
    return Source.of_file(str(path), *read_yaml(Path(path), str(path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[Item]):
    """What files call `kind: name`. `title`: in messages; `plural`: where all are listed.

    `parts`: mappings inside that may be `like` a description of another kind. `own`: keys that `like` does not pass on.
    `made`: what a description takes from others in another way than `like`, as data to lay it over; None if it doesn't.
    """

    name: str
    title: str
    plural: str
    model: type[Item]
    library: Library
    parts: Mapping[KeyPath, "Kind[Any]"] = field(default_factory=dict)
    own: tuple[str, ...] = ("name", "like", "summary")
    made: "Callable[[Source, Callable[[KeyPath, str], Item]], Source | None] | None" = None

    def names(self) -> list[str]:
        """Names of those that come with bitsim."""
        return self.library.names()

    def load(self, given: str | Path | Item) -> Item:
        """By name or YAML file; what has been loaded is returned as it is.

        Raises `UnknownNameError` with the nearest names, or `ConfigError` with file and line.
        """
        if isinstance(given, self.model):
            return given
        if not isinstance(given, str | Path):
            raise ConfigError(
                f"{self.title}: expected a name, the path of a YAML file or a {self.model.__name__}, "
                f"got {shown(given)} ({type(given).__name__})"
            )
        return validate(self.model, self.source(given))

    def source(self, given: str | Path, chain: Sequence[str] = ()) -> Source:
        """The description `given` as data, with all that it takes from others; `chain`: who asks, outermost first."""
        if is_path(given):
            source, here = read_source(given), realpath(given)
        elif self.library.has(str(given)):
            source, here = self.library.source(str(given)), self._built_in(str(given))
        else:
            raise UnknownNameError(self.title, str(given), self.names())
        self._check_kind(source)
        chain = (*chain, here)
        for at, kind in self.parts.items():
            source = kind._as_part(source, at)
        made = None if self.made is None else self.made(source, partial(self._other, source, chain))
        return self._like(source, chain) if made is None else source.over(made)

    def _other(self, source: Source, chain: Sequence[str], at: KeyPath, name: str) -> Item:
        """The description that `source` names at a key."""
        return validate(self.model, self._named(source, at, name, chain))

    def _check_kind(self, source: Source) -> None:
        where, said = source.where(("kind",)), source.data.get("kind")
        if "kind" not in source.data:
            raise ConfigError(f"{where}: required key is missing; write `kind: {self.name}`")
        if said != self.name:
            raise ConfigError(f"{where}: expected `kind: {self.name}`, a {self.title} (got {shown(said)})")

    def _like(self, source: Source, chain: Sequence[str]) -> Source:
        """`source` laid over what it is like; name and summary are its own, or its file's and `like ...`."""
        base = self._base(source, (), chain)
        if base is None:
            return source
        whole = source.over(base.without(self.own))
        own = {"name": Path(whole.path).stem, "summary": f"like {whole.data['like']}"}
        return replace(whole, data=own | whole.data)

    def _as_part(self, source: Source, at: KeyPath) -> Source:
        """`source` with its mapping at `at` laid over the description of this kind that the mapping is like."""
        part = source.part(at)
        base = None if part is None else self._base(source, at, ())
        if part is None or base is None:
            return source
        return source.with_part(at, part.over(base.without((*self.own, "kind"))))

    def _base(self, source: Source, at: KeyPath, chain: Sequence[str]) -> Source | None:
        """What the mapping at `at` is like, None if like nothing."""
        part = source.part(at)
        like = None if part is None else part.data.get("like")
        if like is None:
            return None
        return self._named(source, (*at, "like"), like, chain)

    def _named(self, source: Source, at: KeyPath, like: Any, chain: Sequence[str]) -> Source:
        """The description that `source` names at a key, by name or file."""
        where = source.where(at)
        if not isinstance(like, str):
            raise ConfigError(f"{where}: expected a name or the path of a YAML file (got {shown(like)})")
        named = source.beside(like, at)
        if is_path(like) and not Path(named).exists():
            raise ConfigError(f"{where}: file not found ({named})")
        if not is_path(like) and not self.library.has(like):
            raise ConfigError(f"{where}: {UnknownNameError(self.title, like, self.names())}")
        here = realpath(named) if is_path(like) else self._built_in(like)
        if here in chain:
            circle = " -> ".join(Path(item).name for item in (*chain[chain.index(here) :], here))
            raise ConfigError(f"{where}: expected a chain that ends (got {circle})")
        if len(chain) >= LONGEST_CHAIN:
            raise ConfigError(f"{where}: expected at most {LONGEST_CHAIN} files that are like one another")
        if is_path(like):
            return self.source(named, chain)
        try:
            return self.source(named, chain)
        except ConfigError as error:  # of a name that a library makes descriptions for, not of a file
            raise ConfigError(f"{where}: {error}") from None

    def _built_in(self, name: str) -> str:
        return f"{self.name} {name}"
