"""What is built and what is moved, counted by hand where several parts add up: full tables, split tokens of a CPU."""

import pytest

from bitsim.datapath.base import Streams
from bitsim.datapath.cpu_simd import CpuSimd
from bitsim.datapath.ternary_lut import TernaryLut
from bitsim.hw import load_chip
from bitsim.hw.datapaths.ternary_lut import TernaryLutSpec

FULL = {"kind": "ternary_lut", "g": 2, "table": "full", "tables": 2, "lanes": 3, "acc_bits": 16}


@pytest.mark.parametrize(
    ("storage", "kept"),
    [
        ("registers", {"lut.g2_full.read": 3 * 2, "reg.bit": 8 * 4 + 3 * (2 * 4 + 16) + 2 * 8 * 10}),
        ("sram", {"reg.bit": 8 * 4 + 3 * (2 * 4 + 16), "lut.sram.bit": 2 * 3 * 2 * 8 * 10}),
    ],
)
def test_a_full_table_keeps_both_signs_of_every_sum(storage: str, kept: dict[str, int]) -> None:
    """Of a and b: -a, -b, a + b, a - b, -a + b by one addition of 10 bits, -a - b by two, a and b by none: 8 entries.

    Behind two tables an adder of 11 bits, then the accumulator; codes of 4 bits.
    """
    spec = TernaryLutSpec.model_validate(FULL | {"storage": storage})
    engine = TernaryLut(spec)
    assert engine.build_bits == {1: 5 * 10, 2: 10}
    assert engine.parts() == {"adder.bit": 2 * 6 * 10, "tree.add_bit": 3 * (11 + 16)} | kept
    assert engine.table_bits == 2 * 8 * 10


@pytest.mark.parametrize(
    ("chip", "shape", "expected"),
    [
        (  # 2 bits per weight; activations anew for every output; sums stored and read once
            "cpu-i2s-avx2",
            (2, 256, 3),
            Streams(weight_writes=2 * 256 * 3, weight_reads=2 * 256 * 3 * 2, act_reads=8 * 256 * 3 * 2,
                    psum_reads=32 * 2 * 3, psum_writes=32 * 2 * 3),
        ),
        (  # tables of 16 x 16 bits per pair of inputs, once per 128 rows; sums come and go per block of 64 inputs
            "cpu-tl1",
            (2, 128, 256),
            Streams(weight_writes=2 * 128 * 256, weight_reads=2 * 128 * 256 * 2,
                    act_reads=(8 * 128 + 64 * 256 * 2) * 2,
                    psum_reads=32 * 256 * 2 * 2 + 32 * 2 * 256, psum_writes=32 * 256 * 2 * 2),
        ),
        (  # 96 inputs in triples of 5 bits, 32 in pairs of 4; a table for each, once per 32 rows; one block of either
            "cpu-tl2",
            (3, 128, 128),
            Streams(weight_writes=(32 * 5 + 16 * 4) * 128, weight_reads=(32 * 5 + 16 * 4) * 128 * 3,
                    act_reads=(8 * 128 + (32 + 16) * 256 * 4) * 3,
                    psum_reads=32 * 128 * 2 * 3 + 32 * 3 * 128, psum_writes=32 * 128 * 2 * 3),
        ),
        (  # the same filled up from 100 inputs and 101 rows: only outputs are those that were asked for
            "cpu-tl2",
            (1, 100, 101),
            Streams(weight_writes=(32 * 5 + 16 * 4) * 128, weight_reads=(32 * 5 + 16 * 4) * 128,
                    act_reads=8 * 128 + (32 + 16) * 256 * 4,
                    psum_reads=32 * 128 * 2 + 32 * 101, psum_writes=32 * 128 * 2),
        ),
    ],
    ids=["i2s", "tl1", "tl2", "tl2 padded"],
)  # fmt: skip
def test_what_a_cpus_kernels_load_and_store(chip: str, shape: tuple[int, int, int], expected: Streams) -> None:
    assert CpuSimd(load_chip(chip).bitlinear).streams(*shape) == expected  # type: ignore[arg-type]


def test_sums_of_a_split_token_are_loaded_added_and_stored_a_register_at_a_time() -> None:
    """Two tokens of 100 int32 sums: 13 registers of 256 bits for each, 25 of 128; two loads for an addition."""
    avx2, neon = (CpuSimd(load_chip(name).bitlinear).joining(2, 100) for name in ("cpu-tl2", "cpu-tl1"))  # type: ignore[arg-type]
    assert dict(avx2) == {"simd.avx2.load": 52, "simd.avx2.add_int32": 26, "simd.avx2.store": 26}
    assert dict(neon) == {"simd.neon.load": 100, "simd.neon.add_int32": 50, "simd.neon.store": 50}
