"""The float32 matmul: one order for every shape, layout, number of threads and target."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.floats import plain
from bitsim.floats.matmul import matmul
from bitsim.floats.tiles import DEPTH
from bitsim.quant.packing import f32_to_bf16

ROOT = Path(__file__).parents[2]
SINGLES = st.floats(width=32, allow_nan=False, allow_infinity=False)


def same_bits(x: np.ndarray, y: np.ndarray) -> None:
    np.testing.assert_array_equal(x.view(np.uint32), y.view(np.uint32))


def nearest_single(value: Fraction) -> np.float32:
    """The float32 nearest to a fraction, ties to even: the better of two neighbours, found without its rounding."""
    near = np.float32(float(value))
    around = {float(np.nextafter(near, np.float32(way))) for way in (-np.inf, np.inf)} | {float(near)}
    finite = [x for x in around if np.isfinite(x)]
    return min(
        (np.float32(x) for x in finite), key=lambda x: (abs(Fraction(float(x)) - value), int(x.view(np.uint32)) & 1)
    )


@given(SINGLES, SINGLES, SINGLES)
def test_the_twins_multiply_add_rounds_once(a: float, b: float, c: float) -> None:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if abs(exact) >= Fraction(float(np.finfo(np.float32).max)):
        return
    got = plain.multiply_add(np.float32([a]), np.float32([b]), np.float32([c]))
    assert got[0] == nearest_single(exact)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("lost", [1, -1])
def test_the_twins_multiply_add_is_not_rounded_twice(sign: int, lost: int) -> None:
    """1 + 2^-24 is half-way between two float32, and 2^-60 more or less is lost in float64."""
    a, b = np.float32([sign * (1 + 2.0**-12)]), np.float32([1 + 2.0**-12])
    product = Fraction(float(a[0])) * Fraction(float(b[0]))
    c = np.float32([sign * lost * 2.0**-90])
    assert plain.multiply_add(a, b, c)[0] == nearest_single(product + Fraction(float(c[0])))


@st.composite
def operands(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Matrices whose shapes cross the tiles (12 rows, 16 columns, 128 columns) and depths of the kernel."""
    s, m = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 5, 11, 12, 13, 25]))
    n, k = (
        draw(st.sampled_from([1, 15, 16, 17, 31, 32, 47, 130])),
        draw(st.sampled_from([1, 2, 15, 16, 33, 64, DEPTH + 3])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1e-30, 1.0, 1e15]))
    a = (scale * rng.standard_normal((s, m, k))).astype(np.float32)
    return a, rng.standard_normal((s, n, k)).astype(np.float32)


@given(operands())
def test_kernel_equals_the_twin_in_every_layout(both: tuple[np.ndarray, np.ndarray]) -> None:
    a, w = both
    wanted = plain.matmul(a, w)
    same_bits(matmul(a, w), wanted)
    same_bits(matmul(a, np.ascontiguousarray(w.swapaxes(1, 2)).swapaxes(1, 2)), wanted)
    same_bits(matmul(a[:, ::-1][:, ::-1], w[:, ::-1][:, ::-1]), wanted)
    bits = f32_to_bf16(w)
    same_bits(matmul(a, bits), plain.matmul(a, bits))


def test_an_output_depends_on_its_own_row_and_column_only() -> None:
    rng = np.random.default_rng(1)
    a, w = (rng.standard_normal((1, size, 300)).astype(np.float32) for size in (40, 200))
    whole = matmul(a, w)
    for m in (1, 3, 12, 31):
        same_bits(matmul(a[:, :m], w), whole[:, :m])
    for low, high in ((0, 1), (5, 77), (64, 200)):
        same_bits(matmul(a, w[:, low:high]), np.ascontiguousarray(whole[:, :, low:high]))


def test_threads_share_columns_and_change_nothing() -> None:
    rng = np.random.default_rng(2)
    a, w = (rng.standard_normal((2, size, 300)).astype(np.float32) for size in (37, 1000))
    before = numba.get_num_threads()
    results = []
    for threads in range(1, before + 1):
        numba.set_num_threads(threads)
        results.append(matmul(a, w))
    numba.set_num_threads(before)
    for result in results:
        same_bits(result, plain.matmul(a, w))


def test_infinities_and_nans_go_where_ieee_sends_them() -> None:
    a = np.float32([[[np.inf, 1], [3e38, 3e38], [0, np.nan]]])
    w = np.float32([[[1, 1], [0, 1], [2, -1]]])
    got = matmul(a, w)[0]
    np.testing.assert_array_equal(got, np.float32([[np.inf, np.nan, np.inf], [np.inf, 3e38, np.inf], [np.nan] * 3]))


@pytest.mark.parametrize("shape", [(1, 0, 3, 4), (1, 2, 0, 4), (2, 3, 4, 0)])
def test_empty_products(shape: tuple[int, int, int, int]) -> None:
    s, m, n, k = shape
    y = matmul(np.ones((s, m, k), np.float32), np.ones((s, n, k), np.float32))
    assert y.shape == (s, m, n)
    assert not y.any()


PROGRAM = """
import sys, zlib
import numpy as np
from bitsim.floats.matmul import matmul
rng = np.random.default_rng(3)
digest = 0
for s, m, n, k in ((1, 1, 70, 100), (2, 14, 50, 70)):
    a = (rng.standard_normal((s, m, k)) * 10.0 ** rng.integers(-12, 12, (s, m, k))).astype(np.float32)
    w = rng.standard_normal((s, n, k)).astype(np.float32)
    for b in (w, (w.view(np.uint32) >> 16).astype(np.uint16)):
        digest = zlib.crc32(matmul(a, b).tobytes(), digest)
print(digest)
"""
TARGETS = {
    "native": {},
    "generic, no fused instruction": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "AVX2 with FMA": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
    "no JIT": {"NUMBA_DISABLE_JIT": "1"},
}


def test_every_target_gives_the_same_bits() -> None:
    """Also of values where a fused operation and two rounded ones differ: exponents of 24 decades."""
    digests = set()
    for variables in TARGETS.values():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
