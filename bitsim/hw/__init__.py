"""Hardware as data: a `Chip` and its `Technology`, read from YAML.

A chip names its datapaths (one schema file per kind in `datapaths`), vector unit, memories, clock and technology; a
technology lists what each event costs. Every number is a `Constant` with unit, source and evidence, and every mistake
in a file is reported with file and line. The files that come with bitsim are in the package `hw_models`.
"""

from bitsim.hw.chip import Chip, chip_names, load_chip
from bitsim.hw.constants import Constant
from bitsim.hw.datapaths import DatapathSpec
from bitsim.hw.technology import Technology, load_technology, technology_names

__all__ = [
    "Chip",
    "Constant",
    "DatapathSpec",
    "Technology",
    "chip_names",
    "load_chip",
    "load_technology",
    "technology_names",
]
