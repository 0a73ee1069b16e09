"""Files that others wrote: ordinary ones within bounds, JSON with each key once; anything else is one line."""

import json
import os
from pathlib import Path

import pytest

from bitsim._untrusted import UnreadableError, read_bounded, read_json
from bitsim.errors import BitsimError, CheckpointError
from bitsim.measure.points import PointsError, read_points
from bitsim.model.catalogue import model_path
from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.model.files.data_file import DataFile
from bitsim.results.stored import OutcomeError, read_outcome


def test_the_bound_is_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert read_bounded(tmp_path / "x", 3) == b"abc"
    with pytest.raises(UnreadableError, match="expected at most 2 bytes, got more"):
        read_bounded(tmp_path / "x", 2)
    with pytest.raises(UnreadableError, match="No such file"):
        read_bounded(tmp_path / "y", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 1}', "the same key twice .'a'."),
        ('{"b": [{"a": 1, "c": 2, "a": 3}]}', "the same key twice .'a'."),
        ('{"a": NaN}', "NaN, which is no JSON"),
        ('{"a": -Infinity}', "-Infinity, which is no JSON"),
        ("[" * 200_000, "more nesting than can be read"),
        ("1" * 5000, "expected JSON, got: "),
        ("", "expected JSON, got: "),
        ('"\udcff"', "expected JSON, got: "),
    ],
)
def test_json_is_refused_that_means_several_things_or_none(text: str, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        read_json(text.encode("utf-8", "surrogateescape"))


def test_fifos_and_devices_are_refused_by_every_reader(tmp_path: Path) -> None:
    fifo, zero = tmp_path / "fifo", tmp_path / "zero"
    os.mkfifo(fifo)
    zero.symlink_to("/dev/zero")
    for path, kind in ((fifo, "a FIFO"), (zero, "a device"), (tmp_path, "a directory")):
        expected = f"expected an ordinary file, got {kind}"
        for read, error in ((read_points, PointsError), (read_outcome, OutcomeError), (DataFile, CheckpointError)):
            with pytest.raises(error, match=expected):
                read(path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_a_checkpoints_files_are_ordinary_ones(tmp_path: Path, name: str) -> None:
    for file in model_path("tiny-b158").iterdir():
        if file.name != name:
            (tmp_path / file.name).symlink_to(file)
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name}: expected an ordinary file, got a FIFO"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_checkpoints_json_has_each_key_once(tmp_path: Path, name: str) -> None:
    for file in model_path("tiny-b158").iterdir():
        if file.name != name:
            (tmp_path / file.name).symlink_to(file)
    values = json.loads((model_path("tiny-b158") / name).read_text())
    key = next(iter(values))
    (tmp_path / name).write_text(json.dumps(values)[:-1] + f", {json.dumps(key)}: {json.dumps(values[key])}}}")
    with pytest.raises(CheckpointError, match=rf"{name}: expected JSON, got: the same key twice \('{key}'\)"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("given", [None, 3, b"tiny-b158", ["tiny-b158"]])
def test_wrong_types_are_refused_with_the_parameter(given: object) -> None:
    with pytest.raises(
        BitsimError, match=rf"^model: expected a name, a path or a Model, got .*\({type(given).__name__}\)$"
    ):
        load_model(given)  # type: ignore[arg-type]
    with pytest.raises(BitsimError, match=r"^path: expected a path, got "):
        load_checkpoint(given)  # type: ignore[arg-type]


def test_names_that_no_file_has_are_refused() -> None:
    for name in ("\ud800/x", "a\0b/c", "\ud800"):
        with pytest.raises(BitsimError):
            load_model(name)
