"""What pydantic finds wrong with a description, in one line each: `file:line: key.path: expected (got ...)`."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bitsim.errors import ConfigError
from bitsim.hw.source import Source
from bitsim.hw.yaml_file import KeyPath, shown

Model = TypeVar("Model", bound=BaseModel)


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
        return f"{source.where(at)}: unknown key; {suggestion(str(at[-1]), _allowed(model, at[:-1], source.data))}"
    if kind == "unexpected_keyword_argument":  # of a dataclass, such as a scaling of RoPE
        return f"{source.where(at)}: unknown key (got {details['input']!r})"
    if kind == "union_tag_not_found":
        return f"{source.where((*at, _unquoted(context)))}: required key is missing"
    if kind == "union_tag_invalid":
        expected = " or ".join(context["expected_tags"].rsplit(", ", 1))
        return f"{source.where((*at, _unquoted(context)))}: must be {expected} (got {context['tag']!r})"
    if kind == "bitsim":
        key = context["key"]
        return f"{source.where((*at, key) if key else at)}: {context['message']}"
    return f"{source.where(at)}: {_expected(kind, context, details['msg'])} (got {shown(details['input'])})"


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


def suggestion(name: str, allowed: list[str]) -> str:
    near = get_close_matches(name, allowed, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"allowed: {', '.join(allowed)}"
