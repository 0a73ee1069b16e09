"""Files that commands write: whole or absent, never outside of the folder that was asked for, regular files only.

Names may come from a description that somebody else wrote, and the folder may hold what somebody else put there: a name
that leads elsewhere is refused, and so is a link, a device or a FIFO in the place of a file.
"""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from bitsim.cli.terminal import note, printable
from bitsim.errors import OutputError

KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


def check_directory(directory: Path | None, option: str = "--out") -> None:
    """Raise `OutputError` before long work starts if `directory` can't be made or written; makes nothing."""
    if directory is None:
        return
    try:
        existing = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    except OSError as error:
        raise OutputError(f"{option} {directory}: can't be written: {error.strerror}") from None
    if not existing.is_dir():
        raise OutputError(f"{option} {directory}: expected a directory, but {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{option} {directory}: {existing} can't be written")


def check_file(path: Path | None, option: str) -> None:
    """As `check_directory` for one file: its folder can be written, and in its place is a regular file or nothing."""
    if path is None:
        return
    check_directory(path.parent, option)
    _check_name(path.name, f"{option} {path}")
    _check_place(path, f"{option} {path}")


def write_files(directory: Path, files: Mapping[str, str | bytes]) -> None:
    """Write `files` into `directory`, each to a temporary name first and renamed when it is whole.

    All names and places are checked before the first file is written. Raises `OutputError` for a name with a folder,
    a control character or a lone surrogate in it, and for anything but a regular file in the place of one.
    """
    for name in files:
        _check_name(name, f"{directory}: {name!r}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{directory}: can't be made: {error.strerror}") from error
    for name in files:
        _check_place(directory / name, str(directory / name))
    for name, content in files.items():
        _write(directory / name, content.encode() if isinstance(content, str) else content)
    note(f"wrote {', '.join(files)} to {directory}")


def _write(path: Path, content: bytes) -> None:
    """The temporary file is new and ours; it is removed if anything goes wrong, an interruption too."""
    temporary = path.parent / f".{path.name[:100]}.{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_name(name: str, where: str) -> None:
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise OutputError(f"{where}: expected a file name without folders")
    if name != printable(name):
        raise OutputError(f"{where}: expected a file name without control characters")


def _check_place(path: Path, where: str) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{where}: can't be written: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something else")
        raise OutputError(f"{where}: only a regular file is replaced, and this is {kind}")
