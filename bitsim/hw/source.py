"""YAML files that remember their lines: every problem is reported as `file:line: key.path: expected (got ...)`."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.resources.abc import Traversable
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from bitsim.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, int]
# The C parser is 10x faster; both give the same nodes.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A YAML file as plain data. `path`: as the user named it; `lines`: line number of every key and list item.

    `base`: the file that `data`'s remaining top-level keys come from, see `like`.
    """

    path: str
    sha256: str
    data: dict[str, Any]
    lines: Lines
    base: "Source | None" = None

    def like(self, base: "Source") -> "Source":
        """This file with the top-level keys that it leaves out taken from `base`; the hash covers both files."""
        digest = hashlib.sha256(f"{self.sha256} like {base.sha256}".encode()).hexdigest()
        return replace(self, sha256=digest, data=base.data | self.data, base=base)

    def where(self, at: KeyPath) -> str:
        """`file:line: key.path` of a key, with the line of the nearest parent for a key that is not there."""
        if self.base is not None and at and at[:1] not in self.lines and at[0] in self.base.data:
            return self.base.where(at)
        known = at
        while known not in self.lines:
            known = known[:-1]
        return f"{self.path}:{self.lines[known]}: {_dotted(at) or 'file'}"


def problem(message: str, *, key: str = "") -> PydanticCustomError:
    """What a validator raises: `message`, reported at `key` inside of the object that it validates."""
    return PydanticCustomError("bitsim", "{message}", {"message": message, "key": key})


def read_source(file: Traversable, path: str) -> Source:
    """Read the YAML mapping in `file`, called `path` in messages; raises `ConfigError` naming file and line."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: file not found") from None
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable file ({error.strerror})") from None
    lines: Lines = {(): 1}
    data = _read_mapping(_decode(content, path), path, lines)
    return Source(path=path, sha256=hashlib.sha256(content).hexdigest(), data=data, lines=lines)


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
        raise ConfigError(f"{path}:1: file: expected keys and values (got {_shown(data)})")
    return data


def _plain(
    node: yaml.Node, loader: yaml.SafeLoader, path: str, at: KeyPath, lines: Lines, parents: tuple[int, ...]
) -> Any:
    """The data of a node; fills `lines` on the way."""
    if id(node) in parents:
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: {_dotted(at)}: an alias must not contain itself")
    if isinstance(node, yaml.MappingNode):
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise ConfigError(f"{path}:{line}: {_dotted(at) or 'file'}: expected text as key (got a collection)")
            inner = (*at, key)
            if key in data:
                raise ConfigError(f"{path}:{line}: {_dotted(inner)}: duplicate key (first on line {lines[inner]})")
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
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: {_dotted(at)}: {error}") from None
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


def validate(model: type[Model], source: Source) -> Model:
    """`source` as `model`; raises one `ConfigError` with a line for every problem."""
    try:
        return model.model_validate(source.data, context=source)
    except ValidationError as error:
        found = [_line(model, source, details) for details in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(found))) from None


def _line(model: type[BaseModel], source: Source, details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    at = _present(source.data, details["loc"])
    if kind == "missing":
        return f"{source.where((*at, details['loc'][-1]))}: required key is missing"
    if kind == "extra_forbidden":
        return f"{source.where(at)}: unknown key; {_suggestion(str(at[-1]), _allowed(model, at[:-1], source.data))}"
    if kind == "union_tag_not_found":
        return f"{source.where((*at, _unquoted(context)))}: required key is missing"
    if kind == "union_tag_invalid":
        expected = " or ".join(context["expected_tags"].rsplit(", ", 1))
        return f"{source.where((*at, _unquoted(context)))}: must be {expected} (got {context['tag']!r})"
    if kind == "bitsim":
        key = context["key"]
        return f"{source.where((*at, key) if key else at)}: {context['message']}"
    return f"{source.where(at)}: {_expected(kind, context, details['msg'])} (got {_shown(details['input'])})"


_COMPARISONS = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}
_BOUNDS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_KINDS = {
    "float_type": "expected a number",
    "int_type": "expected an integer",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "model_type": "expected keys and values",
    "dict_type": "expected keys and values",
    "tuple_type": "expected a list",
    "finite_number": "must be finite",
    "string_too_short": "must not be empty",
}


def _expected(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _COMPARISONS:
        return f"must be {_COMPARISONS[kind]} {context[_BOUNDS[kind]]:g}"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    return _KINDS.get(kind, message)


def _present(data: Any, loc: KeyPath) -> KeyPath:
    """The part of a pydantic location that exists in the file (it also names union members and `[key]`)."""
    at: list[str | int] = []
    for key in loc:
        inside = key in data if isinstance(data, dict) else isinstance(data, list) and isinstance(key, int)
        if inside:
            at.append(key)
            data = data[key]
    return tuple(at)


def _unquoted(context: Mapping[str, Any]) -> str:
    """The key that tells the members of a union apart."""
    return str(context["discriminator"]).strip("'")


def _allowed(annotation: Any, at: KeyPath, data: Any) -> list[str]:
    """The keys that the models at `at` accept; `data` is what the file holds there."""
    models = [model for model in _models(annotation) if _is_kind(model, data)]
    if not at:
        return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})
    if models:
        fields = [model.model_fields[str(at[0])] for model in models if at[0] in model.model_fields]
        return _allowed(fields[0].annotation, at[1:], data[at[0]]) if fields else []
    return _allowed(get_args(annotation)[-1 if isinstance(at[0], str) else 0], at[1:], data[at[0]])


def _is_kind(model: type[BaseModel], data: Any) -> bool:
    """Whether `data` can mean `model`: of the members of a union only the one whose `kind` it names."""
    field = model.model_fields.get("kind")
    named = data.get("kind") if isinstance(data, dict) else None
    return field is None or named is None or named in get_args(field.annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models of an annotation: itself or, of `Annotated` and unions, their members; none of dict and tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif getattr(annotation, "__origin__", None) not in (dict, tuple):
        for member in get_args(annotation):
            yield from _models(member)


def _suggestion(name: str, allowed: list[str]) -> str:
    near = get_close_matches(name, allowed, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"allowed: {', '.join(allowed)}"


def _dotted(at: KeyPath) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at).removeprefix(".")


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
