"""The descriptions that come with bitsim, and those in a user's files: by name or by path."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw.constants import Constant, Described, constants_in
from bitsim.hw.source import Source, read_source


class FromFile(Described):
    """A description that knows its file: `path` as the user named it, and the file's `sha256`."""

    _source: Source = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        self._source = context

    @property
    def path(self) -> str:
        return self._source.path

    @property
    def sha256(self) -> str:
        return self._source.sha256

    def constants(self) -> dict[str, Constant]:
        """All constants by their path in the YAML."""
        return constants_in(self)


def built_in(folder: str) -> Traversable:
    """The folder `chips` or `technology` of the descriptions that come with bitsim."""
    return files("hw_models") / folder


def built_in_names(folder: str) -> list[str]:
    """Names of the YAML files in a built-in folder, sorted."""
    return sorted(Path(file.name).stem for file in built_in(folder).iterdir() if file.name.endswith(".yaml"))


def is_path(name: str | Path) -> bool:
    """Whether a name means a file, not a built-in description."""
    return str(name).endswith((".yaml", ".yml"))


def open_source(name: str | Path, folder: str, what: str) -> Source:
    """Read a built-in description by its name, or a file; raises `UnknownNameError` or `ConfigError`.

    A file that says `like: NAME` takes the top-level keys that it leaves out from the built-in description NAME.
    """
    if is_path(name):
        source = read_source(Path(name), str(name))
    elif str(name) in (names := built_in_names(folder)):
        source = read_source(built_in(folder) / f"{name}.yaml", f"hw_models/{folder}/{name}.yaml")
    else:
        raise UnknownNameError(what, str(name), names)
    like = source.data.get("like")
    if not isinstance(like, str):
        return source
    originals = [known for known in built_in_names(folder) if known not in (str(name), source.data.get("name"))]
    if like not in originals:
        raise ConfigError(f"{source.where(('like',))}: {UnknownNameError(what, like, originals)}")
    return source.like(open_source(like, folder, what))
