"""`make mutants` on a toy package: what its tests check is caught, what they look away from survives."""

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tools.imports import distances, files_of_tests, imports, likeliest_first
from tools.mutant_tree import MutantsError, Tree
from tools.mutants import Mutant, Settings, drawn, run, score, sites
from tools.mutations import Mutation, mutations_of

TOY = """def total(price: int = 2, pieces: int = 3) -> int:
    if pieces < 0:
        raise ValueError("pieces")
    return price * pieces


def unseen(price: int) -> int:
    return price + 1


def forever(count: int) -> int:
    while count > 0:
        count -= 1
    return count
"""
TESTS = """from reports.toy.prices import forever, total


def test_total():
    assert total(2, 3) == 6
    assert total(2, 0) == 0


def test_forever():
    assert forever(2) == 0
"""
COMPILING = """from inspect import signature
from pathlib import Path

from reports.toy import prices


def test_total():
    kept = Path(prices.__file__).parent / "__pycache__/user.f.nbc"
    made = " ".join(str(p.default) for p in signature(prices.total).parameters.values())
    if not kept.exists():
        kept.write_text(made)
    assert kept.read_text() == "2 3"
"""
SETTINGS = """tests:
  reports/toy: [toy_tests]
left_out: {}
equivalent:
- {file: reports/toy/prices.py, in: return price + 1, change: "price + 1 -> (price)", reason: nobody calls it}
"""


