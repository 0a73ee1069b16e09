"""The descriptions of datapaths, one file per kind. `DatapathSpec` is the union that YAML's `kind` selects from.

A new kind adds one line to the union here and one to the registry of classes, `bitsim.datapath.registry`.
"""

from typing import Annotated

from pydantic import Field

from bitsim.hw.datapaths.adder_tree import AdderTreeSpec
from bitsim.hw.datapaths.base import DatapathDescription
from bitsim.hw.datapaths.pe_array import PEArraySpec
from bitsim.hw.datapaths.tensor_core import TensorCoreSpec

DatapathSpec = Annotated[
    PEArraySpec | AdderTreeSpec | TensorCoreSpec,
    Field(discriminator="kind"),
]

__all__ = ["AdderTreeSpec", "DatapathDescription", "DatapathSpec", "PEArraySpec", "TensorCoreSpec"]
