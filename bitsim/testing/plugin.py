"""The pytest plugin: `pytest --bitsim-chip NAME|FILE` adds the laws of a chip's BitLinear datapath to the tests.

    --bitsim-chip NAME|FILE    a shipped chip or a YAML file, as often as wanted
    --bitsim-examples N        operands that are generated per law

Each law is a test named `bitsim_chip[NAME]::law`; `-k bitsim_chip` runs nothing else. Without the option nothing but
this module is imported.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bitsim.testing.checks import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bitsim", "laws of hardware for 1-bit and ternary LLMs")
    group.addoption(
        "--bitsim-chip",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="also run the laws of bitsim on the BitLinear datapath of this chip; may be repeated",
    )
    group.addoption(
        "--bitsim-examples", type=int, default=20, metavar="N", help="operands that are generated per law of a chip"
    )


class ChipLaws(pytest.Collector):
    """One chip; its tests are the laws."""

    def __init__(self, *, checks: "tuple[Check, ...]", **rest: Any) -> None:
        super().__init__(**rest)
        self.checks = checks

    def collect(self) -> "list[LawItem]":
        return [LawItem.from_parent(self, name=check.name, check=check) for check in self.checks]


class LawItem(pytest.Item):
    """One law of a chip."""

    def __init__(self, *, check: "Check", **rest: Any) -> None:
        super().__init__(**rest)
        self.check = check

    def runtest(self) -> None:
        if self.check.not_for:
            pytest.skip(self.check.not_for)
        self.check.run()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from bitsim.testing.design import LawError

        return str(excinfo.value) if isinstance(excinfo.value, LawError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, f"{self.parent.name if self.parent else ''}::{self.name}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before tests are selected by `-k` and `-m`."""
    chips = config.getoption("bitsim_chip")
    if not chips:
        return
    from bitsim.errors import BitsimError
    from bitsim.testing.chips import laws_of_chip

    for chip in chips:
        try:
            checks = laws_of_chip(chip, examples=config.getoption("bitsim_examples"))
        except BitsimError as error:
            raise pytest.UsageError(f"--bitsim-chip {chip}: {error}") from None
        name = f"bitsim_chip[{chip}]"
        report = session.ihook.pytest_make_collect_report(
            collector=ChipLaws.from_parent(session, name=name, nodeid=name, checks=checks)
        )
        session.ihook.pytest_collectreport(report=report)
        items.extend(report.result)
