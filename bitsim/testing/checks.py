"""All laws that apply to a design, each as one check to run or to hand to pytest."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bitsim.datapath.accumulation import Accumulation
from bitsim.testing import laws
from bitsim.testing.design import Design
from bitsim.testing.extra import strategies as st
from bitsim.testing.models import reference
from bitsim.testing.operands import Takes, matmuls, overflowing, worst_cases
from bitsim.testing.search import Law, hold

EXAMPLES = 100
NOT_FOR = {
    laws.POSITION: "no accumulator is stated that can leave its range",
    laws.TWIN: "there is no second implementation",
    laws.REPLAY: "it has no plan",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A law and how it is tried: `run()` raises `LawError`. `not_for`: why it says nothing about this design."""

    name: str
    run: Callable[[], None] = lambda: None
    not_for: str = ""

    def __str__(self) -> str:
        return self.name


def laws_of(
    design: Design,
    takes: Takes,
    *,
    sums: Accumulation | None = None,
    twin: Design | None = None,
    core: laws.Replay | None = None,
    examples: int = EXAMPLES,
) -> tuple[Check, ...]:
    """The checks of a design that computes in integers.

    * `sums`: how it accumulates, if its accumulator can leave its range; None: its outputs are the int64 matmul for
      all operands of `takes`, and it has no law "overflow position".
    * `twin`: a second implementation; None: no law "kernel == twin". `core`: how its plan is replayed, see
      `bitsim.testing.replaying`; None: no law "replay".
    * `examples`: operands that are generated per law.
    """
    model = reference(sums)
    drawn: list[st.SearchStrategy[laws.Operands]] = [matmuls(takes)]
    always: list[laws.Operands] = []
    if sums is not None:
        depth = takes.depth(sums)
        drawn.append(overflowing(takes, depth))
        always = worst_cases(takes, depth)
    position = partial(laws.overflow_position, design, reference=model) if sums else None
    tried: dict[str, Law | None] = {
        laws.DETERMINISM: partial(laws.determinism, design),
        laws.EXACTNESS: partial(laws.exactness, design, reference=model),
        laws.SPLIT: partial(laws.split_and_add, design, columns=takes.tile[2]),
        laws.POSITION: position,
        laws.TWIN: partial(laws.kernel_equals_twin, design, twin=twin) if twin else None,
        laws.REPLAY: partial(laws.replay, design, replayed=core, left_out=("overflow.",)) if core else None,
    }
    return tuple(
        Check(name=name, not_for=NOT_FOR[name])
        if law is None
        else Check(name=name, run=partial(_each, law, drawn, always, examples))
        for name, law in tried.items()
    )


def _each(law: Law, drawn: list[st.SearchStrategy[laws.Operands]], always: list[laws.Operands], examples: int) -> None:
    """The law on operands of each kind; small ones first, which explain more."""
    for operands in drawn:
        hold(law, operands, examples=examples, always=always)


def check_laws(
    design: Design,
    takes: Takes,
    *,
    sums: Accumulation | None = None,
    twin: Design | None = None,
    core: laws.Replay | None = None,
    examples: int = EXAMPLES,
) -> tuple[str, ...]:
    """Try all laws that apply (see `laws_of`) and return their names; raises the `LawError` of the first to break."""
    applying = [
        check
        for check in laws_of(design, takes, sums=sums, twin=twin, core=core, examples=examples)
        if not check.not_for
    ]
    for check in applying:
        check.run()
    return tuple(check.name for check in applying)
