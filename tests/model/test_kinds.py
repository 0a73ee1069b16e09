"""Laws of every kind of description in the table: found by name and file, like another one, mistakes with a line."""

import json
from pathlib import Path
from typing import Any

import pytest

from bitsim.cli.main import main
from bitsim.errors import BitsimError, ConfigError, UnknownNameError
from bitsim.hw.library import LONGEST_CHAIN, FromFile
from bitsim.model.kinds import KINDS, load_described

EVERY = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
SHIPPED = [(kind, name) for kind in KINDS for name in kind.names()]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path: Path, kind: Any, like: str, *more: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([f"kind: {kind.name}", f"like: {like}", *more, ""]))
    return path


def content(described: FromFile) -> dict[str, Any]:
    """All that is passed on."""
    own = {"name", "like", "summary", "source", "evidence", "between", "scaled"}
    return {key: value for key, value in described.model_dump(mode="json").items() if key not in own}


def message(call: Any, *given: Any) -> str:
    with pytest.raises(BitsimError) as caught:
        call(*given)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "name"), SHIPPED, ids=[f"{kind.name}-{name}" for kind, name in SHIPPED])
def test_what_is_shipped_loads_by_its_name_as_what_it_says_it_is(kind: Any, name: str) -> None:
    described = kind.load(name)
    assert (described.kind, described.name) == (kind.name, name)
    assert described.summary
    assert kind.load(described) is described
    assert len(described.sha256) == 64
    assert load_described(name) == described


def test_a_name_stands_for_one_thing() -> None:
    names = [name for _, name in SHIPPED]
    assert len(set(names)) == len(names)


@EVERY
def test_a_file_is_like_another_that_is_like_a_built_in_one(kind: Any, here: Path) -> None:
    name = kind.names()[0]
    first = written(here / "first.yaml", kind, name)
    second = written(here / "deeper" / "second.yaml", kind, "../first.yaml")
    original = kind.load(name)
    for file in (first, second):
        loaded = kind.load(file)
        assert content(loaded) == content(original)
        assert (loaded.name, loaded.path) == (file.stem, str(file))
        assert load_described(str(file)) == loaded
        assert loaded.sha256 != original.sha256  # of another name
    assert kind.load(second).summary == "like ../first.yaml"


@EVERY
def test_the_hash_is_of_the_content_and_not_of_the_file(kind: Any, here: Path) -> None:
    name = kind.names()[0]
    short = kind.load(written(here / "a" / "x.yaml", kind, name, "summary: a test"))
    other = kind.load(written(here / "b" / "x.yaml", kind, "../a/x.yaml", "# a comment", "summary: a test"))
    changed = kind.load(written(here / "c" / "x.yaml", kind, name, "summary: another test"))
    assert short.sha256 == other.sha256 != changed.sha256


@EVERY
def test_circles_are_refused_where_they_close(kind: Any, here: Path) -> None:
    written(here / "a.yaml", kind, "b.yaml")
    written(here / "b.yaml", kind, "a.yaml")
    written(here / "own.yaml", kind, "own.yaml")
    assert message(kind.load, "a.yaml") == (
        "b.yaml:2: like: expected a chain that ends (got a.yaml -> b.yaml -> a.yaml)"
    )
    assert message(kind.load, "own.yaml") == "own.yaml:2: like: expected a chain that ends (got own.yaml -> own.yaml)"


@EVERY
def test_chains_are_bounded(kind: Any, here: Path) -> None:
    written(here / "0.yaml", kind, kind.names()[0])
    for number in range(1, LONGEST_CHAIN + 1):
        written(here / f"{number}.yaml", kind, f"{number - 1}.yaml")
    longest = LONGEST_CHAIN - 3  # with the built-in one, which may be like another one
    assert kind.load(f"{longest}.yaml").name == str(longest)
    assert f"expected at most {LONGEST_CHAIN} files" in message(kind.load, f"{LONGEST_CHAIN}.yaml")


@EVERY
def test_a_typo_is_reported_with_its_line_and_the_nearest_key(kind: Any, here: Path) -> None:
    key = next(iter(kind.model.model_fields.keys() - {"kind", "name", "like", "summary"}))
    file = written(here / "x.yaml", kind, kind.names()[0], f"{key}x: 1")
    expected = f"x.yaml:3: {key}x: unknown key; did you mean {key}"
    assert message(kind.load, file.name).startswith(expected)
    assert message(load_described, file.name).startswith(expected)
    child = written(here / "child.yaml", kind, "x.yaml")  # the mistake is in the parent
    assert message(kind.load, child.name).startswith(expected)


@EVERY
def test_every_file_says_its_kind(kind: Any, here: Path) -> None:
    file, wanted = here / "x.yaml", f"kind: {kind.name}"
    file.write_text("name: x\n")
    assert message(kind.load, "x.yaml") == f"x.yaml:1: kind: required key is missing; write `{wanted}`"
    assert kind.name in message(load_described, "x.yaml")
    other = next(other for other in KINDS if other is not kind)
    file.write_text(f"name: x\nkind: {other.name}\n")
    assert message(kind.load, "x.yaml").startswith(f"x.yaml:2: kind: expected `{wanted}`")
    file.write_text(f"name: x\nkind: {kind.name}s\n")
    assert f"did you mean {kind.name}" in message(load_described, "x.yaml")
    written(here / "child.yaml", kind, "x.yaml")
    assert message(kind.load, "child.yaml").startswith(f"x.yaml:2: kind: expected `{wanted}`")


@EVERY
def test_what_is_not_there_is_named(kind: Any, here: Path) -> None:
    assert message(kind.load, "no.yaml") == "no.yaml: file not found"
    file = written(here / "x.yaml", kind, "no.yaml")
    assert message(kind.load, file.name) == "x.yaml:2: like: file not found (no.yaml)"
    name = kind.names()[0]
    with pytest.raises(UnknownNameError, match=f"did you mean .*{name}"):
        kind.load(f"{name}x")
    file = written(here / "x.yaml", kind, f"{name}x")
    assert message(kind.load, file.name).startswith(f"x.yaml:2: like: unknown {kind.title} '{name}x'; did you mean ")


@EVERY
@pytest.mark.parametrize("given", [None, 3, b"x", ["x"]])
def test_a_wrong_type_is_refused_by_name(kind: Any, given: Any) -> None:
    found = message(kind.load, given)
    assert found.startswith(f"{kind.title}: expected a name, the path of a YAML file or a {kind.model.__name__}, got ")
    assert found.endswith(f"({type(given).__name__})")


@EVERY
def test_list_and_show_know_it(kind: Any, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def printed(*words: str) -> Any:
        main([*words, "--json"])
        return json.loads(capsys.readouterr().out)

    assert [item["name"] for item in printed("list", kind.plural)[kind.plural]] == list(kind.names())
    name = kind.names()[0]
    assert printed("show", name) == kind.load(name).model_dump(mode="json")
    file = written(here / "mine.yaml", kind, name)
    assert printed("show", str(file))["name"] == "mine"


def test_show_suggests_names_of_all_kinds() -> None:
    with pytest.raises(UnknownNameError, match="did you mean nvlink"):
        load_described("nvlnk")
    with pytest.raises(ConfigError, match=r"^x\.yaml: file not found$"):
        load_described("x.yaml")