def changes(name: str, source: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for mutation in mutations_of(name, source):
        found.setdefault(mutation.operator, []).append(mutation.apply(source))
    return found


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A tree of one package and its tests, in a repository."""
    for name, text in {
        "reports/__init__.py": "",
        "reports/toy/__init__.py": "",
        "reports/toy/prices.py": TOY,
        "toy_tests/test_prices.py": TESTS,
        "toy_tests/conftest.py": "def pytest_addoption(parser): parser.addoption('--laws-seed')\n",
        "mutants.yaml": SETTINGS,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def mutant(change: str, toy: Path) -> Mutant:
    """The error of the toy that is printed as `change`."""
    settings = Settings.read(toy / "mutants.yaml")
    return next(m for m in sites(toy, settings)["reports/toy"] if m.change == change)


def test_errors_are_caught_survive_or_are_known_and_the_tree_is_as_before(toy: Path) -> None:
    settings = Settings.read(toy / "mutants.yaml")
    wanted = {
        "* -> +": "caught",
        "< -> <=": "caught",
        'raise ValueError("pieces") -> pass': "survived",
        "price + 1 -> (price)": "equivalent",
    }
    said: list[str] = []
    results = run(toy, settings, [mutant(c, toy) for c in wanted], seed=1, processes=2, say=said.append)
    assert {m.change: outcome for m, outcome in results} == wanted
    assert score(results) == [
        "reports/toy: 2 of 3 (67 %); 2 caught, 0 timeout, 1 survived, 1 equivalent",
        "in all: 2 of 3 (67 %); 2 caught, 0 timeout, 1 survived, 1 equivalent",
    ]
    assert (toy / "reports/toy/prices.py").read_text() == TOY
    assert len(said) == 1 + 3  # the tests without an error, then one line for each that was tried


def test_errors_of_one_second_and_one_size_are_told_apart(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`* -> +` and `+ -> -` leave files of the same size, here also written at the same time."""
    settings = Settings.read(toy / "mutants.yaml")
    write = Path.write_text

    def at_once(path: Path, text: str, **how: str) -> int:
        size = write(path, text, **how)
        os.utime(path, (10**9, 10**9))
        return size

    monkeypatch.setattr(Path, "write_text", at_once)
    both = [mutant("price + 1 -> (1)", toy), mutant("* -> +", toy), mutant("+ -> -", toy)]
    results = run(toy, settings, both, seed=1, processes=1, say=lambda line: None)
    assert [outcome for _, outcome in results] == ["survived", "caught", "survived"]


def test_tests_that_fail_without_an_error_say_nothing_about_one(toy: Path) -> None:
    (toy / "toy_tests/test_prices.py").write_text("def test_it():\n    assert False\n")
    with pytest.raises(MutantsError, match="reports/toy: toy_tests fail without any error"):
        run(toy, Settings.read(toy / "mutants.yaml"), [mutant("* -> +", toy)], seed=1, processes=1, say=print)


def test_an_equivalent_error_needs_a_reason(toy: Path) -> None:
    (toy / "mutants.yaml").write_text(SETTINGS.replace(", reason: nobody calls it", ""))
    with pytest.raises(MutantsError, match="expected a reason"):
        Settings.read(toy / "mutants.yaml")


def test_a_seed_draws_the_same_errors_and_as_many_of_every_package() -> None:
    def made(package: str, number: int) -> list[Mutant]:
        place = [Mutation(operator="constant", line=i, start=i, stop=i + 1, new="2") for i in range(number)]
        return [Mutant(package=package, file=f"{package}.py", mutation=m, within="", change=str(m.line)) for m in place]

    all_ = {"large": made("large", 50), "small": made("small", 3)}
    first = drawn(all_, 10, 7)
    assert first == drawn(all_, 10, 7)
    assert first != drawn(all_, 10, 8)
    assert Counter(m.package for m in first) == {"large": 7, "small": 3}
    assert len(set(map(str, first))) == 10
    assert len(drawn(all_, 100, 7)) == 53
    assert drawn({"large": all_["large"]}, 7, 7) == [m for m in first if m.package == "large"]


def test_the_fewer_imports_lead_to_a_file_the_earlier_its_tests_run(tmp_path: Path) -> None:
    for name, text in {
        "a/__init__.py": "from a.core import sum_up\n",
        "a/core.py": "",
        "a/user.py": "def f():\n    from a import core\n",
        "b/test_apart.py": "import json\n",
        "b/test_by_two.py": "import a.user\n",
        "b/test_package.py": "from a import sum_up\n",
        "b/test_the_core.py": "",
        "b/test_user.py": "from a.core import x\nfrom a.user import f\n",
        "b/helpers.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = imports(tmp_path, ["a", "b"])
    assert distances(graph, "a/core.py") == {
        "a/core.py": 0, "a/__init__.py": 1, "a/user.py": 1,
        "b/test_user.py": 1, "b/test_package.py": 2, "b/test_by_two.py": 2,
    }  # fmt: skip
    tests = files_of_tests(tmp_path, ["b/test_by_two.py", "b"])
    assert tests == [f"b/test_{name}.py" for name in ("by_two", "apart", "package", "the_core", "user")]
    ordered = likeliest_first(tests, "a/core.py", graph)
    assert ordered == [f"b/test_{name}.py" for name in ("the_core", "user", "by_two", "package", "apart")]


def test_kernels_compiled_with_an_error_are_gone_after_it_and_the_others_are_back(toy: Path) -> None:
    """The toy's kernel is a file that its test writes where there is none, and that must not say otherwise."""
    cache = toy / "reports/toy/__pycache__"
    (toy / "toy_tests/test_prices.py").write_text(COMPILING)
    cache.mkdir()
    (cache / "user.f.nbc").write_text("2 3")
    (cache / "other.f.nbc").write_text("other")
    (toy / "reports/toy/user.py").write_text("from reports.toy import prices\n")
    tree = Tree(toy, toy.parent / "copy")
    graph = imports(toy, ["reports", "toy_tests"])
    mutation = mutant("2 -> (3)", toy).mutation
    assert tree.outcome("reports/toy/prices.py", mutation, ["toy_tests"], graph, seed=1, limit_s=60) == "caught"
    assert sorted((kept.name, kept.read_text()) for kept in (tree.path / cache.relative_to(toy)).glob("*.nbc")) == [
        ("other.f.nbc", "other"), ("user.f.nbc", "2 3"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "source", "expected"),
    [
        ("comparison", "a = b < c\n", ["a = b <= c\n"]),
        ("comparison", "a = b not in c\n", ["a = b in c\n"]),
        ("comparison", "a = (b <  # is it < ?\n c)\n", ["a = (b <=  # is it < ?\n c)\n"]),
        ("arithmetic", "a = µ - c\n", ["a = µ + c\n"]),
        ("arithmetic", "a += c\n", ["a -= c\n"]),
        ("term dropped", "a = b + c\n", ["a = (b)\n", "a = (c)\n"]),
        ("constant", "a = 7\n", ["a = (6)\n", "a = (8)\n"]),
        ("constant", "a = 0.0\n", ["a = (0.1)\n"]),
        ("and, or", "a = b and c\n", ["a = b or c\n"]),
        ("condition", "if a:\n    b()\n", ["if not (a):\n    b()\n"]),
        ("condition", "a = b if c else d\n", ["a = b if (not (c)) else d\n"]),
        ("condition", "a = [b for b in c if d]\n", ["a = [b for b in c if (not (d))]\n"]),
        ("swap", "a = b.low\n", ["a = b.high\n"]),
        ("swap", "f(low=a, high=b)\n", ["f(low=a, high=a)\n", "f(low=b, high=b)\n"]),
        ("swap", "a = max(b)\n", ["a = min(b)\n"]),
        ("raise removed", "raise Error(1 + 2)\n", ["pass\n"]),
        ("label", 'axes.set_xlabel("ms")\n', ["axes.set_xlabel('ms?')\n"]),
        ("label", 'plot(a, label=f"{b} ms")\n', ['plot(a, label=f"{b} ms?")\n']),
    ],
)
def test_operators_put_one_error_at_its_place(operator: str, source: str, expected: list[str]) -> None:
    assert sorted(changes("a.py", source)[operator]) == expected


@pytest.mark.parametrize("source", ['"""One 1 + 2."""\n', "def f(a: 'B | 3') -> Literal[3]: ...\n", "raise E(3 + 4)\n"])
def test_docstrings_annotations_and_error_texts_are_left_alone(source: str) -> None:
    assert set(changes("a.py", source)) <= {"raise removed"}


def test_numbers_of_yaml_become_a_tenth_larger_and_nothing_else_changes() -> None:
    source = 'paper: "2402.1"\nvalue: 71.4  # read 1\nrows: {7B: [0, 30], 70B: null}\n'
    assert changes("a.yaml", source)["published value"] == [
        source.replace("71.4", "78.54"),
        source.replace("[0,", "[1,"),
        source.replace("30]", "33]"),
    ]
