"""Arguments of public functions: one of the wrong type is refused by its name, before anything is done."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Never, TypeVar, Union

from bitsim.errors import BitsimError

F = TypeVar("F", bound=Callable[..., Any])
_WORDS: dict[object, str] = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "text",
    types.NoneType: "None",
}


_NO = [((None,), Never)]  # what no value fits


class ArgumentError(BitsimError, TypeError):
    """An argument of a public function is missing, unknown or of another type than its annotation says."""


def checked(function: F) -> F:
    """`function`, whose arguments are first compared with its annotations; `ArgumentError` names the one that differs.

    Values are left to the function: a string where a literal stands, an integer that is too small.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def with_checks(*arguments: Any, **settings: Any) -> Any:
        try:
            given = signature.bind(*arguments, **settings).arguments
        except TypeError as error:
            raise ArgumentError(f"{function.__name__}: {error}") from None
        hints = _hints(function)
        for name, value in given.items():
            if not _fits(value, hints.get(name, Any)):
                raise ArgumentError(f"{name}: expected {_words(hints[name])}, got {_shown(value)}")
        return function(*arguments, **settings)

    return typing.cast(F, with_checks)


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function)


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if hint is Any or hint is Never:
        return hint is Any
    if origin in (Union, types.UnionType):
        return any(_fits(value, member) for member in typing.get_args(hint))
    if origin is Literal:
        return isinstance(value, tuple(type(choice) for choice in typing.get_args(hint)))
    if origin is None:
        return _is_a(value, hint)
    if origin is Callable:
        return callable(value)
    if issubclass(origin, Sequence) and hasattr(value, "__array__"):
        return True  # arrays say themselves what they hold
    if not isinstance(value, origin) or isinstance(value, str | bytes):
        return False
    return all(_fits(item, inner) for items, inner in _items(value, origin, typing.get_args(hint)) for item in items)


def _is_a(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(value, name) for name in vars(kind) if not name.startswith("_"))
    return isinstance(value, kind)


def _items(value: Any, origin: Any, inside: tuple[Any, ...]) -> Iterable[tuple[Iterable[Any], Any]]:
    """What a collection holds, in groups of one annotation each."""
    if issubclass(origin, Mapping) and len(inside) == 2:
        return [(value.keys(), inside[0]), (value.values(), inside[1])]
    if origin is tuple and Ellipsis not in inside:
        return [((item,), hint) for item, hint in zip(value, inside, strict=True)] if len(value) == len(inside) else _NO
    if issubclass(origin, Sequence) and inside:
        return [(value, inside[0])]
    return []


def _words(hint: Any) -> str:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(member) for member in inside))
    if origin is Literal:
        return " or ".join(repr(choice) for choice in inside)
    if origin is Callable:
        return "a function"
    if origin is tuple and Ellipsis not in inside:
        return f"({', '.join(_words(member) for member in inside)})"
    if origin is not None and issubclass(origin, Sequence):
        return f"a sequence of {_words(inside[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return "a mapping"
    kind = hint if origin is None else origin
    return _WORDS.get(kind, f"a {kind.__name__}" if kind is not None else "None")


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else f'{text[:57]}...'} ({type(value).__name__})"
