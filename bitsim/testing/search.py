"""Looks for the smallest operands that break a law."""

from collections.abc import Callable, Sequence

from bitsim.datapath.base import Array
from bitsim.testing.design import LawError
from bitsim.testing.extra import Flaky, HealthCheck, given, settings
from bitsim.testing.extra import strategies as st
from bitsim.testing.laws import DETERMINISM, Operands
from bitsim.testing.operands import Takes, matmuls

Law = Callable[[Array, Array], None]


def hold(
    law: Law,
    operands: Takes | st.SearchStrategy[Operands],
    *,
    examples: int = 100,
    always: Sequence[Operands] = (),
) -> None:
    """Try `law(x_q, w)` on `examples` pairs of operands that are generated, and on `always`.

    Raises the `LawError` of the smallest operands that hypothesis found. Of a design that answers differently on the
    same operands, that of the smallest ones seen to fail, with a remark.
    """
    broken: list[LawError] = []

    def tried(pair: Operands) -> None:
        try:
            law(*pair)
        except LawError as error:
            broken.append(error)
            raise

    strategy = matmuls(operands) if isinstance(operands, Takes) else operands
    how = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    remark = ""
    try:
        how(given(strategy)(tried))()
    except LawError:
        found = broken[-1]  # hypothesis ends with the smallest
    except Flaky:
        found = min(broken, key=lambda error: error.size)
        remark = "" if found.law == DETERMINISM else f" (not on every execution: check the law {DETERMINISM!r})"
    else:
        for x_q, w in always:
            law(x_q, w)
        return
    raise LawError(found.law, found.what + remark, found.expected, found.got, found.x_q, found.w) from None
