"""Hardware as data: a `Chip` and its `Technology`, read from YAML.

A chip names its datapaths (one schema file per kind in `datapaths`), vector unit, memories, clock and technology; a
technology lists what each event costs. Every number is a `Constant` with unit, source and evidence. A `TensorCore` says
how a GPU's matmuls round, a `Link` what connects devices, a `Cpu` what all cores of a CPU can do. Every mistake in a
file is reported with file and line. A `Kind` finds descriptions by name or file, the same way for all; those that come
with bitsim are in the package `hw_models`.
"""

from bitsim.hw.chip import Chip, chip_names, load_chip
from bitsim.hw.constants import Constant
from bitsim.hw.cpu import Cpu, cpu_names, load_cpu
from bitsim.hw.datapaths import DatapathSpec
from bitsim.hw.dram import Dram, dram_names, load_dram
from bitsim.hw.library import Kind
from bitsim.hw.link import Link, link_names, load_link
from bitsim.hw.sram import Sram, sram_names
from bitsim.hw.sram_nodes import load_sram
from bitsim.hw.technology import Technology, load_technology, technology_names
from bitsim.hw.tensor_core import TensorCore, load_tensor_core, tensor_core_names

__all__ = [
    "Chip",
    "Constant",
    "Cpu",
    "DatapathSpec",
    "Dram",
    "Kind",
    "Link",
    "Sram",
    "Technology",
    "TensorCore",
    "chip_names",
    "cpu_names",
    "dram_names",
    "link_names",
    "load_chip",
    "load_cpu",
    "load_dram",
    "load_link",
    "load_sram",
    "load_technology",
    "load_tensor_core",
    "sram_names",
    "technology_names",
    "tensor_core_names",
]
