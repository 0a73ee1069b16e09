"""exp, log and powers of single numbers, rounded correctly: `decimal` computes 40 digits, in integers.

For constants (prices between two nodes, rotary frequencies), where microseconds don't matter. libm's functions differ
between machines in the last bit. 40 digits decide the rounding of a float64 except of a number within 10^-40 of the
middle of two, which no argument here comes near.
"""

from decimal import Context, Decimal

_DIGITS = Context(prec=40, Emin=-999999, Emax=999999)


def exp(x: float) -> float:
    """e^x."""
    return float(_DIGITS.exp(Decimal(x)))


def log(x: float) -> float:
    """The natural logarithm of x > 0."""
    return float(_DIGITS.ln(Decimal(x)))


def power(base: float, x: float) -> float:
    """base^x, base > 0."""
    return float(_DIGITS.power(Decimal(base), Decimal(x)))
