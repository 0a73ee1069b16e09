"""The host that drives a chip: what passes between the two and how long it takes. A chip without one works alone.

Published boards lose much of their time here: the ternary array of Ternarycore computes for 85 ms per token, and its
processor needs 347 ms to hand over activations and to fetch sums.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bitsim.hw.constants import Constant, Described, in_unit
from bitsim.hw.source import problem


class Burst(Described):
    """A transfer that takes `time` for every `values` numbers, and as long for fewer.

    * `values`: numbers of one transfer. `time`: what it takes.
    """

    values: Annotated[int, Field(ge=1, le=1 << 20)]
    time: Annotated[Constant, in_unit("us", positive=True)]


class CallsSpec(Described):
    """The host calls the BitLinear datapath: for each token it writes at most `k` activations, reads at most `n` sums.

    Larger matmuls take several calls, which write activations again for every `n` outputs and read unfinished sums for
    every `k` inputs. The datapath works meanwhile.

    * `k`: most activations of a call. `n`: most sums of a call. `write`: how activations get there. `read`: how sums
      come back.
    """

    k: Annotated[int, Field(ge=1, le=1 << 20)]
    n: Annotated[int, Field(ge=1, le=1 << 20)]
    write: Burst
    read: Burst


class StepSpec(Described):
    """What a forward pass exchanges: a token id in, and a token id or the logits out, for each executed position.

    * `latency`: once per pass, on top of the bits. Nothing overlaps: the next pass needs the answer.
    * `bandwidth`: the rate of the bits. `returns`: what comes back, a token id or the logits.
    """

    latency: Annotated[Constant, in_unit("us")]
    bandwidth: Annotated[Constant, in_unit("GB/s", positive=True)]
    returns: Literal["token", "logits"] = "token"


Worked = Literal[
    "embedding", "norm", "quantise", "rope", "kv", "qk", "softmax", "pv", "glu", "residual", "bias", "groups", "head"
]


class WorkSpec(Described):
    """What one kind of operator takes on the host's own processor, such as a soft core, in place of the chip's units.

    The three times add up; what is left out takes none.

    * `call`: once per operator, so once per layer. `row`: for each row: a token, or a head of one where heads are
      worked on one by one (norms of heads, softmax), or a row of queries or shares of attention.
    * `value`: for each value that it writes (that it stores, of `kv`), or for each multiply-accumulate of a matmul.
    """

    call: Annotated[Constant, in_unit("us")] | None = None
    row: Annotated[Constant, in_unit("us")] | None = None
    value: Annotated[Constant, in_unit("ns")] | None = None

    @model_validator(mode="after")
    def _something(self) -> "WorkSpec":
        if self.call is None and self.row is None and self.value is None:
            raise problem("expected call, row or value (got none of them)")
        return self


class HostSpec(Described):
    """What the host costs; what is left out takes no time.

    * `step`: what a forward pass exchanges. `matmul_latency`: once per matmul, before it starts.
    * `calls`: what is written and read for each tile. `energy`: per bit in either direction; if left out, not counted.
    * `work`: kinds of operators that the host computes itself, one after another, while the chip waits: any but
      linears. The chip's units do nothing for them; their energy on the host is not counted, and results say so.
    """

    step: StepSpec | None = None
    matmul_latency: Annotated[Constant, in_unit("us")] | None = None
    calls: CallsSpec | None = None
    energy: Annotated[Constant, in_unit("pJ/bit")] | None = None
    work: dict[Worked, WorkSpec] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something(self) -> "HostSpec":
        if self.step is None and self.matmul_latency is None and self.calls is None and not self.work:
            raise problem(
                "expected step, matmul_latency, calls or work (got none of them); leave host out for a chip alone"
            )
        return self

    def text(self) -> str:
        """What is not a constant, in one line."""
        parts = [] if self.step is None else [f"a step returns {self.step.returns}"]
        if self.calls is not None:
            write, read = self.calls.write.values, self.calls.read.values
            parts.append(f"calls of {self.calls.k} x {self.calls.n} (K x N), {write} values a write, {read} a read")
        parts += ["a latency before each matmul"] if self.matmul_latency else []
        return ", ".join([*parts, *([f"computes {', '.join(self.work)}"] if self.work else [])])
