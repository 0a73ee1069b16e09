"""VitaLLM: decode, prefill and on-chip energy of the quantised linears of BitNet 3B."""

from collections.abc import Iterator
from fractions import Fraction

from bitsim.hw import Chip
from bitsim.results import Result
from reports.predictions.common import PREFILL, Prediction, bitnet, bitnet_on, dram_watts, joules, seconds, waits

BANKS = (64, 128, 512)  # bits of a macro; the chip's file has 128
MACROS = "macros of 64, 128 and 512 bits"


def vitallm() -> Iterator[Prediction]:
    """Quantised linears of BitNet 3B only: the precision of the head and the rates of attention are not published."""
    array = "array from the figure of merit, 16 trees of 16; DRAM that does not bound it"
    reading = "TOPS read as MACs"  # twice 128 MACs is the other reading, which decodes too slowly
    two, packed = Fraction(2), Fraction(8, 5)
    prefill = bitnet(two, "vitallm-v1", PREFILL)
    for version in (1, 2):
        decode = bitnet(two, f"vitallm-v{version}", 0)
        yield Prediction(
            key=f"vitallm.decode_v{version}",
            chip=f"vitallm-v{version}",
            quantity="decode, linears",
            unit="tok/s",
            value=1 / seconds(decode),
            bounds=waits(decode),
            assumed=array,
            fitted=reading,
        )
        supplied = bitnet(two, f"vitallm-v{version}-0v8", 0)
        core, spread = core_joules(supplied)
        yield Prediction(
            key=f"vitallm.core_v{version}",
            chip=f"vitallm-v{version}-0v8",
            quantity="on-chip energy of a token, linears",
            unit="mJ",
            value=1e3 * core,
            spread=(1e3 * spread[0], 1e3 * spread[1]),
            assumed=f"{array}; prices between 45 nm and 7 nm; split and macros of the SRAM, spread over {MACROS}",
            fitted=reading,
            energy="logic, SRAM and its leakage; no DRAM",
        )
    yield Prediction(
        key="vitallm.prefill_v1",
        chip="vitallm-v1",
        quantity=f"prefill of {PREFILL} tokens, linears",
        unit="s",
        value=seconds(prefill),
        bounds=waits(prefill),
        assumed=array,
        fitted=reading,
    )
    logic, logic_spread = joules(supplied, False, buffers=False)
    yield Prediction(
        key="vitallm.logic",
        chip="vitallm-v2-0v8",
        quantity="on-chip energy of a token, linears",
        unit="mJ",
        value=1e3 * logic,
        spread=(1e3 * logic_spread[0], 1e3 * logic_spread[1]),
        assumed=f"{array}; prices between 45 nm and 7 nm",
        fitted=reading,
        energy="logic only: no SRAM, no DRAM",
    )
    for key, bits in (("vitallm.dram_2b", two), ("vitallm.dram_1p6b", packed)):
        watts, spread = dram_watts(bitnet(bits, "vitallm-v2", 0))
        yield Prediction(
            key=key,
            chip="vitallm-v2",
            quantity=f"DRAM power, {float(bits):g} bits per weight",
            unit="W",
            value=watts,
            spread=spread,
            assumed="LPDDR5X's energy per bit",
            fitted=reading,
            energy="DRAM only",
        )


def core_joules(result: Result) -> tuple[float, tuple[float, float]]:
    """On-chip energy of the linears: nominal as described, low and high over the widths of `BANKS` as well."""
    nominal, _ = joules(result, False)
    spreads = [joules(bitnet_on(with_banks(result.chip, width), Fraction(2), 0), False)[1] for width in BANKS]
    return nominal, (min(low for low, _ in spreads), max(high for _, high in spreads))


def with_banks(chip: Chip, width: int) -> Chip:
    """`chip` with macros of another width: as many ports as move at least as many bits per cycle."""
    levels = tuple(
        level.model_copy(update={"width_bits": width, "ports": max(2, -(-level.bits_per_cycle // width))})
        for level in chip.memory.levels
    )
    return chip.model_copy(update={"memory": chip.memory.model_copy(update={"levels": levels})})
