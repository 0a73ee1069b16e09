"""A description as plain data that remembers where each key was written, also where `like:` took it from a file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from bitsim.hw.yaml_file import KeyPath, Lines, dotted

Places = dict[KeyPath, tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """`path`: the file as the user named it. `places`: file and line of every key and list item, () for the whole."""

    path: str
    data: dict[str, Any]
    places: Places

    @staticmethod
    def of_file(path: str, data: dict[str, Any], lines: Lines) -> "Source":
        """What one file says."""
        return Source(path=path, data=data, places={at: (path, line) for at, line in lines.items()})

    def where(self, at: KeyPath) -> str:
        """`file:line: key.path` of a key, with the line of the nearest parent for a key that is not there."""
        path, line = self._place(at)
        return f"{path}:{line}: {dotted(at) or 'file'}"

    def file_of(self, at: KeyPath) -> str:
        """The file that says a key."""
        return self._place(at)[0]

    def beside(self, name: str, at: KeyPath) -> str:
        """What the key `at` names; a relative path starts at the folder of the file that says it."""
        return str(Path(self.file_of(at)).parent / name) if is_path(name) else name

    def _place(self, at: KeyPath) -> tuple[str, int]:
        while at not in self.places:
            at = at[:-1]
        return self.places[at]

    def over(self, base: "Source") -> "Source":
        """`base` with what this one says laid over it, mapping by mapping.

        Replaced as a whole are lists, mappings of another `kind`, mappings with a `like` of their own, and statements
        with a `source`: a number must not carry the source of the one that it replaces. `null` takes a key away.
        """
        data, places = dict(base.data), dict(base.places)
        _lay_over(data, self.data, places, self.places, ())
        places[()] = self.places[()]
        return Source(path=self.path, data=data, places=places)

    def part(self, at: KeyPath) -> "Source | None":
        """The mapping at a key as a source of its own; None if there is no mapping."""
        data: Any = self.data
        for key in at:
            data = data.get(key) if isinstance(data, dict) else None
        if not isinstance(data, dict):
            return None
        inside = {path[len(at) :]: place for path, place in self.places.items() if path[: len(at)] == at}
        return Source(path=self.file_of(at), data=data, places=inside)

    def with_part(self, at: KeyPath, part: "Source") -> "Source":
        """This source with another mapping at a key that it has."""
        places = _without(self.places, at) | {(*at, *path): place for path, place in part.places.items()}
        return replace(self, data=_put(self.data, at, part.data), places=places)

    def without(self, keys: tuple[str, ...]) -> "Source":
        """This source without some top-level keys."""
        places = {path: place for path, place in self.places.items() if path[:1] not in [(key,) for key in keys]}
        return replace(self, data={key: value for key, value in self.data.items() if key not in keys}, places=places)


def _lay_over(base: dict[str, Any], changes: dict[str, Any], places: Places, changed: Places, at: KeyPath) -> None:
    for key, value in changes.items():
        inner, old = (*at, key), base.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and _goes_on(old, value):
            base[key] = dict(old)
            _lay_over(base[key], value, places, changed, inner)
            places[inner] = changed[inner]
            continue
        for path in [path for path in places if path[: len(inner)] == inner]:
            del places[path]
        if value is None and key in base:
            places[inner] = changed[inner]  # where to complain if it is needed
            del base[key]
            continue
        places.update({path: place for path, place in changed.items() if path[: len(inner)] == inner})
        base[key] = value


def _goes_on(old: dict[str, Any], new: dict[str, Any]) -> bool:
    other_kind = "kind" in new and new["kind"] != old.get("kind")
    return not (other_kind or "like" in new or "source" in new or "source" in old)


def _without(places: Places, at: KeyPath) -> Places:
    return {path: place for path, place in places.items() if path[: len(at)] != at}


def _put(data: dict[str, Any], at: KeyPath, value: dict[str, Any]) -> dict[str, Any]:
    return data | {str(at[0]): _put(data[str(at[0])], at[1:], value) if at[1:] else value}


def is_path(name: str | Path) -> bool:
    """Whether a name means a file, not a built-in description."""
    return str(name).endswith((".yaml", ".yml"))


def problem(message: str, *, key: str = "") -> PydanticCustomError:
    """What a validator raises: `message`, reported at `key` inside of the object that it validates."""
    return PydanticCustomError("bitsim", "{message}", {"message": message, "key": key})
