"""Hypothesis strategies of float32 numbers that quantisers get wrong."""

import numpy as np

from bitsim.datapath.base import Array
from bitsim.testing.extra import arrays
from bitsim.testing.extra import strategies as st

MAX = float(np.finfo(np.float32).max)
SPECIAL = (
    0.0,
    -0.0,
    2.0**-149,
    -(2.0**-149),
    2.0**-126,
    float(np.float32(1e-5)),
    0.5,
    -0.5,
    1.5,
    2.5,
    127.0,
    MAX,
    -MAX,
)

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
halves = st.integers(-300, 300).map(lambda i: i / 2)  # many ties, between codes and between values
ordinary = st.floats(-8, 8, width=32)


def values() -> st.SearchStrategy[float]:
    """Generates finite float32 values; often special ones, ties or ordinary sizes."""
    return st.one_of(st.sampled_from(SPECIAL), halves, ordinary, finite)


@st.composite
def tokens(draw: st.DrawFn, max_m: int = 3, max_k: int = 17, widths: st.SearchStrategy[int] | None = None) -> Array:
    """Generates float32 (M, K): of one kind of value, or constant rows, or all zero; K from `widths` if given."""
    m, k = draw(st.integers(1, max_m)), draw(st.integers(1, max_k) if widths is None else widths)
    kinds: list[st.SearchStrategy[float]] = [
        values(),
        halves,
        ordinary,
        st.sampled_from(SPECIAL),
        st.integers(-2, 2).map(float),
    ]
    x: Array = draw(arrays(np.float32, (m, k), elements=draw(st.sampled_from(kinds))))
    if draw(st.booleans()) and draw(st.booleans()):
        x[:] = x[:, :1]
    return x


def powers_of_two(most: int = 6) -> st.SearchStrategy[int]:
    """Generates 1, 2, 4, .. 2^most."""
    return st.integers(0, most).map(lambda i: 1 << i)
