"""The descriptions of datapaths, one file per kind. `DatapathSpec` is the union that YAML's `kind` selects from.

This is where a kind is registered: its import and its member of the union here, nothing else. The class that computes
it is found by its name (`bitsim.datapath.registry`).
"""

from typing import Annotated

from pydantic import Field

from bitsim.hw.datapaths.adder_tree import AdderTreeSpec
from bitsim.hw.datapaths.base import DatapathDescription
from bitsim.hw.datapaths.binary_lut import BinaryLutSpec
from bitsim.hw.datapaths.bit_serial import BitSerialSpec
from bitsim.hw.datapaths.cpu_simd import CpuSimdSpec
from bitsim.hw.datapaths.pe_array import PEArraySpec
from bitsim.hw.datapaths.popcount import PopcountSpec
from bitsim.hw.datapaths.rom_array import RomArraySpec
from bitsim.hw.datapaths.sparse_array import SparseArraySpec
from bitsim.hw.datapaths.tensor_core import TensorCoreSpec
from bitsim.hw.datapaths.ternary_lut import TernaryLutSpec

DatapathSpec = Annotated[
    PEArraySpec
    | AdderTreeSpec
    | TernaryLutSpec
    | BitSerialSpec
    | PopcountSpec
    | CpuSimdSpec
    | BinaryLutSpec
    | SparseArraySpec
    | RomArraySpec
    | TensorCoreSpec,
    Field(discriminator="kind"),
]

__all__ = [
    "AdderTreeSpec",
    "BinaryLutSpec",
    "BitSerialSpec",
    "CpuSimdSpec",
    "DatapathDescription",
    "DatapathSpec",
    "PEArraySpec",
    "PopcountSpec",
    "RomArraySpec",
    "SparseArraySpec",
    "TensorCoreSpec",
    "TernaryLutSpec",
]
