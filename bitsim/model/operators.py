"""Operators: the units in which a model's work is executed, counted, scheduled and priced.

A forward pass of `tokens` new positions on a context is a list of operators. `matmul` operators name their GEMM
`Y[M, N] = X[M, K] W[N, K]^T` and how often it is repeated (heads, sequences of a batch); the others name what the
vector unit does, in operations per operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Phase = Literal["prefill", "decode"]
Kind = Literal[
    "linear",
    "qk",
    "pv",
    "head",
    "embedding",
    "norm",
    "softmax",
    "rope",
    "glu",
    "residual",
    "bias",
    "groups",
    "quantise",
    "kv",
    "host",
]
WeightFormat = Literal["ternary", "scaled_ternary", "scaled_integers", "fp16", "activation"]
VectorOp = Literal["add", "mul", "max", "exp", "rsqrt", "div", "cvt"]
VECTOR_OPS: tuple[VectorOp, ...] = get_args(VectorOp)

MATMUL_KINDS: frozenset[str] = frozenset({"linear", "qk", "pv", "head"})
Form = Literal["values", "codes", "wide_codes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """Numbers that an operator reads or writes; `name` says which of a layer's tensors they are.

    * `values`: how many this operator reads or writes. `alive`: how many of them exist at a time, which decides where
      they are kept: all of a tensor that is read after it is complete, one head's of those that are made and used up
      head by head.
    * `form`: "codes" as the BitLinear datapath takes them, "wide_codes" as an integer wide datapath does, or "values"
      of the vector unit.
    """

    name: str
    values: int
    alive: int
    form: Form = "values"

    @property
    def shape(self) -> tuple[int, int, Form]:
        return self.values, self.alive, self.form


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator of one layer in one phase.

    * `m, k, n`: GEMM shape of one repetition (0 for operators that are not matmuls, but that the embedding has its rows
      in `m`); `repeat`: repetitions.
    * `weight_format`: what the (N, K) operand is: codes of BitLinear, codes with scales that are multiplied as floats
      (ternary ones or wider integers), FP16 weights, or activations (attention).
    * `weight_bits`: stored bits of the (N, K) operand over all repetitions, as read from DRAM (from the packing,
      so that fractional bits per weight are exact); 0 for activations.
    * `rows`: of one that is no matmul, the vectors that it works on one by one. `vector`: operations of the vector
      unit. `reads`, `writes`: tensors that pass from operator to operator. `kv_read_bits`, `kv_write_bits`: stored bits
      of the KV cache that it needs and adds.
    * `dram_read_bits`: other bits that the operator must read from DRAM (rows of the embedding).
    """

    name: str
    kind: Kind
    phase: Phase
    layer: int | None = None
    m: int = 0
    k: int = 0
    n: int = 0
    repeat: int = 1
    weight_format: WeightFormat | None = None
    weight_bits: int = 0
    rows: int = 0
    vector: Mapping[VectorOp, int] = field(default_factory=dict)
    reads: tuple[Tensor, ...] = ()
    writes: tuple[Tensor, ...] = ()
    kv_read_bits: int = 0
    kv_write_bits: int = 0
    dram_read_bits: int = 0

    @property
    def is_matmul(self) -> bool:
        return self.kind in MATMUL_KINDS

    @property
    def in_blocks(self) -> bool:
        """Whether it does a part of a step's tokens only, of which there are more parts."""
        return any(tensor.values < tensor.alive for tensor in (*self.reads, *self.writes))

    @property
    def is_bitlinear(self) -> bool:
        return self.weight_format == "ternary"

    @property
    def is_wide_integer(self) -> bool:
        """Whether it multiplies codes on the wide datapath."""
        return self.is_matmul and any(tensor.form == "wide_codes" for tensor in self.reads)

    @property
    def shape(self) -> tuple[object, ...]:
        """All that its work follows from."""
        sizes = (self.m, self.k, self.n, self.repeat, self.rows, self.weight_format, self.weight_bits)
        moved = (self.kv_read_bits, self.kv_write_bits, self.dram_read_bits)
        tensors = (tuple(tensor.shape for tensor in side) for side in (self.reads, self.writes))
        return (*sizes, *moved, *tensors, *self.vector.items())

    @property
    def macs(self) -> int:
        return self.m * self.k * self.n * self.repeat


def lone_linear(
    *,
    name: str,
    phase: Phase,
    m: int,
    k: int,
    n: int,
    weight_bits: int = 0,
    repeat: int = 1,
    weight_format: WeightFormat = "ternary",
) -> Operator:
    """A linear by itself, `repeat` times: no other operator has its inputs and outputs."""
    form: Form = "codes" if weight_format == "ternary" else "values"
    inputs = Tensor(name="inputs", values=m * k * repeat, alive=m * k, form=form)
    outputs = Tensor(name="outputs", values=m * n * repeat, alive=m * n)
    return Operator(
        name=name,
        kind="linear",
        phase=phase,
        m=m,
        k=k,
        n=n,
        repeat=repeat,
        weight_format=weight_format,
        weight_bits=weight_bits,
        reads=(inputs,),
        writes=(outputs,),
    )
