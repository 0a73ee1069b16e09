"""The version, in a leaf of its own: nobody imports the package upwards to learn it."""

__version__ = "0.1.0"
