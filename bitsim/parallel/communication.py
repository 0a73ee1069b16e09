"""What devices that share a model say to each other in one step: messages, bytes, seconds, joules.

Independent of chips: only shapes, the link and the degrees count. What devices synchronise of their quantisers and
norms, `Sync`:

* "grouped": each device quantises and normalises its own part; nothing is exchanged but outputs.
* "inference": the layer is that of one device. Weights are quantised already; what the split by rows needs in each step
  is gamma (and eta, where activations are non-negative) of o's and down's inputs, and what their sub norms need.
* "paper": as arXiv 2310.11453 section 2 puts it, one all-reduce for each of alpha, beta, gamma and eta of every linear
  whose matrix is split, and for the mean and the variance of its norm: quantisation in every forward pass.

Outputs of the two linears that are split by rows are all-reduced in every case.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw.link import Link
from bitsim.model.config import ModelConfig
from bitsim.model.shard import degrees, shard
from bitsim.parallel.allreduce import Algorithm, Traffic, allreduce, fastest

Numbers = npt.NDArray[Any]
Sync = Literal["grouped", "inference", "paper"]
SYNCS: tuple[Sync, ...] = get_args(Sync)
VALUE_BYTES = 2  # activations and outputs between linears: FP16
PARAMETER_BYTES = 4
CANDIDATE_BYTES = 8  # a logit and its index
PARAMETERS = ("alpha", "beta", "gamma", "eta")

ASSUMPTIONS = (
    "communication: neither overlaps with computing nor with other messages; links of a group work at the same time",
    "communication: activations travel as FP16, parameters of quantisers and norms as float32; every device of a "
    "pipeline stage sends its copy",
    "communication: embeddings are on every device, the head is split by vocabulary and joined by its best candidate",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One kind of exchange in a step of the whole model: `calls` times `elements` numbers each.

    `what`: "outputs", one of `PARAMETERS`, "mean", "variance", "candidate" (of the head) or "stage" (between pipeline
    stages, no all-reduce). `traffic` of all calls; they follow each other.
    """

    what: str
    calls: int
    elements: int
    element_bytes: int
    algorithm: str
    traffic: Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Communication:
    """All exchanges of one step; seconds in each layer, behind the last one (`head_s`), and of one send (`stage_s`)."""

    exchanges: tuple[Exchange, ...]
    layer_s: float
    head_s: float
    stage_s: float

    @property
    def traffic(self) -> Traffic:
        return sum((e.traffic for e in self.exchanges), Traffic())

    def of(self, *what: str) -> Traffic:
        """The traffic of some kinds of exchange."""
        return sum((e.traffic for e in self.exchanges if e.what in what), Traffic())

    @property
    def sync_calls(self) -> int:
        """All-reduces that a grouped model does not have."""
        return sum(e.calls for e in self.exchanges if e.what in (*PARAMETERS, "mean", "variance"))


@lru_cache(maxsize=65536)
def communication(
    config: ModelConfig,
    link: Link,
    *,
    tensor: int,
    pipeline: int = 1,
    rows: int,
    sync: Sync = "grouped",
    non_negative: bool = False,
    algorithm: Algorithm | None = None,
) -> Communication:
    """One step of `rows` tokens (batch x new positions) on `tensor` x `pipeline` devices.

    `non_negative`: whether activations have an eta ("inference" only; "paper" counts it always). `algorithm`: of the
    all-reduces, None: the faster one of ring and tree for each. Raises `ConfigError` if the degrees don't divide heads
    or FFN, for more stages than layers, and for `rows` below 1.
    """
    shard(config, tensor=tensor, pipeline=pipeline)
    if sync not in SYNCS:
        raise UnknownNameError("sync", sync, SYNCS)
    if rows < 1:
        raise ConfigError(f"{config.name}: expected rows >= 1, got {rows}")
    found, layer_s, head_s = [], 0.0, 0.0
    if tensor > 1:
        for what, calls, elements, size in _per_layer(config, rows, sync, non_negative):
            exchange = _allreduces(link, tensor, what, calls, elements, size, algorithm)
            layer_s += exchange.traffic.time_s
            found.append(_repeated(exchange, config.num_layers))
        found.append(_allreduces(link, tensor, "candidate", 1, rows, CANDIDATE_BYTES, algorithm))
        head_s = found[-1].traffic.time_s
    stage = Traffic()
    if pipeline > 1:
        size = rows * config.hidden_size * VALUE_BYTES
        stage = Traffic(messages=tensor, bytes=tensor * size, time_s=link.message_s(size))
        sends = Exchange(
            what="stage",
            calls=pipeline - 1,
            elements=rows * config.hidden_size,
            element_bytes=VALUE_BYTES,
            algorithm="send",
            traffic=stage * (pipeline - 1),
        )
        found.append(sends)
    return Communication(exchanges=tuple(found), layer_s=layer_s, head_s=head_s, stage_s=stage.time_s)


