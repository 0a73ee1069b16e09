"""The one way in which commands give their outcome: on the terminal, as JSON, and as files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from bitsim.cli.files import write_files
from bitsim.cli.output import print_json
from bitsim.results.outcome import Outcome

Kind = TypeVar("Kind", bound=Outcome)
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
    text = outcome.to_json()
    if as_json:
        print_json(text)
    else:
        view(outcome)
    if out is None:
        return
    names = outcome.tables
    files: dict[str, str | bytes] = {f"{stem}.json": f"{text}\n"}
    files |= {f"{stem if len(names) == 1 else name}.csv": outcome.csv(name) for name in names}
    write_files(out, files | dict(further(outcome) if further else {}))
