"""Sampled tests: of a law's many cases (chips x models x shapes) a run takes some, and says how to take the same again.

Tests marked `sampled(one_in=N)` keep the N-th part of their parameter sets, at least one, chosen by a seed:

    --laws-seed N      the sample of this seed; without it a new one is drawn, printed at the end and in every failure
    --laws all         all cases, as `make test-all` and CI do

All tests take the same chips first, so that what they share is computed once.
"""

import hashlib
import random
from collections import defaultdict
from typing import Any

import pytest

MARKER = "sampled"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("laws")
    group.addoption("--laws", choices=("sample", "all"), default="sample", help="cases of sampled tests")
    group.addoption("--laws-seed", type=int, metavar="N", help="the sample of laws to run; default: a new one")


def pytest_configure(config: pytest.Config) -> None:
    """The seed is drawn once; workers of pytest-xdist get it from the process that started them."""
    config.addinivalue_line("markers", f"{MARKER}(one_in): one in so many cases per run, see tests/laws.py")
    if hasattr(config, "workerinput"):
        config.option.laws_seed = config.workerinput["laws_seed"]
    elif config.option.laws_seed is None:
        config.option.laws_seed = random.SystemRandom().randrange(10**6)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called by pytest-xdist before a worker starts."""
    node.workerinput["laws_seed"] = node.config.option.laws_seed


def rank(seed: int, case: Any) -> tuple[bytes, bytes]:
    """The place of a parameter set among all, by its chip first: the first ones are the sample."""
    chip = case.params.get("chip", case.params.get("chip_name", case.id))
    return tuple(hashlib.sha256(f"{seed}:{part}".encode()).digest() for part in (chip, case.id))  # type: ignore[return-value]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.laws == "all":
        return
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker(MARKER) and hasattr(item, "callspec"):
            cases[item.nodeid.partition("[")[0]].append(item)
    left: set[pytest.Item] = set()
    for group in cases.values():
        marker: Any = group[0].get_closest_marker(MARKER)
        ranked = sorted(group, key=lambda item: rank(config.option.laws_seed, item.callspec))  # type: ignore[attr-defined]
        left.update(ranked[-(-len(group) // marker.kwargs["one_in"]) :])
    if left:
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.failed and item.get_closest_marker(MARKER):
        report.sections.append(("sampled laws", f"repeat with --laws-seed {item.config.option.laws_seed}"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What it takes to repeat this run: said always, since an order or a sample may matter only later."""
    laws = (
        "all cases of laws"
        if config.option.laws == "all"
        else f"a sample of laws: --laws-seed {config.option.laws_seed}"
    )
    order = ""
    if getattr(config.option, "random_order_enabled", False):
        seed = str(config.option.random_order_seed).removeprefix("default:")
        order = f", in random order: --random-order --random-order-seed {seed}"
    terminalreporter.write_line(laws + order)
