"""Which files of a tree import which: tests that are likeliest to notice an error, and kernels compiled with it."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

Graph = Mapping[str, frozenset[str]]


def imports(root: Path, tops: Iterable[str]) -> Graph:
    """What every Python file below the folders `tops` imports of them, by path from `root`; in functions too."""
    files = {path.relative_to(root).as_posix(): path for top in tops for path in (root / top).rglob("*.py")}
    return {
        file: frozenset(files.keys() & set(_imported(ast.parse(path.read_text(encoding="utf-8")))) - {file})
        for file, path in files.items()
    }


def _imported(tree: ast.AST) -> Iterator[str]:
    """Files that imports may mean: `from a.b import c` the modules a/b/c.py and a/b.py, or the package a/b."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = name.replace(".", "/")
            yield f"{place}.py"
            yield f"{place}/__init__.py"


def distances(graph: Graph, file: str) -> dict[str, int]:
    """How many imports lead to `file`, for every file that at least one chain of them leads from; itself 0."""
    users: dict[str, list[str]] = {}
    for user, used in graph.items():
        for one in used:
            users.setdefault(one, []).append(user)
    found, frontier = {file: 0}, [file]
    for one in frontier:  # which grows
        for user in users.get(one, []):
            if user not in found:
                found[user] = found[one] + 1
                frontier.append(user)
    return found


def likeliest_first(tests: Sequence[str], file: str, graph: Graph) -> list[str]:
    """Files of tests, those first that are likeliest to notice an error in `file`.

    A test named after it comes first, then the fewer imports lead to it the earlier; else the order stays.
    """
    far = distances(graph, file)
    name = Path(file).stem
    return sorted(tests, key=lambda test: 0 if name in Path(test).stem else far.get(test, len(graph)))


def files_of_tests(root: Path, places: Sequence[str]) -> list[str]:
    """The files of tests at `places`, which are such files or folders, by path from `root`; none twice."""
    found: dict[str, None] = {}
    for place in places:
        for path in sorted((root / place).rglob("test_*.py")) if (root / place).is_dir() else [root / place]:
            found[path.relative_to(root).as_posix()] = None
    return list(found)
