"""From a datapath's description to the datapath: the one place that knows all kinds."""

from bitsim.datapath.base import Datapath
from bitsim.datapath.pe_array import PEArray
from bitsim.errors import UnknownNameError
from bitsim.hw.chip import PEArraySpec

DATAPATHS = {"pe_array": PEArray}


def build_datapath(spec: PEArraySpec) -> Datapath:
    """The datapath that `spec` describes."""
    if spec.kind not in DATAPATHS:
        raise UnknownNameError("datapath kind", spec.kind, DATAPATHS)
    return DATAPATHS[spec.kind](spec)
