"""YAML as plain data that remembers its lines: the one reader of every description, shipped or a user's.

What is read is bounded before anything is built of it: a few lines of aliases can stand for billions of values, and the
C parser dies of deep nesting. Values without quotes are read as `bitsim.hw.yaml_scalar` says.
"""

from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from bitsim._untrusted import MissingError, UnreadableError, read_bounded
from bitsim.errors import ConfigError
from bitsim.hw.yaml_scalar import scalar

KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, int]
# The C parser is 10x faster; both give the same nodes.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_BYTES = 1 << 20
MOST_DEPTH = 32
MOST_NODES = 100_000  # keys and values, those that aliases repeat included
MOST_TEXT = 10_000  # characters of one key or value


def read_yaml(file: Traversable, path: str) -> tuple[dict[str, Any], Lines]:
    """The mapping in `file`, called `path` in messages, and the line of every key and list item.

    Raises `ConfigError` naming file and line.
    """
    try:
        content = read_bounded(file, MOST_BYTES) if isinstance(file, Path) else file.read_bytes()
    except MissingError:
        raise ConfigError(f"{path}: file not found") from None
    except UnreadableError as error:
        raise ConfigError(f"{path}: {error}") from None
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
        _check_bounds(text, path)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(f"{path}:1: file: expected keys and values (got an empty file)")
        data = _plain(node, path, (), lines, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: malformed YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:1: malformed YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: file: expected keys and values (got {shown(data)})")
    return data


def _check_bounds(text: str, path: str) -> None:
    """Refuses what is too deep, too long or too much once aliases are written out, and tags."""
    sizes: dict[str, int] = {}  # nodes that an anchor stands for
    open_nodes: list[tuple[str | None, int]] = []  # anchor and nodes before it
    nodes = 0
    for event in yaml.parse(text, Loader=_Loader):
        mark = event.start_mark
        where = f"{path}:{mark.line + 1 if mark else 1}"
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        if not isinstance(event, yaml.NodeEvent):
            continue
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise ConfigError(f"{where}: expected no tag (got {event.tag[:60]!r})")
        nodes += sizes.get(event.anchor or "", 0) if isinstance(event, yaml.AliasEvent) else 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor is not None:
                sizes[event.anchor] = 1
            if len(event.value) > MOST_TEXT:
                raise ConfigError(
                    f"{where}: expected text of at most {MOST_TEXT:,} characters (got {len(event.value):,})"
                )
        if len(open_nodes) > MOST_DEPTH:
            raise ConfigError(f"{where}: expected at most {MOST_DEPTH} levels of nesting (got more)")
        if nodes > MOST_NODES:
            raise ConfigError(f"{where}: expected at most {MOST_NODES:,} keys and values, with aliases (got more)")


def _plain(node: yaml.Node, path: str, at: KeyPath, lines: Lines, parents: tuple[int, ...]) -> Any:
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
            data[key] = _plain(value_node, path, inner, lines, (*parents, id(node)))
        return data
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            lines[*at, index] = item.start_mark.line + 1
            items.append(_plain(item, path, (*at, index), lines, (*parents, id(node))))
        return items
    assert isinstance(node, yaml.ScalarNode)
    if node.style:
        return node.value
    try:
        return scalar(node.value)
    except ValueError as error:
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: {dotted(at) or 'file'}: {error}") from None


def dotted(at: KeyPath) -> str:
    """A path of keys as messages write it: `sram[0].read.value`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at).removeprefix(".")


def shown(value: Any) -> str:
    """What came, in at most 60 characters."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
