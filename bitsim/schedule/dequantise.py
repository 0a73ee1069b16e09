"""Weights that are stored as codes and multiplied as floats: what turns one into the other.

It stands between the memory in which weights are at rest and the next buffer, as the unpacking of ternary codes does: a
weight is dequantised whenever it is fetched, so that buffers hold numbers of the datapath and give these at each use. A
resident innermost buffer holds codes; there a weight is dequantised at each use. Converters keep up with the memory and
take no cycles of their own.
"""

from bitsim.datapath.protocol import Datapath
from bitsim.events import Events
from bitsim.model.operators import Operator
from bitsim.schedule.plan import Work
from bitsim.schedule.transfers import Transfers

_STEPS = {"scaled_integers": ("", ".scale"), "scaled_ternary": (".select",)}


def dequantisation(op: Operator, datapath: Datapath, transfers: tuple[Transfers, ...], work: Work) -> Events:
    """What a matmul dequantises: each integer is converted and multiplied by its scale, a trit chooses -s, 0 or +s."""
    if op.weight_format not in _STEPS:
        return Events()
    fetched = _fetched(transfers, work)
    return Events({f"dequant.{datapath.number_format}{step}": fetched for step in _STEPS[op.weight_format]})


def _fetched(transfers: tuple[Transfers, ...], work: Work) -> int:
    """Weights that leave their home, in all tiles and repetitions."""
    for rank, through in enumerate(transfers):
        leg = through.legs.get("weights")
        if leg is not None and leg.outer == through.matmul.weights_home:
            return int(work.moved[rank][0])
    return int(work.streams[0] / transfers[0].matmul.weight_bits)
