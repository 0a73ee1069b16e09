"""YAML from others: bounded before anything is built of it, and read as everyone reads it, or refused with a line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bitsim.errors import BitsimError, ConfigError
from bitsim.hw import load_chip, load_link, load_technology
from bitsim.hw.gpu import load_gpu
from bitsim.hw.yaml_file import MOST_BYTES, MOST_DEPTH, MOST_NODES, MOST_TEXT, read_yaml
from bitsim.hw.yaml_scalar import MOST_DIGITS, scalar


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str | bytes) -> Any:
    file = Path("x.yaml")
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(file, "x.yaml")[0]


def refused(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def bomb(levels: int, wide: int = 9) -> str:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def test_aliases_may_not_stand_for_more_than_is_read() -> None:
    assert len(bomb(8)) < 400
    assert refused(bomb(8)).startswith(f"x.yaml:7: expected at most {MOST_NODES:,} keys and values, with aliases")
    assert refused(bomb(60)).startswith("x.yaml:7: ")  # 9^60 values, of which none is built
    assert read("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(("start", "end"), [("[", "]"), ("{a: ", "}"), ("[", "")])
def test_nesting_is_bounded(start: str, end: str) -> None:
    inside = MOST_DEPTH - 1  # of the mapping around it
    if end:
        assert read(f"a: {start * inside}1{end * inside}\n")
        assert refused(f"a: {start * (inside + 1)}1{end * (inside + 1)}\n").startswith(
            "x.yaml:1: expected at most 32 levels"
        )
    assert refused(f"a: {start * 100_000}").startswith("x.yaml:1: expected at most 32 levels")
    blocks = "".join(f"{' ' * n}a:\n" for n in range(200))
    assert refused(blocks).startswith(f"x.yaml:{MOST_DEPTH + 1}: expected at most 32 levels")


def test_sizes_are_bounded() -> None:
    assert refused(b"#" * (MOST_BYTES + 1)) == f"x.yaml: expected at most {MOST_BYTES:,} bytes, got more"
    assert read(f"a: {'b' * MOST_TEXT}\n")
    assert refused(f"a: {'b' * (MOST_TEXT + 1)}\n").startswith("x.yaml:1: expected text of at most 10,000 characters")
    assert refused(f"{'b' * 1000}: {'c' * (MOST_TEXT + 1)}\n").startswith("x.yaml:1: expected text of at most")
    many = ",".join("1" for _ in range(MOST_NODES))
    assert refused(f"a: [{many}]\n").startswith(f"x.yaml:1: expected at most {MOST_NODES:,} keys and values")
    assert read(f"a: {'1' * MOST_DIGITS}\n")["a"] == int("1" * MOST_DIGITS)
    text = f"x.yaml:2: b: expected a number of at most {MOST_DIGITS} characters (got 5,000)"
    assert refused(f"a: 1\nb: {'1' * 5000}\n") == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-7", -7), ("+3", 3), ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e-12", 1e-12), ("-2.5E+3", -2500.0),
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False), (".inf", float("inf")),
        ("7nm", "7nm"), ("8/5", "8/5"), ("1.2.3", "1.2.3"), ("a:b", "a:b"), ("-", "-"), ("_", "_"), ("e5", "e5"),
        ("yesterday", "yesterday"), ("2024", 2024), ("arXiv 2310.11453", "arXiv 2310.11453"),
    ],
)  # fmt: skip
def test_values_mean_what_they_look_like(text: str, value: object) -> None:
    found = scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["0100", "-012", "00.5", "1:04", "190:20:30", "0x1F", "0b11", "0o17", "1_000", "1_0.5", "2024-01-31",
     "2024-13-45", "2001-12-14t21:59:43.10-05:00"],
)  # fmt: skip
def test_numbers_that_yaml_1_1_reads_otherwise_are_refused(text: str) -> None:
    expected = "expected a decimal number without leading zeros, or text in quotes"
    assert refused(f"a:\n  b: {text}\n") == f"x.yaml:2: a.b: {expected} (got {text})"
    assert read(f"a: '{text}'\n") == {"a": text}


@pytest.mark.parametrize("text", ["yes", "No", "ON", "off", "y", "N"])
def test_words_that_yaml_1_1_reads_as_true_or_false_are_refused(text: str) -> None:
    assert refused(f"a: [1, {text}]\n") == f"x.yaml:1: a[1]: expected true or false, or text in quotes (got {text})"
    assert read(f'a: "{text}"\n') == {"a": text}


@pytest.mark.parametrize(
    "tagged",
    ["!!bool yes", "!!timestamp 2024-01-01", "!!python/object/apply:os.system [ls]", "!mine {a: 1}", "!!str 1", "! 1",
     "!!binary aGk="],
)  # fmt: skip
def test_tags_are_refused(tagged: str) -> None:
    assert refused(f"a: 1\nb: {tagged}\n").startswith("x.yaml:2: expected no tag (got '")


def test_a_key_stands_once() -> None:
    assert refused("a:\n  b: 1\n  b: 1\n") == "x.yaml:3: a.b: duplicate key (first on line 2)"
    assert refused("a: {b: 1, 'b': 2}\n") == "x.yaml:1: a.b: duplicate key (first on line 1)"


def test_what_is_no_ordinary_file_is_refused_at_once(here: Path) -> None:
    os.mkfifo(here / "fifo.yaml")
    (here / "zero.yaml").symlink_to("/dev/zero")
    (here / "folder.yaml").mkdir()
    for name, kind in (("fifo", "a FIFO"), ("zero", "a device"), ("folder", "a directory")):
        with pytest.raises(ConfigError, match=rf"^{name}\.yaml: expected an ordinary file, got {kind}$"):
            load_chip(f"{name}.yaml")
        (here / "x.yaml").write_text(f"kind: chip\nlike: {name}.yaml\n")
        with pytest.raises(ConfigError, match=rf"^{name}\.yaml: expected an ordinary file, got {kind}$"):
            load_chip("x.yaml")
    for name in ("\ud800.yaml", "a\0b.yaml"):
        with pytest.raises(ConfigError, match="no file has such a name"):
            load_chip(name)
        with pytest.raises(BitsimError, match="unknown chip"):
            load_chip(name.removesuffix(".yaml"))


@pytest.mark.parametrize(
    "name", ["../evil", "./../../evil", "/etc/x", "a b", "a..b", "-x", ".x", "\\", "a\0b", "n" * 101, "é"]
)
def test_names_that_are_no_file_names_are_refused(here: Path, name: str) -> None:
    (here / "x.yaml").write_text(f"kind: link\nlike: nvlink\nname: {json.dumps(name)}\n")
    with pytest.raises(ConfigError, match=r"^x\.yaml:3: name: expected at most 100 letters"):
        load_link("x.yaml")
    (here / "a b.yaml").write_text("kind: link\nlike: nvlink\n")  # which would be called as its file
    with pytest.raises(ConfigError, match=r"^a b\.yaml:1: name: expected at most 100 letters"):
        load_link("a b.yaml")


@pytest.mark.parametrize("load", [load_chip, load_gpu, load_technology])
@pytest.mark.parametrize("given", [None, 3, 1.5, b"7nm", ["7nm"], object()])
def test_wrong_types_are_refused_with_the_parameter(load: Any, given: Any) -> None:
    with pytest.raises(ConfigError, match=r"^(chip|GPU|technology): expected a name, the path of a YAML file or a "):
        load(given)
