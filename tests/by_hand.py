"""Results and outcomes whose every number is given, so that what is drawn or printed of them follows by hand."""

import numpy as np

from bitsim.events import Events
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.gpu import load_gpu
from bitsim.results import OperatorRow, Result
from bitsim.results.setup import Scheduling, Workload
from bitsim.serving.grid import Grid, power_per_token
from bitsim.serving.memory import Needs
from bitsim.serving.serve import Serving
from tests.chips import amount


def chip(wide: int = 32) -> Chip:
    """64 x 64 ternary, `wide` x `wide` FP16, 2 GHz, DRAM of 20 GB/s of which 0.8 are reached."""
    base = load_chip("ternary-ws-64x64")
    dram = base.memory.dram
    dram = dram.model_copy(
        update={"bandwidth": amount(dram.bandwidth, 20.0), "efficiency": amount(dram.efficiency, 0.8)}
    )
    return base.model_copy(
        update={
            "clock": amount(base.clock, 2.0),
            "wide": base.wide.model_copy(update={"rows": wide, "cols": wide}),
            "memory": base.memory.model_copy(update={"dram": dram}),
        }
    )


def result(*rows: OperatorRow, prefill: int = 2, decode: int = 1, batch: int = 1, on: Chip | None = None) -> Result:
    return Result(
        inputs={"model": "by hand", "chip": "ternary-ws-64x64", "technology": "7nm"},
        notes=(),
        chip=on or chip(),
        rows=rows,
        workload=Workload(prefill=prefill, decode=decode, batch=batch),
        mode="estimate",
        scheduling=Scheduling(),
        recipe=None,
    )


def row(phase: str, name: str, kind: str, layer: int | None = None, **more: object) -> OperatorRow:
    more["events"] = Events(more.get("events", {}))  # type: ignore[arg-type]
    return OperatorRow(phase=phase, name=name, kind=kind, layer=layer, **more)  # type: ignore[arg-type]


def serving_by_hand() -> Serving:
    """Steps of 10, 12 and 20 ms at 1, 2 and 4 sequences on two devices of 400 W."""
    parts = {
        "weight bandwidth": np.array([[0.006, 0.006, 0.006]]), "compute": np.array([[0.0, 0.002, 0.008]]),
        "attention": np.array([[0.001, 0.001, 0.002]]), "kernel overhead": np.array([[0.003, 0.003, 0.003]]),
        "communication": np.array([[0.0, 0.0, 0.001]]),
    }  # fmt: skip
    step_s = np.array([[0.010, 0.012, 0.020]])
    grid = Grid(
        devices=np.array([2]), batch=np.array([1, 2, 4]), fits=np.array([[True, True, True]]), step_s=step_s,
        prompt_s=np.array([0.1]), limit=np.array([["weight bandwidth", "weight bandwidth", "compute"]]),
        memory_bytes=np.array([[1e9, 2e9, 4e9]]), communication_bytes=np.zeros((1, 3)), parts_s=parts,
        energy_per_token_j=power_per_token(400.0, np.array([2]), np.array([1, 2, 4]), step_s), new_tokens=50,
    )  # fmt: skip
    needs = Needs(linears=1e9, embedding=1e9, kv_per_sequence=1e9, prompt_workspace=1e8, sequence_workspace=1e8,
                  logits_per_sequence=0.0)  # fmt: skip
    return Serving(
        inputs={}, notes=("a note",), model="m", hardware=load_gpu("a100-80gb"), devices=2, prompt=7, new_tokens=50,
        largest_batch=4, batch=2, needs=needs, grid=grid, assumed_constants=(),
    )  # fmt: skip
