"""The one way in which commands give their outcome: on the terminal, as JSON, and as files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bitsim.cli.files import write_files
from bitsim.cli.output import echo_json

if TYPE_CHECKING:
    from bitsim.results.outcome import Outcome

Kind = TypeVar("Kind", bound="Outcome")
Files = Mapping[str, str | bytes]


def emit(
    outcome: Kind,
    view: Callable[[Kind], None],
    *,
    as_json: bool,
    out: Path | None,
    stem: str,
    further: Callable[[Kind], Files] | None = None,
) -> None:
    """Print `outcome` as JSON or by `view`; into the directory `out` go STEM.json, its tables as CSV, and `further`.

    A single table is STEM.csv; of several, each is called as it is called in the outcome. `further`: figures by file
    name, drawn only where they are written.
    """

    def files() -> Files:
        names = outcome.tables
        tables = {f"{stem if len(names) == 1 else name}.csv": outcome.csv(name) for name in names}
        return tables | dict(further(outcome) if further else {})

    _give(outcome.to_json(), lambda: view(outcome), as_json=as_json, out=out, stem=stem, further=files)


def emit_description(
    content: Any,
    view: Callable[[], None],
    *,
    as_json: bool,
    out: Path | None = None,
    stem: str = "",
    files: Files | None = None,
) -> None:
    """The same for what describes (a chip, a checkpoint, a list of names): `content` as JSON, in its own shape."""
    text = json.dumps(content, indent=1, allow_nan=False)
    _give(text, view, as_json=as_json, out=out, stem=stem, further=lambda: files or {})


def _give(
    text: str, view: Callable[[], None], *, as_json: bool, out: Path | None, stem: str, further: Callable[[], Files]
) -> None:
    if as_json:
        echo_json(text)
    else:
        view()
    if out is not None:
        write_files(out, {f"{stem}.json": f"{text}\n"} | dict(further()))
