"""From a description to its datapath. A class is imported when it is built.

The union of descriptions in `bitsim.hw.datapaths` is the one list of kinds. `AdderTreeSpec`, of kind `adder_tree`,
describes `bitsim.datapath.adder_tree.AdderTree`; another one may name another place (`implemented_in`).
"""

from importlib import import_module
from typing import get_args

from bitsim.datapath.protocol import Datapath
from bitsim.errors import UnknownNameError
from bitsim.hw.datapaths import DatapathDescription, DatapathSpec


def _place(description: type[DatapathDescription]) -> tuple[str, str, str]:
    """The kind in YAML, and the module of this package and the class in it that compute it."""
    kind: str = get_args(description.model_fields["kind"].annotation)[0]
    module, _, name = (description.implemented_in or f"{kind}.{description.__name__.removesuffix('Spec')}").rpartition(
        "."
    )
    return kind, module, name


# kind in YAML -> module of this package and class in it
DATAPATHS = {
    kind: (module, name) for kind, module, name in (_place(member) for member in get_args(get_args(DatapathSpec)[0]))
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
