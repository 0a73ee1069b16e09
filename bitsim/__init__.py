"""bitsim runs BitNet layers bit for bit on a modelled chip and says what that costs."""

__version__ = "0.1.0"