def step_communication(
    config: ModelConfig, devices: Numbers, tokens: Numbers, *, link: Link, sync: Sync = "grouped"
) -> tuple[Numbers, Numbers]:
    """Seconds and bytes that the links take in each of many steps, float64 arrays.

    `devices`, `tokens`: integers that broadcast. The degrees are those of `degrees`: as much tensor parallelism as the
    model's heads and FFN allow. Raises `ConfigError` for device counts that no degrees divide.
    """
    counts, rows = np.broadcast_arrays(devices, tokens)
    seconds, moved = np.empty(counts.shape), np.empty(counts.shape)
    split = {int(count): degrees(config, int(count)) for count in np.unique(counts)}
    for i in np.ndindex(counts.shape):
        tensor, stages = split[int(counts[i])]
        said = communication(config, link, tensor=tensor, pipeline=stages, rows=int(rows[i]), sync=sync).traffic
        seconds[i], moved[i] = said.time_s, said.bytes
    return seconds, moved


def _per_layer(config: ModelConfig, rows: int, sync: Sync, non_negative: bool) -> Iterator[tuple[str, int, int, int]]:
    """What one layer all-reduces: what, how often, elements, bytes of each."""
    yield "outputs", 2, rows * config.hidden_size, VALUE_BYTES
    linears = len(list(config.linear_shapes()))
    if not config.quantised or sync == "grouped":
        return
    if sync == "paper":
        yield "alpha", linears, 1, PARAMETER_BYTES
        yield "beta", linears, 1, PARAMETER_BYTES
        yield "gamma", linears, rows, PARAMETER_BYTES
        yield "eta", linears, rows, PARAMETER_BYTES
        if config.norm == "layer":
            yield "mean", linears, rows, PARAMETER_BYTES
        yield "variance", linears, rows, PARAMETER_BYTES
        return
    by_rows = 2
    yield "gamma", by_rows, rows, PARAMETER_BYTES
    if non_negative:
        yield "eta", by_rows, rows, PARAMETER_BYTES
    if config.sub_norms:
        if config.norm == "layer":
            yield "mean", by_rows, rows, PARAMETER_BYTES
        yield "variance", by_rows, rows, PARAMETER_BYTES


def _allreduces(
    link: Link, devices: int, what: str, calls: int, elements: int, size: int, algorithm: Algorithm | None
) -> Exchange:
    name, once = fastest(link, devices, elements, size)
    if algorithm is not None:
        name, once = algorithm, allreduce(link, devices, elements, size, algorithm)
    return Exchange(what=what, calls=calls, elements=elements, element_bytes=size, algorithm=name, traffic=once * calls)


def _repeated(exchange: Exchange, times: int) -> Exchange:
    return Exchange(
        what=exchange.what,
        calls=exchange.calls * times,
        elements=exchange.elements,
        element_bytes=exchange.element_bytes,
        algorithm=exchange.algorithm,
        traffic=exchange.traffic * times,
    )
