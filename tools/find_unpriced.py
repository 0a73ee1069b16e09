"""List the events and parts that have no price or no area: of all shipped chips, and of a grid of allowed descriptions.

    python -m tools.find_unpriced [7nm 45nm ...]

The grid varies the keys of every shipped datapath, each over all values that a description allows and two at a time (of
longer ranges powers of two and the ends); what a description refuses is left out. Each is asked for the events of one
small matmul, data-dependent ones included, and for its parts; buffers are the chip's. Chips that run programs
(`cpu_simd`) and FPGAs are unpriced by name: no source has a price for them.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, product
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from bitsim.cost.area import part_area
from bitsim.cost.logic import logic_price
from bitsim.datapath.base import Statistics
from bitsim.datapath.registry import build_datapath
from bitsim.events import event_kind
from bitsim.hw import chip_names, load_chip, load_technology, technology_names
from bitsim.hw.datapaths import DatapathDescription
from bitsim.hw.datapaths.base import Within
from bitsim.hw.technology import Technology
from bitsim.hw.tensor_core import load_tensor_core, tensor_core_names

SHAPE = 3, 70, 5  # M, K and N of the matmul that is asked for
LONG, PAIRED = 64, 8  # ranges with more values are thinned to powers of two, alone and in pairs
# Keys that decide how many events there are and never which.
COUNTS_ONLY = {"rows", "cols", "trees", "tokens", "reuse", "banks", "wake_cycles", "units", "unit_macs", "row_tiles"}
COUNTS_ONLY |= {"overflow", "outputs", "instructions_per_cycle", "kind"}
PROGRAMS = ("cpu_simd",)


def allowed(spec: type[DatapathDescription], key: str) -> list[Any]:
    """The values of a key that its type allows; none if it has no list of them."""
    field = spec.model_fields[key]
    values = _values(field.annotation, tuple(field.metadata))
    if key == "arch":
        values = list(tensor_core_names())
    return values


def _values(annotation: Any, metadata: tuple[Any, ...]) -> list[Any]:
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _values(inner, (*metadata, *more))
    if get_origin(annotation) in (Union, UnionType):
        return [value for one in get_args(annotation) for value in _values(one, metadata)]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if annotation is bool:
        return [False, True]
    for entry in metadata:
        within = getattr(entry, "func", None)
        if isinstance(within, Within):
            return _thinned(range(within.low, within.high + 1), LONG)
    return []


def _thinned(values: Sequence[Any], most: int) -> list[Any]:
    """All values, or of more than `most` integers the powers of two and the ends."""
    if len(values) <= most:
        return list(values)
    return [value for value in values if value in (values[0], values[-1]) or not value & (value - 1)]


@cache
def grid() -> dict[DatapathDescription, str]:
    """Allowed descriptions, and the chip that each was made from."""
    found: dict[DatapathDescription, str] = {}
    for name in chip_names():
        chip = load_chip(name)
        for spec in (chip.bitlinear, chip.wide):
            if spec.kind not in PROGRAMS:
                for one in varied(spec):
                    found.setdefault(one, name)
    return found


def varied(spec: DatapathDescription) -> Iterator[DatapathDescription]:
    """The description and its variations by two keys; of tensor cores all formats that an architecture has."""
    yield spec
    if spec.kind == "tensor_core":
        yield from _tensor_cores(spec)
        return
    keys = [key for key in type(spec).model_fields if key not in COUNTS_ONLY]
    for varied_keys in (*((key,) for key in keys), *combinations(keys, 2)):
        most = LONG if len(varied_keys) == 1 else PAIRED
        for values in product(*(_thinned(allowed(type(spec), key), most) for key in varied_keys)):
            changed = spec.model_dump() | dict(zip(varied_keys, values, strict=True))
            if "acc_bits" not in varied_keys:
                changed["acc_bits"] = max(changed["acc_bits"], 32 if changed.get("pe") != "fp16" else 16)
            if "column_acc_bits" in changed and "column_acc_bits" not in varied_keys:
                changed["column_acc_bits"] = max(32, changed["acc_bits"]) if changed.get("pe") != "fp16" else 32
            one = _valid(spec, changed)
            if one is not None:
                yield one


def _tensor_cores(spec: DatapathDescription) -> Iterator[DatapathDescription]:
    for arch in tensor_core_names():
        core = load_tensor_core(arch)
        formats = {name for unit in (*core.floating, *core.integer) for name in unit.formats}
        ks = {k for unit in (*core.floating, *core.integer) for k in unit.instruction_k}
        for name, k, acc_bits, weights in product(sorted(formats), sorted(ks), range(1, 33), ("ternary", "full")):
            for tile in ("m16n8", "m8n8"):
                changed = {"arch": arch, "format": name, "instruction": f"{tile}k{k}", "weights": weights}
                one = _valid(spec, spec.model_dump() | changed | {"acc_bits": acc_bits, "unit_macs": 1})
                if one is not None:
                    yield one
                    break


def _valid(spec: DatapathDescription, changed: dict[str, Any]) -> DatapathDescription | None:
    try:
        return type(spec).model_validate(changed)
    except ValidationError:
        return None


def events_of(spec: DatapathDescription) -> set[str]:
    """Names of the events that a description's datapath counts and that the convention `datapath` prices."""
    datapath: Any = build_datapath(spec)
    chances = datapath.chances(*SHAPE)
    half = Statistics(
        weight_zeros=0.5 if datapath.zero_weights and datapath.weight_range == (-1, 1) else 0.0,
        rates={spec.rates: dict.fromkeys(chances, 0.5)},
        source="tools/find_unpriced.py",
    )
    counted = {*datapath.count(*SHAPE), *chances, *datapath.expect(*SHAPE, half)}
    return {event for event in counted if event_kind(event).ledger == "datapath"}


def parts_of(spec: DatapathDescription) -> set[str]:
    """Names of its parts."""
    return set(build_datapath(spec).parts() or ())


@cache
def emitted() -> dict[str, str]:
    """Event -> an example of what emits it, over the grid."""
    return {event: f"{spec.unit}, from {chip}" for spec, chip in grid().items() for event in events_of(spec)}


@cache
def built() -> dict[str, str]:
    """Part -> an example of what has it, over the grid."""
    return {part: f"{spec.unit}, from {chip}" for spec, chip in grid().items() for part in parts_of(spec)}


def unpriced(technology: Technology) -> list[str]:
    """Events of the grid without a price."""
    return sorted(event for event in emitted() if logic_price(technology, event) is None)


def without_area(technology: Technology) -> list[str]:
    """Parts of the grid without an area."""
    return sorted(part for part in built() if part_area(technology, part) is None)


def main() -> None:
    print(f"{len(grid()):,} allowed descriptions, {len(emitted())} events, {len(built())} parts")
    for name in sys.argv[1:] or technology_names():
        technology = load_technology(name)
        for what, missing, where in (
            ("events without a price", unpriced(technology), emitted()),
            ("parts without an area", without_area(technology), built()),
        ):
            print(f"\n{name}: {len(missing)} {what}")
            for one in missing:
                print(f"  {one:40s} {where[one]}")


if __name__ == "__main__":
    main()
