"""The golden data that the repository keeps: archives of reference vectors, how they are unpacked and how packed.

    python -m tests.golden.archives ../shared/golden     packs them anew

Vectors of other projects are left out; README.md says which, and where everything came from. The same files give the
same bytes: names are sorted, dates and owners left out, arrays stored plainly so that xz sees them.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
KEPT = ("hf", "layer", "gguf", "numerics", "families")  # folders, one archive each
NOT_OURS = ("numerics/hardware_fp16_first500.npz",)


def unpack(target: Path) -> Path:
    """Write all archives as folders into `target`; returns it."""
    for name in KEPT:
        with tarfile.open(HERE / f"{name}.tar.xz") as archive:
            archive.extractall(target, filter="data")
    return target


def stored(npz: bytes) -> bytes:
    """The same arrays in a zip that compresses nothing."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(npz)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            new.writestr(zipfile.ZipInfo(info.filename), old.read(info))
    return out.getvalue()


def kept_files(source: Path, folder: str) -> list[str]:
    """The files of one folder that the repository keeps, relative to `source`."""
    names = (path.relative_to(source).as_posix() for path in (source / folder).rglob("*") if path.is_file())
    return sorted(name for name in names if name not in NOT_OURS)


def pack(source: Path) -> None:
    """Write one archive per folder."""
    for folder in KEPT:
        with tarfile.open(HERE / f"{folder}.tar.xz", "w:xz", preset=9) as archive:
            for name in kept_files(source, folder):
                content = (source / name).read_bytes()
                content = stored(content) if name.endswith(".npz") else content
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
