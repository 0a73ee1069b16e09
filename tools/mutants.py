"""`make mutants`: put errors into the code one by one and count how many the tests notice.

    python -m tools.mutants [--seed N] [--number N] [--only PACKAGE ...] [--list-survivors] [--json FILE]

Errors are drawn by a seed, as many of every package, and put one at a time into copies of the working tree that are
thrown away. The tests of the file's own package run until one fails (tools/mutants.yaml says which those are), those
first that are named after the file or import it. Before any error is put in, the same tests must pass without one.
Tests that take far longer with an error than without it are stopped, and the error counts as caught.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import yaml

from tools.imports import files_of_tests, imports, likeliest_first
from tools.mutant_tree import OUTCOMES, MutantsError, Outcome, Tree
from tools.mutations import Mutation, mutations_of

ROOT = Path(__file__).parent.parent
ROOTS = ("bitsim", "reports")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """tools/mutants.yaml: tests by path prefix, files left out, errors that change nothing."""

    tests: Mapping[str, tuple[str, ...]]
    left_out: frozenset[str]
    equivalent: frozenset[tuple[str, str, str]]

    @staticmethod
    def read(path: Path) -> "Settings":
        """Raises `MutantsError` for an equivalent error without a reason."""
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        for entry in found["equivalent"]:
            if not entry.get("reason"):
                raise MutantsError(f"{path}: {entry}: expected a reason why this error changes nothing")
        return Settings(
            tests={prefix: tuple(tests) for prefix, tests in found["tests"].items()},
            left_out=frozenset(found["left_out"]),
            equivalent=frozenset((entry["file"], entry["in"], entry["change"]) for entry in found["equivalent"]),
        )

    def prefix_of(self, file: str) -> str:
        """The longest prefix that tests are named for. Raises `MutantsError` if there is none."""
        fitting = [prefix for prefix in self.tests if file == prefix or file.startswith(f"{prefix}/")]
        if not fitting:
            raise MutantsError(f"{file}: expected tests for it in tools/mutants.yaml")
        return max(fitting, key=len)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One error in one file. `package`: what it is counted under; `within`: the line that it is in."""

    package: str
    file: str
    mutation: Mutation
    within: str
    change: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it as long as its line stays as it is."""
        return self.file, self.within, self.change

    def record(self, outcome: Outcome) -> dict[str, Any]:
        it = self.mutation
        return {"package": self.package, "file": self.file, "line": it.line, "operator": it.operator} | {
            "in": self.within, "change": self.change, "outcome": outcome,
        }  # fmt: skip


def sites(root: Path, settings: Settings, only: Sequence[str] = ()) -> dict[str, list[Mutant]]:
    """All errors that can be put into the tree, by package."""
    found: dict[str, list[Mutant]] = defaultdict(list)
    for path in sorted(p for top in ROOTS for kind in ("*.py", "published/*.yaml") for p in (root / top).rglob(kind)):
        file = path.relative_to(root).as_posix()
        if file in settings.left_out or path.name == "__init__.py":
            continue
        try:
            package = settings.prefix_of(file)
        except MutantsError:
            if len(Path(file).parts) == 2:  # a leaf module such as bitsim/errors.py, which all packages use
                continue
            raise
        if only and package not in only:
            continue
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        for mutation in mutations_of(file, source):
            found[package].append(
                Mutant(
                    package=package,
                    file=file,
                    mutation=mutation,
                    within=lines[mutation.line - 1].strip(),
                    change=mutation.text(source),
                )
            )
    return dict(found)


def drawn(by_package: Mapping[str, Sequence[Mutant]], number: int, seed: int) -> list[Mutant]:
    """`number` errors, none twice: package by package in turn, of a kind that is drawn first, then a place for it.

    So that small packages and rare kinds count as much as large ones: most places are constants. Those of a package do
    not depend on the other packages: runs of some packages each (`--only`) can make up a run of all.
    """
    left = {package: _in_turn(found, f"{seed} {package}") for package, found in sorted(by_package.items())}
    chosen: list[Mutant] = []
    while len(chosen) < number and left:
        for package in list(left):
            mutant = next(left[package], None)
            if mutant is None:
                del left[package]
            elif len(chosen) < number:
                chosen.append(mutant)
    return chosen


def _in_turn(mutants: Sequence[Mutant], seed: str) -> Iterator[Mutant]:
    """All of them, each once, in the order in which they are drawn."""
    rng, kinds = random.Random(seed), _by_kind(mutants)
    while kinds:
        kind = rng.choice(sorted(kinds))
        yield kinds[kind].pop(rng.randrange(len(kinds[kind])))
        if not kinds[kind]:
            del kinds[kind]


def _by_kind(mutants: Sequence[Mutant]) -> dict[str, list[Mutant]]:
    kinds: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        kinds[mutant.mutation.operator].append(mutant)
    return kinds


def run(
    root: Path, settings: Settings, mutants: Sequence[Mutant], *, seed: int, processes: int, say: Any
) -> list[tuple[Mutant, Outcome]]:
    """What becomes of every error, in order. Raises `MutantsError` where tests fail without one."""
    known = [m.key in settings.equivalent for m in mutants]
    packages = sorted({m.package for m, skip in zip(mutants, known, strict=True) if not skip})
    tests = {package: files_of_tests(root, settings.tests[package]) for package in packages}
    graph = imports(root, {*ROOTS, *(Path(file).parts[0] for files in tests.values() for file in files)})
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(processes) as pool:
        free: SimpleQueue[Tree] = SimpleQueue()
        for i in range(processes):
            (Path(folder) / str(i)).mkdir()
            free.put(Tree(root, Path(folder) / str(i)))

        def without_error(package: str) -> float:
            tree, start = free.get(), time.monotonic()
            try:
                code, said = tree.pytest(tests[package], seed, None), tree.said.read_text(errors="replace")
            finally:
                free.put(tree)
            if code:
                names = " ".join(settings.tests[package])
                raise MutantsError(f"{package}: {names} fail without any error ({code}):\n{said[-2000:]}")
            say(f"{package}: its tests pass in {time.monotonic() - start:.0f} s")
            return time.monotonic() - start

        limits = dict(zip(packages, pool.map(without_error, packages), strict=True))

        def one(i: int) -> Outcome:
            mutant = mutants[i]
            if known[i]:
                return "equivalent"
            tree = free.get()
            try:
                ordered = likeliest_first(tests[mutant.package], mutant.file, graph)
                limit_s = 120 + 4 * limits[mutant.package]
                found = tree.outcome(mutant.file, mutant.mutation, ordered, graph, seed=seed, limit_s=limit_s)
            finally:
                free.put(tree)
            say(f"{found}: {mutant.file}:{mutant.mutation.line}: {mutant.change}")
            return found

        return list(zip(mutants, pool.map(one, range(len(mutants))), strict=True))


def score(results: Sequence[tuple[Mutant, Outcome]]) -> list[str]:
    """Lines with the share that was caught, per package and in all; what ran out of time counts as caught."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, outcome in results:
        counts[mutant.package][outcome] += 1
    total = sum(counts.values(), Counter[str]())
    return [_line(package, counted) for package, counted in sorted(counts.items())] + [_line("in all", total)]


