"""The kept archives hold what the folders beside the checkout hold, and nothing of other projects."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.golden.archives import HERE, KEPT, NOT_OURS, kept_files
from tests.outside import outside
from tools.study_units import TABLES


@pytest.mark.parametrize("folder", KEPT)
def test_archives_are_plain_files_of_their_folder_and_ours(folder: str) -> None:
    with tarfile.open(HERE / f"{folder}.tar.xz") as archive:
        members = archive.getmembers()
    assert members
    assert all(member.isfile() and member.name.startswith(f"{folder}/") for member in members)
    assert not {member.name for member in members} & set(NOT_OURS)


@pytest.mark.parametrize("folder", KEPT)
def test_archives_equal_the_folders_that_they_were_packed_from(golden: Path, folder: str) -> None:
    source = outside("golden")
    names = kept_files(source, folder)
    assert names == kept_files(golden, folder)
    for name in names:
        if name.endswith(".npz"):
            with np.load(source / name) as ours, np.load(golden / name) as kept:
                assert ours.files == kept.files
                for key in ours.files:
                    assert ours[key].dtype == kept[key].dtype
                    assert ours[key].tobytes() == kept[key].tobytes(), (name, key)
        else:
            assert (source / name).read_bytes() == (golden / name).read_bytes(), name


def test_the_measured_tables_are_those_that_were_handed_over() -> None:
    assert TABLES.read_bytes() == outside("facts/energy_tables.yaml").read_bytes()
