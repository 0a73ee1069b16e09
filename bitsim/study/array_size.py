"""How well a model's linears use arrays of different sizes on an otherwise unchanged chip."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bitsim.errors import ConfigError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.operators import Operator, Phase
from bitsim.quant.recipes import recipe_named
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.provenance import inputs_of
from bitsim.results.setup import check_count
from bitsim.schedule.place import ASSUMPTIONS, Placed, Placement

SIZES = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPoint:
    """All linears of a prefill or of one decode step on an array of `rows` x `cols`.

    `utilisation`: their MACs over those that the array could do in their time; `bound_utilisation`: in the least time
    that any schedule needs; `bound`: what they wait for most of the time.
    """

    rows: int
    cols: int
    phase: Phase
    macs: int
    cycles: int
    time_s: float
    utilisation: float
    bound_utilisation: float
    bound: str


@dataclass(frozen=True, kw_only=True, repr=False)
class ArraySizes(Outcome):
    """The points of a study, by size and phase."""

    points: tuple[ArrayPoint, ...]

    @property
    def kind(self) -> str:
        return "array_sizes"

    @property
    def title(self) -> str:
        return f"linears of {self.inputs['model']}, all but the array as in {self.inputs['chip']}"

    def headline(self) -> dict[str, Any]:
        """The fastest size of each phase."""
        fastest: dict[str, ArrayPoint] = {}
        for point in self.points:
            best = fastest.setdefault(point.phase, point)
            fastest[point.phase] = point if point.cycles < best.cycles else best
        return {f"{phase}_fastest": f"{best.rows} x {best.cols}" for phase, best in fastest.items()} | {
            f"{phase}_time_s": best.time_s for phase, best in fastest.items()
        }

    def makers(self) -> Makers:
        return {"points": lambda: [asdict(point) for point in self.points]}


def array_sizes(
    model: str | Path | Model,
    chip: str | Path | Chip,
    *,
    sizes: Sequence[int] = SIZES,
    prefill: int = 512,
    batch: int = 1,
) -> ArraySizes:
    """The linears of a prefill and of a decode step on arrays of N x N, for each N in `sizes`; all else is `chip`'s.

    The array is the one that computes the model's linears; what they take is what `estimate` says they do. Raises
    `ConfigError` for a datapath without rows and columns, and for sizes that it can't have.
    """
    model = model if isinstance(model, Model) else load_model(model)
    chip, config = load_chip(chip), model.config
    check_count("prefill", prefill, 1)
    check_count("batch", batch, 1)
    recipe = recipe_named(config.default_numerics)
    points: list[ArrayPoint] = []
    cut: list[str] = []
    phases: list[tuple[Phase, int, int]] = [("prefill", prefill, prefill), ("decode", 1, prefill + 1)]
    for size in sizes:
        placement = Placement(with_array(chip, size, bitlinear=config.quantised))
        for phase, tokens, context in phases:
            operators = forward_operators(
                replace(config, num_layers=1), phase=phase, tokens=tokens, context=context, batch=batch, recipe=recipe
            )
            placed = [(op, placement.place(op)) for op in operators if op.kind == "linear"]
            points.append(_point(placement, size, phase, placed, config.num_layers))
            found = {place.plan.cut for _, place in placed if place.plan is not None and place.plan.cut}
            cut += [f"{size} x {size}, {phase}: the mapper {text}" for text in sorted(found)]
    which = "bitlinear" if config.quantised else "wide"
    note = (
        f"only rows and columns of the chip's {which} change: buffers, ports, clock and DRAM are those of {chip.name}"
    )
    inputs = inputs_of(model, chip, numerics=recipe.name) | {"prefill": prefill, "batch": batch}
    return ArraySizes(inputs=inputs, points=tuple(points), notes=(note, *cut, *ASSUMPTIONS))


def with_array(chip: Chip, size: int, *, bitlinear: bool) -> Chip:
    """`chip` with an array of `size` rows and columns for BitLinear, or for the other matmuls."""
    which = "bitlinear" if bitlinear else "wide"
    spec = chip.bitlinear if bitlinear else chip.wide
    if not {"rows", "cols"} <= set(type(spec).model_fields):
        raise ConfigError(f"{chip.name}: {which}: expected an array with rows and columns, got {spec.kind}")
    try:
        resized = type(spec).model_validate(spec.model_dump() | {"rows": size, "cols": size})
    except ValidationError as error:
        raise ConfigError(f"{chip.name}: {which}: {size} x {size}: {error.errors()[0]['msg']}") from None
    return chip.model_copy(update={which: resized})


def _point(
    placement: Placement, size: int, phase: Phase, placed: list[tuple[Operator, Placed]], layers: int
) -> ArrayPoint:
    macs, cycles = sum(op.macs for op, _ in placed), sum(place.cycles for _, place in placed)
    least = sum(place.least_cycles for _, place in placed)
    spec = placement.chip.bitlinear if placed[0][0].is_bitlinear else placement.chip.wide
    waits = Counter[str]()
    for _, place in placed:
        waits[place.bound] += place.cycles
    return ArrayPoint(
        rows=size,
        cols=size,
        phase=phase,
        macs=macs * layers,
        cycles=cycles * layers,
        time_s=cycles * layers * 1e-9 / placement.chip.clock.nominal,
        utilisation=float(macs / (cycles * spec.macs_per_cycle)),
        bound_utilisation=float(macs / (least * spec.macs_per_cycle)),
        bound=waits.most_common(1)[0][0],
    )
