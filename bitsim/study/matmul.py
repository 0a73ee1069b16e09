"""One matmul on one datapath."""

from pathlib import Path

from bitsim.datapath.base import Array
from bitsim.datapath.protocol import Datapath
from bitsim.events import Events
from bitsim.hw.chip import Chip
from bitsim.study.execute import execute


def matmul(x_q: Array, w_ternary: Array, datapath: str | Path | Chip | Datapath) -> tuple[Array, Events]:
    """Execute `y = x_q w_ternary^T` and count it, all toggles exactly: the simple form of `execute`.

    * `x_q`: int8 (M, K); `w_ternary`: int8 (N, K) of -1, 0, +1. Returns `y` (M, N), int32 or int64 from integer
      datapaths and float32 from the FP16 array, and the `Events`.
    * `datapath`: a chip's name or YAML file or a Chip, whose BitLinear datapath is called as its plan says; or a
      datapath object, which is called once.

    Equal to the int64 matmul on exact datapaths unless `overflow.*` events say otherwise; the FP16 array rounds, and
    counts outputs that are not finite as `overflow.output`. Raises
    `OperandError` for operands outside of the datapath's range, naming the first.
    """
    if isinstance(datapath, (str, Path, Chip)):
        planned = execute(x_q, w_ternary, datapath)
        return planned.y, planned.events
    done = datapath.execute(x_q, w_ternary)
    return done.y, done.events
