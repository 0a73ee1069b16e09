"""Kernels work wherever Python does: without a place for their cache, after a fork, in threads, with the JIT off."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROBE = """
import numba
import numpy as np
from bitsim._jit import kernel, parallel_kernel

@parallel_kernel
def squares(x):
    y = np.empty_like(x)
    for i in numba.prange(x.size):
        y[i] = x[i] * x[i]
    return y

@kernel
def total(x):
    found = 0
    for i in range(x.size):
        found += x[i]
    return found

def check(n=1000):
    x = np.arange(n)
    assert np.array_equal(squares(x), x * x)
    assert total(x) == n * (n - 1) // 2

def loaded():
    return sum(found.stats.cache_hits[sig] for found in (total, squares._together) for sig in found.signatures)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "temporary").mkdir()
    return tmp_path


def python(
    folder: Path, code: str, limit: Callable[[], None] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `code` beside probe.py, with a temporary folder of its own, no home and two threads."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    env |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "temporary"), "NUMBA_NUM_THREADS": "2"}
    env |= {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache", "PYTHONDONTWRITEBYTECODE": "1"} | variables
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, timeout=300, preexec_fn=limit
    )


def answer(folder: Path, limit: Callable[[], None] | None = None) -> tuple[int, str]:
    """Whether the kernels' answers are right: number of kernels from the cache, and what was said on stderr."""
    done = python(folder, "import probe; probe.check(); print(probe.loaded())", limit)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), done.stderr


def test_where_nothing_can_be_written_kernels_go_to_a_temporary_folder_and_say_so_once(folder: Path) -> None:
    (folder / "__pycache__").write_text("a file where numba wants a folder: it can't be made, not by root either")
    place = folder / "temporary" / f"bitsim-kernels-{os.getuid()}"
    for kernels_from_the_cache in (0, 2):
        loaded, said = answer(folder)
        assert loaded == kernels_from_the_cache
        assert said.count("compiled kernels are kept") == 1
        assert f"compiled kernels are kept in {place}" in said
    assert (place.stat().st_mode & 0o777) == 0o700


def test_a_temporary_folder_of_somebody_else_is_not_trusted(folder: Path) -> None:
    (folder / "__pycache__").write_text("")
    (folder / "elsewhere").mkdir()
    place = folder / "temporary" / f"bitsim-kernels-{os.getuid()}"
    place.symlink_to(folder / "elsewhere")
    assert answer(folder)[0] == answer(folder)[0] == 0
    place.unlink()
    place.mkdir()
    place.chmod(0o777)
    assert answer(folder)[0] == answer(folder)[0] == 0
    assert [*place.iterdir(), *(folder / "elsewhere").iterdir()] == []
    assert [path.name for path in (folder / "temporary").iterdir()] == [place.name]  # what was used instead is gone


def test_on_a_full_disk_kernels_are_compiled_and_not_kept(folder: Path) -> None:
    loaded, said = answer(folder, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert loaded == 0
    assert said.count("compiled kernels are kept nowhere") == 1


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def nothing(content: bytes) -> bytes:
    return b""


def one_bit_flipped(content: bytes) -> bytes:
    return content[:-200] + bytes([content[-200] ^ 16]) + content[-199:]


def test_damaged_files_of_the_cache_are_written_anew(folder: Path) -> None:
    assert answer(folder) == (0, "")
    for kind in ("nbi", "nbc"):
        for damage in (half, nothing, one_bit_flipped):
            assert answer(folder) == (2, ""), (kind, damage)
            damaged = list((folder / "__pycache__").glob(f"*.{kind}"))
            assert len(damaged) == 2
            for path in damaged:
                path.write_bytes(damage(path.read_bytes()))
            assert answer(folder) == (0, ""), (kind, damage)


FORKS = """
import multiprocessing
import os
import probe
probe.check()
child = os.fork()
if child == 0:
    probe.check()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(probe.check, range(10, 30)) == [None] * 20
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_kernels_work_in_forked_processes(folder: Path, layer: str) -> None:
    done = python(folder, FORKS, NUMBA_THREADING_LAYER=layer)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_matmul_is_exact_in_a_forked_process(folder: Path) -> None:
    code = """
import os
import numpy as np
from bitsim.datapath.matmul import ternary_matmul
from bitsim.datapath.packed import PackedTernary
rng = np.random.default_rng(0)
w = rng.integers(-1, 2, (512, 768), dtype=np.int8)
x = rng.integers(-128, 128, (40, 768), dtype=np.int8)
packed = PackedTernary.from_codes(w)
def check():
    assert np.array_equal(ternary_matmul(x, packed), x.astype(np.int64) @ w.T)
check()
child = os.fork()
if child == 0:
    check()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    done = python(folder, code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_kernels_work_in_several_threads_at_once(folder: Path, layer: str) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
import probe
with ThreadPoolExecutor(8) as threads:
    assert list(threads.map(probe.check, range(50_000, 50_400))) == [None] * 400
"""
    done = python(folder, code, NUMBA_THREADING_LAYER=layer)
    assert (done.returncode, done.stderr) == (0, "")


def test_kernels_are_compiled_with_the_jit_off_and_the_users_functions_are_not(folder: Path) -> None:
    code = """
import numba
import probe
probe.check()
assert probe.total.signatures
def mine(): return 1
assert numba.njit(mine) is mine
"""
    done = python(folder, code, NUMBA_DISABLE_JIT="1")
    assert (done.returncode, done.stderr) == (0, "")
