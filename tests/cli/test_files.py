"""Files that commands write: only regular ones, only in the folder that was asked for, whole or not at all."""

import os
from importlib.resources import files
from pathlib import Path

import pytest

from bitsim.cli import files as written
from bitsim.cli.files import check_file, write_files
from bitsim.errors import OutputError
from tests.cli.test_commands import bitsim

OUTSIDE = (
    "../evil.json",
    "/tmp/evil.json",
    "a/b.json",
    "..",
    ".",
    "",
    "a\\b.json",
    "a\nb",
    "a\x1b[2Jb",
    "\u202ebad",
    "\udcff",
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_elsewhere_or_hides_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="expected a file name without"):
        write_files(tmp_path / "out", {"good.json": "{}", name: "{}"})
    assert list(tmp_path.rglob("*")) == []


def in_place_of_a_file(folder: Path) -> dict[str, Path]:
    """A link to a file, a link to nothing, a FIFO and a directory; the linked file says what it holds."""
    (folder / "precious").write_text("precious")
    places = {kind: folder / kind for kind in ("link", "dangling", "fifo", "directory")}
    places["link"].symlink_to(folder / "precious")
    places["dangling"].symlink_to(folder / "nowhere")
    os.mkfifo(places["fifo"])
    places["directory"].mkdir()
    return places | {"device": Path("/dev/null")}


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    for kind, path in in_place_of_a_file(tmp_path).items():
        before = path.lstat()
        for refused in (lambda p=path: write_files(p.parent, {p.name: "new"}), lambda p=path: check_file(p, "--out")):
            with pytest.raises(OutputError, match="only a regular file is replaced"):
                refused()
        after = path.lstat()
        assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode), kind
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "old.json").write_text("old")
    write_files(tmp_path, {"old.json": "new"})
    assert (tmp_path / "old.json").read_text() == "new"


@pytest.mark.parametrize(
    "words",
    [
        ("estimate", "tiny-b158", "--prefill", "2", "--decode", "1", "--trace"),
        ("run", "tiny-b158", "--prompt", "a", "--new-tokens", "1", "--trace"),
        ("machine", "--megabytes", "1", "--repeats", "1", "--out"),
        ("calibrate", "points.csv", "--out"),
    ],
)
def test_options_that_name_a_file_refuse_links_and_devices(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    for path in in_place_of_a_file(tmp_path).values():
        code, out, err = bitsim(capsys, *words, str(path))
        assert (code, out) == (2, "")
        assert f"{words[-1]} {path}: only a regular file is replaced" in err
    assert (tmp_path / "precious").read_text() == "precious"


def test_convert_replaces_nothing_and_leaves_nothing_behind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    places = in_place_of_a_file(tmp_path)
    for kind, path in places.items():
        code, _, err = bitsim(capsys, "convert", "tiny-b158", str(path), "--format", "hf")
        assert (code, "exists already" in err) == (2, True), kind
    assert {path.name for path in tmp_path.iterdir()} == {*places, "precious"} - {"device"}


def test_a_chip_can_not_name_a_file_outside_of_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = files("hw_models").joinpath("chips", "ternary-ws-64x64.yaml").read_text()
    chip = tmp_path / "chip.yaml"
    chip.write_text(text.replace("name: ternary-ws-64x64", "name: ./../../evil"))
    out = tmp_path / "a" / "b"
    code, _, err = bitsim(capsys, "show", str(chip), "--out", str(out))
    assert (code, len(err.splitlines())) == (2, 1)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"chip.yaml"}


def test_what_fails_while_it_is_written_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "result.json").write_text("old")

    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(written.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path, {"result.json": "new"})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("result.json", "old")]


def test_a_folder_that_can_not_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match=r"file/out: can't be made: Not a directory"):
        write_files(tmp_path / "file" / "out", {"a.json": "{}"})
    assert (tmp_path / "file").read_text() == "no folder"
    write_files(tmp_path / "new" / "out", {"a.json": "{}", "b.bin": b"\x00\xff"})
    assert (tmp_path / "new/out/a.json").read_text() == "{}"
    assert (tmp_path / "new/out/b.bin").read_bytes() == b"\x00\xff"
