"""Numbers that quantisers get wrong."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

MAX = float(np.finfo(np.float32).max)
SPECIAL = [
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
]

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
halves = st.integers(-300, 300).map(lambda i: i / 2)  # many ties, between codes and between values
ordinary = st.floats(-8, 8, width=32)


def values():
    """Generates finite float32 values; often special ones, ties or ordinary sizes."""
    return st.one_of(st.sampled_from(SPECIAL), halves, ordinary, finite)


@st.composite
def tokens(draw, max_m=3, max_k=17, widths=None):
    """Generates float32 (M, K): of one kind of value, or constant rows, or all zero."""
    m, k = draw(st.integers(1, max_m)), draw(st.integers(1, max_k) if widths is None else widths)
    elements = draw(st.sampled_from([values(), halves, ordinary, st.sampled_from(SPECIAL), st.integers(-2, 2)]))
    x = draw(arrays(np.float32, (m, k), elements=elements))
    if draw(st.booleans()) and draw(st.booleans()):
        x[:] = x[:, :1]
    return x


def powers_of_two(most=6):
    """Generates 1, 2, 4, .. 2^most."""
    return st.integers(0, most).map(lambda i: 1 << i)
