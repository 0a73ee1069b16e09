"""The laws on the BitLinear datapath of a chip file, each as a check."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from bitsim.datapath.base import Array
from bitsim.datapath.registry import build_datapath
from bitsim.errors import ConfigError, OperandError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.study.execute import Executed, execute
from bitsim.testing import laws
from bitsim.testing.checks import Check
from bitsim.testing.design import design_of
from bitsim.testing.extra import strategies as st
from bitsim.testing.models import reference
from bitsim.testing.operands import DEEPEST, Takes, matmuls, overflowing, worst_cases
from bitsim.testing.replaying import by_tiles
from bitsim.testing.search import Law, hold

EXAMPLES = 20
MOST_K, MOST_N = 67, 17  # twins in plain Python take a fraction of a second
IN_TILES = (8, 860, 300)  # M, K and N that plans cut into tiles
ROUNDS = "the datapath rounds"
NOT_NARROWER = "its description has no narrower integer accumulators"


def laws_of_chip(chip: str | Path | Chip, *, examples: int = EXAMPLES) -> tuple[Check, ...]:
    """The checks of a chip's BitLinear datapath, on integers: by itself, and of `bitsim.execute` on the chip.

    Accumulators of real chips are too wide to overflow on small operands. The law "overflow position" is tried with the
    narrowest that the description allows; "exactness" regards matmuls in which no sum left its range.
    """
    loaded = load_chip(chip)
    whole: Any = build_datapath(loaded.bitlinear)
    core, on_chip = whole.reset, design_of(partial(execute, chip=loaded))
    _, k, n = core.grain
    takes = Takes.of(core, largest=(3, min(2 * k + 3, MOST_K), min(2 * n + 3, MOST_N)))
    tried: dict[str, Law | str] = {
        laws.DETERMINISM: partial(laws.determinism, on_chip),
        laws.EXACTNESS: partial(_exact, loaded) if core.exact else ROUNDS,
        laws.SPLIT: partial(laws.split_and_add, core, columns=core.tile_columns, sums=core.exact),
        laws.TWIN: partial(laws.kernel_equals_twin, core, twin=reference(core.spec)),
        laws.REPLAY: partial(laws.replay, on_chip, replayed=by_tiles(whole), left_out=("overflow.",)),
    }
    taken = _taken_by(loaded, takes)
    in_tiles = replace(takes, largest=IN_TILES) if core is whole else takes  # others are stepped clock by clock
    small, wide = (matmuls(one).filter(taken) for one in (takes, in_tiles))
    checks = {
        name: _check(name, law, wide if name in (laws.EXACTNESS, laws.REPLAY) else small, examples)
        for name, law in tried.items()
    }
    checks[laws.POSITION] = _overflow_position(core, takes, examples)
    return tuple(checks[name] for name in laws.LAWS)


def _check(name: str, law: Law | str, drawn: st.SearchStrategy[laws.Operands], examples: int) -> Check:
    if isinstance(law, str):
        return Check(name=name, not_for=law)
    return Check(name=name, run=partial(hold, law, drawn, examples=examples))


def _exact(chip: Chip, x_q: Array, w: Array) -> None:
    done: Executed = execute(x_q, w, chip)
    if done.first_overflow is None:
        laws.exactness(design_of(lambda *_: done), x_q, w, reference=reference())


def _taken_by(chip: Chip, takes: Takes) -> Any:
    """Whether the chip takes matmuls of a shape: some kernels do not pad, and buffers may be too small."""

    @cache
    def fits(m: int, k: int, n: int) -> bool:
        x, w = np.full((m, k), takes.acts[1], np.int8), np.full((n, k), takes.weights[1], np.int8)
        try:
            execute(x, w, chip, toggles="off")
        except (ConfigError, OperandError):
            return False
        return True

    return lambda pair: fits(*pair[0].shape, len(pair[1]))


def _overflow_position(core: Any, takes: Takes, examples: int) -> Check:
    narrow = _narrowest(core)
    depth = None if narrow is None else _depth(narrow)
    if narrow is None or depth is None:
        return Check(name=laws.POSITION, not_for=NOT_NARROWER)
    twin = reference(narrow.spec)

    def law(x_q: Array, w: Array) -> None:
        laws.overflow_position(narrow, x_q, w, reference=twin)
        laws.kernel_equals_twin(narrow, x_q, w, twin=twin)

    run = partial(hold, law, overflowing(takes, depth), examples=examples, always=worst_cases(takes, depth))
    return Check(name=laws.POSITION, run=run)


def _narrowest(core: Any) -> Any:
    """The same datapath with the narrowest accumulators that its description allows; None if it fixes their width."""
    spec = core.spec
    if not core.registers():
        return None
    for bits in range(1, spec.acc_bits):
        try:
            return build_datapath(type(spec).model_validate(spec.model_dump() | spec.accumulators(bits)))
        except ValidationError:
            continue
    return None


def _depth(core: Any) -> int | None:
    """The least K at which legal operands can leave an accumulator; None beyond `DEEPEST`."""
    widths, k = core.registers(), 1
    while k <= DEEPEST:
        if any(bound.bits > widths[name] for name, bound in core.bounds(k).items()):
            return k
        k += 1
    return None
