"""A copy of the working tree in which the tests run with one error at a time."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tools.imports import Graph, distances
from tools.mutations import Mutation

OUTCOMES = ("caught", "timeout", "survived", "equivalent")
Outcome = Literal["caught", "timeout", "survived", "equivalent"]
KERNELS = "__pycache__/*.nb[ic]"  # compiled ones
PYTEST_FAILED = (1, 2)  # tests failed, or could not be collected; everything else is no answer


class MutantsError(Exception):
    """The run says nothing about the tests."""


class Tree:
    """A copy of the working tree in which tests run, with at most one error at a time."""

    def __init__(self, root: Path, place: Path) -> None:
        self.path = place
        self.said = place.with_suffix(".txt")  # by pytest, at last
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, check=True, capture_output=True, text=True,
        )  # fmt: skip
        compiled = [path.relative_to(root).as_posix() for path in (root / "bitsim").rglob(KERNELS)]
        for name in filter(None, [*listed.stdout.split("\0"), *compiled]):
            if (root / name).is_file():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, place / name)  # with its time, by which compiled kernels are found again

    def pytest(self, tests: Sequence[str], seed: int, limit_s: float | None) -> int | None:
        """The exit code of the tests, None if they took longer than `limit_s`."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
                   "--laws-seed", str(seed), f"--hypothesis-seed={seed}", *tests]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(self.path)}
        with self.said.open("wb") as said:
            process = subprocess.Popen(
                command, cwd=self.path, env=environment, stdout=said, stderr=said, start_new_session=True
            )
            try:
                return process.wait(timeout=limit_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None

    def outcome(
        self, file: str, mutation: Mutation, tests: Sequence[str], graph: Graph, *, seed: int, limit_s: float
    ) -> Outcome:
        """What the tests say of one error in `file`; raises `MutantsError` if pytest itself fails."""
        path = self.path / file
        before, times = path.read_bytes(), path.stat()
        with self._kernels_aside(distances(graph, file)):
            self._forget_bytecode(path)
            try:
                path.write_text(mutation.apply(before.decode("utf-8")), encoding="utf-8")
                code = self.pytest(tests, seed, limit_s)
            finally:
                path.write_bytes(before)
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
                self._forget_bytecode(path)
        if code is None:
            return "timeout"
        if code and code not in PYTEST_FAILED and code > 0:
            raise MutantsError(f"{file}:{mutation.line}: pytest ended with {code}")
        return "caught" if code else "survived"

    @contextmanager
    def _kernels_aside(self, files: Iterable[str]) -> Iterator[None]:
        """No compiled kernels of `files` here, and those that were there before afterwards.

        Kernels that call a changed one were compiled with it, and are not compiled anew by themselves.
        """
        kept = self.path.with_suffix(".kernels")
        moved = self._kernels(files)
        for path in moved:
            (kept / path.relative_to(self.path)).parent.mkdir(parents=True, exist_ok=True)
            path.rename(kept / path.relative_to(self.path))
        try:
            yield
        finally:
            for path in self._kernels(files):
                path.unlink()
            for path in moved:
                (kept / path.relative_to(self.path)).rename(path)

    def _kernels(self, files: Iterable[str]) -> list[Path]:
        places = [self.path / file for file in files]
        return [kept for path in places for kept in (path.parent / "__pycache__").glob(f"{path.stem}.*.nb[ic]")]

    @staticmethod
    def _forget_bytecode(path: Path) -> None:
        """Python knows it by the second in which its source was written and by its size: two errors may share both."""
        for kept in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            kept.unlink()