def _line(name: str, counted: Mapping[str, int]) -> str:
    caught = counted.get("caught", 0) + counted.get("timeout", 0)
    asked = caught + counted.get("survived", 0)
    share = f"{100 * caught / asked:.0f} %" if asked else "-"
    numbers = ", ".join(f"{counted.get(outcome, 0)} {outcome}" for outcome in OUTCOMES)
    return f"{name}: {caught} of {asked} ({share}); {numbers}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--only", nargs="+", default=(), metavar="PACKAGE", help="prefixes of tools/mutants.yaml")
    parser.add_argument("--list-survivors", action="store_true", help="name what no test noticed, as equivalents are")
    parser.add_argument("--json", type=Path, default=Path("out/mutants.json"), metavar="FILE")
    parser.add_argument("--settings", type=Path, default=Path(__file__).with_suffix(".yaml"), metavar="FILE",
                        help="another tools/mutants.yaml, with fewer tests for instance")  # fmt: skip
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    settings = Settings.read(options.settings)
    if not settings.tests.keys() >= set(options.only):
        parser.error(f"--only: expected one of {', '.join(settings.tests)}")
    chosen = drawn(sites(ROOT, settings, options.only), options.number, options.seed)
    results = run(
        ROOT, settings, chosen, seed=options.seed, processes=options.processes, say=lambda line: print(line, flush=True)
    )
    print("\n".join(score(results)))
    records = [mutant.record(outcome) for mutant, outcome in results]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"seed": options.seed, "mutants": records}, indent=1) + "\n", encoding="utf-8")
    if options.list_survivors:
        for record in records:
            if record["outcome"] == "survived":
                names = ", ".join(f"{name}: {json.dumps(record[name])}" for name in ("file", "in", "change"))
                print(f"- {{{names}, reason: }}")


if __name__ == "__main__":
    try:
        main()
    except MutantsError as error:
        sys.exit(f"mutants: {error}")
