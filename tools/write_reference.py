"""Write docs/reference: every key of a chip's file from its schema, every command and option, every event.

    python -m tools.write_reference            writes the pages
    python -m tools.write_reference --check    exit code 1 if a page is not what this would write

A key's meaning is what the docstring of its class says behind its name, "`rows`: ..."; a key without one is an error.
"""

import argparse
import inspect
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from annotated_types import Ge, Le, MinLen
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from bitsim.cli.main import GROUPS, cli
from bitsim.events import EVENT_KINDS
from bitsim.hw.chip import Chip
from bitsim.hw.constants import Constant, InUnit
from bitsim.hw.datapaths import DatapathDescription
from bitsim.hw.datapaths.base import Within

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
GENERATED = "<!-- Written by `python -m tools.write_reference`: change the schema or the command, not this page. -->"
_NAMED = re.compile(r"(?:^|(?<=\. ))`(\w+)`: ")
_SCALARS = {int: "integer", float: "number", str: "text", bool: "true or false"}
_SUFFIXES = {"bits": "bits", "cycles": "cycles", "cycle": "cycles"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key as the page shows it. `inside`: the models of its value, if it has keys of its own."""

    type: str
    range: str = ""
    unit: str = ""
    inside: tuple[type[BaseModel], ...] = ()


WIDE = (
    "`wide` multiplies floats, or integers of several bits: PE arrays of INT8, tensor cores of INT8 or INT4 with full "
    "weights ([numerics](../numerics.md#attention-and-head-in-integers))."
)


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the lists in the docstrings of a model and its bases say behind names of fields, nearest class first."""
    found: dict[str, str] = {}
    for owner in inspect.getmro(model):
        if owner is BaseModel:
            break
        blocks = re.split(r"\n\s*\n|\n(?=\* )", inspect.cleandoc(owner.__doc__ or ""))
        for text in (" ".join(block.removeprefix("* ").split()) for block in blocks if block.startswith("* ")):
            starts = [match for match in _NAMED.finditer(text) if match.group(1) in model.model_fields]
            for match, after in zip_longest(starts, starts[1:]):
                said = text[match.end() : after.start() if after else len(text)].strip()
                found.setdefault(match.group(1), said.removesuffix(";"))
    return found


def described(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo, str]]:
    """Name, field and meaning of every key; raises if one has no meaning."""
    said = meanings(model)
    for name, field in model.model_fields.items():
        meaning = field.description or said.get(name)
        if not meaning:
            raise SystemExit(f"{model.__name__}.{name}: expected a meaning in the docstring, `{name}`: ...")
        yield field.alias or name, field, meaning


def look(annotation: Any, metadata: tuple[Any, ...], name: str) -> Key:
    """Type, range and unit of an annotation with what pydantic took out of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return look(arguments[0], (*metadata, *arguments[1:]), name)
    if origin in (Union, UnionType):
        members = tuple(member for member in arguments if member is not type(None))
        return look(members[0], metadata, name) if len(members) == 1 else Key(type="datapath", inside=members)
    if origin is Literal:
        return Key(type="one of", range=", ".join(f"`{value}`" for value in arguments), unit=_unit(name))
    if origin is tuple:
        of = look(arguments[0], (), name)
        return Key(type="list", range=of.range, inside=of.inside)
    if origin is dict:
        return Key(type="mapping", range=look(arguments[0], (), name).range, inside=look(arguments[1], (), name).inside)
    if annotation is Constant:
        (check,) = (item.func for item in metadata if isinstance(item, AfterValidator))
        assert isinstance(check, InUnit), f"{name}: expected a unit"
        most = "" if check.at_most == math.inf else f", <= {check.at_most:g}"
        return Key(
            type="[constant](#constants)", range=(">" if check.positive else ">=") + f" 0{most}", unit=check.unit
        )
    if annotation in _SCALARS:
        return Key(type=_SCALARS[annotation], range=_range(metadata), unit=_unit(name))
    return Key(type="keys", inside=(annotation,))


def _unit(name: str) -> str:
    """The unit that a name ends with."""
    return _SUFFIXES.get(name.rpartition("_")[2], "")


def _range(metadata: tuple[Any, ...]) -> str:
    checks = [check for item in metadata for check in getattr(item, "metadata", [item])]
    for check in checks:
        if isinstance(check, AfterValidator) and isinstance(check.func, Within):
            return f"{check.func.low} to {check.func.high}"
        if getattr(check, "pattern", None):
            return f"matches `{check.pattern}`"
    low = [check.ge for check in checks if isinstance(check, Ge)]
    high = [check.le for check in checks if isinstance(check, Le)]
    if low and high:
        return f"{low[0]} to {high[0]}"
    if low:
        return f">= {low[0]}"
    return "not empty" if any(isinstance(check, MinLen) for check in checks) else ""


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def keys(model: type[BaseModel]) -> str:
    """The table of a model's keys."""
    rows = []
    for name, field, meaning in described(model):
        key = look(field.annotation, tuple(field.metadata), name)
        default = "-" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        rows.append([f"`{name}`", key.type, key.range, key.unit, default, meaning])
    return table(["key", "type", "range", "unit", "default", "meaning"], rows)


