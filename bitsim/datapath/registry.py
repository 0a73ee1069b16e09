"""From a description to its datapath: the one place that knows all kinds. A class is imported when it is built."""

from importlib import import_module

from bitsim.datapath.base import Datapath
from bitsim.errors import UnknownNameError
from bitsim.hw.datapaths import DatapathDescription

# kind in YAML -> module of this package and class in it
DATAPATHS = {
    "pe_array": ("pe_array", "PEArray"),
    "adder_tree": ("adder_tree", "AdderTree"),
    "ternary_lut": ("ternary_lut", "TernaryLut"),
    "bit_serial": ("bit_serial", "BitSerial"),
    "popcount": ("popcount", "Popcount"),
    "cpu_simd": ("cpu_simd", "CpuSimd"),
    "binary_lut": ("binary_lut", "BinaryLut"),
    "sparse_array": ("sparse_array", "SparseArray"),
    "rom_array": ("rom_array", "RomArray"),
    "tensor_core": ("tensor_core.datapath", "TensorCores"),
}


def datapath_class(kind: str) -> type[Datapath]:
    """The class of a kind; raises `UnknownNameError`."""
    if kind not in DATAPATHS:
        raise UnknownNameError("datapath kind", kind, DATAPATHS)
    module, name = DATAPATHS[kind]
    found: type[Datapath] = getattr(import_module(f"bitsim.datapath.{module}"), name)
    return found


def build_datapath(spec: DatapathDescription) -> Datapath:
    """The datapath that `spec` describes."""
    built: Datapath = datapath_class(spec.kind)(spec)  # type: ignore[call-arg]
    return built
