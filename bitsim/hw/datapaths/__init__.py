"""The descriptions of datapaths, one file per kind. `DatapathSpec` is the union that YAML's `kind` selects from.

A new kind adds one line to the union here and one to the registry of classes, `bitsim.datapath.registry`.
"""

from bitsim.hw.datapaths.base import DatapathDescription
from bitsim.hw.datapaths.pe_array import PEArraySpec

DatapathSpec = PEArraySpec

__all__ = ["DatapathDescription", "DatapathSpec", "PEArraySpec"]