def _shown(value: Any) -> str:
    """A default as YAML writes it."""
    return "none" if value is None else f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def below(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models of keys that have keys of their own, by path, datapaths left out."""
    for name, field, _ in described(model):
        key = look(field.annotation, tuple(field.metadata), name)
        if len(key.inside) == 1:
            at = f"{path}{name}{ {'list': '[]', 'mapping': '.NAME'}.get(key.type, '') }"
            yield at, key.inside[0]
            yield from below(key.inside[0], f"{at}.")


def first_line(model: type[BaseModel]) -> str:
    """The first paragraph of a docstring."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].split())


def chip_page() -> str:
    """docs/reference/chip_keys.md."""
    kinds = look(Chip.model_fields["bitlinear"].annotation, (), "bitlinear").inside
    assert all(issubclass(kind, DatapathDescription) for kind in kinds)
    parts = [
        GENERATED,
        "# Keys of a chip's file",
        "A key without a default (-) must be given, in the file or in the chip that it is `like`, unless its meaning "
        "says otherwise. Rules between keys are checked when the file is read; the message names file, line, what was "
        "expected and what came. `bitlinear` and `wide` are [datapaths](#datapaths), told apart by `kind`.",
        "## The file",
        keys(Chip),
    ]
    for path, model in below(Chip, ""):
        parts += [f"## `{path}`", first_line(model), keys(model)]
    parts += ["## Constants", first_line(Constant), keys(Constant)]
    parts += ["## Datapaths", WIDE]
    for kind in sorted(kinds, key=lambda model: str(get_args(model.model_fields["kind"].annotation)[0])):
        (name,) = get_args(kind.model_fields["kind"].annotation)
        parts += [f"### `{name}`", first_line(kind), keys(kind)]
    return "\n\n".join(parts) + "\n"


def option_type(option: click.Parameter) -> str:
    """What an option takes."""
    kind = option.type
    if getattr(option, "is_flag", False):
        return "flag"
    if option.metavar:
        return f"`{option.metavar}`"
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    if isinstance(kind, click.IntRange | click.FloatRange):
        word = "integer" if isinstance(kind, click.IntRange) else "number"
        limits = [f"{sign}= {limit}" for sign, limit in ((">", kind.min), ("<", kind.max)) if limit is not None]
        return " ".join([word, ", ".join(limits)]).strip()
    return {"integer": "integer", "float": "number", "path": "path"}.get(kind.name, "text")


def options(command: click.Command) -> str:
    """The table of a command's options."""
    rows = []
    for option in command.params:
        if isinstance(option, click.Option):
            default = f"`{option.default}`" if option.show_default and option.default is not None else ""
            default = "required" if option.required else default
            rows.append([f"`{', '.join(option.opts)}`", option_type(option), default, option.help or ""])
    return table(["option", "takes", "default", "meaning"], rows)


def commands(name: str, command: click.Command, level: str) -> Iterator[str]:
    """Sections of a command and of those below it."""
    arguments = [option for option in command.params if isinstance(option, click.Argument)]
    inner = command.commands if isinstance(command, click.Group) else {}
    usage = " ".join(["bitsim", name, *command.collect_usage_pieces(click.Context(command))])
    yield f"{level} {name}"
    yield f"`{usage}`"
    yield inspect.cleandoc(command.help or "")
    for argument in arguments:
        if isinstance(argument.type, click.Choice):
            yield f"{argument.human_readable_name}: {option_type(argument)}."
    if any(isinstance(option, click.Option) for option in command.params):
        yield options(command)
    for word, below_it in sorted(inner.items()):
        yield from commands(f"{name} {word}", below_it, f"{level}#")


def cli_page() -> str:
    """docs/reference/cli.md."""
    context = click.Context(cli, info_name="bitsim")
    parts = [
        GENERATED,
        "# Commands",
        "Wrong input is one line on stderr and exit code 2; `bitsim --debug COMMAND ...` shows the traceback. Every "
        "command takes `--help`.",
    ]
    for group, names in GROUPS.items():
        parts.append(f"## {group}")
        for name in names:
            command = cli.get_command(context, name)
            assert command is not None
            parts += commands(name, command, "###")
    return "\n\n".join(part for part in parts if part) + "\n"


def events_page() -> str:
    """docs/reference/events.md."""
    rows = [
        [
            f"`{kind.template}`",
            kind.ledger,
            kind.component,
            "operands" if kind.data_dependent else "shapes",
            kind.meaning,
        ]
        for kind in EVENT_KINDS
    ]
    intro = (
        "What may be counted; `{...}` stands for a name. [What an event is](../events.md). *from*: whether its count "
        "follows from shapes alone or from operands."
    )
    parts = [GENERATED, "# Events", intro, table(["event", "ledger", "component", "from", "meaning"], rows)]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """The generated pages by their place."""
    texts = {"chip_keys.md": chip_page(), "cli.md": cli_page(), "events.md": events_page()}
    return {FOLDER / name: text for name, text in texts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the pages are current")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        sys.exit(f"not current: {', '.join(path.name for path in stale)}; run python -m tools.write_reference")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
