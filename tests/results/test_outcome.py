"""All experiments give one kind of outcome: the same surface, the same JSON, and nothing is lost on the way back."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import bitsim
from bitsim.errors import OutputError, UnknownNameError
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.stored import OutcomeError, StoredOutcome, from_json, read_outcome
from tests.results.outcomes import MAKERS, outcome

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "outcome.schema.json").read_text())
KINDS = list(MAKERS)


class Small(Outcome):
    """An outcome with one value of ours."""

    value: Any = 1.0
    kind = title = "small"

    def headline(self) -> dict[str, Any]:
        return {}

    def makers(self) -> Makers:
        return {"values": lambda: [{"x": 1, "y": None}, {"x": self.value, "y": 2}]}


def small(value: Any) -> Small:
    made = Small(inputs={}, notes=())
    object.__setattr__(made, "value", value)
    return made


def test_every_kind_of_the_schema_has_an_example_here() -> None:
    assert set(SCHEMA["properties"]["kind"]["enum"]) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_json_follows_the_published_schema(kind: str) -> None:
    data = json.loads(outcome(kind).to_json())
    jsonschema.Draft202012Validator(SCHEMA).validate(data)
    assert data["kind"] == kind
    assert data["inputs"]["bitsim"] == bitsim.__version__


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_back_is_what_was_written(kind: str, tmp_path: Path) -> None:
    made = outcome(kind)
    path = tmp_path / "outcome.json"
    path.write_text(made.to_json())
    read = read_outcome(path)
    assert read.to_json() == made.to_json()
    assert (read.title, read.tables, read.headline()) == (made.title, made.tables, made.headline())
    for table in made.tables:
        assert read.csv(table) == made.csv(table)


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_has_the_rows_of_the_table_and_csv_its_numbers(kind: str) -> None:
    made = outcome(kind)
    for table in made.tables:
        records, frame = made.records(table), made.frame(table)
        assert len(frame) == len(records)
        for record, line in zip(records, csv.DictReader(io.StringIO(made.csv(table))), strict=True):
            for name, value in record.items():
                shown = line[name]
                assert (shown == "") if value is None else (type(value)(shown) == value or str(value) == shown)
    assert made.frame().equals(made.frame(made.tables[0]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_repr_has_at_most_fifteen_lines_and_a_notebook_sees_a_table(kind: str) -> None:
    made = outcome(kind)
    text = repr(made)
    assert text.splitlines()[0].startswith(f"<bitsim {kind}: ")
    assert len(text.splitlines()) <= 15
    assert max(map(len, text.splitlines())) <= 120
    html = made._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 2
    assert len(html) < 100_000


def stored(headline: dict[str, Any], rows: int) -> StoredOutcome:
    return StoredOutcome(
        inputs={}, notes=("a note",), written_kind="run", written_title="a title", version="0",
        written_headline=headline, written_assumed=({"constant": "c", "value": "1", "source": "s"},),
        content={"t": [{"a": i} for i in range(rows)], "u": []},
    )  # fmt: skip


def test_a_repr_shows_the_first_eight_numbers_that_are_known() -> None:
    headline = {"unknown": None} | {f"n{i}": i for i in range(12)}
    assert repr(stored(headline, 0)).splitlines() == [
        "<bitsim run: a title>",
        *(f"  n{i}: {i}" for i in range(8)),
        "  tables: t, u",
        "  1 notes, 1 assumed constants",
    ]
    (title, *_) = repr(StoredOutcome(
        inputs={}, notes=(), written_kind="run", written_title="x" * 200, version="0", written_headline={},
        written_assumed=(), content={},
    )).splitlines()  # fmt: skip
    assert title == f"<bitsim run: {'x' * 93} ..."  # 110 characters
    assert len(title) == 110


def test_a_notebook_sees_twenty_rows_of_the_first_table_and_how_many_there_are() -> None:
    html = stored({"n": 1, "unknown": None}, 25)._repr_html_()
    assert "<summary>t: 20 of 25 rows; tables: t, u</summary>" in html
    assert re.findall(r"<tr><td>(\d+)</td></tr>", html) == [str(i) for i in range(20)]
    assert "<tr><th>n</th><td>1</td></tr>" in html
    assert "unknown" not in html
    assert "<summary>1 notes</summary><ul><li>a note</li></ul>" in html
    assert "<summary>t: 3 of 3 rows" in stored({}, 3)._repr_html_()


@pytest.mark.parametrize("kind", KINDS)
def test_units_are_in_the_names_of_columns_and_headlines(kind: str) -> None:
    made = outcome(kind)
    names = {name for table in made.tables for record in made.records(table) for name in record} | set(made.headline())
    assert all(name == name.lower() and " " not in name for name in names)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), object()])
def test_what_json_does_not_have_is_an_error_that_says_where(value: object) -> None:
    with pytest.raises(OutputError, match="table values: can't be written as JSON"):
        small(value).to_json()


def test_integers_with_gaps_stay_integers() -> None:
    assert str(small(3).frame()["y"].dtype) == "Int64"


def test_a_table_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown table of run 'operator'; did you mean operators"):
        outcome("run").records("operator")


def test_markup_in_texts_stays_text_in_notebooks() -> None:
    made = StoredOutcome(
        inputs={}, notes=("<script>",), written_kind="run", written_title="<b>", version="0",
        written_headline={"a": "<i>"}, written_assumed=(), content={"t": [{"<c>": "<d>"}]},
    )  # fmt: skip
    assert not any(tag in made._repr_html_() for tag in ("<script>", "<b>", "<i>", "<c>", "<d>"))


def damaged(**changed: Any) -> str:
    data = json.loads(outcome("parallel").to_json()) | changed
    return json.dumps({key: value for key, value in data.items() if value is not ...})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected the JSON of an outcome, whole"),
        ("[]", "expected an outcome with a key 'schema'"),
        ('{"cycles": 3}', "expected an outcome with a key 'schema'"),
        ("[" * 100_000, "expected the JSON of an outcome, whole"),
        ('{"schema": 1, "schema": 2}', "key 'schema' stands there twice"),
        ('{"schema": NaN}', "NaN is no number of JSON"),
        (lambda: outcome("run").to_json()[:-40], "expected the JSON of an outcome, whole"),
        (lambda: damaged(schema="bitsim.outcome/2"), "expected 'bitsim.outcome/1', got 'bitsim.outcome/2'"),
        (lambda: damaged(tables=...), "tables: expected dict, got 'None'"),
        (lambda: damaged(notes="none"), "notes: expected list"),
        (lambda: damaged(notes=[1]), "notes: expected texts"),
        (lambda: damaged(more=1), "unknown keys more"),
        (lambda: damaged(assumed=[{"constant": "c"}]), "assumed: expected entries with constant, source, value"),
        (lambda: damaged(tables={"t": []}), "tables: t: expected 'columns' and 'rows'"),
        (lambda: damaged(tables={"t": {"columns": [1], "rows": []}}), "columns: expected names"),
        (lambda: damaged(tables={"t": {"columns": ["a"], "rows": 1}}), "rows: expected a list"),
        (lambda: damaged(tables={"t": {"columns": ["a"], "rows": [[1], [1, 2]]}}), "row 1: expected 1 values"),
    ],
)
def test_what_is_no_whole_outcome_of_this_version_is_refused_with_the_reason(text: Any, reason: str) -> None:
    with pytest.raises(OutcomeError, match=r"^mine\.json: ") as raised:
        from_json(text() if callable(text) else text, where="mine.json")
    assert reason in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutcomeError, match=r"nowhere.json: can't be read"):
        read_outcome(tmp_path / "nowhere.json")


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_on_results_names_every_kind_and_table(kind: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("|") and f"`{kind}`" in line.split("|")[1])
    assert set(outcome(kind).tables) <= set(re.findall(r"`(\w+)`", row.split("|")[3]))
