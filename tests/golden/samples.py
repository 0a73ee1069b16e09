"""The samples of published forms, from the archive that the repository keeps: for tests and parameters alike."""

import atexit
import shutil
import tarfile
import tempfile
from functools import cache
from pathlib import Path

from tests.golden.archives import HERE


@cache
def samples() -> Path:
    """A folder with one folder for each sample, unpacked once in a process and removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="bitsim-samples-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(HERE / "families.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "families"


def sample(name: str) -> Path:
    """The folder of one sample."""
    return samples() / name
