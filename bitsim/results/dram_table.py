"""The table of DRAM: what its bits, its refresh and its standby take, and for how long it streams."""

from typing import Any

from bitsim.cost.dram import dram_powers, dram_price, flows_ns, streaming_ns
from bitsim.cost.price import Price
from bitsim.events import Events, parsed, total
from bitsim.results.priced import PricedRows

Record = dict[str, Any]
_PARTS = ("array", "io")


def dram_table(result: PricedRows) -> list[Record]:
    """By phase: each content that moves, `time_s` being what its bits take at the peak rate; then refresh and standby.

    `array_j` and `io_j` are parts of `nominal_j`, None where the chip gives only the whole. Nothing here needs a price
    of the technology.
    """
    records = []
    for phase in result.phases:
        rows = list(result.phase_rows(phase))
        moved = total([row.events for row in rows]).of_unit("dram")
        for content in dict.fromkeys(parsed(event).place for event in sorted(moved)):
            records.append({"phase": phase} | _content(result, content, moved))
        for component, price in dram_powers(result.chip).items():
            time_ns = sum(
                flows_ns(component, result.chip, row.events, row.cycles / result.chip.clock.nominal) for row in rows
            )
            what: Record = {"phase": phase, "what": component.removeprefix("dram "), "time_s": time_ns * 1e-9}
            what |= {"read_bytes": None, "write_bytes": None}
            records.append(what | _joules(price.scaled(time_ns)) | {f"{part}_j": None for part in _PARTS})
    return records


def _content(result: PricedRows, content: str, moved: Events) -> Record:
    read, written = (moved[f"dram.{content}.{way}_bits"] for way in ("read", "write"))
    bits = Events({f"dram.{content}.read_bits": read, f"dram.{content}.write_bits": written})
    record: Record = {"what": content, "time_s": streaming_ns(result.chip, bits) * 1e-9}
    record |= {"read_bytes": read / 8, "write_bytes": written / 8}
    record |= _joules(dram_price(result.chip).scaled(read + written))
    for part in _PARTS:
        per_bit = getattr(result.chip.memory.dram, f"energy_{part}")
        record[f"{part}_j"] = None if per_bit is None else (read + written) * per_bit.nominal * 1e-12
    return record


def _joules(energy: Price) -> dict[str, float]:
    return {f"{level}_j": energy.at(level) * 1e-12 for level in ("low", "nominal", "high")}
