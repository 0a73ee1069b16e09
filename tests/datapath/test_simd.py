"""SIMD values, lane by lane, on the native target and on one without any vector extension."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim._jit import inlined, kernel
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store
from bitsim.datapath.kernels.simd_dot import dpbusd, has_native_dpbusd

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@kernel
def lane_ops(x: Any, y: Any, out: Any, lanes: int) -> None:
    a, b = load(x, 0), load(y, 0)
    store(out, 0, a & b)
    store(out, lanes, a | b)
    store(out, 2 * lanes, a ^ b)
    store(out, 3 * lanes, a + b)
    store(out, 4 * lanes, a - b)
    store(out, 5 * lanes, a * b)
    store(out, 6 * lanes, popcount(a))
    store(out, 7 * lanes, a >> 3)


@inlined
def twice(vector: Any) -> Any:
    return vector + vector


@kernel
def memory_ops(x: Any, out: Any, offset: int, value: Any) -> int:
    store(out, offset + 1, twice(load(x, offset)))
    store(out, 0, splat(value))
    return hsum(load(x, offset))  # type: ignore[no-any-return]


@kernel
def dot(acc: Any, unsigned: Any, signed: Any) -> None:
    store(acc, 0, dpbusd(load(acc, 0), load(unsigned, 0), load(signed, 0)))


@kernel
def scalar_popcount(x: Any) -> Any:
    return popcount(x)


def random_of(dtype: Any, count: int, seed: int) -> Any:
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, count, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_operators_work_lane_by_lane(dtype: Any) -> None:
    bits = np.iinfo(dtype).bits
    lanes = 512 // bits
    x, y = random_of(dtype, lanes, 1), random_of(dtype, lanes, 2)
    out = np.zeros(8 * lanes, dtype)
    lane_ops(x, y, out, lanes)
    mask = (1 << bits) - 1
    a, b = [int(v) & mask for v in x], [int(v) & mask for v in y]
    want = [
        [p & q for p, q in zip(a, b, strict=True)],
        [p | q for p, q in zip(a, b, strict=True)],
        [p ^ q for p, q in zip(a, b, strict=True)],
        [p + q for p, q in zip(a, b, strict=True)],
        [p - q for p, q in zip(a, b, strict=True)],
        [p * q for p, q in zip(a, b, strict=True)],
        [p.bit_count() for p in a],
        [p >> 3 for p in a],
    ]
    got = [[int(v) & mask for v in row] for row in out.reshape(8, lanes)]
    assert got == [[v & mask for v in row] for row in want]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("offset", [0, 1, 7])
def test_load_store_splat_and_sum_count_elements(dtype: Any, offset: int) -> None:
    lanes = 512 // np.iinfo(dtype).bits
    x = random_of(dtype, lanes + 8, 3) // dtype(2)
    out = np.zeros(2 * lanes + 9, dtype)
    total = memory_ops(x, out, offset, dtype(-5))
    part = x[offset : offset + lanes]
    want = np.zeros_like(out)
    want[offset + 1 : offset + 1 + lanes] = part * dtype(2)
    want[:lanes] = -5
    np.testing.assert_array_equal(out, want)
    wrapped = sum(int(v) for v in part) & (2**64 - 1)
    assert total & (2**64 - 1) == wrapped


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_dpbusd_adds_the_four_products_of_each_lane(seed: int) -> None:
    unsigned, signed = random_of(np.uint8, 64, seed), random_of(np.int8, 64, seed + 1)
    acc = random_of(np.int32, 16, seed + 2)
    products = (unsigned.astype(np.int64) * signed).reshape(16, 4).sum(axis=1)
    want = (acc + products).astype(np.int32)
    dot(acc, unsigned, signed)
    np.testing.assert_array_equal(acc, want)


@pytest.mark.parametrize("signed_value", [-128, -1, 0, 1, 127])
@pytest.mark.parametrize("unsigned_value", [0, 1, 127, 128, 255])
def test_dpbusd_of_single_bytes(unsigned_value: int, signed_value: int) -> None:
    for position in range(64):
        unsigned, signed = np.zeros(64, np.uint8), np.full(64, signed_value, np.int8)
        unsigned[position] = unsigned_value
        acc = np.zeros(16, np.int32)
        dot(acc, unsigned, signed)
        want = np.zeros(16, np.int32)
        want[position // 4] = unsigned_value * signed_value
        np.testing.assert_array_equal(acc, want)


def test_dpbusd_neither_saturates_nor_loses_the_extremes() -> None:
    for value in (-128, 127):
        acc = np.full(16, 2**31 - 1, np.int32)
        dot(acc, np.full(64, 255, np.uint8), np.full(64, value, np.int8))
        want = (2**31 - 1 + 4 * 255 * value + 2**31) % 2**32 - 2**31
        assert acc.tolist() == [want] * 16


@pytest.mark.parametrize("dtype", INTEGERS)
def test_scalar_popcount_reads_the_bits_of_its_own_type(dtype: Any) -> None:
    bits = np.iinfo(dtype).bits
    for value in random_of(dtype, 20, 4):
        assert scalar_popcount(value) == (int(value) & ((1 << bits) - 1)).bit_count()


@pytest.mark.skipif("BITSIM_PORTABLE_RUN" in os.environ, reason="this is the portable run")
def test_kernels_without_vector_instructions(tmp_path: Path) -> None:
    """The same tests for NUMBA_CPU_NAME=generic, where every portable lowering is used."""
    tests = [
        str(Path(__file__).parent / f"test_{name}.py")
        for name in ("simd", "simd_float", "matmul", "psum_toggles", "fp16_array", "tensor_core")
    ]
    # A cache of its own, so that this run compiles, and one thread, which is quicker on tiny operands.
    overrides = {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": "1"}
    env = os.environ | overrides | {"BITSIM_PORTABLE_RUN": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif("BITSIM_PORTABLE_RUN" in os.environ, reason="this is the portable run")
def test_native_code_is_not_reused_for_another_target(tmp_path: Path) -> None:
    """One cache directory, two targets: each compiles its own machine code, and both give the same lanes."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy as np, test_simd as t\n"
        "acc = np.zeros(16, np.int32)\n"
        "t.dot(acc, np.arange(64, dtype=np.uint8), np.arange(-32, 32, dtype=np.int8))\n"
        "hits = sum(t.dot.stats.cache_hits.values())\n"
        "print(t.has_native_dpbusd(), hits, acc.tolist())\n"
    )
    outputs = []
    for override in ({}, {"NUMBA_CPU_NAME": "generic"}, {}):
        env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)} | override
        command = [sys.executable, "-c", program, str(Path(__file__).parent)]
        outputs.append(
            subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split(" ", 2)
        )
    assert [int(hits) for _native, hits, _lanes in outputs] == [0, 0, 1]
    assert outputs[1][0] == "False"
    assert outputs[0][0] == str(has_native_dpbusd())
    assert outputs[0][2] == outputs[1][2] == outputs[2][2]
