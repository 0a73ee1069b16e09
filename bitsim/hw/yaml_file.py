"""YAML as plain data that remembers its lines: the one reader of every description, shipped or a user's."""

from importlib.resources.abc import Traversable
from typing import Any

import yaml

from bitsim.errors import ConfigError

KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, int]
# The C parser is 10x faster; both give the same nodes.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(file: Traversable, path: str) -> tuple[dict[str, Any], Lines]:
    """The mapping in `file`, called `path` in messages, and the line of every key and list item.

    Raises `ConfigError` naming file and line.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: file not found") from None
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable file ({error.strerror})") from None
    lines: Lines = {(): 1}
    return _read_mapping(_decode(content, path), path, lines), lines


def _decode(content: bytes, path: str) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: expected UTF-8 text (got byte {content[error.start]:#04x})") from None
    for number, row in enumerate(text.split("\n"), start=1):
        if "\t" in row[: len(row) - len(row.lstrip())]:
            raise ConfigError(f"{path}:{number}: expected spaces for indentation (got a tab)")
    return text


def _read_mapping(text: str, path: str, lines: Lines) -> dict[str, Any]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(f"{path}:1: file: expected keys and values (got an empty file)")
        data = _plain(node, loader, path, (), lines, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: malformed YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:1: malformed YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: file: expected keys and values (got {shown(data)})")
    return data


def _plain(
    node: yaml.Node, loader: yaml.SafeLoader, path: str, at: KeyPath, lines: Lines, parents: tuple[int, ...]
) -> Any:
    """The data of a node; fills `lines` on the way."""
    if id(node) in parents:
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: {dotted(at)}: an alias must not contain itself")
    if isinstance(node, yaml.MappingNode):
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise ConfigError(f"{path}:{line}: {dotted(at) or 'file'}: expected text as key (got a collection)")
            inner = (*at, key)
            if key in data:
                raise ConfigError(f"{path}:{line}: {dotted(inner)}: duplicate key (first on line {lines[inner]})")
            lines[inner] = line
            data[key] = _plain(value_node, loader, path, inner, lines, (*parents, id(node)))
        return data
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            lines[*at, index] = item.start_mark.line + 1
            items.append(_plain(item, loader, path, (*at, index), lines, (*parents, id(node))))
        return items
    try:
        value = loader.construct_object(node)
    except ValueError as error:
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: {dotted(at)}: {error}") from None
    unquoted = isinstance(node, yaml.ScalarNode) and not node.style
    return _number(value) if unquoted and isinstance(value, str) else value


def _number(text: str) -> str | float:
    """PyYAML reads `1e-12` as text; an unquoted number is one."""
    if not text[:1].isdigit() and text[:1] not in ("-", "+", "."):
        return text
    try:
        return float(text)
    except ValueError:
        return text


def dotted(at: KeyPath) -> str:
    """A path of keys as messages write it: `sram[0].read.value`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at).removeprefix(".")


def shown(value: Any) -> str:
    """What came, in at most 60 characters."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
